import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readCommands } from '../../../scripts/commands.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const files = [
  'README.md',
  'CONTRIBUTING.md',
  ...globSync(['docs/**/*.md', 'examples/**/*.{md,yml,yaml}'], { cwd: root }),
].sort();
const { commands } = await readCommands();
/** Plugins' own. */
const others = new Set(['autocomplete', 'help']);

const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const withoutFences = (text: string): string => text.replaceAll(/^```[\s\S]*?^```/gm, '');

/** GitHub's anchors of a page's headings. */
const anchorsOf = (text: string): readonly string[] =>
  [...withoutFences(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

function* brokenLinks(file: string): Generator<string> {
  for (const [, link = ''] of withoutFences(read(file)).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(link)) continue;
    const [path = '', anchor] = link.split('#', 2);
    const target = path === '' ? file : join(dirname(file), path);
    if (!existsSync(join(root, target))) yield `${link}: there is no ${target}`;
    else if (anchor && !anchorsOf(read(target)).includes(anchor)) yield `${link}: ${target} has no such heading`;
  }
}

/** Lines of code that may call the command: fenced and inline code of Markdown, everything of a pipeline. */
function codeOf(file: string): readonly string[] {
  const text = read(file).replaceAll(/\\\n\s*/g, ' ');
  if (!file.endsWith('.md')) return text.split('\n');
  const fences = [...text.matchAll(/^ *```.*\n([\s\S]*?)^ *```/gm)].flatMap(([, body = '']) => body.split('\n'));
  const indented = [...text.matchAll(/^ {4,}(cluster .*)$/gm)].map(([, line = '']) => line);
  const inline = [...withoutFences(text).matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span);
  return [...fences, ...indented, ...inline];
}

/** `cluster a b --c` → its words, up to a comment, `--`, or what the shell takes. */
const callsIn = (line: string): readonly (readonly string[])[] =>
  [...line.replace(/(^|\s)#\s.*/, '').matchAll(/(?:^|[\s$(`"])(?:cluster|node bin\/cluster\.js) ([a-z][^#|;&>)`]*)/g)].map(
    ([, words = '']) => {
      const all = words
        .trim()
        .split(/\s+/)
        .map((word) => word.replace(/[,.:]$/, ''));
      const end = all.indexOf('--');
      return end === -1 ? all : all.slice(0, end);
    },
  );
/** Prose of a comment or a message, not a call. */
const isCall = (file: string, line: string): boolean => file.endsWith('.md') || /^\s*(?:- run: |)cluster /.test(line);

function* wrongCalls(file: string): Generator<string> {
  for (const line of codeOf(file)) {
    if (!isCall(file, line)) continue;
    for (const words of callsIn(line)) {
      const [first = '', second = ''] = words;
      if (others.has(first)) continue;
      const command = commands[`${first}:${second}`] ?? commands[first];
      const topic = Object.keys(commands).some((id) => id.startsWith(`${first}:`));
      if (!command && !(topic && words.length === 1)) yield `there is no command: ${line.trim()}`;
      if (!command) continue;
      const flags = Object.values(command.flags);
      for (const word of words) {
        const [, name] = /^--([a-z-]+)/.exec(word) ?? [];
        const [, char] = /^-([a-z])$/i.exec(word) ?? [];
        if (name !== undefined && !flags.some((flag) => flag.name === name)) yield `--${name} is no flag: ${line.trim()}`;
        if (char !== undefined && !flags.some((flag) => flag.char === char)) yield `-${char} is no flag: ${line.trim()}`;
      }
    }
  }
}

describe.each(files)('%s', (file) => {
  it('links to files and headings that exist', () => expect([...brokenLinks(file)]).toEqual([]));
  it('names commands and flags that exist', () => expect([...wrongCalls(file)]).toEqual([]));
});

it('every page of the documentation can be reached from its index', () => {
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file) || !file.endsWith('.md') || !existsSync(join(root, file))) return;
    seen.add(file);
    for (const [, link = ''] of withoutFences(read(file)).matchAll(/\]\(([^)\s#]+)/g))
      if (!/^[a-z]+:/.test(link)) visit(join(dirname(file), link));
  };
  visit('docs/README.md');
  expect(files.filter((file) => file.startsWith('docs/') && !seen.has(file))).toEqual([]);
});

/** Words of messages that a page quotes; `...` stands for what differs. */
const quotedIn = (text: string): readonly string[] => [...text.matchAll(/^(?:\| )?"([^"\n]+)"/gm)].map(([, quote = '']) => quote);

describe('the runbook of an upgrade that stopped', () => {
  const source = globSync('src/**/*.ts', { cwd: root }).map(read).join('\n');
  const quotes = quotedIn(read('docs/operations/upgrade-stopped.md'));
  it('quotes messages', () => expect(quotes.length).toBeGreaterThan(30));
  it.each(quotes)('"%s" is what the code says', (quote) => {
    const parts = quote.split('...').map((part) => part.trim());
    expect(parts.filter((part) => part.length > 1 && !source.includes(part))).toEqual([]);
    expect(Math.max(...parts.map(({ length }) => length)), 'long enough to be found by').toBeGreaterThan(8);
  });
});

it('a command, a flag or a link that is not there is noticed', () => {
  expect(callsIn('run `cluster plan --out p.json -- x`')).toEqual([['plan', '--out', 'p.json']]);
  expect(anchorsOf('# A b, c\n## `D`')).toEqual(['a-b-c', 'd']);
});
