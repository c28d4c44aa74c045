import { exitCodes, messageOf, UserError } from '../errors.ts';
import type { HostAccess, HostFacts, HostsClients } from './host.ts';
import { parseObserve } from './observe.ts';
import { script } from './scripts.ts';

/** One host as observing found it. */
export type Seen =
  | { readonly state: 'absent' }
  | { readonly state: 'unknown'; readonly why: string }
  /** `asked`: when the question left and when the answer was there, by our clock. */
  | { readonly state: 'present'; readonly facts: HostFacts; readonly asked: Asked };
export interface Asked {
  readonly from: number;
  readonly to: number;
}

/** How long a machine that runs may take to answer. Not the patience for one in the making: `plan` must not hang on a broken sshd. */
const connectMs = 6_000;
const observeMs = 15_000;

/**
 * All hosts, one round trip each, at once. A host of the design that the provider does not see is absent; one that does not answer is
 * unknown. Throws only for what a person must mend (a changed host key), and on abort.
 */
export async function readFacts(clients: HostsClients, signal: AbortSignal): Promise<ReadonlyMap<string, Seen>> {
  const existing = clients.hosts.access().hosts;
  const text = await script('observe');
  const seen = await Promise.all(
    [...existing].map(
      async ([name, access]): Promise<[string, Seen]> => [name, await readOne(clients, name, access, text, signal)],
    ),
  );
  const absent = [...clients.machines.keys()].filter((name) => !existing.has(name));
  return new Map([...seen, ...absent.map((name): [string, Seen] => [name, { state: 'absent' }])]);
}

async function readOne(
  { hosts, now }: HostsClients,
  name: string,
  access: HostAccess,
  text: string,
  signal: AbortSignal,
): Promise<Seen> {
  if (access.state === 'unreachable') return { state: 'unknown', why: access.why };
  try {
    const host = await hosts.get(name, { signal, waitMs: connectMs });
    const from = now();
    const { code, stdout, stderr } = await host.exec('sh -s', { stdin: text, signal, timeoutMs: observeMs });
    if (code !== 0) return { state: 'unknown', why: `observing ended with ${code}: ${stderr.trim().slice(-300)}` };
    return { state: 'present', facts: parseObserve(stdout), asked: { from, to: now() } };
  } catch (error) {
    if (signal.aborted || (error instanceof UserError && error.exitCode !== exitCodes.unreachable)) throw error;
    return { state: 'unknown', why: messageOf(error) };
  }
}
