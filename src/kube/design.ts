import { type MachineSpec, machinesOf, type PoolGroup, type Topology } from '../cluster/topology.ts';
import type { Addon, AddonCertificate } from '../components/addons.ts';
import { nodeLabels, poolOf } from '../components/host-env.ts';
import { controlPlaneTaint } from '../components/kubelet.ts';
import type { Manifest } from '../config/manifests.ts';
import { canonicalAddress } from '../pki/inspect.ts';
import { type Address, addressOf, type Ref, type Resource, ref } from '../plan/resource.ts';
import { manifestResources } from './manifests.ts';
import { keyOf } from './objects.ts';
import type { KubeAddonProps } from './types/addon.ts';
import type { KubeApiProps } from './types/api.ts';
import type { KubeCertificateProps } from './types/certificate.ts';
import { byTaint, type KubeNodeProps } from './types/node.ts';
import type { KubePoolProps } from './types/pool.ts';
import type { KubeReadyProps } from './types/ready.ts';

/** `${apiVersion}/${kind}` of everything that the addons hold: for KubeClients.addonKinds. */
export const addonKindsOf = (addons: readonly Addon[]): readonly string[] => [
  ...new Set(addons.flatMap((addon) => addon.objects.map(({ apiVersion, kind }) => `${apiVersion}/${kind}`))),
];

/** What the infrastructure says of what it runs. */
interface Below {
  /** Where pools are groups: what the nodes of one come from. */
  groupAddress?(group: string): Address;
  /** Where nodes are known to a cloud: what it calls this machine. */
  providerId?(machine: string): Ref<string>;
}

/** API servers' readiness, nodes, addons and manifests: applied first, ready last. Pure. */
export function kubeResources(
  topology: Topology,
  addons: readonly Addon[],
  manifests: readonly Manifest[] = [],
  below: Below = {},
): readonly Resource[] {
  const masters = machinesOf(topology, 'master');
  const nodes = [...masters, ...machinesOf(topology, 'worker')];
  // Any one API server is enough to apply: the balancer sends there what the others cannot answer yet.
  const firstApi = masters.slice(0, 1).map((master) => addressOf('kube.api', master.name));
  const pools = topology.groups
    .filter(({ min }) => min > 0)
    .map((group) => poolOfNodes(group, topology, below, [...firstApi, ...rbacOf(addons)]));
  const nodeAddresses = [...nodes.map((node) => addressOf('kube.node', node.name)), ...pools.map(({ address }) => address)];
  const resourcesOf = (addon: Addon): readonly Resource[] => addonResources(addon, firstApi, nodeAddresses);
  // Without a pod network nothing of an addon's can run until somebody brings one: applied then, and not waited for.
  const waited = topology.cluster.network.plugin === 'none' ? ({ type }: Resource) => type !== 'kube.ready' : () => true;
  return [
    ...masters.map((master) => api(master, topology)),
    ...addons.flatMap(resourcesOf).filter(waited),
    ...manifestResources(manifests, [...firstApi, ...rbacOf(addons)]),
    ...nodes.map((machine) => node(machine, topology, below, [...firstApi, ...rbacOf(addons)])),
    ...pools,
  ];
}

const api = (master: MachineSpec, topology: Topology): Resource<KubeApiProps> => ({
  address: addressOf('kube.api', master.name),
  type: 'kube.api',
  props: { ready: true },
  after: [
    addressOf('host.units', master.name),
    addressOf('etcd.cluster', 'main'),
    ...(topology.cluster.etcd.events ? [addressOf('etcd.cluster', 'events')] : []),
  ],
});

/** flanneld and kubelets wait for what the API lets them do. */
const rbacOf = (addons: readonly Addon[]): readonly Address[] =>
  addons.filter(({ name }) => name === 'rbac').map(({ name }) => addressOf('kube.addon', name));

const node = (machine: MachineSpec, topology: Topology, below: Below, after: readonly Address[]): Resource<KubeNodeProps> => ({
  address: addressOf('kube.node', machine.name),
  type: 'kube.node',
  props: {
    labels: nodeLabels(machine, topology),
    taints: (machine.role === 'master' ? [controlPlaneTaint] : (poolOf(machine, topology)?.taints ?? [])).toSorted(byTaint),
    ready: topology.cluster.network.plugin === 'none' ? 'but for a pod network' : true,
    ...(below.providerId && { machine: below.providerId(machine.name) }),
  },
  after: [addressOf('host.units', machine.name), ...after],
});

/** Waiting for as many nodes as the group has at least. */
const poolOfNodes = (
  { name, min }: PoolGroup,
  { cluster }: Topology,
  below: Below,
  after: readonly Address[],
): Resource<KubePoolProps> => ({
  address: addressOf('kube.pool', name),
  type: 'kube.pool',
  props: { nodes: min, network: cluster.network.plugin !== 'none' },
  after: [...(below.groupAddress ? [below.groupAddress(name)] : []), ...after],
});

function addonResources(addon: Addon, after: readonly Address[], nodes: readonly Address[]): readonly Resource[] {
  const address = addressOf('kube.addon', addon.name);
  const certificates = addon.certificates.map((spec) => certificate(spec, after));
  const objects: Resource<KubeAddonProps> = {
    address,
    type: 'kube.addon',
    props: {
      objects: Object.fromEntries(
        addon.objects.map((object) => [
          keyOf({ kind: object.kind, namespace: object.metadata.namespace, name: object.metadata.name }),
          object,
        ]),
      ),
    },
    after: [...after, ...certificates.map((resource) => resource.address)],
  };
  if (addon.ready.length === 0) return [...certificates, objects];
  const ready: Resource<KubeReadyProps> = {
    address: addressOf('kube.ready', addon.name),
    type: 'kube.ready',
    props: { available: Object.fromEntries(addon.ready.map((item) => [keyOf(item), true])) },
    after: [address, ...nodes],
  };
  return [...certificates, objects, ready];
}

function certificate(spec: AddonCertificate, after: readonly Address[]): Resource<KubeCertificateProps> {
  const authority = addressOf('pki.authority', spec.authority);
  return {
    address: addressOf('kube.certificate', `${spec.secret.namespace}.${spec.secret.name}`),
    type: 'kube.certificate',
    props: {
      authority: { name: spec.authority, certificate: ref<string>(authority, 'certificate') },
      issuer: ref<string>(authority, 'keyId'),
      subject: { cn: spec.subject.cn, o: (spec.subject.o ?? []).toSorted() },
      sans: { dns: spec.sans.dns.toSorted(), ip: spec.sans.ip.map(canonicalAddress).sort() },
      usages: spec.usages.toSorted(),
      lifetimeDays: spec.lifetimeDays,
      state: 'fresh',
    },
    after,
  };
}
