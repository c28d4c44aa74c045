import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { atExit } from '../run/at-exit.ts';

export interface Command {
  /** The program and its arguments. */
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Ends it, and all that it has started. */
  readonly signal: AbortSignal;
}
export interface Ended {
  /** `exit code 3`, `killed by SIGTERM`; undefined: it succeeded. */
  readonly failure: string | undefined;
  /** Of what it printed, on both streams. */
  readonly lastLines: readonly string[];
}
/** The failure of what was ended because its time was up. */
export const tooLong = 'it had no end in time';
export type RunCommand = (command: Command) => Promise<Ended>;

const mostLines = 20;
const longestLine = 500;
/** Time to end by itself after SIGTERM, and to read what is left in the pipes after the end. */
const graceMs = 2000;
const drainMs = 200;

/** Runs a program in a process group of its own; nothing of the group is left when this resolves. Rejects when it cannot be started. */
export const runCommand: RunCommand = async ({ argv: [program = '', ...args], cwd, env, signal }) => {
  signal.throwIfAborted();
  const child = spawn(program, args, { cwd, env: { ...env }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = (name: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // None of them is left.
    }
  };
  const exited = Promise.withResolvers<string | undefined>();
  child.once('error', exited.reject);
  child.once('exit', (code, by) =>
    exited.resolve(code === 0 ? undefined : by === null ? `exit code ${code}` : `killed by ${by}`),
  );
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const lines: string[] = [];
  const rests = [child.stdout, child.stderr].map((stream) => keepLast(stream, lines));
  const kept = atExit(() => kill('SIGKILL'));
  let killing: NodeJS.Timeout | undefined;
  const end = (): void => {
    kill('SIGTERM');
    killing = setTimeout(kill, graceMs, 'SIGKILL');
  };
  signal.addEventListener('abort', end, { once: true });
  try {
    const failure = await exited.promise;
    // What it left in the background may hold the pipes open for ever.
    await Promise.race([closed, sleep(drainMs, undefined, { ref: false })]);
    return { failure, lastLines: [...lines, ...rests.flatMap((rest) => rest())].slice(-mostLines) };
  } finally {
    signal.removeEventListener('abort', end);
    clearTimeout(killing);
    kill('SIGKILL');
    child.stdout.destroy();
    child.stderr.destroy();
    kept();
  }
};

/** Of a line without an end no more is held than is shown. Returns what tells the line that has not ended yet. */
function keepLast(stream: Readable, lines: string[]): () => readonly string[] {
  let rest = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    for (const [index, part] of text.split(/\r\n|\n|\r/).entries()) {
      if (index > 0) {
        lines.push(rest);
        rest = '';
      }
      rest += part.slice(0, longestLine - rest.length);
    }
    lines.splice(0, lines.length - mostLines);
  });
  return () => (rest === '' ? [] : [rest]);
}
