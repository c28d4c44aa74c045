/** Exit codes, one meaning each (sysexits where one fits). docs/reference.md prints this table. */
export const exitCodes = {
  done: 0,
  failed: 1,
  changesPending: 2,
  usage: 64,
  config: 65,
  unreachable: 69,
  bug: 70,
  lockedOrStale: 75,
  credentials: 77,
  interrupted: 130,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export interface Problem {
  /** What happened, in one sentence. */
  readonly what: string;
  /** Which thing: a machine, a file:line:column, an address. */
  readonly where?: string;
  /** Why it happened, where that is known: often the last lines of a log. */
  readonly why?: string;
  /** What to do now: a command or an edit. */
  readonly next?: string;
}

/** An error that a person can mend. Anything else that is thrown is a bug and is reported as one. */
export class UserError extends Error {
  readonly problem: Problem;
  readonly exitCode: ExitCode;
  constructor(problem: Problem, exitCode: ExitCode = exitCodes.failed, options?: ErrorOptions) {
    super(
      [problem.where ? `${problem.where}: ${problem.what}` : problem.what, problem.why, problem.next && `Next: ${problem.next}`]
        .filter(Boolean)
        .join('\n'),
      options,
    );
    this.name = 'UserError';
    this.problem = problem;
    this.exitCode = exitCode;
  }
}

/** The thing exists but gave no answer: exit 69, never "absent". */
export class UnreachableError extends UserError {
  constructor(problem: Problem, options?: ErrorOptions) {
    super(problem, exitCodes.unreachable, options);
    this.name = 'UnreachableError';
  }
}

/** The text of any thrown value, for a `why`. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
