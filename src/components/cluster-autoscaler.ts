import { imageName } from '../assets/catalogue.ts';
import type { Topology } from '../cluster/topology.ts';
import type { Addon } from './addons.ts';
import { manifest } from './manifest.ts';
import { masterReplicas, masterTolerations, ownApiServer } from './placement.ts';

/** Grows and shrinks the Auto Scaling groups that carry its two tags, between their own bounds. Of the cluster's minor version. */
export const clusterAutoscaler = (topology: Topology): Addon => ({
  name: 'cluster-autoscaler',
  objects: manifest('addons/cluster-autoscaler.yaml', {
    image: imageName('cluster-autoscaler', topology.versions),
    cluster: topology.cluster.name,
    replicas: masterReplicas(topology),
    tolerations: masterTolerations,
    env: JSON.stringify([...ownApiServer, { name: 'AWS_REGION', value: topology.region }]),
  }),
  ready: [{ kind: 'Deployment', namespace: 'kube-system', name: 'cluster-autoscaler' }],
  certificates: [],
});
