import type { Topology } from '../cluster/topology.ts';
import type { Addon } from './addons.ts';
import { joinObjects } from './joining.ts';
import { manifest } from './manifest.ts';
import { identities } from './pki.ts';

export const rbac = (topology: Topology): Addon => ({
  name: 'rbac',
  objects: [
    ...manifest('addons/rbac.yaml', { adminGroup: identities.adminGroup, kubeletClient: identities.kubeletClient }),
    ...(topology.cluster.network.plugin === 'flannel'
      ? manifest('addons/flannel-rbac.yaml', { flannel: identities.flannel })
      : []),
    ...joinObjects(topology),
  ],
  ready: [],
  certificates: [],
});
