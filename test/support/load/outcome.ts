import { setTimeout as sleep } from 'node:timers/promises';

/** One request that somebody would have noticed: nothing is retried, so nothing is smoothed over. */
export interface Failure {
  /** Milliseconds since the epoch when it began, as in the events of a run. */
  readonly at: number;
  /** How long until it had failed. */
  readonly ms: number;
  /** `api create`, `app` */
  readonly kind: string;
  /** The status and body, or how far it came and the error. */
  readonly text: string;
}

export interface Traffic {
  readonly requests: number;
  readonly failures: readonly Failure[];
  /** Of the requests that went well, in milliseconds. */
  readonly latency: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };
  /** The longest time in which nothing went well, in milliseconds. */
  readonly longestGapMs: number;
}

/** Adds up what requests end in. */
export class Tally {
  readonly #failures: Failure[] = [];
  readonly #good: number[] = [];
  #lastGood = performance.now();
  #longestGapMs = 0;

  /** Runs a request; false when it failed, which is then noted. */
  async count(kind: string, request: () => Promise<string | undefined>): Promise<boolean> {
    const [at, began] = [Date.now(), performance.now()];
    const failed = await request();
    const now = performance.now();
    if (failed === undefined) {
      this.#good.push(now - began);
      this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastGood);
      this.#lastGood = now;
      return true;
    }
    this.fail({ at, ms: Math.round(now - began), kind, text: failed });
    return false;
  }
  fail(failure: Failure): void {
    this.#failures.push(failure);
  }
  get traffic(): Traffic {
    const sorted = [...this.#good].sort((a, b) => a - b);
    const share = (of: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * of))] ?? 0);
    return {
      requests: this.#good.length + this.#failures.length,
      failures: [...this.#failures],
      latency: { p50: share(0.5), p90: share(0.9), p99: share(0.99), max: share(1) },
      longestGapMs: Math.round(Math.max(this.#longestGapMs, performance.now() - this.#lastGood)),
    };
  }
}

/**
 * Begins `turn` every `everyMs`, whether or not those before it have ended: a slow server gets no fewer requests. `stop` begins no more,
 * and waits for those that are under way.
 */
export function steadily(everyMs: number, turn: (index: number) => Promise<void>): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const running = new Set<Promise<void>>();
  const pace = (async () => {
    const began = performance.now();
    for (let index = 0; !stopping.signal.aborted; index++) {
      const one: Promise<void> = turn(index).finally(() => running.delete(one));
      running.add(one);
      const wait = began + (index + 1) * everyMs - performance.now();
      await sleep(Math.max(0, wait), undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await pace;
      await Promise.all(running);
    },
  };
}
