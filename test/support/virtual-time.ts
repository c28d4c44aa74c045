import { setImmediate as everythingElse } from 'node:timers/promises';
import type { Clock } from '../../src/run/clock.ts';

/** A clock that stands still while anything can go on without it, and then jumps to the next moment that somebody sleeps until. */
export class VirtualTime implements Pick<Clock, 'sleep'> {
  now = 0;
  #sleepers: { readonly at: number; readonly wake: () => void }[] = [];

  sleep(ms: number, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal?.reason);
      };
      const wake = (): void => {
        signal?.removeEventListener('abort', stop);
        resolve();
      };
      const sleeper = { at: this.now + ms, wake };
      if (signal?.aborted) reject(signal.reason);
      else {
        signal?.addEventListener('abort', stop, { once: true });
        this.#sleepers.push(sleeper);
      }
    });
  }

  /** The work's result. `moment` is called whenever nothing more can happen before time goes on. Throws when time cannot go on either. */
  async until<T>(work: Promise<T>, moment: () => void = () => undefined): Promise<T> {
    let ended = false;
    void work.then(
      () => (ended = true),
      () => (ended = true),
    );
    for (;;) {
      await everythingElse();
      if (ended) return work;
      moment();
      const next = Math.min(...this.#sleepers.map(({ at }) => at));
      if (next === Number.POSITIVE_INFINITY) throw new Error(`at ${this.now} ms nothing goes on any more`);
      this.now = next;
      const due = this.#sleepers.filter(({ at }) => at <= next);
      this.#sleepers = this.#sleepers.filter(({ at }) => at > next);
      for (const { wake } of due) wake();
    }
  }
}
