import { etcdClusters, etcdClustersOf } from '../components/etcd.ts';
import { type Role, roles, type Topology } from './topology.ts';

/** Who talks with whom: the one table from which every provider makes its firewall. What is not in it is closed. */
export const parties = [...roles, 'balancer'] as const;
/** `balancer`: what the API is reached through. */
export type Party = Role | 'balancer';

export interface Opening {
  readonly to: Party;
  /** A party, or a range of addresses. */
  readonly from: Party | { readonly cidr: string };
  readonly protocol: 'tcp' | 'udp' | 'all';
  /** First and last; none where the protocol is `all`. */
  readonly ports: readonly [number, number] | undefined;
  readonly why: string;
}

const ssh = 22;
const kubelet = 10250;
const vxlan = 8472;
const nodePorts = [30_000, 32_767] as const;

/**
 * Least privilege, by role. Pure. From outside only what cluster.yaml opens: SSH to the bastion (bastion.allowedCidrs) and the API
 * (kubernetes.api.allowedCidrs). Sources of the ports: etcd's and Kubernetes' lists of required ports; flannel's VXLAN.
 */
export function firewall(topology: Topology): readonly Opening[] {
  const { cluster, api } = topology;
  const open = (
    to: Party,
    from: readonly Opening['from'][],
    protocol: 'tcp' | 'udp',
    ports: number | readonly [number, number],
    why: string,
  ): readonly Opening[] =>
    from.map((source) => ({ to, from: source, protocol, ports: typeof ports === 'number' ? [ports, ports] : ports, why }));
  const ranges = (cidrs: readonly string[]) => [...new Set(cidrs)].sort().map((cidr) => ({ cidr }));
  return [
    ...open('bastion', ranges(cluster.bastion.allowedCidrs), 'tcp', ssh, 'SSH: bastion.allowedCidrs'),
    ...(['etcd', 'master', 'worker'] as const).flatMap((to) => open(to, ['bastion'], 'tcp', ssh, 'SSH through the bastion')),
    ...etcdClustersOf(topology).flatMap((name) => [
      ...open('etcd', ['master', 'etcd'], 'tcp', etcdClusters[name].client, `etcd ${name}: clients`),
      ...open('etcd', ['etcd'], 'tcp', etcdClusters[name].peer, `etcd ${name}: peers`),
    ]),
    ...open('balancer', ranges(cluster.kubernetes.api.allowedCidrs), 'tcp', api.port, 'API: kubernetes.api.allowedCidrs'),
    ...open('balancer', ['bastion', 'master', 'worker'], 'tcp', api.port, 'API'),
    // Also from nodes: the Service `kubernetes` leads straight to the masters.
    ...open('master', ['balancer', 'bastion', 'master', 'worker'], 'tcp', api.port, 'API'),
    ...(cluster.network.plugin === 'none' ? anything() : betweenNodes(open)),
  ];
}

type Open = (
  to: Party,
  from: readonly Party[],
  protocol: 'tcp' | 'udp',
  ports: number | readonly [number, number],
  why: string,
) => readonly Opening[];
const nodes = ['master', 'worker'] as const;

const betweenNodes = (open: Open): readonly Opening[] =>
  nodes.flatMap((to) => [
    // API servers, and metrics-server wherever it runs.
    ...open(to, nodes, 'tcp', kubelet, 'kubelet'),
    ...open(to, nodes, 'udp', vxlan, 'pods: VXLAN'),
    ...open(to, nodes, 'tcp', nodePorts, 'NodePorts'),
    ...open(to, nodes, 'udp', nodePorts, 'NodePorts'),
  ]);

/** A pod network that Slipway does not know may need any protocol and port. */
const anything = (): readonly Opening[] =>
  nodes.flatMap((to) =>
    nodes.map(
      (from): Opening => ({
        to,
        from,
        protocol: 'all',
        ports: undefined,
        why: 'a pod network of your own (network.plugin: none)',
      }),
    ),
  );
