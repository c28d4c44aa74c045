import type { AwsProxy } from './proxy.ts';

export interface Storm {
  /**
   * Nobody is hit meanwhile. What a test does itself is to succeed: a change that was lost after it was carried out cannot be told from one that was not. And
   * upstream's cloud controller waits longer after each failure, up to minutes.
   */
  sparing<T>(work: () => Promise<T>): Promise<T>;
  /** How many calls it has hit so far. */
  hit(): number;
}

/**
 * AWS on a bad day, from now on, for whoever calls: the CLI, the cloud controller, the agent, machines that boot. Calls are lost before or after they were
 * carried out, refused, or late; what was just made is hidden for a while, and takes time to be ready. `seed`: undefined for a fair day.
 */
export function startStorm(proxy: AwsProxy, seed: number | undefined): Storm {
  let spared = false;
  const only = (): boolean => !spared;
  if (seed !== undefined) {
    const rates = { dropBefore: 0.03, dropAfter: 0.03, truncate: 0.01, throttle: 0.05, error: 0.03, delay: 0.1, delayMs: 500 };
    Object.assign(proxy.weather, { faults: { seed, only, ...rates }, hiddenMs: 1_500, settleMs: 2_000 });
  }
  return {
    async sparing(work) {
      spared = true;
      try {
        return await work();
      } finally {
        spared = false;
      }
    },
    hit: () => proxy.calls.filter(({ fault }) => fault !== undefined).length,
  };
}
