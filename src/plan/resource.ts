/** The engine's words. Nothing here knows Kubernetes, a cloud or a host. */

/** `type/name`: one thing in the world. */
export type Address = `${string}/${string}`;

/**
 * What carrying out a change costs: none; `restart` of something that serves (an etcd member, an API server);
 * `drain` of a node; `replace` of the thing; loss of data.
 */
export const impacts = ['none', 'restart', 'drain', 'replace', 'data-loss'] as const;
export type Impact = (typeof impacts)[number];

/** An output (or prop) of another resource, by address: resolved from what is observed before diff, and again before apply. */
export interface Ref<T = unknown> {
  readonly ref: Address;
  readonly field: string;
  readonly as?: T;
}
/** Material in the store. Plans hold this name, and only `Context.secrets` opens it. */
export interface SecretRef {
  readonly secret: string;
}
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export type Resolved<T> =
  T extends Ref<infer U>
    ? U
    : T extends SecretRef
      ? T
      : T extends readonly (infer E)[]
        ? readonly Resolved<E>[]
        : T extends object
          ? { readonly [K in keyof T]: Resolved<T[K]> }
          : T;

export interface Resource<P extends object = object> {
  readonly address: Address;
  readonly type: string;
  readonly props: P;
  /** Order that no Ref expresses. */
  readonly after: readonly Address[];
  /** Order only: it waits for their steps where this plan has any, and needs nothing of them. */
  readonly behind?: readonly Address[];
}

export type Present<P, O> = { readonly state: 'present'; readonly props: Resolved<P>; readonly outputs: O };
export type Unknown = { readonly state: 'unknown'; readonly why: string };
/** Absent is the map's silence; what cannot be reached is unknown and never absent. */
export type Observation<P, O> = Present<P, O> | Unknown;

/**
 * What a type observed. A key that ends in `*` says that everything below that prefix is unknown:
 * `pki.certificate/master-a.*` while master-a cannot be reached.
 */
export type Observations<P extends object, O extends object> = ReadonlyMap<Address, Observation<P, O>>;

export interface FieldChange {
  readonly path: string;
  readonly before: Json;
  readonly after: Json | { readonly pending: Address };
  readonly impact: Impact;
  /** What carrying out this field does besides changing it: "restarts kubelet". */
  readonly note?: string | undefined;
}

/** What has been observed, by address; live during a run: a step's outputs appear here as soon as it is done. */
export interface Observed {
  get(address: Address): Observation<object, object> | undefined;
  entries(): Iterable<readonly [Address, Observation<object, object>]>;
}

/** `read` runs a query once per observation, however many types ask: one `docker ps`, one SSH round trip a host. */
export interface World<C> {
  readonly clients: C;
  readonly signal: AbortSignal;
  read<T>(query: (clients: C, signal: AbortSignal) => Promise<T>): Promise<T>;
}

export interface Context<C> {
  readonly address: Address;
  readonly clients: C;
  /** Ctrl-C, the step's timeout and a lost lock, as one signal. */
  readonly signal: AbortSignal;
  /** When this run began, in milliseconds since the epoch. */
  readonly since: number;
  /** Whose plan it is. `down`: nobody is left to be considerate of. */
  readonly command?: 'up' | 'upgrade' | 'down';
  /** The create's idempotency token. */
  readonly token: string;
  /** Fields that `choose` left to a later command: an update must not carry them out. */
  readonly hold: readonly string[];
  readonly secrets: Secrets;
  progress(message: string, amount?: Amount): void;
}
export interface Secrets {
  reveal(ref: SecretRef): Promise<Uint8Array>;
}
export interface Amount {
  readonly done: number;
  readonly of: number;
  readonly unit: string;
}

/** C is what its layer talks through: cloud clients, hosts, the Kubernetes API. Methods, not function properties: that keeps types assignable. */
export interface ResourceType<P extends object = object, O extends object = object, C = unknown> {
  readonly name: string;
  /** Types that this one stands on, beyond its Refs: reversed, that orders deletion, also of things no longer designed. */
  readonly dependsOn?: readonly string[];
  /** Types whose deletions come first although they do not stand on this one: a Node object goes after its machine. */
  readonly deletedAfter?: readonly string[];
  /** How long one create, update or delete may take. Default 120 s. */
  readonly timeoutMs?: number;
  /** Steps of one lane share a limit (the runner's `lanes`). Default: the type's layer. */
  readonly lane?: string;
  /** Carrying it out is only waiting: pointless while what it stands on could not be seen, so then its updates are left too, as every type's creates are. */
  readonly waits?: true;
  /** Who carries out the deletion of something that is no longer designed: `up` itself, or `upgrade` (after a drain). Default `upgrade`. */
  readonly shrink?: 'now' | 'upgrade' | 'data-loss' | 'never';
  /** Things that are seen and not ours: never deleted. */
  keeps?(observed: Resolved<P>): boolean;
  observe(world: World<C>): Promise<Observations<P, O>>;
  /** Pure. Usually `fields<P>({ cidr: 'replace', tags: 'none' })`: every prop must say its impact. */
  diff(desired: Resolved<P>, observed: Resolved<P>): readonly FieldChange[];
  /** What creating this costs (a re-created etcd member: none). None of the three makes a type observe-only. */
  create?(desired: Resolved<P>, ctx: Context<C>): Promise<O>;
  update?(desired: Resolved<P>, outputs: O, ctx: Context<C>): Promise<O>;
  delete?(outputs: O, ctx: Context<C>): Promise<void>;
  /**
   * Waits until the thing is well again, after a step of the same run has changed something below it: what was observed before that
   * step (a Ready node whose machine was just made anew) says nothing any more. Asks for evidence that is younger than `ctx.since`.
   */
  verify?(desired: Resolved<P>, ctx: Context<C>): Promise<void>;
}

/** Types that talk through the same clients. Each layer connects by what was observed below it; `below` stays live during a run. */
export interface Layer<C = unknown> {
  readonly name: string;
  readonly types: readonly ResourceType<object, object, C>[];
  connect(below: Observed, signal: AbortSignal): Promise<C>;
  /** Closes connections; never throws. */
  close?(clients: C): Promise<void>;
}

export const ref = <T = string>(address: Address, field: string): Ref<T> => ({ ref: address, field });
export const isRef = (value: unknown): value is Ref =>
  typeof value === 'object' && value !== null && 'ref' in value && 'field' in value && typeof value.ref === 'string';
export const addressOf = (type: string, name: string): Address => `${type}/${name}`;
export const nameOf = (address: Address): string => address.slice(address.indexOf('/') + 1);
export const typeOf = (address: Address): string => address.slice(0, address.indexOf('/'));
