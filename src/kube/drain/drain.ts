import { setTimeout as sleep } from 'node:timers/promises';
import { UnreachableError } from '../../errors.ts';
import type { Amount } from '../../plan/resource.ts';
import type { KubeApi } from '../client.ts';
import type { SharedPoll } from '../wait.ts';
import { blockedError, unmanagedError } from './blocked.ts';
import { forcedBy, isOver, type Leaving, noteReadied, noteStopping, stateOf } from './course.ts';
import { due } from './due.ts';
import type { PodsByNode } from './feed.ts';
import { takesPart } from './part.ts';
import { type Pod, podKey, staysBecause } from './pod.ts';
import type { DrainPolicy } from './pods.ts';
import { promisedEvictions } from './promises.ts';
import { askToLeave, remove } from './requests.ts';

export interface DrainOptions {
  readonly policy: DrainPolicy;
  /** One for all drains of a run: `watchPods`. */
  readonly pods: SharedPoll<PodsByNode>;
  readonly signal: AbortSignal;
  progress(message: string, amount?: Amount): void;
}
export interface Drained {
  /** Pods that left because they were asked to. */
  readonly moved: number;
  /** Those that had to be deleted, past their disruption budget or grace period. */
  readonly forced: readonly string[];
  /** Those that run no more and whose objects stay: somebody has yet to take a finalizer. */
  readonly left: readonly string[];
  /** Those that passed the cordon by, again and again: nothing keeps them from this node. */
  readonly cameBack: readonly string[];
}

/** A pod that was scheduled just before the cordon may be told of this long after it. */
const settleMs = 500;

/**
 * Evicts the pods of a cordoned node, lower priorities first, and waits until they are gone: deleted, or with no container left that runs. Disruption
 * budgets are kept until `forceAfterMs`; so are grace periods, of which then only as much is kept as a drain may take. Throws UserError, which names every pod that stays and why, when time is up;
 * nothing is undone then. An API that is away for a while is waited for; so is a budget that counts a pod as away which a run before this one has asked to leave,
 * and the drain has its whole time anew from then.
 */
export async function drain(
  api: Pick<KubeApi, 'evict' | 'delete' | 'list'>,
  node: string,
  { policy, pods, signal, progress }: DrainOptions,
): Promise<Drained> {
  const start = performance.now();
  const leaving = new Map<string, Leaving>();
  const isPart = takesPart();
  const [forced, all] = [new Set<string>(), new Set<string>()];
  let end = start + Math.max(policy.timeoutMs, (policy.forceAfterMs ?? -1) + 1);
  const promised = promisedEvictions({ api, lastLook: end, signal, progress });
  let [said, waiting, unseen]: [number, readonly Pod[], string | undefined] = [-1, [], undefined];
  for (;;) {
    const seen = await look(pods, signal);
    const now = performance.now();
    if (seen instanceof UnreachableError) unseen = seen.message;
    else {
      unseen = undefined;
      const moving = [...(seen.get(node)?.values() ?? [])].filter((pod) => staysBecause(pod) === undefined);
      const here = moving.filter((pod) => isPart(pod, now));
      for (const pod of here) all.add(pod.uid);
      for (const pod of here) noteStopping(stateOf(leaving, pod), pod, now);
      for (const pod of here) noteReadied(stateOf(leaving, pod), seen.readied(pod.namespace), now);
      waiting = here.filter((pod) => !isOver(pod, stateOf(leaving, pod), now));
      if (said !== all.size - waiting.length) {
        said = all.size - waiting.length;
        if (all.size > 0) progress('pods have left', { done: said, of: all.size, unit: 'pods' });
      }
      if (waiting.length === 0 && now - start >= settleMs) {
        for (const pod of here)
          progress(
            `${podKey(pod)}: its containers have ended; its object stays${pod.finalizers.length > 0 ? ` until somebody takes its finalizers: ${pod.finalizers.join(', ')}` : ''}`,
          );
        return {
          moved: all.size - forced.size,
          forced: [...forced],
          left: here.map(podKey),
          cameBack: moving.filter((pod) => !here.includes(pod)).map(podKey),
        };
      }
      const kept = waiting.filter((pod) => !pod.terminating && (stateOf(leaving, pod).refusal?.causes.length ?? 0) > 0);
      end = Math.max(end, ((await promised(kept, seen, now)) ?? Number.NEGATIVE_INFINITY) + policy.timeoutMs);
    }
    const unmanaged = policy.unmanaged === 'refuse' ? waiting.filter((pod) => !pod.controller && !pod.terminating) : [];
    if (unmanaged.length > 0) throw unmanagedError(node, unmanaged);
    const force = policy.forceAfterMs !== undefined && now - start >= policy.forceAfterMs;
    const next = unseen === undefined ? due(waiting, leaving, now, force ? policy : undefined) : [];
    if (force) {
      for (const pod of next) stateOf(leaving, pod).deletedAt ??= now;
      // Who has been told to stop has its grace period, as far as it is kept, and then a deletion without any.
      end = Math.max(end, ...waiting.map((pod) => forcedBy(pod, stateOf(leaving, pod), policy)));
    }
    if (now >= end) throw await blockedError(api, { node, waiting, total: all.size, leaving, policy, unseen, now, signal });
    await Promise.all(
      next.map((pod) => {
        const state = stateOf(leaving, pod);
        if (!force) return askToLeave(api, pod, state, (why) => progress(`${podKey(pod)}: ${why}`), signal);
        forced.add(podKey(pod));
        progress(
          `${podKey(pod)}: deleted, ${pod.terminating ? 'without a grace period: it has not ended in time' : 'whatever its disruption budget says'}`,
        );
        return remove(api, pod, state, signal);
      }),
    );
  }
}

async function look(pods: SharedPoll<PodsByNode>, signal: AbortSignal): Promise<PodsByNode | UnreachableError> {
  try {
    return await pods.next(signal);
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    await sleep(200, undefined, { signal });
    return error;
  }
}
