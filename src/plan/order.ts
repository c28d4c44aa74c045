import type { Types } from './diff.ts';
import type { Change, Step } from './plan.ts';
import { refsOf } from './resolve.ts';
import { type Address, type Resource, typeOf } from './resource.ts';

const defaultTimeoutMs = 120_000;

/** Steps for the chosen changes, in plan order, with their predecessors. Pure. Throws on a cycle, which is a bug in a design. */
export function order(changes: readonly Change[], desired: readonly Resource[], types: Types): readonly Step[] {
  const chosen = changes.filter((change) => 'now' in change.when);
  const stepOf = new Map<Address, string>();
  for (const change of chosen) stepOf.set(change.address, idOf(change));
  const hold = new Map<Address, string[]>();
  for (const change of changes)
    if ('left' in change.when && change.action === 'update')
      hold.set(change.address, [...(hold.get(change.address) ?? []), ...change.fields.map((f) => f.path)]);

  const below = predecessors(desired, stepOf);
  const deletions = deletionOrder(chosen, types);
  return chosen.map((change): Step => {
    const action = change.action === 'delete' || change.action === 'update' ? change.action : 'create';
    return {
      id: idOf(change),
      kind: 'apply',
      params: { address: change.address, action, hold: hold.get(change.address) ?? [] },
      after: action === 'delete' ? [...(deletions.get(change.address) ?? [])] : [...below(change.address)],
      timeoutMs: types.get(typeOf(change.address))?.timeoutMs ?? defaultTimeoutMs,
    };
  });
}

const idOf = (change: Pick<Change, 'action' | 'address'>): string => `${change.action} ${change.address}`;

/** The steps that an address waits for: of what it refers to and what it is ordered after, looking through things that need no step. */
function predecessors(
  desired: readonly Resource[],
  stepOf: ReadonlyMap<Address, string>,
): (address: Address) => ReadonlySet<string> {
  const byAddress = new Map(desired.map((resource) => [resource.address, resource]));
  const known = new Map<Address, ReadonlySet<string>>();
  const visiting = new Set<Address>();
  const visit = (address: Address): ReadonlySet<string> => {
    const before = known.get(address);
    if (before) return before;
    if (visiting.has(address)) throw new Error(`the design has a cycle: ${[...visiting, address].join(' → ')}`);
    visiting.add(address);
    const found = new Set<string>();
    const resource = byAddress.get(address);
    for (const target of resource ? [...refsOf(resource.props), ...resource.after] : []) {
      const step = stepOf.get(target);
      if (step !== undefined) {
        found.add(step);
        visit(target); // only to find cycles
      } else for (const through of visit(target)) found.add(through);
    }
    visiting.delete(address);
    known.set(address, found);
    return found;
  };
  return visit;
}

/** Deletions of one type wait for those of all types that stand on it. */
function deletionOrder(chosen: readonly Change[], types: Types): ReadonlyMap<Address, readonly string[]> {
  const deletions = chosen.filter((change) => change.action === 'delete');
  const idsByType = Map.groupBy(deletions, (change) => typeOf(change.address));
  const standOn = (lower: string): readonly string[] =>
    [...types.values()].filter((type) => type.dependsOn?.includes(lower)).map((type) => type.name);
  return new Map(
    deletions.map((change) => [
      change.address,
      standOn(typeOf(change.address)).flatMap((type) => (idsByType.get(type) ?? []).map(idOf)),
    ]),
  );
}
