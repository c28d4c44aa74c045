import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import type { AgentKube, Lease } from './kube.ts';

const seconds = 15;
const renewEveryMs = 4_000;
const retryMs = 1_000;
/** Of the lease's 15 s: who has not renewed for so long stops before anybody may follow. */
const giveUpAfterMs = 10_000;

export interface Election {
  readonly kube: Pick<AgentKube, 'lease' | 'putLease'>;
  readonly holder: string;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
  readonly now: () => number;
  /** Of a clock that only goes forward, in milliseconds: others' clocks are not believed. */
  readonly monotonic: () => number;
}

/**
 * Leads whenever this process holds the Lease: `lead` runs with a signal that ends before another may begin. Returns when `signal` is
 * aborted. As client-go does it: a lease is stale when it did not change for its whole time by the observer's own clock.
 */
export async function whileLeading(election: Election, lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const { signal, monotonic, log } = election;
  let seen: { readonly lease: Lease; readonly at: number } | undefined;
  while (!signal.aborted) {
    try {
      const lease = await election.kube.lease(signal);
      if (lease && lease.version !== seen?.lease.version) seen = { lease, at: monotonic() };
      const free =
        !lease ||
        lease.holder === '' ||
        lease.holder === election.holder ||
        (seen !== undefined && monotonic() - seen.at > lease.seconds * 1000);
      if (free && (await claim(election, lease))) await holdAndLead(election, lead);
    } catch (error) {
      if (signal.aborted) return;
      log(`the lease cannot be had: ${messageOf(error)}`);
    }
    await sleep(2_000, undefined, { signal }).catch(() => undefined);
  }
}

const claim = ({ kube, holder, now, signal }: Election, before: Lease | undefined): Promise<boolean> =>
  kube.putLease({ holder, renewed: microTime(now()), seconds, version: '' }, before, signal);

/** MicroTime: six digits of a second. */
const microTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z');

async function holdAndLead(election: Election, lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const { log, signal } = election;
  log('leads');
  const lost = new AbortController();
  const leading = AbortSignal.any([signal, lost.signal]);
  const work = lead(leading).catch((error: unknown) => {
    if (!leading.aborted) log(`stops leading: ${messageOf(error)}`);
  });
  const ended = work.finally(() => lost.abort(new Error('the work has ended')));
  try {
    await keepRenewing(election, leading, lost);
  } finally {
    // Whatever happened above: nobody works on without a lease.
    lost.abort(new Error('the lease is not renewed any more'));
    await ended;
    log('leads no more');
    if (signal.aborted) await release(election);
  }
}

/** Ends with `leading`, which it ends when the lease is another's or could not be renewed in time. */
async function keepRenewing(election: Election, leading: AbortSignal, lost: AbortController): Promise<void> {
  const { kube, holder, monotonic } = election;
  for (let renewed = monotonic(), pause = renewEveryMs; !leading.aborted; ) {
    await sleep(pause, undefined, { signal: leading }).catch(() => undefined);
    if (leading.aborted) break;
    const began = monotonic();
    const bounded = AbortSignal.any([leading, AbortSignal.timeout(Math.max(1, Math.ceil(renewed + giveUpAfterMs - began)))]);
    try {
      const lease = await kube.lease(bounded);
      const ours = lease?.holder === holder && (await claim({ ...election, signal: bounded }, lease));
      if (!ours) lost.abort(new Error('another leads'));
      renewed = began;
      pause = renewEveryMs;
    } catch (error) {
      if (monotonic() - renewed >= giveUpAfterMs) lost.abort(error);
      pause = retryMs;
    }
  }
}

/** The next one need not wait. */
async function release({ kube, holder, now }: Election): Promise<void> {
  const signal = AbortSignal.timeout(2_000);
  const lease = await kube.lease(signal).catch(() => undefined);
  if (lease?.holder !== holder) return;
  await kube.putLease({ holder: '', renewed: microTime(now()), seconds: 1, version: '' }, lease, signal).catch(() => false);
}
