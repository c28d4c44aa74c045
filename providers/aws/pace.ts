import { setTimeout as sleep } from 'node:timers/promises';
import { isThrottle } from './errors.ts';

/**
 * How fast AWS is asked. AWS counts per account and region, for each service by itself, and there reading calls and changing ones from different
 * buckets: EC2 gives 20 reads a second and 5 changes, Route 53 five calls in all. So one bucket here for each of these, shared by all clients of a
 * process: where Route 53 says "slow down", nobody waits with EC2. (The SDK's own adaptive mode has a bucket a client, which falls to one call in
 * two seconds at the first refusal of a service that was asked little.)
 *
 * Free until the first refusal; from there on at the rate that was let through, which rises steadily until the next.
 */
interface Pace {
  /** Waits for its turn. */
  turn(): Promise<void>;
  passed(): void;
  refused(): void;
}

/** The slowest that AWS has is five a second; others in the account may ask too. */
const slowest = 4;
/** By this part of itself, each second. */
const rise = 0.25;
/** So fast that there is no sense in counting. */
const free = 100;
const keep = 0.8;
const windowMs = 1000;
/** More than pass in that time: nothing else bounds them while nothing is refused. */
const mostKept = 500;

interface Clock {
  now(): number;
  wait(ms: number): Promise<unknown>;
}
const realClock: Clock = { now: () => performance.now(), wait: (ms) => sleep(ms) };

export function pace({ now, wait }: Clock = realClock): Pace {
  let rate = Number.POSITIVE_INFINITY;
  let since = 0;
  let lowered = Number.NEGATIVE_INFINITY;
  /** When the next may go. */
  let next = 0;
  const passes: number[] = [];
  const letThrough = (): number => {
    const first = now() - windowMs;
    while (passes[0] !== undefined && passes[0] < first) passes.shift();
    return (passes.length * 1000) / windowMs;
  };
  const current = (): number => {
    if (rate === Number.POSITIVE_INFINITY) return rate;
    const risen = rate * (1 + ((now() - since) / 1000) * rise);
    if (risen > free) rate = Number.POSITIVE_INFINITY;
    return risen > free ? rate : risen;
  };
  return {
    async turn() {
      const time = now();
      const mine = Math.max(time, next);
      next = mine + 1000 / current();
      if (mine > time) await wait(mine - time);
    },
    passed() {
      passes.push(now());
      if (passes.length > mostKept) passes.shift();
    },
    refused() {
      // Those that were under way together say it once.
      if (now() - lowered < 1000) return;
      lowered = since = now();
      rate = Math.max(slowest, keep * Math.min(current(), Math.max(letThrough(), slowest)));
    },
  };
}

interface Stack {
  add(
    middleware: (
      next: (args: { input: object; request?: unknown }) => Promise<{ output: object; response: unknown }>,
      context: { readonly commandName?: string },
    ) => (args: { input: object; request?: unknown }) => Promise<{ output: object; response: unknown }>,
    where: { readonly step: 'finalizeRequest'; readonly priority: 'low'; readonly name: string; readonly override: boolean },
  ): void;
}

const reads = /^(Describe|Get|List|Head|Simulate)/;
/** Paces clients, every attempt of every call, by service and kind of call. */
export function pacer(): (client: { readonly middlewareStack: Stack }, service: string) => void {
  const paces = new Map<string, Pace>();
  return ({ middlewareStack }, service) =>
    middlewareStack.add(
      (next, { commandName = '' }) =>
        async (args) => {
          const key = `${service} ${reads.test(commandName) ? 'reads' : 'changes'}`;
          const mine = paces.get(key) ?? pace();
          paces.set(key, mine);
          await mine.turn();
          try {
            const answer = await next(args);
            mine.passed();
            return answer;
          } catch (error) {
            if (isThrottle(error)) mine.refused();
            throw error;
          }
        },
      // Inside of the SDK's retries.
      { step: 'finalizeRequest', priority: 'low', name: 'slipwayPace', override: true },
    );
}

/** How often somebody was told to try again. */
interface Again {
  getRetryCount(): number;
  getRetryDelay(): number;
}
const again = (count: number, delayMs: number): Again => ({ getRetryCount: () => count, getRetryDelay: () => delayMs });

/**
 * Asks again, up to so many times. Who was refused for going too fast waits for a turn of its bucket, and before that only as long as keeps those who
 * were refused together apart: the SDK lets it wait a second at first and 20 in the end, and nobody uses what AWS gives meanwhile. Of what is broken
 * (cut connections, 5xx) the service as a whole has only so many: where all fails, the first say so.
 */
export function patiently(attempts: number) {
  const costs = new WeakMap<Again, number>();
  let room = roomForBroken;
  return {
    acquireInitialRetryToken: async (): Promise<Again> => again(0, 0),
    async refreshRetryTokenForRetry(before: Again, { errorType }: { readonly errorType: string }): Promise<Again> {
      const count = before.getRetryCount() + 1;
      const cost = errorType === 'TRANSIENT' ? 1 : 0;
      if (count >= attempts || (errorType !== 'THROTTLING' && cost === 0) || room < cost) throw new Error('asked often enough');
      room -= cost;
      const base = errorType === 'THROTTLING' ? spreadMs : brokenMs;
      const next = again(count, Math.floor(Math.random() * Math.min(base * 2 ** (count - 1), longestMs)));
      costs.set(next, (costs.get(before) ?? 0) + cost);
      return next;
    },
    recordSuccess(token: Again): void {
      room = Math.min(roomForBroken, room + (costs.get(token) ?? 0) + regained);
    },
  };
}
const spreadMs = 250;
const brokenMs = 50;
const longestMs = 20_000;
const roomForBroken = 36;
/** By each call that is answered. */
const regained = 0.1;
