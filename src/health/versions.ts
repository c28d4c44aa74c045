import type { Finding } from '../config/finding.ts';
import { skewOf } from './skew.ts';
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
  const kubelets = nodes
    .filter(({ kubelet }) => kubelet !== '')
    .map(({ name, role, kubelet }) => ({ name, role, version: kubelet }));
  const members = etcd
    .filter(({ cluster }) => cluster === 'main')
    .flatMap(({ members: all }) => all.flatMap(({ name, version }) => (version === undefined ? [] : [{ name, version }])));
  const running = [
    ...(api === undefined ? [] : [{ component: 'kube-apiserver', version: api, on: ['API'] }]),
    ...byVersion('kubelet', kubelets),
    ...byVersion('etcd', members),
  ];
  const breaches = skewOf({
    apiServers: api === undefined ? [] : [{ name: 'API', version: api }],
    clients: kubelets.map(({ name, role, version }) => ({
      component: 'kubelet',
      name,
      version,
      ...(role === 'master' && { server: name }),
    })),
    etcd: members,
  });
  return { wanted, inForce, running, skew: breaches.map(({ what }) => what) };
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

/** Do the versions that run fit each other, and what the file asks for? */
export function versionFindings({ wanted, inForce, skew }: VersionStatus): readonly Finding[] {
  const broken = skew.map(
    (what): Finding => ({
      severity: 'error',
      check: 'versions.skew',
      what,
      next: 'cluster upgrade brings them together; a node that is not coming back is deleted (cluster kubectl -- delete node NAME)',
    }),
  );
  if (inForce === undefined || inForce === wanted) return broken;
  const what = `Kubernetes ${inForce} is in force, and cluster.yaml asks for ${wanted}`;
  return [
    ...broken,
    { severity: 'warning', check: 'versions.wanted', what, next: 'cluster upgrade --dry-run shows the way there' },
  ];
}
