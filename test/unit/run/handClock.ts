import type { Clock } from '../../../src/run/clock.ts';

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}
export interface HandClock extends Clock {
  /** Moves time on, waking sleepers in order, and lets what they do finish. */
  pass(ms: number): Promise<void>;
  /** Moves the clock on the wall only, as when a laptop slept. */
  leap(ms: number): void;
}

/** Time that stands still until it is moved. */
export function handClock(start = Date.parse('2026-11-21T03:00:00Z')): HandClock {
  let time = 0;
  let leapt = 0;
  let sleepers: Sleeper[] = [];
  /** What was woken runs until it waits again (on a store in memory: a few turns of the loop). */
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    now: () => start + time + leapt,
    monotonic: () => time,
    leap: (ms) => {
      leapt += ms;
    },
    sleep: (ms, { signal } = {}) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const sleeper = { until: time + ms, wake: resolve };
        signal?.addEventListener('abort', () => {
          sleepers = sleepers.filter((s) => s !== sleeper);
          reject(signal.reason);
        });
        sleepers.push(sleeper);
      }),
    async pass(ms) {
      const end = time + ms;
      await settle();
      for (;;) {
        const next = sleepers.reduce<Sleeper | undefined>((first, s) => (first && first.until <= s.until ? first : s), undefined);
        if (!next || next.until > end) break;
        time = next.until;
        sleepers = sleepers.filter((s) => s !== next);
        next.wake();
        await settle();
      }
      time = end;
      await settle();
    },
  };
}
