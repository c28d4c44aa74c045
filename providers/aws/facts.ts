import type { World } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { known, remember } from './known.ts';

/**
 * What AWS can never change of a thing: the subnet of a NAT gateway, the number of an address. It is learnt when the thing is made or seen,
 * kept by the thing's ID, and asked no more.
 */
export type Fact = Readonly<Record<string, string | undefined>>;

interface Facts {
  of(id: string): Fact;
  /** IDs of which something is known. */
  ids(): readonly string[];
  keep(id: string | undefined, fact: Fact): void;
}
export async function factsOf({ clients, read }: Pick<World<AwsClients>, 'clients' | 'read'>): Promise<Facts> {
  const { facts = {} } = await read(known);
  return {
    of: (id) => clients.facts.get(id) ?? facts[id] ?? {},
    ids: () => [...new Set([...Object.keys(facts), ...clients.facts.keys()])].filter((id) => clients.facts.get(id) !== gone),
    keep: (id, fact) => keepFact(clients, id, fact),
  };
}

/** Only whole: half of a fact would be asked for again at every plan. */
export function keepFact({ facts }: Pick<AwsClients, 'facts'>, id: string | undefined, fact: Fact): void {
  const whole = Object.entries(fact).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]));
  if (id !== undefined && whole.length === Object.keys(fact).length) facts.set(id, Object.fromEntries(whole));
}

const gone: Readonly<Record<string, string>> = {};
/** The thing is gone, or what is known of it is about to be true no more: then a crash leaves nothing wrong behind, if it is written `now`. */
export async function forgetFact(clients: Pick<AwsClients, 'facts' | 'store'>, id: string, now = false): Promise<void> {
  clients.facts.set(id, gone);
  if (now) await remember(clients, { facts: { [id]: gone } });
}

/** At the end of a command that may write. */
export async function writeFacts(clients: AwsClients): Promise<void> {
  if (clients.store) await remember(clients, { facts: Object.fromEntries(clients.facts) });
}
