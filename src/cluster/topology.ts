import type { Versions } from '../assets/catalogue.ts';
import type { Cluster } from '../config/schema.ts';

export const roles = ['bastion', 'etcd', 'master', 'worker'] as const;
export type Role = (typeof roles)[number];

/** A machine that the design names. Members of autoscaled pools are not among them. */
export interface MachineSpec {
  /** `etcd-a`, `master-b`, `worker-c-1`: the SSH alias, the host name and the node name. */
  readonly name: string;
  readonly role: Role;
  readonly zone: string;
  /** Fixed address in the machine range, from the machine's identity. */
  readonly address: string;
  readonly pool?: string;
  /** Provider's machine kind: `t3.large`; for local machines `local`. */
  readonly instanceType: string;
  /** Which bundle it runs: `bastion`, `etcd`, `master`, `pool-workers`. */
  readonly bundle: string;
}

export interface Topology {
  readonly cluster: Cluster;
  /** Identity that outlives names: made at the first `up`, kept in the store. Empty before. */
  readonly uid: string;
  /** Versions in force (the rollout record), not what cluster.yaml asks for. */
  readonly versions: Versions;
  readonly zones: readonly string[];
  readonly machines: readonly MachineSpec[];
  /** The name and port under which everyone but a master reaches the API: `api.<cluster>.internal`. */
  readonly api: { readonly name: string; readonly address: string; readonly port: number };
  readonly region: string;
}
export const machinesOf = (topology: Topology, role: Role): readonly MachineSpec[] =>
  topology.machines.filter((machine) => machine.role === role);
