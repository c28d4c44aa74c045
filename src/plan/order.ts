import type { Types } from './diff.ts';
import type { Change, Step } from './plan.ts';
import { refsOf } from './resolve.ts';
import { type Address, type Resource, typeOf } from './resource.ts';

const defaultTimeoutMs = 120_000;

/**
 * Steps for the chosen changes, in plan order, with their predecessors; then the verifications of what stands on them. Pure.
 * Throws on a cycle, which is a bug in a design. `compared`: whose verifications; order leads through all.
 */
export function order(
  changes: readonly Change[],
  desired: readonly Resource[],
  types: Types,
  compared: readonly Resource[] = desired,
): readonly Step[] {
  const chosen = changes.filter((change) => 'now' in change.when);
  const stepOf = new Map<Address, string>(chosen.map((change) => [change.address, idOf(change)]));
  const hold = new Map<Address, string[]>();
  for (const { address, action, fields, when } of changes) {
    if ('left' in when && action === 'update') hold.set(address, [...(hold.get(address) ?? []), ...fields.map((f) => f.path)]);
  }
  const verified = toVerify(changes, desired, types, stepOf, compared);
  for (const address of verified) stepOf.set(address, idOf({ action: 'verify', address }));

  const below = predecessors(desired, stepOf);
  const deletions = deletionOrder(chosen, types);
  const step = (address: Address, action: Step['params']['action'], after: Iterable<string>): Step => ({
    id: idOf({ action, address }),
    kind: 'apply',
    params: { address, action, hold: hold.get(address) ?? [] },
    after: [...after],
    timeoutMs: types.get(typeOf(address))?.timeoutMs ?? defaultTimeoutMs,
  });
  return [
    ...chosen.map(({ address, action }) =>
      action === 'delete'
        ? step(address, action, deletions.get(address) ?? [])
        : step(address, action === 'update' ? action : 'create', below(address)),
    ),
    ...verified.map((address) => step(address, 'verify', below(address))),
  ];
}

const idOf = ({ action, address }: { readonly action: string; readonly address: Address }): string => `${action} ${address}`;

/** Present things that need no change themselves, of types that can verify, with a changed thing somewhere below them. */
function toVerify(
  changes: readonly Change[],
  desired: readonly Resource[],
  types: Types,
  stepOf: ReadonlyMap<Address, string>,
  compared: readonly Resource[],
): readonly Address[] {
  if (stepOf.size === 0) return [];
  const differing = new Set(changes.map((change) => change.address));
  const byAddress = new Map(desired.map((resource) => [resource.address, resource]));
  const known = new Map<Address, boolean>();
  const touched = (address: Address): boolean => {
    const before = known.get(address);
    if (before !== undefined) return before;
    known.set(address, false); // a cycle is reported where predecessors are looked for
    const resource = byAddress.get(address);
    const found =
      stepOf.has(address) ||
      (resource !== undefined && [...refsOf(resource.props), ...resource.after].some((below) => touched(below)));
    known.set(address, found);
    return found;
  };
  return compared
    .filter(({ address, type }) => types.get(type)?.verify && !differing.has(address) && touched(address))
    .map((resource) => resource.address);
}

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
    for (const target of resource ? [...refsOf(resource.props), ...resource.after, ...(resource.behind ?? [])] : []) {
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

/**
 * Deletions of one type wait for those of all types that stand on it, directly or through others, and for all that is interrupted in the same plan:
 * API servers hear of the etcd members that stay, and balancers let go of the masters that leave, before any of them goes.
 */
function deletionOrder(chosen: readonly Change[], types: Types): ReadonlyMap<Address, readonly string[]> {
  const deletions = chosen.filter((change) => change.action === 'delete');
  const idsByType = Map.groupBy(deletions, (change) => typeOf(change.address));
  const interruptions = chosen.filter(({ action, impact }) => action === 'update' && impact !== 'none').map(idOf);
  const afterType = new Map(
    [...idsByType.keys()].map((name) => {
      const first = new Set([...above(name, types), ...(types.get(name)?.deletedAfter ?? [])]);
      const earlier = [...first].flatMap((type) => (idsByType.get(type) ?? []).map(idOf));
      // What goes without being asked for stands in nobody's way, and waits for nobody.
      return [name, types.get(name)?.shrink === 'now' ? earlier : [...earlier, ...interruptions]] as const;
    }),
  );
  return new Map(deletions.map(({ address }) => [address, afterType.get(typeOf(address)) ?? []]));
}

/** Types that stand on this one. */
function above(lower: string, types: Types): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (name: string): void => {
    for (const type of types.values()) {
      if (found.has(type.name) || !type.dependsOn?.includes(name)) continue;
      found.add(type.name);
      visit(type.name);
    }
  };
  visit(lower);
  found.delete(lower);
  return found;
}
