import { setTimeout as delay } from 'node:timers/promises';

/** Time as a port: tests pass one that they move by hand. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds that never go backwards; only differences mean something. */
  monotonic(): number;
  /** Rejects when the signal aborts. `background`: does not keep the process alive. */
  sleep(ms: number, options?: { readonly signal?: AbortSignal; readonly background?: boolean }): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, { signal, background = false } = {}) => delay(ms, undefined, { ref: !background, ...(signal && { signal }) }),
};
