import type { Finding } from '../config/finding.ts';
import { codeSpan, escapeMarkdown, markdownTable } from './markdown.ts';
import type { Look, Style } from './style.ts';
import { indent, plural, sanitize } from './text.ts';
import type { View } from './view.ts';

/** What was looked at, and what was found. */
export interface Findings {
  /** `./cluster.yaml`, or the cluster's name. */
  readonly subject: string;
  readonly findings: readonly Finding[];
}

/** Worst first. What is well is counted for people, and listed for programs. */
export const findingsView: View<Findings> = {
  human: ({ subject, findings }, look) => {
    const bad = worstFirst(findings.filter(({ severity }) => severity !== 'ok'));
    return [...bad.map((finding) => findingText(finding, look)), verdict(subject, findings, look.style)].join('\n');
  },
  json: ({ subject, findings }) => ({ formatVersion: 1, subject, ...countsOf(findings), findings }),
  markdown: ({ subject, findings }) => {
    const { errors, warnings } = countsOf(findings);
    const head = `### ${escapeMarkdown(subject)}: ${plural(errors, 'error')}, ${plural(warnings, 'warning')}`;
    const rows = worstFirst(findings).map((finding) => [
      finding.severity,
      codeSpan(finding.check),
      finding.where ? codeSpan(finding.where) : '',
      escapeMarkdown([finding.what, finding.why].filter(Boolean).join(': ')),
      escapeMarkdown(finding.next ?? ''),
    ]);
    return rows.length === 0 ? head : `${head}\n\n${markdownTable(['', 'check', 'where', 'what', 'what to do'], rows)}`;
  },
};

const rank = { error: 0, warning: 1, ok: 2 } as const;
const worstFirst = (findings: readonly Finding[]): readonly Finding[] =>
  findings.toSorted((a, b) => rank[a.severity] - rank[b.severity]);

const countsOf = (findings: readonly Finding[]): { readonly errors: number; readonly warnings: number } => ({
  errors: findings.filter(({ severity }) => severity === 'error').length,
  warnings: findings.filter(({ severity }) => severity === 'warning').length,
});

/** One finding as a few lines, as compilers do: place, severity, what. */
export const findingText = (finding: Finding, { style }: Look): string => {
  const label = { error: style.red('error'), warning: style.yellow('warning'), ok: style.green('ok') }[finding.severity];
  const where = finding.where ? `${style.bold(sanitize(finding.where))}: ` : '';
  const lines = [`${where}${label}: ${sanitize(finding.what)} ${style.dim(`[${finding.check}]`)}`];
  if (finding.why) lines.push(indent(sanitize(finding.why), 2));
  if (finding.next) lines.push(indent(`${style.cyan('Next:')} ${sanitize(finding.next)}`, 2));
  return lines.join('\n');
};

const verdict = (subject: string, findings: readonly Finding[], style: Style): string => {
  const { errors, warnings } = countsOf(findings);
  const well = findings.length - errors - warnings;
  const checks = well > 0 ? `, ${plural(well, 'check')} passed` : '';
  if (errors > 0) return `${style.red('✖')} ${subject}: ${plural(errors, 'error')}, ${plural(warnings, 'warning')}${checks}`;
  if (warnings > 0) return `${style.yellow('✔')} ${subject}: ${plural(warnings, 'warning')}${checks}`;
  return `${style.green('✔')} ${subject}: nothing wrong${checks}`;
};
