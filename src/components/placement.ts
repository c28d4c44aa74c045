import { hasWorkers, type MachineSpec, machinesOf, type Topology } from '../cluster/topology.ts';
import { hasCloudController } from './host-env.ts';
import { controlPlaneTaint } from './kubelet.ts';

/** Addons run on workers; on masters only where there is no other node. So masters need not hold their images either. */
export const addonsOnMasters = (topology: Topology): boolean => !hasWorkers(topology);

/** Zones that have a node for addons. */
export function addonZones(topology: Topology): number {
  const role: MachineSpec['role'] = addonsOnMasters(topology) ? 'master' : 'worker';
  const named = topology.machines.filter((machine) => machine.role === role);
  return new Set([...named, ...topology.groups].map(({ zone }) => zone)).size;
}

/** For a pod template: JSON, which YAML takes. */
export const addonTolerations = (topology: Topology): string =>
  JSON.stringify([
    { key: 'CriticalAddonsOnly', operator: 'Exists' },
    ...(addonsOnMasters(topology) ? [{ key: controlPlaneTaint.key, effect: controlPlaneTaint.effect }] : []),
  ]);

/** What stands on the cloud's credentials: on masters, beside their own control plane. For a pod template: JSON, which YAML takes. */
export const masterTolerations: string = JSON.stringify([
  { key: 'CriticalAddonsOnly', operator: 'Exists' },
  { key: controlPlaneTaint.key, operator: 'Exists', effect: controlPlaneTaint.effect },
]);

/**
 * A pod on a master with the host's network talks to that master's API server, as its other programs do (hard part 14): no older one behind
 * a balancer, and no need for kube-proxy. What in-cluster clients read, as environment of a container.
 */
export const ownApiServer = [
  { name: 'KUBERNETES_SERVICE_HOST', value: '127.0.0.1' },
  { name: 'KUBERNETES_SERVICE_PORT', value: '6443' },
] as const;

/** A second one stands by where there is a second master. */
export const masterReplicas = (topology: Topology): number => Math.min(2, machinesOf(topology, 'master').length);

/** Images (by asset name) that a node of this kind runs. */
export const nodeImages = (topology: Topology, master: boolean): readonly string[] => [
  'pause',
  ...(master && hasCloudController(topology) ? ['aws-cloud-controller'] : []),
  ...(master && !addonsOnMasters(topology)
    ? []
    : ['coredns', ...(topology.cluster.addons.metricsServer ? ['metrics-server'] : [])]),
];
