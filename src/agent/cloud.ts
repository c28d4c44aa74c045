/** What the agent asks of the cloud. All of it is about one cluster. */
export interface AgentCloud {
  /** By ID; what is missing does not exist (or cannot be seen yet). */
  instances(ids: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, Instance>>;
  /** The members of this cluster's groups that are held by a hook. */
  held(signal: AbortSignal): Promise<readonly HeldMachine[]>;
  /** Lets a held machine go on (into service, or to its end), or ends it. */
  release(machine: HeldMachine, how: 'continue' | 'abandon', signal: AbortSignal): Promise<void>;
  /** The hook's time begins anew. */
  keepHolding(machine: HeldMachine, signal: AbortSignal): Promise<void>;
  /** What the instance itself has put where only it can write. Undefined: nothing yet. */
  proof(instance: string, signal: AbortSignal): Promise<string | undefined>;
  /** Whether the cloud itself has signed this document. */
  isGenuine(document: Uint8Array, signature: string, signal: AbortSignal): Promise<boolean>;
  /** The token that is there for the new machines of a pool. */
  token(pool: string, signal: AbortSignal): Promise<string | undefined>;
  putToken(pool: string, token: string, signal: AbortSignal): Promise<void>;
}

export interface Instance {
  readonly id: string;
  readonly account: string;
  /** `pending` or `running` while it lives. */
  readonly state: string;
  readonly address: string;
  readonly zone: string;
  /** Milliseconds since the epoch. */
  readonly launched: number;
  /** By its tags; undefined: another cluster's, or nobody's. */
  readonly cluster: string | undefined;
  readonly pool: string | undefined;
}

export interface HeldMachine {
  readonly instance: string;
  readonly group: string;
  readonly why: 'launch' | 'terminate';
}
