import type { Problem } from '../errors.ts';
import type { Look } from './style.ts';
import { indent } from './text.ts';

/** An error for people: what (and where), why, what next. Ends in a newline. */
export const problemText = (label: string, problem: Problem, { style }: Look): string => {
  const first = problem.where ? `${problem.where}: ${problem.what}` : problem.what;
  const lines = [`${style.red(style.bold(label))} ${first}`];
  if (problem.why) lines.push(indent(problem.why, 2));
  if (problem.next) lines.push(`${style.cyan('Next:')} ${problem.next}`);
  return `${lines.join('\n')}\n`;
};

/** The same for programs: one line of JSON. */
export const problemJson = (kind: string, exitCode: number, problem: Problem): string =>
  `${JSON.stringify({ error: { kind, exitCode, ...problem } })}\n`;
