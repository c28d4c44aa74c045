import { type Address, nameOf, type Observation, type Observations, type Observed, type Unknown } from './resource.ts';

/** What was observed, by address; live during a run. Keys ending in `*` (after a `/` or a `.`) make everything below them unknown. */
export class ObservedMap implements Observed {
  readonly #items = new Map<Address, Observation<object, object>>();
  readonly #unknown = new Map<string, Unknown>();
  readonly #named = new Map<string, Set<Address>>();
  #revision = 0;

  /** Grows with every change: for who remembers what follows from all of it. */
  get revision(): number {
    return this.#revision;
  }
  add(observations: Observations<object, object>): void {
    for (const [address, observation] of observations) this.set(address, observation);
  }
  set(address: Address, observation: Observation<object, object>): void {
    this.#revision++;
    if (!address.endsWith('*')) {
      if (!this.#items.has(address)) for (const name of partsOf(address)) this.#indexed(name).add(address);
      this.#items.set(address, observation);
    } else if (observation.state === 'unknown') this.#unknown.set(address.slice(0, -1), observation);
  }
  /** Before everything is observed again. */
  clear(): void {
    this.#revision++;
    this.#named.clear();
    this.#items.clear();
    this.#unknown.clear();
  }
  /** What another look found, in place of all that was here. */
  become(other: ObservedMap): void {
    this.clear();
    for (const [address, observation] of other.#items) this.set(address, observation);
    for (const [prefix, unknown] of other.#unknown) this.#unknown.set(prefix, unknown);
  }
  delete(address: Address): void {
    if (!this.#items.delete(address)) return;
    this.#revision++;
    for (const name of partsOf(address)) this.#named.get(name)?.delete(address);
  }
  get(address: Address): Observation<object, object> | undefined {
    const exact = this.#items.get(address);
    if (exact !== undefined || this.#unknown.size === 0) return exact;
    const dot = address.lastIndexOf('.');
    const slash = address.indexOf('/');
    return (
      (dot > slash ? this.#unknown.get(address.slice(0, dot + 1)) : undefined) ?? this.#unknown.get(address.slice(0, slash + 1))
    );
  }
  entries(): Iterable<readonly [Address, Observation<object, object>]> {
    return this.#items.entries();
  }
  /** What bears this name, or has it before or after the first dot of its own: the same few of however many. */
  *named(name: string): Iterable<readonly [Address, Observation<object, object>]> {
    for (const address of [...(this.#named.get(name) ?? [])]) {
      const found = this.#items.get(address);
      if (found) yield [address, found];
    }
  }
  #indexed(name: string): Set<Address> {
    const found = this.#named.get(name) ?? new Set();
    this.#named.set(name, found);
    return found;
  }
  /** Prefixes under which nothing could be seen, and why. */
  blind(): Iterable<readonly [string, Unknown]> {
    return this.#unknown.entries();
  }
}

function partsOf(address: Address): readonly string[] {
  const name = nameOf(address);
  const dot = name.indexOf('.');
  return dot < 0 ? [name] : [name.slice(0, dot), name.slice(dot + 1)];
}
