import type { Versions } from '../assets/catalogue.ts';
import type { Cluster, Pool } from '../config/schema.ts';
import { assignSlots, noSlots, planAddresses, type Slots, zoneRanges } from './addresses.ts';
import type { MachineSpec, PoolGroup, Topology } from './topology.ts';

/** What outlives every plan, kept in the store. */
export interface ClusterIdentity {
  /** Empty before the first `up`. */
  readonly uid: string;
  readonly slots: Slots;
}
export const noIdentity: ClusterIdentity = { uid: '', slots: noSlots };

/** Slots for every zone and pool of the file, on top of those recorded. cluster.yaml's zoneSlots win for zones never seen. */
export function slotsFor(cluster: Cluster, recorded: Slots): Slots {
  const zones = { ...cluster.network.zoneSlots, ...recorded.zones };
  return {
    zones: assignSlots(zones, cluster.zones, 0, 'zone'),
    pools: assignSlots(
      recorded.pools,
      cluster.pools.map((pool) => pool.name),
      1,
      'pool',
    ),
  };
}

/** Machines with names, zones and addresses. Pure, deterministic: the same file and identity give the same topology. */
export function designTopology(cluster: Cluster, identity: ClusterIdentity, versions: Versions): Topology {
  const layout = cluster.provider.local ? 'flat' : 'subnets';
  const slots = slotsFor(cluster, identity.slots);
  const addresses = planAddresses(cluster.network.machines, slots, layout);
  const grouped = cluster.provider.aws !== undefined;
  const [firstZone = ''] = cluster.zones;
  const named = (role: 'etcd' | 'master', count: number, zones: readonly string[], instanceType: string): MachineSpec[] =>
    spread(count, zones).map(({ zone, ordinal }) => ({
      name: ordinal === 1 ? `${role}-${zone}` : `${role}-${zone}-${ordinal}`,
      role,
      zone,
      address: addresses.named(role, zone, ordinal),
      instanceType,
      bundle: role,
    }));
  const machines: MachineSpec[] = [
    {
      name: 'bastion',
      role: 'bastion',
      zone: firstZone,
      address: addresses.named('bastion', firstZone, 1),
      instanceType: cluster.bastion.machine.type,
      bundle: 'bastion',
    },
    ...named('etcd', cluster.etcd.count, cluster.etcd.zones ?? cluster.zones, cluster.etcd.machine.type),
    ...named('master', cluster.masters.count, cluster.masters.zones ?? cluster.zones, cluster.masters.machine.type),
    ...(grouped ? [] : cluster.pools.flatMap((pool) => members(pool, cluster.zones, addresses.member))),
  ];
  return {
    cluster,
    uid: identity.uid,
    versions,
    zones: cluster.zones,
    ranges: Object.fromEntries(cluster.zones.map((zone) => [zone, zoneRanges(cluster.network.machines, slots, zone)])),
    machines,
    groups: grouped ? cluster.pools.flatMap((pool) => groupsOf(pool, cluster.zones)) : [],
    // A cloud's balancer has its address from the cloud.
    api: { name: `api.${cluster.name}.internal`, address: cluster.provider.local ? addresses.balancer : '', port: 6443 },
    region: cluster.provider.aws?.region ?? cluster.provider.gcp?.region ?? 'local',
  };
}

function members(
  pool: Pool,
  zones: readonly string[],
  addressOf: (pool: string, zone: string, ordinal: number) => string,
): MachineSpec[] {
  return spread(pool.count ?? pool.min ?? 0, pool.zones ?? zones).map(({ zone, ordinal }) => ({
    name: `${pool.name}-${zone}-${ordinal}`,
    role: 'worker',
    zone,
    address: addressOf(pool.name, zone, ordinal),
    pool: pool.name,
    instanceType: pool.machine.type,
    bundle: `pool-${pool.name}`,
  }));
}

/** One group a zone: an autoscaled group over several zones balances by itself, and takes volumes' zones away from pods. */
function groupsOf(pool: Pool, zones: readonly string[]): PoolGroup[] {
  const own = pool.zones ?? zones;
  const shareOf = (total: number, zone: string) => spread(total, own).filter((member) => member.zone === zone).length;
  return own.map((zone) => ({
    name: `${pool.name}-${zone}`,
    pool: pool.name,
    zone,
    min: shareOf(pool.count ?? pool.min ?? 0, zone),
    max: shareOf(pool.count ?? pool.max ?? 0, zone),
    autoscaled: pool.count === undefined,
    bundle: `pool-${pool.name}`,
  }));
}

/** Round-robin over zones; `ordinal` counts within a zone, from 1. */
function spread(count: number, zones: readonly string[]): readonly { zone: string; ordinal: number }[] {
  return Array.from({ length: count }, (_, i) => ({
    zone: zones[i % zones.length] ?? '',
    ordinal: Math.floor(i / zones.length) + 1,
  }));
}
