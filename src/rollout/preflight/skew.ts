import { minorOf } from '../../assets/version-order.ts';
import { type ApiClient, type SkewFacts, skewOf } from '../../health/skew.ts';
import type { Hop } from '../path.ts';
import type { Obstacle } from '../rollout.ts';
import { goesOn } from './health.ts';

/** A kubelet, by the Node's last word. `away`: it is not Ready, so no turn of this upgrade brings it along. */
export interface KubeletFact {
  readonly name: string;
  readonly version: string;
  readonly role: 'master' | 'worker';
  readonly away: boolean;
}
export interface SkewInput {
  readonly apiServers: SkewFacts['apiServers'];
  /** Controller managers, schedulers, kube-proxies, where they were seen. */
  readonly others?: readonly ApiClient[];
  readonly kubelets: readonly KubeletFact[];
  /** Machines whose turn a stopped upgrade had begun: what does not fit there is what going on mends. */
  readonly underWay?: ReadonlySet<string>;
  /** Members of each etcd cluster. */
  readonly etcd: readonly SkewFacts['apiServers'][];
}

const nobody: ReadonlySet<string> = new Set();
const comeBack = (name: string): string =>
  `bring it back (cluster up, cluster logs ${name} -u kubelet), or delete its Node if it is gone for good: cluster kubectl -- delete node ${name}`;

/** Is the version skew policy kept now, and would it still be once the masters have made each hop while some node is away? */
export function skewObstacles(
  { apiServers, others = [], kubelets, underWay = nobody, etcd }: SkewInput,
  hops: readonly Hop[],
): readonly Obstacle[] {
  const clients = kubelets.map(
    ({ name, version, role }): ApiClient => ({ component: 'kubelet', name, version, ...(role === 'master' && { server: name }) }),
  );
  const away = new Set(kubelets.filter((kubelet) => kubelet.away).map(({ name }) => name));
  const now = [
    skewOf({ apiServers, clients: [...clients, ...others] }),
    ...etcd.map((members) => skewOf({ apiServers: [], clients: [], etcd: members })),
  ];
  const broken = now.flat().map(({ on, what }): Obstacle => {
    const [first = ''] = on;
    const where = on.join(', ');
    if (on.every((name) => underWay.has(name))) return { severity: 'warning', where, what, why: goesOn };
    const gone = on.some((name) => away.has(name));
    const next = gone
      ? comeBack(first)
      : 'bring the versions together first: cluster up converges each machine to the version in force';
    return { severity: 'error', where, what, why: "Kubernetes' version skew policy is broken already", next };
  });
  const known = new Set(now.flat().flatMap(({ on }) => on));
  return [
    ...broken,
    ...leftBehind(
      kubelets.filter(({ name, away: is }) => is && !known.has(name)),
      hops,
    ),
  ];
}

function leftBehind(away: readonly KubeletFact[], hops: readonly Hop[]): readonly Obstacle[] {
  const servers = hops.filter(({ moves }) => moves.includes('masters')).map(({ versions }) => versions.kubernetes);
  return away.flatMap(({ name, version, role }): readonly Obstacle[] => {
    const first = servers.find((server) => minorOf(server) - minorOf(version) > 3);
    if (role === 'master' || version === '' || first === undefined) return [];
    return [
      {
        severity: 'error',
        where: `node ${name}`,
        what: `the node is away with kubelet ${version}, and would be more than three minor versions older than the API servers at ${first}`,
        why: 'when it comes back, its kubelet may not talk to them (version skew policy)',
        next: comeBack(name),
      },
    ];
  });
}
