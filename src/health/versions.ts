import type { Finding } from '../config/finding.ts';
import { type SkewFacts, skewOf } from './skew.ts';
import type { EtcdStatus, NodeStatus, VersionStatus } from './status.ts';

export interface VersionFacts {
  readonly wanted: string;
  readonly inForce: string | undefined;
  /** What each API server says of itself, by its master; undefined: it gave no answer. */
  readonly servers: ReadonlyMap<string, string | undefined>;
  readonly nodes: readonly NodeStatus[];
  readonly etcd: readonly EtcdStatus[];
}

export function versionStatus({ wanted, inForce, servers, nodes, etcd }: VersionFacts): VersionStatus {
  const apiServers = [...servers].flatMap(([name, version]) => (version === undefined ? [] : [{ name, version }]));
  const kubelets = nodes
    .filter(({ kubelet }) => kubelet !== '')
    .map(({ name, role, kubelet }) => ({ name, role, version: kubelet }));
  const members = etcd
    .filter(({ cluster }) => cluster === 'main')
    .flatMap(({ members: all }) => all.flatMap(({ name, version }) => (version === undefined ? [] : [{ name, version }])));
  const running = [...byVersion('kube-apiserver', apiServers), ...byVersion('kubelet', kubelets), ...byVersion('etcd', members)];
  const breaches = skewOf({
    apiServers,
    clients: kubelets.map(({ name, role, version }) => ({
      component: 'kubelet',
      name,
      version,
      ...(role === 'master' && { server: name }),
    })),
    etcd: members,
  });
  const silent = [...servers].flatMap(([name, version]) => (version === undefined ? [name] : []));
  return { wanted, inForce, running, silent, skew: breaches.map(({ what }) => what) };
}

/** As `status` has read them: who asks for more than it does asks nobody twice. */
export const apiServersOf = ({ running }: VersionStatus): SkewFacts['apiServers'] =>
  running.flatMap(({ component, version, on }) => (component === 'kube-apiserver' ? on.map((name) => ({ name, version })) : []));

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
export function versionFindings({ wanted, inForce, silent, skew }: VersionStatus): readonly Finding[] {
  const broken = skew.map(
    (what): Finding => ({
      severity: 'error',
      check: 'versions.skew',
      what,
      next: 'cluster upgrade brings them together; a node that is not coming back is deleted (cluster kubectl -- delete node NAME)',
    }),
  );
  const unsaid = silent.map(
    (where): Finding => ({
      severity: 'warning',
      check: 'versions.unknown',
      where,
      what: 'its API server does not say its version: whether it fits the others is not known',
      next: `cluster logs ${where} -u kube-apiserver`,
    }),
  );
  const found = [...broken, ...unsaid];
  if (inForce === undefined || inForce === wanted) return found;
  const what = `Kubernetes ${inForce} is in force, and cluster.yaml asks for ${wanted}`;
  return [
    ...found,
    { severity: 'warning', check: 'versions.wanted', what, next: 'cluster upgrade --dry-run shows the way there' },
  ];
}
