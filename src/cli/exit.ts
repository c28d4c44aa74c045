import { Errors } from '@oclif/core';
import { closest, distance } from 'fastest-levenshtein';
import { type ExitCode, exitCodes, messageOf, type Problem, UserError } from '../errors.ts';

/** What a thrown value means to the one who called: an exit code, and a problem to print (none: it has been said already). */
export interface Outcome {
  readonly exitCode: number;
  readonly kind: 'problem' | 'usage' | 'interrupted' | 'bug' | 'silent';
  readonly problem: Problem;
  readonly stack?: string;
}

/** Maps whatever was thrown to its outcome. Total: it never throws. */
export const outcomeOf = (error: unknown, interrupted: boolean): Outcome => {
  if (error instanceof Errors.ExitError) return { exitCode: error.oclif.exit ?? 1, kind: 'silent', problem: { what: '' } };
  if (interrupted || isInterruption(error)) return interruption(error);
  if (error instanceof UserError) return { exitCode: error.exitCode, kind: 'problem', problem: error.problem };
  // Everything that oclif itself complains about (an unknown flag, a missing argument) is wrong usage.
  if (error instanceof Errors.CLIError) return { exitCode: exitCodes.usage, kind: 'usage', problem: usageProblem(error) };
  return ofSystem(error) ?? bug(error);
};

const isInterruption = (error: unknown): boolean => error instanceof UserError && error.exitCode === exitCodes.interrupted;

/** After Ctrl-C everything that fails fails because of it; what failed is still worth a line. */
const interruption = (error: unknown): Outcome => {
  const said = error instanceof UserError ? error.problem : undefined;
  const next = said?.next ?? 'Run the same command again: it goes on from what it finds';
  const aborted = error instanceof Error && (error.name === 'AbortError' || isInterruption(error));
  return {
    exitCode: exitCodes.interrupted,
    kind: 'interrupted',
    problem:
      said && isInterruption(error)
        ? { ...said, next }
        : { what: 'Interrupted', ...(aborted ? {} : { why: messageOf(error) }), next },
  };
};

const usageProblem = (error: Error): Problem => {
  const [what = '', ...rest] = error.message
    .split('\n')
    // oclif's heading of what two flags say of each other: what follows is what is wrong.
    .filter((line) => line.trim() !== '' && !/^(See more help with --help|The following errors? occurred:)$/.test(line.trim()));
  const why = rest.map((line) => line.trim()).join('\n');
  return { what: what.trim(), ...(why === '' ? {} : { why }), next: nearestFlag(error) ?? 'See --help' };
};

/** `--outpt` → `--output`, where one of the command's flags is near enough to be meant. */
const nearestFlag = (error: Error): string | undefined => {
  if (!('flags' in error) || !Array.isArray(error.flags) || !('parse' in error)) return undefined;
  const first: unknown = error.flags[0];
  const { input } = error.parse as { readonly input: { readonly flags: Readonly<Record<string, unknown>> } };
  const known = Object.keys(input.flags).map((name) => `--${name}`);
  if (typeof first !== 'string' || known.length === 0) return undefined;
  const [unknown = first] = first.split('=', 1);
  const nearest = closest(unknown, known);
  return distance(unknown, nearest) <= 2 ? `Did you mean ${nearest}? See --help` : undefined;
};

const systemAdvice: Readonly<Record<string, { readonly next: string; readonly exitCode?: ExitCode }>> = {
  EACCES: { next: 'Give this user the permission, or run as a user who has it' },
  EPERM: { next: 'Give this user the permission, or run as a user who has it' },
  ENOSPC: { next: 'Free space on that disk, then run the same command again' },
  EDQUOT: { next: 'Free space in your quota, then run the same command again' },
  EROFS: { next: 'That file system is read-only: choose another place (XDG_STATE_HOME, XDG_CACHE_HOME)' },
  EMFILE: { next: 'Raise the limit of open files (ulimit -n 65536), then run the same command again' },
  ENFILE: { next: 'Raise the limit of open files of the system (sysctl fs.file-max), then run the same command again' },
  ENOENT: { next: 'Check the path' },
  ENOTDIR: { next: 'Check the path' },
  EISDIR: { next: 'Name a file, not a directory' },
  ENOMEM: { next: 'Free memory, then run the same command again' },
};

/** An error of the operating system that reached the top: what it says is enough to mend it. */
const ofSystem = (error: unknown): Outcome | undefined => {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error) || typeof error.code !== 'string')
    return undefined;
  const advice = systemAdvice[error.code];
  if (!advice) return undefined;
  const path = 'path' in error && typeof error.path === 'string' ? error.path : '';
  const where = path === '' || error.message.includes(path) ? {} : { where: path };
  return {
    exitCode: advice.exitCode ?? exitCodes.failed,
    kind: 'problem',
    problem: { what: error.message, ...where, next: advice.next },
  };
};

const bug = (error: unknown): Outcome => ({
  exitCode: exitCodes.bug,
  kind: 'bug',
  problem: {
    what: `Unexpected error: ${messageOf(error)}`,
    why: 'This is a bug in slipway, not a mistake of yours',
    next: 'Run the same command again: what was done is found again. If it stays, report it with this text',
  },
  ...(error instanceof Error && error.stack ? { stack: error.stack } : {}),
});
