import type { Finding } from '../config/finding.ts';
import type { EtcdStatus, NodeStatus } from './status.ts';

/** Of etcd's quota: above it one asks why, or gives it more; near the end it takes no more writes. */
const warnShare = 0.8;
const failShare = 0.95;
const pressures = ['DiskPressure', 'MemoryPressure', 'PIDPressure'];

/** Is anything about to run full? */
export const capacityFindings = (nodes: readonly NodeStatus[], etcd: readonly EtcdStatus[]): readonly Finding[] => [
  ...nodes.flatMap(nodePressure),
  ...etcd.flatMap(quotaUse),
];

function nodePressure({ name, notes }: NodeStatus): readonly Finding[] {
  return notes
    .filter((note) => pressures.includes(note))
    .map((note) => ({
      severity: 'warning',
      check: 'capacity.node',
      where: `node ${name}`,
      what: `${note}: its kubelet evicts pods`,
      next: `cluster kubectl -- describe node ${name}`,
    }));
}

function quotaUse({ cluster, members }: EtcdStatus): readonly Finding[] {
  return members.flatMap(({ name, dbBytes, quotaBytes }): readonly Finding[] => {
    const share = dbBytes === undefined || !quotaBytes ? 0 : dbBytes / quotaBytes;
    if (share < warnShare) return [];
    return [
      {
        severity: share < failShare ? 'warning' : 'error',
        check: 'capacity.etcd',
        where: `etcd ${cluster} on ${name}`,
        what: `the database fills ${Math.round(share * 100)} % of its quota; full, it takes no more writes`,
        next: 'find what writes so much (kubectl get events -A), defragment, or raise etcd.quotaMb in cluster.yaml',
      },
    ];
  });
}
