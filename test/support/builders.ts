import { type Cluster, type ClusterInput, clusterSchema } from '../../src/config/schema.ts';

/** A cluster.yaml of ten lines, with what a test cares about laid over it. */
export function aCluster(over: Partial<ClusterInput> = {}): Cluster {
  return clusterSchema.parse({
    apiVersion: 'slipway/v1',
    kind: 'Cluster',
    name: 'demo',
    provider: { local: {} },
    zones: ['a', 'b', 'c'],
    pools: [{ name: 'workers', count: 3 }],
    ...over,
  });
}
