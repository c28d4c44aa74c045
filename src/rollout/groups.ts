import type { PoolGroup, Topology } from '../cluster/topology.ts';
import type { Pool } from '../config/schema.ts';
import { chosenOf } from '../plan/make.ts';
import type { Change, Plan } from '../plan/plan.ts';
import { nameOf } from '../plan/resource.ts';
import type { Group, GroupsPort } from '../provider.ts';
import { resolveAmounts } from './amounts.ts';
import type { TurnContent } from './describe.ts';
import type { Lane, Obstacle, Turn } from './rollout.ts';

export interface GroupLanesInput {
  /** What `upgrade` would change, with every pool at this hop's target. */
  readonly plan: Plan;
  readonly topology: Topology;
  /** By name, as they stand. */
  readonly groups: ReadonlyMap<string, Group>;
  readonly port: Pick<GroupsPort, 'types' | 'outdates'>;
  /** Machines that have a Node. */
  readonly nodes: ReadonlySet<string>;
  /** A pool that is ahead of this hop has no part in it. */
  goes(pool: string): boolean;
  /** What differs between a machine of before and one of after. */
  contentOf(pool: string): TurnContent;
}
export interface GroupLanes {
  readonly lanes: readonly Lane[];
  /** What new machines are made by: published before the first turn. */
  readonly changes: readonly Change[];
  readonly refused: readonly Obstacle[];
}

/** Who of the members of groups takes a turn. They can only be made anew: a group's machines have no names in the design, and nobody goes there by SSH. Pure. */
export function planGroupLanes(input: GroupLanesInput): GroupLanes {
  const { topology, plan, port } = input;
  const chosen = chosenOf(plan);
  const found = topology.cluster.pools.flatMap((pool, index) => {
    if (!input.goes(pool.name)) return [];
    // Spare machines that a killed run has left are used first: else there would be others beside them.
    const own = topology.groups
      .filter((group) => group.pool === pool.name)
      .toSorted((a, b) => sparesOf(input.groups.get(b.name)) - sparesOf(input.groups.get(a.name)));
    const changes = chosen.filter(({ address }) => isOfPool(address, pool.name, own, port.types));
    return [{ pool, index, own, changes, turns: own.flatMap((group) => turnsOf(group, pool, changes, input)) }];
  });
  const rolling = found.filter(({ turns }) => turns.length > 0);
  const refused = rolling.filter(({ pool }) => pool.upgrade.strategy === 'in-place');
  return {
    lanes: rolling.map(({ pool, own, turns }): Lane => {
      const size = own.flatMap(({ name }) => living(input.groups.get(name))).length;
      return {
        name: `pool ${pool.name}`,
        strategy: 'replace',
        ...resolveAmounts(size, pool.upgrade),
        surge: 'each turn',
        first: [],
        turns,
        last: [],
      };
    }),
    changes: found.flatMap(({ changes }) => changes).filter(({ fields }) => fields.some(({ path }) => isPublished(path))),
    refused: refused.map(({ pool, index, turns }) => ({
      severity: 'error',
      where: `pools[${index}].upgrade.strategy`,
      what: `pool ${pool.name} cannot be upgraded in place: a cloud's group makes its machines, and its ${turns.length} old ones can only be replaced`,
      next: `set pools[${index}].upgrade.strategy: replace in cluster.yaml, or put the change back`,
    })),
  };
}

/** Of a group: fields that say what its members are are not what they are made by. */
export const isPublished = (path: string): boolean => path !== 'outdated' && path !== 'raised';

/** Whether this is what machines of the pool are made by: `pool.bundle/workers`, `aws.pool/workers-eu-central-1a`. */
export const isOfPool = (
  address: string,
  pool: string,
  groups: readonly Pick<PoolGroup, 'name' | 'pool'>[],
  types: readonly string[],
): boolean =>
  types.some(
    (type) => address === `${type}/${pool}` || groups.some((group) => group.pool === pool && address === `${type}/${group.name}`),
  );

const sparesOf = (group: Group | undefined): number => (group ? group.desired - (group.before ?? group.desired) : 0);
const living = (group: Group | undefined) => group?.members.filter(({ going }) => !going) ?? [];

function turnsOf(
  { name, zone }: PoolGroup,
  pool: Pool,
  changes: readonly Change[],
  { groups, port, nodes, contentOf }: GroupLanesInput,
): readonly Turn[] {
  const others = new Set([...groups.keys()].filter((other) => other !== name));
  const remade = changes.some((change) => !others.has(nameOf(change.address)) && port.outdates(change));
  const old = living(groups.get(name)).filter((member) => remade || member.old);
  if (old.length === 0) return [];
  const content = contentOf(pool.name);
  return old.map(({ machine }) => ({
    machine,
    role: 'worker',
    zone,
    pool: pool.name,
    how: 'replace',
    drain: nodes.has(machine),
    because: [`the group ${name} makes another in its place`],
    versions: content.versions,
    restarts: [],
    files: content.files,
  }));
}
