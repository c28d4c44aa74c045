import { type ChildProcess, execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type Docker from 'dockerode';
import { TestCluster } from './cli.ts';

const exec = promisify(execFile);

/** A cluster all of whose commands are listened to: what each printed on stdout and stderr. */
export class Overheard extends TestCluster {
  readonly said: string[] = [];

  override start(...args: string[]): ChildProcess {
    const child = super.start(...args);
    const pieces: string[] = [];
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => pieces.push(String(data)));
    child.once('close', () => this.said.push(`cluster ${args.join(' ')}\n${pieces.join('')}`));
    return child;
  }
}

/** Collects the arguments of every process of this host, those of containers among them, until `stop`. */
export function watchArguments(everyMs = 50): { stop(): readonly string[] } {
  const seen = new Set<string>();
  const look = (): void => {
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      try {
        seen.add(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '));
      } catch {
        // It has ended meanwhile.
      }
    }
  };
  const timer = setInterval(look, everyMs);
  return {
    stop() {
      clearInterval(timer);
      return [...seen];
    },
  };
}

/** A command on a machine by Docker's own way, which SSH's faults do not touch. Its stdout; fails with its stderr. */
export async function inMachine(container: Docker.Container, command: string): Promise<string> {
  const { stdout } = await exec('docker', ['exec', container.id, 'sh', '-c', command], { maxBuffer: 1 << 26 });
  return stdout;
}
