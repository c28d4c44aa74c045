import { type Cluster, type ClusterInput, clusterSchema } from '../../src/config/schema.ts';
import type { VersionStatus } from '../../src/health/status.ts';

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

/** Versions as `status` has read them: of nobody, but for what a test says. */
export const aVersionStatus = (over: Partial<VersionStatus> = {}): VersionStatus => ({
  wanted: '1.36.3',
  inForce: '1.36.3',
  running: [],
  silent: [],
  skew: [],
  ...over,
});
