import type { Topology } from '../../src/cluster/topology.ts';
import type { Resource } from '../../src/plan/resource.ts';
import { designEdge } from './design-edge.ts';
import { designMachines, type MachinesGiven } from './design-machines.ts';
import { designNetwork } from './design-network.ts';

/** What the provider brings to the design besides the topology. */
export type Given = MachinesGiven;

/** The infrastructure of a cluster on AWS. Pure. */
export const design = (topology: Topology, given: Given): readonly Resource[] => [
  ...designNetwork(topology, given.owner),
  ...designMachines(topology, given),
  ...designEdge(topology, given.owner),
];
