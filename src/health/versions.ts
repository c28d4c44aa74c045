import type { Finding } from '../config/finding.ts';
import type { EtcdStatus, NodeStatus, VersionStatus } from './status.ts';

export interface VersionFacts {
  readonly wanted: string;
  readonly inForce: string | undefined;
  /** What the API says of itself; undefined: it was not asked, or gave no answer. */
  readonly api: string | undefined;
  readonly nodes: readonly NodeStatus[];
  readonly etcd: readonly EtcdStatus[];
}

export function versionStatus({ wanted, inForce, api, nodes, etcd }: VersionFacts): VersionStatus {
  const kubelets = nodes.filter(({ kubelet }) => kubelet !== '').map(({ name, kubelet }) => ({ name, version: kubelet }));
  const members = etcd
    .filter(({ cluster }) => cluster === 'main')
    .flatMap(({ members: all }) => all.flatMap(({ name, version }) => (version === undefined ? [] : [{ name, version }])));
  const running = [
    ...(api === undefined ? [] : [{ component: 'kube-apiserver', version: api, on: ['API'] }]),
    ...byVersion('kubelet', kubelets),
    ...byVersion('etcd', members),
  ];
  return { wanted, inForce, running, skew: api === undefined ? [] : skewOf(api, byVersion('kubelet', kubelets)) };
}

type Running = VersionStatus['running'][number];
const byVersion = (
  component: string,
  found: readonly { readonly name: string; readonly version: string }[],
): readonly Running[] =>
  [...Map.groupBy(found, ({ version }) => version)].map(([version, on]) => ({
    component,
    version,
    on: on.map(({ name }) => name),
  }));

/** Kubernetes' version skew policy: a kubelet is never newer than an API server, and at most three minor versions older. */
function skewOf(api: string, kubelets: readonly Running[]): readonly string[] {
  const server = minorOf(api);
  return kubelets.flatMap(({ version, on }) => {
    const behind = server - minorOf(version);
    if (behind < 0) return [`kubelet ${version} on ${on.join(', ')} is newer than the API server (${api})`];
    return behind > 3 ? [`kubelet ${version} on ${on.join(', ')} is more than three minor versions older than ${api}`] : [];
  });
}
const minorOf = (version: string): number => Number(version.split('.')[1] ?? Number.NaN);

const noUpgrade = 'This version of Slipway upgrades no cluster that stands';

/** Do the versions that run fit each other, and what the file asks for? */
export function versionFindings({ wanted, inForce, skew }: VersionStatus): readonly Finding[] {
  const broken = skew.map(
    (what): Finding => ({
      severity: 'error',
      check: 'versions.skew',
      what,
      next: `cluster plan shows what differs. ${noUpgrade}`,
    }),
  );
  if (inForce === undefined || inForce === wanted) return broken;
  const what = `Kubernetes ${inForce} is in force, and cluster.yaml asks for ${wanted}`;
  return [
    ...broken,
    { severity: 'warning', check: 'versions.wanted', what, next: `set kubernetes.version back to ${inForce}. ${noUpgrade}` },
  ];
}
