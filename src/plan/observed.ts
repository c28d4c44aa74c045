import type { Address, Observation, Observations, Observed, Unknown } from './resource.ts';

/** What was observed, by address; live during a run. Keys ending in `*` (after a `/` or a `.`) make everything below them unknown. */
export class ObservedMap implements Observed {
  readonly #items = new Map<Address, Observation<object, object>>();
  readonly #unknown = new Map<string, Unknown>();

  add(observations: Observations<object, object>): void {
    for (const [address, observation] of observations) this.set(address, observation);
  }
  set(address: Address, observation: Observation<object, object>): void {
    if (!address.endsWith('*')) this.#items.set(address, observation);
    else if (observation.state === 'unknown') this.#unknown.set(address.slice(0, -1), observation);
  }
  /** Before everything is observed again. */
  clear(): void {
    this.#items.clear();
    this.#unknown.clear();
  }
  /** What another look found, in place of all that was here. */
  become(other: ObservedMap): void {
    this.clear();
    for (const [address, observation] of other.#items) this.#items.set(address, observation);
    for (const [prefix, unknown] of other.#unknown) this.#unknown.set(prefix, unknown);
  }
  delete(address: Address): void {
    this.#items.delete(address);
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
  /** Prefixes under which nothing could be seen, and why. */
  blind(): Iterable<readonly [string, Unknown]> {
    return this.#unknown.entries();
  }
}
