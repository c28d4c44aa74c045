import type { Finding } from '../config/finding.ts';
import { asClients, type ComponentFact, mastersIn } from './components.ts';
import { skewOf } from './skew.ts';
import type { EtcdStatus, NodeStatus, VersionStatus } from './status.ts';

export interface VersionFacts {
  readonly wanted: string;
  readonly inForce: string | undefined;
  /** What each API server says of itself, by its master; undefined: it gave no answer. */
  readonly servers: ReadonlyMap<string, string | undefined>;
  readonly nodes: readonly NodeStatus[];
  /** kube-proxies, controller managers, schedulers, where their machines were seen. */
  readonly components: readonly ComponentFact[];
  readonly etcd: readonly EtcdStatus[];
}

export function versionStatus({ wanted, inForce, servers, nodes, components, etcd }: VersionFacts): VersionStatus {
  const apiServers = [...servers].flatMap(([name, version]) => (version === undefined ? [] : [{ name, version }]));
  const kubelets = nodes
    .filter(({ kubelet }) => kubelet !== '')
    .map(({ name, kubelet }) => ({ component: 'kubelet' as const, name, version: kubelet }));
  const members = etcd
    .filter(({ cluster }) => cluster === 'main')
    .flatMap(({ members: all }) => all.flatMap(({ name, version }) => (version === undefined ? [] : [{ name, version }])));
  const clients = asClients([...kubelets, ...components], mastersIn(nodes));
  return {
    wanted,
    inForce,
    running: [
      ...byVersion('kube-apiserver', apiServers),
      ...[...Map.groupBy(clients, ({ component }) => component)].flatMap(([component, found]) => byVersion(component, found)),
      ...byVersion('etcd', members),
    ],
    silent: [...servers].flatMap(([name, version]) => (version === undefined ? [name] : [])),
    skew: skewOf({ apiServers, clients, etcd: members }).map(({ what }) => what),
  };
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
