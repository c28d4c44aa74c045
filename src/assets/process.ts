import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  /** The last 30 lines. */
  readonly stderr: readonly string[];
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Runs a program in a process group of its own and waits for it; on abort the whole group is ended, compilers included, and the abort reason thrown. */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: {
    readonly cwd?: string;
    readonly env: Environment;
    readonly signal?: AbortSignal | undefined;
    readonly onLine?: (stderrLine: string) => void;
  },
): Promise<Ran> {
  const { cwd, env, signal, onLine } = options;
  signal?.throwIfAborted();
  const child = spawn(command, [...args], { cwd, env: { ...env }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const end = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  };
  signal?.addEventListener('abort', end, { once: true });
  try {
    const stdout: Buffer[] = [];
    const stderr: string[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    createInterface({ input: child.stderr }).on('line', (line) => {
      stderr.push(line);
      if (stderr.length > 30) stderr.shift();
      onLine?.(line);
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exitCode) => resolve(exitCode));
    });
    signal?.throwIfAborted();
    return { code, stdout: Buffer.concat(stdout).toString(), stderr };
  } finally {
    signal?.removeEventListener('abort', end);
  }
}
