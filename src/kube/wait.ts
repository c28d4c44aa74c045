import { setTimeout as sleep } from 'node:timers/promises';
import { UnreachableError, type UserError } from '../errors.ts';
import { KubeRefusal } from './http.ts';

/** One question that many wait for: asked once an interval, however many they are, and not at all while nobody waits. */
export interface SharedPoll<T> {
  next(signal: AbortSignal): Promise<T>;
}
export function sharedPoll<T>(ask: () => Promise<T>, intervalMs: () => number): SharedPoll<T> {
  let running: Promise<T> | undefined;
  let last = Number.NEGATIVE_INFINITY;
  const start = async (): Promise<T> => {
    await sleep(Math.max(0, last + intervalMs() - performance.now()));
    try {
      return await ask();
    } finally {
      last = performance.now();
      running = undefined;
    }
  };
  return {
    next(signal) {
      signal.throwIfAborted();
      if (!running) {
        running = start();
        // Whoever asked may have gone by the time that it fails: then nobody minds.
        running.catch(() => undefined);
      }
      return raceSignal(running, signal);
    },
  };
}

/** One answer for many who ask at their own times. Throws what the question throws to those who wait for it; whoever comes after them asks anew. */
export interface SharedAnswer<T> {
  /** One whose question began within the last `sinceMs`; 0: from now on. */
  get(sinceMs: number, signal: AbortSignal): Promise<T>;
}
/** `ask` outlives who has asked first: it is bounded by something of its own. */
export function sharedAnswer<T>(ask: () => Promise<T>): SharedAnswer<T> {
  let last: { readonly began: number; readonly answer: Promise<T> } | undefined;
  const begin = (): NonNullable<typeof last> => {
    const own = { began: performance.now(), answer: ask() };
    own.answer.catch(() => {
      if (last === own) last = undefined;
    });
    return own;
  };
  return {
    get(sinceMs, signal) {
      signal.throwIfAborted();
      if (!last || last.began < performance.now() - sinceMs) last = begin();
      return raceSignal(last.answer, signal);
    },
  };
}

async function raceSignal<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let cut = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    cut = () => reject(signal.reason);
    signal.addEventListener('abort', cut, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', cut);
  }
}

export interface Waiting<T> {
  readonly poll: SharedPoll<T>;
  /** Undefined: it is so. Else why not yet. */
  readonly missing: (answer: T) => string | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** The whole error, made when time is up: `missing` says why, log lines help. */
  readonly failure: (why: string) => Promise<UserError>;
}
/** Waits, bounded, until a shared poll's answer is as it should be. An API that gives no answer for a while is waited for too. */
export async function waitFor<T>({ poll, missing, timeoutMs, signal, failure }: Waiting<T>): Promise<void> {
  const end = performance.now() + timeoutMs;
  let why: string | undefined = 'nothing was seen yet';
  while (performance.now() < end) {
    try {
      why = missing(await poll.next(signal));
      if (why === undefined) return;
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
      why = error.message;
      await sleep(200, undefined, { signal });
    }
  }
  throw await failure(why);
}

/**
 * Asks again, for at most half a minute, while the API gives no answer or fails in itself: between one API server that stops and the next. For what may be sent
 * twice.
 */
export async function patiently<T>(ask: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (const end = performance.now() + patientMs; ; ) {
    try {
      return await ask();
    } catch (error) {
      const passing = error instanceof UnreachableError || (error instanceof KubeRefusal && error.status >= 500);
      if (!passing || performance.now() > end) throw error;
    }
    await sleep(300, undefined, { signal });
  }
}
const patientMs = 30_000;
