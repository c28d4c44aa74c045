import type { EtcdCluster } from '../components/etcd.ts';
import type { Seen } from '../host/facts.ts';
import type { HostsClients } from '../host/host.ts';
import { type MemberView, parseView } from './gateway.ts';

export type { EtcdCluster };
export const etcdClusterNames = ['main', 'events'] as const satisfies readonly EtcdCluster[];

/** The probe that every etcd host answers, by cluster: a machine that has it is a member's host. */
export const probeName = (cluster: EtcdCluster): string => `etcd-${cluster}`;

/** Hosts of the design that run a member of this cluster. */
export function memberHosts(clients: Pick<HostsClients, 'machines'>, cluster: EtcdCluster): readonly string[] {
  return [...clients.machines]
    .filter(([, { bundle }]) => bundle.probes.some((probe) => probe.name === probeName(cluster)))
    .map(([name]) => name);
}

/** What the host's own member answered to the probe; undefined: nothing, or nothing that can be read. */
export function viewOf(seen: Seen | undefined, cluster: EtcdCluster): MemberView | undefined {
  if (seen?.state !== 'present') return undefined;
  return parseView(seen.facts.probes.get(probeName(cluster))?.stdout ?? '');
}
