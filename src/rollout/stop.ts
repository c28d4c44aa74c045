import { UserError } from '../errors.ts';
import { type Clock, systemClock } from '../run/clock.ts';

export interface StopOptions {
  /** First Ctrl-C: what has begun is brought to its end, nothing begins. */
  readonly stopping: AbortSignal;
  /** Second Ctrl-C, a lost lock: everything ends now. */
  readonly signal: AbortSignal;
  /** Asked before anything begins. */
  readonly windowClosed?: (() => boolean) | undefined;
  /** How long what runs when the rollout stops may go on. Default: 30 min. */
  readonly finishWithinMs?: number;
  /** How long what is told to end now may take. Default: 15 s. */
  readonly cutWithinMs?: number;
  readonly clock?: Pick<Clock, 'sleep'>;
}

/** Why nothing begins any more. */
export type StopReason = 'failed' | 'aborted' | 'stopped' | 'window closed';

/** What ends a rollout before its end, and how long the rest of it may take. */
export interface Stop {
  /** Set when something was kept from beginning, or from going on. */
  readonly reason: StopReason | undefined;
  /** Aborted: whatever runs is to end now. */
  readonly signal: AbortSignal;
  mayBegin(): boolean;
  fail(): void;
  /** The work's result. Rejects soon after `signal` has aborted, also if the work does not end. */
  bounded(work: (signal: AbortSignal) => Promise<void>): Promise<void>;
  close(): void;
}

export function newStop(options: StopOptions): Stop {
  const { stopping, windowClosed, clock = systemClock, finishWithinMs = 30 * 60_000, cutWithinMs = 15_000 } = options;
  const late = new AbortController();
  const closed = new AbortController();
  const signal = AbortSignal.any([options.signal, late.signal]);
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => undefined);
  let reason: StopReason | undefined;
  let counting = false;

  /** Rejects when the rollout is over; ends early when everything has to end now. */
  const wait = async (ms: number, unless: AbortSignal): Promise<void> => {
    if (unless.aborted) return;
    await clock.sleep(ms, { signal: AbortSignal.any([closed.signal, unless]) }).catch(() => closed.signal.throwIfAborted());
  };
  const countDown = async (): Promise<void> => {
    if (counting) return;
    counting = true;
    try {
      await wait(finishWithinMs, options.signal);
      late.abort(new UserError({ what: `not done within ${Math.round(finishWithinMs / 1000)} s after the rollout stopped` }));
      await clock.sleep(cutWithinMs, { signal: closed.signal });
      over.reject(signal.reason);
    } catch {
      // It was over before.
    }
  };
  const onStop = (): void => void countDown();
  for (const source of [stopping, options.signal]) {
    if (source.aborted) onStop();
    else source.addEventListener('abort', onStop, { once: true });
  }
  return {
    get reason() {
      return reason ?? (signal.aborted ? 'aborted' : undefined);
    },
    signal,
    mayBegin() {
      if (reason === undefined) {
        if (options.signal.aborted) reason = 'aborted';
        else if (stopping.aborted) reason = 'stopped';
        else if (windowClosed?.()) reason = 'window closed';
      }
      return reason === undefined;
    },
    fail() {
      reason = 'failed';
      onStop();
    },
    async bounded(work) {
      signal.throwIfAborted();
      await Promise.race([work(signal), over.promise]);
    },
    close() {
      closed.abort();
      for (const source of [stopping, options.signal]) source.removeEventListener('abort', onStop);
    },
  };
}
