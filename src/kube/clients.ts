import type { Manifest } from '../config/manifests.ts';
import type { Hosts } from '../host/host.ts';
import type { KubeApi } from './client.ts';
import type { KubeObject } from './objects.ts';
import type { SharedPoll } from './wait.ts';

/** The kube layer's clients. */
export interface KubeClients {
  /** Connects on first use and waits, bounded, until the API answers through the balancer. Throws UnreachableError. */
  api(options?: { readonly waitMs?: number; readonly signal?: AbortSignal }): Promise<KubeApi>;
  /**
   * Asks each master's own API server, past the balancer, and lets go of it: each counts for itself. By master; undefined: it gives no answer.
   * Throws what `ask` throws otherwise.
   */
  servers<T>(ask: (server: KubeApi) => Promise<T>): Promise<ReadonlyMap<string, T | undefined>>;
  /**
   * `absent`: no master, no balancer, or a cluster whose etcd was never initialised: nothing of this layer can exist.
   * `there`: it can; an API that does not answer is then unknown.
   */
  state(): Promise<'absent' | 'there'>;
  readonly uid: string;
  /** How long a node may take to be Ready. */
  readonly readyWithinMs: number;
  /** For the log lines of a kubelet that does not get ready. */
  readonly hosts: Hosts | undefined;
  now(): number;
  /** Kinds of the design's addons, `apiVersion/kind`: where objects of ours are looked for, beside those that every cluster has. */
  readonly addonKinds: readonly string[];
  /** What addons.manifests hold, by key: props of resources are shown in plans, and hold no object. */
  readonly manifests: ReadonlyMap<string, Manifest>;
  /** One LIST for all who wait for a node. */
  readonly nodes: SharedPoll<ReadonlyMap<string, KubeObject>> & {
    /** As it was told last, where changes are followed: it may have changed since. */
    latest?(): ReadonlyMap<string, KubeObject> | undefined;
  };
  /** When each kubelet last renewed its lease, by node, in milliseconds since the epoch: one LIST for all who wait for a sign of life. */
  readonly leases: SharedPoll<ReadonlyMap<string, number>>;
  /** What addons run, by `kind/namespace/name`: one LIST a kind for all who wait for one. */
  readonly workloads: SharedPoll<ReadonlyMap<string, KubeObject>>;
  close(): void;
}
export interface Credentials {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}
