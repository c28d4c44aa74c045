import type { Problem } from '../errors.ts';
import type { Look } from './style.ts';
import { indent, sanitize } from './text.ts';

/** An error for people: what (and where), why, what next. Ends in a newline. */
export const problemText = (label: string, { what, where, why, next }: Problem, { style }: Look): string => {
  const lines = [`${style.red(style.bold(label))} ${sanitize(where ? `${where}: ${what}` : what)}`];
  // The last lines of logs, of commands, of pods.
  if (why) lines.push(indent(sanitize(why), 2));
  if (next) lines.push(`${style.cyan('Next:')} ${sanitize(next)}`);
  return `${lines.join('\n')}\n`;
};

/** The same for programs: one line of JSON. */
export const problemJson = (kind: string, exitCode: number, problem: Problem): string =>
  `${JSON.stringify({ error: { kind, exitCode, ...problem } })}\n`;
