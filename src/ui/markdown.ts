/** Text inside a markdown paragraph or table cell: nothing in it becomes markup, whatever a machine's name or a log says. */
export const escapeMarkdown = (text: string): string =>
  text
    .replace(/[\\`*_{}[\]<>|#~@]/g, (character) => (character === '<' ? '&lt;' : character === '>' ? '&gt;' : `\\${character}`))
    .replace(/\s*\n\s*/g, ' ');

/** An inline code span that holds any text (CommonMark 6.1: the fence is longer than any run of backticks in it); safe in a table. */
export const codeSpan = (text: string): string => {
  const runs = text.match(/`+/g) ?? [];
  const fence = '`'.repeat(Math.max(0, ...runs.map((run) => run.length)) + 1);
  const body = text.replace(/\s*\n\s*/g, ' ').replaceAll('|', '\\|');
  return body.startsWith('`') || body.endsWith('`') || body === '' ? `${fence} ${body} ${fence}` : `${fence}${body}${fence}`;
};

/** A table; cells are markdown already. */
export const markdownTable = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

export const details = (summary: string, body: string): string =>
  `<details><summary>${summary}</summary>\n\n${body}\n\n</details>`;

/** A fenced block that holds any text (CommonMark 4.5: the fence is longer than any run of backticks in it). */
export const fenced = (text: string, language = ''): string => {
  const runs = text.match(/`+/g) ?? [];
  const fence = '`'.repeat(Math.max(2, ...runs.map((run) => run.length)) + 1);
  return `${fence}${language}\n${text.replace(/\n$/, '')}\n${fence}`;
};
