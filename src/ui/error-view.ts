import type { Problem } from '../errors.ts';
import type { Look } from './style.ts';
import { indent, sanitize } from './text.ts';

/** An error for people: what (and where), why, what next; most of it may be the words of a machine, of the API or of a gate. Ends in a newline. */
export const problemText = (label: string, problem: Problem, { style }: Look): string => {
  const { where, what, why, next } = problem;
  const lines = [`${style.red(style.bold(label))} ${sanitize(where ? `${where}: ${what}` : what)}`];
  if (why) lines.push(indent(sanitize(why), 2));
  if (next) lines.push(`${style.cyan('Next:')} ${sanitize(next)}`);
  return `${lines.join('\n')}\n`;
};

/** The same for programs: one line of JSON. */
export const problemJson = (kind: string, exitCode: number, problem: Problem): string =>
  `${JSON.stringify({ error: { kind, exitCode, ...problem } })}\n`;
