import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';
import { afterAll, beforeAll } from 'vitest';

/**
 * Time of a whole test file that jumps: whoever sleeps (node:timers/promises) or asks the monotonic clock lives in it. It stands still while anything goes
 * on, and moves to the next moment that somebody sleeps until. Timeouts of the global setTimeout and of AbortSignal stay real: they are bounds only.
 */
export class VirtualTimers {
  /** Milliseconds since it began. */
  now = 0;
  #sleepers: { readonly at: number; readonly wake: () => void }[] = [];

  /** For the time of this test file. */
  install(): void {
    const [sleep, now] = [timers.setTimeout, performance.now];
    const replace = (setTimeout: unknown, monotonic: unknown): void => {
      Object.assign(timers, { setTimeout });
      Object.assign(performance, { now: monotonic });
      syncBuiltinESMExports();
    };
    beforeAll(() =>
      replace(
        (ms = 0, value?: unknown, { signal }: { signal?: AbortSignal } = {}) => this.#sleep(ms, value, signal),
        () => this.now,
      ),
    );
    afterAll(() => replace(sleep, now.bind(performance)));
  }

  /** The work's result, with time going on whenever nothing else does. */
  async until<T>(work: Promise<T>): Promise<T> {
    let ended = false;
    const [begun, most] = [this.now, 100 * 3_600_000];
    const end = (): void => {
      ended = true;
    };
    void work.then(end, end);
    for (let [idle, jumps] = [0, 0]; ; ) {
      // What is real (a key is made, a file written) gets real time too, while somebody else lets hours go by.
      if (jumps % 100 === 99) await new Promise((resolve) => setTimeout(resolve, 1));
      await new Promise((resolve) => setImmediate(resolve));
      if (ended) return work;
      const next = Math.min(...this.#sleepers.map(({ at }) => at));
      if (next === Number.POSITIVE_INFINITY) {
        // Something real: a file is read.
        if (++idle > 100) await new Promise((resolve) => setTimeout(resolve, 1));
        if (idle > 10_000) throw new Error(`at ${this.now} ms nothing goes on any more`);
        continue;
      }
      idle = 0;
      jumps++;
      if (next - begun > most) throw new Error('nothing has ended for a hundred hours');
      this.now = Math.max(this.now, next);
      const due = this.#sleepers.filter(({ at }) => at <= next);
      this.#sleepers = this.#sleepers.filter(({ at }) => at > next);
      for (const { wake } of due) wake();
    }
  }

  #sleep(ms: number, value: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal?.reason);
      };
      const wake = (): void => {
        signal?.removeEventListener('abort', stop);
        resolve(value);
      };
      const sleeper = { at: this.now + Math.max(0, ms), wake };
      if (signal?.aborted) return reject(signal.reason);
      signal?.addEventListener('abort', stop, { once: true });
      this.#sleepers.push(sleeper);
    });
  }
}
