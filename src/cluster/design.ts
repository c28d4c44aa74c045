import { forProvider, type Versions } from '../assets/catalogue.ts';
import type { Cluster, Pool } from '../config/schema.ts';
import { exitCodes, UserError } from '../errors.ts';
import { assignSlots, noSlots, planAddresses, type Slots, zoneRanges } from './addresses.ts';
import type { MachineSpec, PoolGroup, Topology } from './topology.ts';

/** What outlives every plan, kept in the store. */
export interface ClusterIdentity {
  /** Empty before the first `up`. */
  readonly uid: string;
  readonly slots: Slots;
}
export const noIdentity: ClusterIdentity = { uid: '', slots: noSlots };

/**
 * Slots for every zone and pool of the file, on top of those recorded. cluster.yaml's zoneSlots win for zones never seen. Throws UserError (config)
 * where they contradict the record: a zone's machines cannot move, and two zones in one slot would have the same addresses.
 */
export function slotsFor(cluster: Cluster, recorded: Slots): Slots {
  for (const [zone, slot] of Object.entries(cluster.network.zoneSlots)) {
    const own = recorded.zones[zone];
    const holder = Object.entries(recorded.zones).find(([other, taken]) => other !== zone && taken === slot)?.[0];
    if (own !== undefined && own !== slot) throw slotRefused(zone, `slot ${slot}`, `it lies in slot ${own}`, `set it to ${own}`);
    if (holder !== undefined)
      throw slotRefused(zone, `slot ${slot}`, `zone ${holder} has it, or had it once`, 'take a free number, or leave it out');
  }
  const zones = { ...cluster.network.zoneSlots, ...recorded.zones };
  return {
    zones: assignSlots(zones, cluster.zones, 0, 'zone'),
    // Groups of a cloud share their zone's subnet.
    pools: cluster.provider.aws
      ? recorded.pools
      : assignSlots(
          recorded.pools,
          cluster.pools.map((pool) => pool.name),
          1,
          'pool',
        ),
  };
}

const slotRefused = (zone: string, what: string, why: string, next: string): UserError =>
  new UserError({ what: `zone ${zone} cannot have ${what}`, where: `network.zoneSlots.${zone}`, why, next }, exitCodes.config);

/** Machines with names, zones and addresses. Pure, deterministic: the same file and identity give the same topology. */
export function designTopology(cluster: Cluster, identity: ClusterIdentity, versions: Versions): Topology {
  const layout = cluster.provider.local ? 'flat' : 'subnets';
  const slots = slotsFor(cluster, identity.slots);
  const addresses = planAddresses(cluster.network.machines, slots, layout);
  const grouped = cluster.provider.aws !== undefined;
  // By slot: the order of zones in the file tells nothing of a cluster that stands.
  const bySlot = (zones: readonly string[]) => zones.toSorted((a, b) => (slots.zones[a] ?? 0) - (slots.zones[b] ?? 0));
  const zones = bySlot(cluster.zones);
  const [firstZone = ''] = zones;
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
    ...named('etcd', cluster.etcd.count, bySlot(cluster.etcd.zones ?? zones), cluster.etcd.machine.type),
    ...named('master', cluster.masters.count, bySlot(cluster.masters.zones ?? zones), cluster.masters.machine.type),
    ...(grouped ? [] : cluster.pools.flatMap((pool) => members(pool, bySlot(pool.zones ?? zones), addresses.member))),
  ];
  return {
    cluster,
    uid: identity.uid,
    versions: forProvider(versions, cluster.provider),
    zones,
    ranges: Object.fromEntries(zones.map((zone) => [zone, zoneRanges(cluster.network.machines, slots, zone)])),
    machines,
    groups: grouped ? cluster.pools.flatMap((pool) => groupsOf(pool, bySlot(pool.zones ?? zones))) : [],
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
  return spread(pool.count ?? pool.min ?? 0, zones).map(({ zone, ordinal }) => ({
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
  const shareOf = (total: number, zone: string) => spread(total, zones).filter((member) => member.zone === zone).length;
  return zones.map((zone) => ({
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
