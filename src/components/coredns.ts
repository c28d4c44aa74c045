import { imageName } from '../assets/catalogue.ts';
import type { Topology } from '../cluster/topology.ts';
import type { Addon } from './addons.ts';
import { serviceAddress } from './host-env.ts';
import { manifest } from './manifest.ts';

export function coredns(topology: Topology): Addon {
  const { replicas } = topology.cluster.addons.coredns;
  return {
    name: 'coredns',
    objects: manifest('addons/coredns.yaml', {
      image: imageName('coredns', topology.versions),
      address: serviceAddress(topology, 10),
      replicas,
      zones: Math.max(1, Math.min(replicas, nodeZones(topology))),
    }),
    ready: [{ kind: 'Deployment', namespace: 'kube-system', name: 'coredns' }],
    certificates: [],
  };
}

/** Zones that have a node: masters tolerate CoreDNS too. */
const nodeZones = (topology: Topology): number =>
  new Set(topology.machines.filter(({ role }) => role === 'master' || role === 'worker').map(({ zone }) => zone)).size;
