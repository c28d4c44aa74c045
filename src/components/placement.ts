import { hasWorkers, type MachineSpec, type Topology } from '../cluster/topology.ts';
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

/** Images (by asset name) that a node of this kind runs. */
export const nodeImages = (topology: Topology, master: boolean): readonly string[] => [
  'pause',
  ...(master && !addonsOnMasters(topology)
    ? []
    : ['coredns', ...(topology.cluster.addons.metricsServer ? ['metrics-server'] : [])]),
];
