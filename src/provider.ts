import type { MachineSpec, Topology } from './cluster/topology.ts';
import type { Finding } from './config/finding.ts';
import type { Cluster } from './config/schema.ts';
import type { Access } from './host/host.ts';
import type { Cost } from './plan/cost.ts';
import type { Change } from './plan/plan.ts';
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
  /** Where pools are groups: what an upgrade does with their members. */
  groups?(clients: C): GroupsPort;
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

/** Groups whose machines the cloud makes, as an upgrade replaces them: by the names of `Topology.groups`. */
export interface GroupsPort {
  /** Types of what a group's new machines are made by: `NAME` of a resource is a pool's, or a group's. */
  readonly types: readonly string[];
  /** All groups of the cluster, in one question. One that is not there is missing. */
  read(signal: AbortSignal): Promise<ReadonlyMap<string, Group>>;
  /** Whether this change makes the members of its pool or group old. */
  outdates(change: Change): boolean;
  /** The group wants this many: spare machines, until `settle`. What it had before is kept with it, so that whoever comes after a crash knows. Idempotent. */
  raise(group: string, desired: number, signal: AbortSignal): Promise<void>;
  /** Ends a member; with `shrink` no other one is made in its place. A member that ends already, or has ended, needs nothing. */
  end(group: string, machine: string, options: { readonly shrink: boolean }, signal: AbortSignal): Promise<void>;
  /** The group has its bounds again. `desired`: what it is to want, where that may be more than it should be. Idempotent. */
  settle(group: string, desired: number | undefined, signal: AbortSignal): Promise<void>;
}
export interface Group {
  readonly desired: number;
  /** Desired size before `raise`, while that is in force. */
  readonly before: number | undefined;
  readonly members: readonly GroupMember[];
}
export interface GroupMember {
  /** Its node's name. */
  readonly machine: string;
  /** On its way out: it counts no more. */
  readonly going: boolean;
  /** Made from another template than the group's. */
  readonly old: boolean;
}
