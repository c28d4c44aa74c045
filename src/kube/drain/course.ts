import type { Pod } from './pod.ts';
import type { DrainPolicy } from './pods.ts';

/** What a kubelet takes beyond the grace period, to take down what the containers leave behind. */
export const slackMs = 5_000;

/** What is known of one pod's leaving; times of the monotonic clock. */
export interface Leaving {
  nextAt: number;
  tries: number;
  acceptedAt?: number;
  /** When it was first seen to be stopping. */
  stoppingSince?: number;
  /** When it was first deleted, whatever its budget says. */
  deletedAt?: number;
  /** When it was first deleted without a grace period. */
  forcedAt?: number;
  refusal?: { readonly why: string; readonly causes: readonly string[] };
  /** How many pods of its namespace had come to be ready when it was last asked. */
  readied?: number;
}

export const stateOf = (leaving: Map<string, Leaving>, { uid }: Pod): Leaving => {
  const found = leaving.get(uid) ?? { nextAt: 0, tries: 0 };
  leaving.set(uid, found);
  return found;
};

export function noteStopping(state: Leaving, pod: Pod, now: number): void {
  if (pod.terminating) state.stoppingSince ??= now;
}
/** One that a budget keeps need not wait where somebody has just come to be ready: that is what budgets wait for. */
export function noteReadied(state: Leaving, readied: number, now: number): void {
  if (state.refusal && state.refusal.causes.length > 0 && state.readied !== readied) [state.nextAt, state.tries] = [now, 0];
  state.readied = readied;
}
export const isOverdue = (pod: Pod, { stoppingSince }: Leaving, now: number, graceMs = pod.graceSeconds * 1000): boolean =>
  stoppingSince !== undefined && now - stoppingSince > graceMs + slackMs;

/** Of a grace period, what is kept once pods are deleted: an hour of it would hold up the upgrade for that hour, whatever was said of force. */
export const keptGraceMs = ({ timeoutMs, forceAfterMs = 0 }: DrainPolicy, { graceSeconds }: Pod): number =>
  Math.min(graceSeconds * 1000, Math.max(timeoutMs, forceAfterMs));
export const forcedBy = (pod: Pod, { stoppingSince, deletedAt }: Leaving, policy: DrainPolicy): number =>
  (stoppingSince ?? deletedAt ?? Number.NEGATIVE_INFINITY) + keptGraceMs(policy, pod) + 3 * slackMs;

/**
 * It is not deleted yet, and yet gone from here: all its containers have ended, and its kubelet has let go of it (a grace of 0 is its last
 * word; then finalizers alone keep the object), or had the time to.
 */
export const isOver = (pod: Pod, state: Leaving, now: number): boolean =>
  pod.terminating && pod.stopped && ((pod.graceSeconds === 0 && pod.finalizers.length > 0) || isOverdue(pod, state, now));
