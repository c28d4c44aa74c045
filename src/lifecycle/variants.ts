import type { Versions } from '../assets/catalogue.ts';
import { forProvider } from '../assets/catalogue.ts';
import type { MachineSpec } from '../cluster/topology.ts';
import type { Cluster } from '../config/schema.ts';
import type { ClusterRecord } from './identity.ts';
import { withSettings } from './settings.ts';

/** One state that machines are at, or move to: cluster.yaml with the versions and disruptive settings of that state. */
export interface Variant {
  readonly cluster: Cluster;
  readonly versions: Versions;
}
/** The states of a cluster: one, but while an upgrade is under way; and who is at which. */
export interface Variants {
  /** In the order in which an upgrade goes through them. */
  readonly all: readonly [Variant, ...Variant[]];
  /** Machine, `addons` or `pool NAME` → index in `all`. */
  readonly at: Readonly<Record<string, number>>;
}

export const addonsKey = 'addons';
/** Where pools are groups: what their new machines are made by. */
export const poolKey = (pool: string): string => `pool ${pool}`;

/** `base`: what everyone is at who has made no hop. */
export function variantsOf(base: Variant, file: Cluster, record: ClusterRecord | undefined): Variants {
  const hops = (record?.rollout?.hops ?? []).map(
    ({ versions, settings }): Variant => ({
      cluster: withSettings(file, settings),
      versions: forProvider(versions, file.provider),
    }),
  );
  return { all: [base, ...hops], at: record?.rollout?.at ?? {} };
}

type Kin = Pick<MachineSpec, 'name' | 'role' | 'pool'>;
/**
 * Which variant each machine is made and healed at. One that the upgrade has not met yet (made while it is under way) goes by the least of its kind: a new
 * master must not serve more than its peers do, and no kubelet may be newer than an API server.
 */
export function indexesOf({ all, at }: Variants, machines: readonly Kin[]): (machine: Kin) => number {
  if (all.length === 1) return () => 0;
  let kinds: ReadonlyMap<string, number> | undefined;
  const kindOf = ({ role, pool }: Kin): string => `${role} ${pool ?? ''}`;
  const leastOfKinds = (): ReadonlyMap<string, number> => {
    const least = new Map<string, number>();
    for (const machine of machines) {
      const reached = at[machine.name];
      const kind = kindOf(machine);
      if (reached !== undefined) least.set(kind, Math.min(least.get(kind) ?? reached, reached));
    }
    return least;
  };
  return (machine) => {
    const reached = at[machine.name];
    if (reached !== undefined) return reached;
    kinds ??= leastOfKinds();
    return kinds.get(kindOf(machine)) ?? 0;
  };
}
export const indexOfKey = ({ at }: Variants, key: string): number => at[key] ?? 0;

/** The same with more machines in these pools: spares, while others are replaced. */
export function withSurge(variants: Variants, surge: ReadonlyMap<string, number>): Variants {
  if ([...surge.values()].every((count) => count === 0)) return variants;
  const grown = ({ cluster, versions }: Variant): Variant => ({
    cluster: {
      ...cluster,
      pools: cluster.pools.map((pool) => ({ ...pool, count: (pool.count ?? pool.min ?? 0) + (surge.get(pool.name) ?? 0) })),
    },
    versions,
  });
  const [first, ...rest] = variants.all;
  const sizes = JSON.stringify([...surge].filter(([, count]) => count > 0).toSorted());
  const known = surged.get(variants.all) ?? new Map<string, Variants['all']>();
  const all: Variants['all'] = known.get(sizes) ?? [grown(first), ...rest.map(grown)];
  surged.set(variants.all, known.set(sizes, all));
  return { ...variants, all };
}
/** The same each time: a design is of its variants, and made anew for others. */
const surged = new WeakMap<Variants['all'], Map<string, Variants['all']>>();
