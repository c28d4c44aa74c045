import { imageName } from '../assets/catalogue.ts';
import type { Topology } from '../cluster/topology.ts';
import type { Addon } from './addons.ts';
import { serviceAddress } from './host-env.ts';
import { manifest } from './manifest.ts';
import { addonTolerations, addonZones } from './placement.ts';

export function coredns(topology: Topology): Addon {
  const { replicas } = topology.cluster.addons.coredns;
  return {
    name: 'coredns',
    objects: manifest('addons/coredns.yaml', {
      image: imageName('coredns', topology.versions),
      address: serviceAddress(topology, 10),
      replicas,
      zones: Math.max(1, Math.min(replicas, addonZones(topology))),
      tolerations: addonTolerations(topology),
    }),
    ready: [{ kind: 'Deployment', namespace: 'kube-system', name: 'coredns' }],
    certificates: [],
  };
}
