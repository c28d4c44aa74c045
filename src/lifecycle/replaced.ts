import { ObservedMap } from '../plan/observed.ts';
import { typeOf } from '../plan/resource.ts';
import { type Connected, observe } from '../run/observe.ts';
import { amendRecord, type ClusterRecord } from './identity.ts';
import type { Session } from './session.ts';

/**
 * A run that was killed between a machine's deletion and its record: the next machine is made where that turn was taking it, or it would be made twice, first
 * at what the old one was. Who is still there was not deleted, and stays at what it is. Under the lock the record says so before anything is made.
 */
export async function settleReplaced(
  { opened, record, store, lock, signal }: Pick<Session, 'opened' | 'record' | 'store' | 'lock' | 'signal'>,
  connected: readonly Connected[],
): Promise<ClusterRecord | undefined> {
  if (!record?.rollout?.replacing) return record;
  const { replacing, ...rollout } = record.rollout;
  const { provider } = opened;
  const names = Object.keys(replacing);
  const types = new Set(names.map((name) => typeOf(provider.machineAddress(name))));
  const seen = new ObservedMap();
  const machines = connected
    .map(({ layer, clients }) => ({ layer: { ...layer, types: layer.types.filter(({ name }) => types.has(name)) }, clients }))
    .filter(({ layer }) => layer.types.length > 0);
  await observe(machines, seen, signal, () => undefined);
  const stateOf = (name: string) => seen.get(provider.machineAddress(name))?.state;
  const of = (state: 'unknown' | undefined) =>
    Object.fromEntries(Object.entries(replacing).filter(([name]) => stateOf(name) === state));
  const unseen = of('unknown');
  const settled = {
    ...rollout,
    at: { ...rollout.at, ...of(undefined) },
    ...(Object.keys(unseen).length > 0 && { replacing: unseen }),
  };
  return lock ? await amendRecord({ store, lock }, { rollout: settled }) : { ...record, rollout: settled };
}
