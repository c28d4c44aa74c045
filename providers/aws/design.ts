import type { Topology } from '../../src/cluster/topology.ts';
import type { Resource } from '../../src/plan/resource.ts';
import { designEdge } from './design-edge.ts';
import { designNetwork } from './design-network.ts';
import type { Owner } from './tags.ts';

/** The infrastructure of a cluster on AWS. Pure. */
export const design = (topology: Topology, owner: Owner): readonly Resource[] => [
  ...designNetwork(topology, owner),
  ...designEdge(topology, owner),
];
