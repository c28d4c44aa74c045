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
  keep(id: string | undefined, fact: Fact): void;
}
export async function factsOf({ clients, read }: Pick<World<AwsClients>, 'clients' | 'read'>): Promise<Facts> {
  const { facts = {} } = await read(known);
  return {
    of: (id) => clients.facts.get(id) ?? facts[id] ?? {},
    keep: (id, fact) => keepFact(clients, id, fact),
  };
}

/** Only whole: half of a fact would be asked for again at every plan. */
export function keepFact({ facts }: Pick<AwsClients, 'facts'>, id: string | undefined, fact: Fact): void {
  const whole = Object.entries(fact).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]));
  if (id !== undefined && whole.length === Object.keys(fact).length) facts.set(id, Object.fromEntries(whole));
}

/** At the end of a command that may write. */
export async function writeFacts(clients: AwsClients): Promise<void> {
  const { facts } = clients;
  if (facts.size > 0 && clients.store) await remember(clients, { facts: Object.fromEntries(facts) });
}
