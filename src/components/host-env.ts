import ipaddr from 'ipaddr.js';
import { hasWorkers, type MachineSpec, type Topology } from '../cluster/topology.ts';
import type { Pool } from '../config/schema.ts';
import type { Ref } from '../plan/resource.ts';

/**
 * What differs from host to host: /etc/slipway/host.env, for units as `${NODE_NAME}` and its like. No unit restarts when it changes:
 * name and address are the machine itself, and labels serve registration only (hard part 13: `kube.node` owns them from then on).
 * `providerId`: what the cloud calls the machine, known when it is made; nodes register with it.
 */
export function identityOf(machine: MachineSpec, topology: Topology): Record<string, string>;
export function identityOf(
  machine: MachineSpec,
  topology: Topology,
  providerId: Ref<string> | undefined,
): Record<string, string | Ref<string>>;
export function identityOf(
  machine: MachineSpec,
  topology: Topology,
  providerId?: Ref<string>,
): Record<string, string | Ref<string>> {
  const isNode = machine.role === 'master' || machine.role === 'worker';
  return {
    NODE_NAME: machine.name,
    NODE_IP: machine.address,
    ZONE: machine.zone,
    REGION: topology.region,
    INSTANCE_TYPE: machine.instanceType,
    NODE_LABELS: Object.entries(registrationLabels(machine, topology))
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
    API_SERVER: apiServer(machine.role === 'master', topology),
    ...(isNode && providerId ? { PROVIDER_ID: providerId } : {}),
  };
}

/** A master's own programs talk to its own API server (hard part 14); everyone else goes through the balancer. */
export const apiServer = (master: boolean, topology: Topology): string =>
  // The address where there is a fixed one: it needs no resolver at boot. A cloud's balancer has only its name.
  master ? 'https://127.0.0.1:6443' : `https://${topology.api.address || topology.api.name}:${topology.api.port}`;

/**
 * All labels of a node that are ours: for `kube.node`. Where a cloud controller runs, zone, region and instance type are its own, from
 * what the cloud says; two owners of one label would take it from each other.
 */
export const nodeLabels = (machine: MachineSpec, topology: Topology): Record<string, string> => ({
  ...(hasCloudController(topology)
    ? {}
    : {
        'topology.kubernetes.io/zone': machine.zone,
        'topology.kubernetes.io/region': topology.region,
        'node.kubernetes.io/instance-type': machine.instanceType,
      }),
  ...(machine.role === 'master' ? { 'node-role.kubernetes.io/control-plane': '' } : {}),
  // Else a cloud controller sends the traffic of Services there too.
  ...(machine.role === 'master' && hasCloudController(topology) && hasWorkers(topology)
    ? { 'node.kubernetes.io/exclude-from-external-load-balancers': '' }
    : {}),
  ...(machine.pool ? { 'slipway.dev/pool': machine.pool } : {}),
  ...(poolOf(machine, topology)?.labels ?? {}),
});

export const poolOf = (machine: MachineSpec, topology: Topology): Pool | undefined =>
  topology.cluster.pools.find((pool) => pool.name === machine.pool);

/** A kubelet refuses to start with labels of kubernetes.io that are not on its list (NodeRestriction would refuse them too). */
const registrationLabels = (machine: MachineSpec, topology: Topology): Record<string, string> =>
  Object.fromEntries(Object.entries(nodeLabels(machine, topology)).filter(([key]) => mayRegister(key)));
const ownByKubelet = ['topology.kubernetes.io/zone', 'topology.kubernetes.io/region', 'node.kubernetes.io/instance-type'];
const mayRegister = (key: string): boolean => {
  const domain = key.includes('/') ? key.slice(0, key.indexOf('/')) : '';
  if (ownByKubelet.includes(key)) return true;
  if (/(^|\.)(kubelet|node)\.kubernetes\.io$/.test(domain)) return true;
  return !/(^|\.)(kubernetes|k8s)\.io$/.test(domain);
};

/** The nth address of the service range: 1 is the API (`kubernetes.default`), 10 is DNS. */
export const serviceAddress = (topology: Topology, n: number): string => nthAddress(topology.cluster.network.services, n);

export function nthAddress(cidr: string, n: number): string {
  const [range] = ipaddr.parseCIDR(cidr);
  const bytes = range.toByteArray();
  let carry = n;
  for (let i = bytes.length - 1; i >= 0 && carry > 0; i--) {
    const sum = (bytes[i] ?? 0) + carry;
    bytes[i] = sum & 0xff;
    carry = sum >> 8;
  }
  return ipaddr.fromByteArray(bytes).toString();
}

/** Kubelets then leave to it what the cloud knows of a node: provider ID, addresses, zone, type. */
export const hasCloudController = (topology: Topology): boolean => topology.cluster.provider.aws !== undefined;

export const isLocal = (topology: Topology): boolean => topology.cluster.provider.local !== undefined;
