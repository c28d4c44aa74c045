import type { Refusal } from './answers.ts';
import type { Call } from './exchange.ts';

/** What may happen to one call. */
export type Fault =
  /** The connection is cut before moto sees the request. */
  | 'drop-before'
  /** The connection is cut after moto has carried it out. */
  | 'drop-after'
  /** Half of the answer arrives, then the connection is cut. */
  | 'truncate'
  /** Refused as too many. */
  | 'throttle'
  /** 500, 503: nothing was done. */
  | 'error'
  | 'unavailable'
  | { readonly refuse: Refusal }
  | { readonly delayMs: number };

/** How often what happens, each call by itself: 0.1 is one in ten. */
export interface FaultRates {
  readonly seed: number;
  readonly dropBefore?: number;
  readonly dropAfter?: number;
  readonly truncate?: number;
  readonly throttle?: number;
  readonly error?: number;
  readonly delay?: number;
  /** The longest delay. */
  readonly delayMs?: number;
  /** Only these calls; all others pass. */
  readonly only?: (call: Call) => boolean;
}

/** Numbers in [0, 1) that a seed determines (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Draws the fault of each call; undefined for most. */
export function drawn(rates: FaultRates): (call: Call) => Fault | undefined {
  const next = random(rates.seed);
  return (call) => {
    // Both are drawn for every call: whether one is spared moves no other.
    const [fate, amount] = [next(), next()];
    if (rates.only?.(call) === false) return undefined;
    let edge = 0;
    const kinds: [number | undefined, Fault][] = [
      [rates.dropBefore, 'drop-before'],
      [rates.dropAfter, 'drop-after'],
      [rates.truncate, 'truncate'],
      [rates.throttle, 'throttle'],
      [rates.error, amount < 0.5 ? 'error' : 'unavailable'],
      [rates.delay, { delayMs: Math.round(amount * (rates.delayMs ?? 100)) }],
    ];
    for (const [rate = 0, fault] of kinds) {
      edge += rate;
      if (fate < edge) return fault;
    }
    return undefined;
  };
}

export const nameOfFault = (fault: Fault): string =>
  typeof fault === 'string' ? fault : 'delayMs' in fault ? `delay ${fault.delayMs} ms` : `refuse ${fault.refuse.code}`;

export interface Throttle {
  readonly perSecond: number;
  readonly burst: number;
  /** All services of an account from one bucket: stricter than AWS, which has one a service and more. */
  readonly shared?: boolean;
}
/** A token bucket: true while there is room. `now` in milliseconds. */
export function bucket({ perSecond, burst }: Throttle): (now: number) => boolean {
  let level = burst;
  let last: number | undefined;
  return (now) => {
    level = Math.min(burst, level + ((now - (last ?? now)) / 1000) * perSecond);
    last = now;
    if (level < 1) return false;
    level--;
    return true;
  };
}
