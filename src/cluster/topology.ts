import type { Versions } from '../assets/catalogue.ts';
import type { Cluster } from '../config/schema.ts';
import type { ZoneRanges } from './addresses.ts';

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

/**
 * A pool's share of one zone on a provider that runs pools as autoscaled groups: its machines have no names in the design. They join by
 * themselves, and are told apart by what the provider calls them.
 */
export interface PoolGroup {
  /** `workers-eu-central-1a` */
  readonly name: string;
  readonly pool: string;
  readonly zone: string;
  readonly min: number;
  readonly max: number;
  /** False: `min` is its fixed size, which nobody else may change. */
  readonly autoscaled: boolean;
  /** Which bundle its machines run: `pool-workers`. */
  readonly bundle: string;
}

export interface Topology {
  readonly cluster: Cluster;
  /** Identity that outlives names: made at the first `up`, kept in the store. Empty before. */
  readonly uid: string;
  /** Versions in force (the rollout record), not what cluster.yaml asks for. */
  readonly versions: Versions;
  readonly zones: readonly string[];
  /** What each zone has of the machine range, where a cloud has subnets. */
  readonly ranges: Readonly<Record<string, ZoneRanges>>;
  readonly machines: readonly MachineSpec[];
  /** Empty where every worker is a machine of the design (local). */
  readonly groups: readonly PoolGroup[];
  /** The name and port under which everyone but a master reaches the API: `api.<cluster>.internal`. */
  readonly api: { readonly name: string; readonly address: string; readonly port: number };
  readonly region: string;
}
export const machinesOf = (topology: Topology, role: Role): readonly MachineSpec[] =>
  topology.machines.filter((machine) => machine.role === role);
/** Whether anything but masters runs pods. */
export const hasWorkers = ({ machines, groups }: Topology): boolean =>
  machines.some(({ role }) => role === 'worker') || groups.some(({ min, autoscaled }) => autoscaled || min > 0);
