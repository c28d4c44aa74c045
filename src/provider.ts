import type { MachineSpec, Topology } from './cluster/topology.ts';
import type { Finding } from './config/finding.ts';
import type { Cluster } from './config/schema.ts';
import type { Access } from './host/host.ts';
import type { Cost } from './plan/cost.ts';
import type { Layer, Observed, Ref, Resource, ResourceType } from './plan/resource.ts';
import type { Store } from './store/store.ts';

/**
 * What a place that runs machines must do. The types of its layer are the infrastructure; everything above is common.
 *
 * | rule | |
 * |---|---|
 * | `design` is pure | no clock, no environment, no calls |
 * | ownership is on the thing | observe finds everything of this cluster by tag or label, with the CLI's own records gone |
 * | unknown is not absent | what could not be asked is `unknown` with a reason |
 * | creates are idempotent | by `ctx.token`, or by a name that can exist once |
 */
export interface Provider<C = unknown> extends Layer<C> {
  design(topology: Topology): readonly Resource[];
  /** Types of what Kubernetes made in the cluster (balancers of Services, volumes of claims): only `down` looks for them, and deletes them. */
  readonly leftovers?: readonly ResourceType<object, object, C>[];
  /** The address of the infrastructure resource that is this machine: what a host stands on. */
  machineAddress(name: string): `${string}/${string}`;
  /** Where pools are groups: the address of the infrastructure resource that is this one (`Topology.groups`). */
  groupAddress?(name: string): `${string}/${string}`;
  /** Where nodes are known to a cloud: what it calls this machine (`aws:///ZONE/i-…`). */
  providerId?(name: string): Ref<string>;
  /** Further facts for this machine's host.env that only the cloud can tell: what it calls an etcd machine's volumes (`VOLUME_MAIN`). */
  machineFacts?(machine: MachineSpec, topology: Topology): Readonly<Record<string, Ref<string>>>;
  /** Where the cloud's API and instance metadata are for what runs in the cluster, instead of the cloud's own: for tests. */
  readonly cloudEndpoints?: { readonly api?: string | undefined; readonly metadata?: string | undefined } | undefined;
  access(topology: Topology, seen: Observed): Access;
  /** undefined: none yet; `plan` reads it as empty. `create` makes it, idempotently, before the first lock. */
  store(cluster: Cluster, options: { readonly create: boolean }, signal: AbortSignal): Promise<Store | undefined>;
  /** Removes the emptied store: the last act of `down --allow-data-loss`. */
  removeStore(cluster: Cluster, signal: AbortSignal): Promise<void>;
  /** Everything that would make `up` fail, found before anything is made. */
  verify(topology: Topology, signal: AbortSignal): AsyncIterable<Finding>;
  /**
   * What a month costs, about: of what was seen, and of the design. Bounded to about a second where it asks for prices; undefined: nothing is
   * known. Only said, never a reason to stop.
   */
  cost?(seen: Observed, desired: readonly Resource[], signal: AbortSignal): Promise<Cost | undefined>;
  /** Worst time until the balancer sends nothing new to a target that left, in milliseconds. */
  leaveMs(topology: Topology): number;
  /**
   * How a host gets a file of the asset cache: `mounted` (the cache is /opt/slipway there already), `pushed` over SSH, or `fetched` by
   * itself from the cluster's store, to which it is uploaded once.
   */
  readonly delivery: 'mounted' | 'pushed' | 'fetched';
}
