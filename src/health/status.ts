import type { Role } from '../cluster/topology.ts';
import type { Finding } from '../config/finding.ts';

/** What `cluster status` says. Times are milliseconds since the epoch; what could not be asked is `unknown` with a reason, never left out. */
export interface Status {
  readonly formatVersion: 1;
  readonly cluster: string;
  readonly provider: string;
  readonly at: number;
  /** False: nothing of this cluster exists. */
  readonly exists: boolean;
  readonly api: ApiStatus | undefined;
  readonly zones: readonly ZoneStatus[];
  readonly machines: readonly MachineStatus[];
  readonly nodes: readonly NodeStatus[];
  readonly etcd: readonly EtcdStatus[];
  readonly versions: VersionStatus;
  readonly certificates: readonly CertificateStatus[];
  readonly drift: DriftStatus;
  /** Everything that is not as it should be, worst first. */
  readonly findings: readonly Finding[];
}
export interface ApiStatus {
  readonly url: string;
  readonly state: 'ready' | 'not-ready' | 'unreachable';
  readonly why?: string;
}
export interface ZoneStatus {
  readonly name: string;
  readonly machines: Count;
  readonly nodes: Count;
}
export interface Count {
  /** Running, or Ready. */
  readonly up: number;
  readonly of: number;
}
export interface MachineStatus {
  readonly name: string;
  readonly role: Role;
  readonly zone: string;
  readonly address: string;
  readonly state: 'running' | 'stopped' | 'absent' | 'unknown';
  /** Units that should run and do not, files that differ, or why it could not be seen. */
  readonly notes: readonly string[];
}
export interface NodeStatus {
  readonly name: string;
  readonly zone: string;
  readonly role: Role;
  readonly pool?: string;
  readonly ready: boolean | 'unknown';
  /** It is not Ready, and lacks nothing but a pod network. */
  readonly lacksPodNetwork: boolean;
  readonly cordoned: boolean;
  readonly kubelet: string;
  /** Conditions that are not as they should be (`DiskPressure`), taints beyond the declared. */
  readonly notes: readonly string[];
}
export interface EtcdStatus {
  readonly cluster: 'main' | 'events';
  readonly quorum: 'healthy' | 'at-risk' | 'lost' | 'unknown';
  readonly members: readonly EtcdMemberStatus[];
}
export interface EtcdMemberStatus {
  readonly name: string;
  readonly state: 'healthy' | 'unhealthy' | 'learner' | 'unknown';
  readonly leader: boolean;
  readonly version: string | undefined;
  readonly dbBytes: number | undefined;
  readonly quotaBytes: number | undefined;
  /** `NOSPACE`, `CORRUPT`. */
  readonly alarms: readonly string[];
  readonly why?: string;
}
export interface VersionStatus {
  /** What cluster.yaml asks for, and what is in force (the record that `upgrade` moves). */
  readonly wanted: string;
  readonly inForce: string | undefined;
  /** Version → names of the API servers and kubelets that run it. */
  readonly running: readonly { readonly component: string; readonly version: string; readonly on: readonly string[] }[];
  /** Kubernetes' version skew policy, where it is broken. */
  readonly skew: readonly string[];
}
export interface CertificateStatus {
  /** `master-a.apiserver` */
  readonly name: string;
  readonly authority: string;
  readonly notAfter: number | undefined;
  /** `due`: renewed by the next `up`. `unfit`: no certificate, or not of the key beside it. */
  readonly state: 'fresh' | 'due' | 'expired' | 'unfit' | 'missing' | 'unknown';
}
export interface DriftStatus {
  /** Differences that `up` would carry out, that it leaves to `upgrade`, and things that could not be compared. */
  readonly now: readonly string[];
  readonly left: readonly string[];
  readonly unknown: readonly string[];
}
