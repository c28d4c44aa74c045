import { type Difference, type Types, worst } from './diff.ts';
import type { Change } from './plan.ts';
import { refsOf } from './resolve.ts';
import { type Address, type FieldChange, type Resource, typeOf } from './resource.ts';

export interface Policy {
  readonly command: 'up' | 'upgrade' | 'down';
  readonly allowDataLoss: boolean;
}

/**
 * Decides for each difference: now, or left to a later command and why. Pure.
 * `up` carries out what interrupts nobody; restarts of what serves, drains and replacements are `upgrade`'s; loss of data needs a flag.
 */
export function choose(
  differences: readonly Difference[],
  desired: readonly Resource[],
  types: Types,
  policy: Policy,
): readonly Change[] {
  const blocked = whatHangsOnTheUnseen(differences, desired, types);
  const changes = differences.flatMap((difference) => chooseOne(difference, blocked.get(difference.address), types, policy));
  return leaveInUse(changes, types);
}

/**
 * What stands on a thing goes first: while the deletion of a machine is left, so is that of whatever machines stand on (a volume, also
 * where its loss is allowed).
 */
function leaveInUse(changes: readonly Change[], types: Types): readonly Change[] {
  const deletions = changes.filter(({ action }) => action === 'delete');
  /** Type → one of those that stay and stand on things of it. */
  const inUse = new Map<string, Address>();
  const staying = deletions.filter(({ when }) => 'left' in when && when.left === 'upgrade').map(({ address }) => address);
  for (const address of staying) {
    for (const below of types.get(typeOf(address))?.dependsOn ?? []) {
      if (inUse.has(below)) continue;
      inUse.set(below, address);
      const next = deletions.find((deletion) => typeOf(deletion.address) === below);
      if (next) staying.push(next.address);
    }
  }
  const holder = ({ address, action, when }: Change): Address | undefined =>
    action === 'delete' && 'now' in when ? inUse.get(typeOf(address)) : undefined;
  return changes.map((change): Change => {
    const above = holder(change);
    return above === undefined ? change : { ...change, when: { left: 'upgrade', because: `${above} may stand on it` } };
  });
}

function chooseOne(difference: Difference, hangsOn: Address | undefined, types: Types, policy: Policy): readonly Change[] {
  const { address, action, reason } = difference;
  const base = { address, reason, fields: [...difference.fields] };
  switch (action) {
    case 'unknown':
      return [{ ...base, action, impact: 'none', when: { left: 'unseen', because: reason } }];
    case 'create':
      if (!hangsOn) return [{ ...base, action, impact: 'none', when: { now: true } }];
      return [{ ...base, action, impact: 'none', when: standsOnUnseen(hangsOn) }];
    case 'update':
      if (hangsOn) return [{ ...base, action, impact: 'none', when: standsOnUnseen(hangsOn) }];
      return chooseFields(difference, policy);
    case 'delete':
      return [
        {
          ...base,
          action,
          impact: shrinkOf(address, types) === 'data-loss' ? 'data-loss' : 'none',
          when: whenToDelete(address, types, policy),
        },
      ];
  }
}

const standsOnUnseen = (below: Address): Change['when'] => ({
  left: 'unseen',
  because: `stands on ${below}, which could not be seen`,
});

/** One update may be carried out in part: fields that interrupt nobody now, the rest left. */
function chooseFields({ address, fields, reason }: Difference, policy: Policy): readonly Change[] {
  const leave = (field: FieldChange): 'upgrade' | 'allow-data-loss' | undefined => {
    if (field.impact === 'data-loss') return policy.allowDataLoss ? undefined : 'allow-data-loss';
    if (field.impact === 'none' || policy.command === 'upgrade') return undefined;
    return 'upgrade';
  };
  const because = { upgrade: (impact: string) => explain[impact] ?? impact, 'allow-data-loss': () => 'it would destroy data' };
  const changes: Change[] = [];
  const now = fields.filter((field) => leave(field) === undefined);
  if (now.length > 0)
    changes.push({
      address,
      action: 'update',
      fields: now,
      impact: worst(now.map((f) => f.impact)),
      reason,
      when: { now: true },
    });
  for (const left of ['upgrade', 'allow-data-loss'] as const) {
    const later = fields.filter((field) => leave(field) === left);
    const impact = worst(later.map((f) => f.impact));
    if (later.length > 0)
      changes.push({ address, action: 'update', fields: later, impact, reason, when: { left, because: because[left](impact) } });
  }
  return changes;
}
const explain: Readonly<Record<string, string>> = {
  restart: 'it would restart something that serves',
  drain: 'it would drain a node',
  replace: 'it would replace a machine that serves',
};

const shrinkOf = (address: Address, types: Types) => types.get(typeOf(address))?.shrink ?? 'upgrade';

function whenToDelete(address: Address, types: Types, policy: Policy): Change['when'] {
  const shrink = shrinkOf(address, types);
  if (shrink === 'data-loss' && !policy.allowDataLoss) return { left: 'allow-data-loss', because: 'it holds data' };
  if (policy.command === 'up' && shrink === 'upgrade')
    return { left: 'upgrade', because: 'shrinking drains and removes members in order' };
  return { now: true };
}

/** Address → the unseen thing below it, transitively through Refs and `after`: of what is to be created, and of what is only waited for. */
function whatHangsOnTheUnseen(
  differences: readonly Difference[],
  desired: readonly Resource[],
  types: Types,
): ReadonlyMap<Address, Address> {
  const unseen = new Set(differences.filter((d) => d.action === 'unknown').map((d) => d.address));
  const blocked = new Map<Address, Address>();
  if (unseen.size === 0) return blocked;
  const hangs = ({ action, address }: Difference): boolean =>
    action === 'create' || (action === 'update' && types.get(typeOf(address))?.waits === true);
  const waiting = new Set(differences.filter(hangs).map((d) => d.address));
  const byAddress = new Map(desired.map((resource) => [resource.address, resource]));
  const visit = (address: Address): Address | undefined => {
    if (unseen.has(address)) return address;
    if (!waiting.has(address)) return undefined;
    const known = blocked.get(address);
    if (known) return known;
    const resource = byAddress.get(address);
    for (const below of resource ? [...refsOf(resource.props), ...resource.after] : []) {
      const found = visit(below);
      if (found) {
        blocked.set(address, found);
        return found;
      }
    }
    return undefined;
  };
  for (const address of waiting) visit(address);
  return blocked;
}
