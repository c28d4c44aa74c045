import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack } from 'tar-stream';
import { machinesOf, type Role, roles } from '../cluster/topology.ts';
import { exitCodes, messageOf, UserError } from '../errors.ts';
import { quote } from '../host/quote.ts';
import { withReach } from './look.ts';
import type { Opened } from './opened.ts';
import type { Session } from './session.ts';

export interface LogOptions {
  /** Machines or roles; empty: all machines. */
  readonly targets: readonly string[];
  readonly units: readonly string[];
  /** As journalctl takes it: `-10min`, `2026-11-21 03:00`. */
  readonly since: string | undefined;
  readonly lines: number;
  readonly follow: boolean;
}
export interface LogLine {
  readonly host: string;
  readonly line: string;
}

/** Journals of hosts, merged as they arrive. A host that cannot be reached is one line that says so, and the others go on. */
export async function logs(opened: Opened, options: LogOptions, show: (line: LogLine) => void): Promise<void> {
  await withReach(opened, async (session) => {
    await Promise.all(
      hostsOf(session, options.targets).map(async (name) => {
        try {
          const host = await session.reach.hosts().hosts.get(name, { signal: session.signal, waitMs: 5000 });
          const stream = await host.stream(journalctl(options), session.signal);
          for await (const line of createInterface({ input: stream })) show({ host: name, line });
        } catch (error) {
          if (!session.signal.aborted) show({ host: name, line: `cannot be read: ${messageOf(error)}` });
        }
      }),
    );
  });
}

/** The same journals as a .tar.gz, one file a host: to attach to a report. */
export async function logsTarball(opened: Opened, options: LogOptions, file: string): Promise<readonly string[]> {
  return withReach(opened, async (session) => {
    const archive = pack();
    const written = pipeline(archive, createGzip(), createWriteStream(file, { mode: 0o600 }));
    const names = hostsOf(session, options.targets);
    for (const name of names) {
      let text: string;
      try {
        const host = await session.reach.hosts().hosts.get(name, { signal: session.signal, waitMs: 5000 });
        text = (await host.exec(journalctl({ ...options, follow: false }), { signal: session.signal })).stdout;
      } catch (error) {
        session.signal.throwIfAborted();
        text = `cannot be read: ${messageOf(error)}\n`;
      }
      archive.entry({ name: `${opened.cluster.name}/${name}.log`, mode: 0o600 }, text);
    }
    archive.finalize();
    await written;
    return names;
  });
}

const journalctl = ({ units, since, lines, follow }: LogOptions): string =>
  [
    'journalctl --no-pager -o short-iso-precise',
    ...units.map((unit) => `-u ${quote(unit)}`),
    ...(since ? [`--since ${quote(since)}`] : [`-n ${lines}`]),
    ...(follow ? ['-f'] : []),
  ].join(' ');

/** Names, or roles (also in the plural), as machines. Throws UserError naming what there is. */
function hostsOf({ design: { topology } }: Session, targets: readonly string[]): readonly string[] {
  if (targets.length === 0) return topology.machines.map((machine) => machine.name);
  return [
    ...new Set(
      targets.flatMap((target) => {
        const role = roles.find((r): r is Role => r === target || `${r}s` === target);
        if (role) return machinesOf(topology, role).map((machine) => machine.name);
        if (topology.machines.some((machine) => machine.name === target)) return [target];
        throw unknownMachine(
          target,
          topology.machines.map((machine) => machine.name),
        );
      }),
    ),
  ];
}
export const unknownMachine = (name: string, known: readonly string[]): UserError =>
  new UserError(
    {
      what: `there is no machine or role ${name}`,
      why: `machines: ${known.join(', ')}; roles: ${roles.join(', ')}`,
      next: 'name one of these',
    },
    exitCodes.usage,
  );
