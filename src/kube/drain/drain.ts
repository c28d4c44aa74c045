import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, UnreachableError } from '../../errors.ts';
import type { Amount } from '../../plan/resource.ts';
import type { KubeApi } from '../client.ts';
import { KubeRefusal } from '../http.ts';
import type { SharedPoll } from '../wait.ts';
import { blockedError, unmanagedError } from './blocked.ts';
import type { PodsByNode } from './feed.ts';
import { type Pod, podKey, staysBecause } from './pod.ts';
import type { DrainPolicy } from './pods.ts';

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
/** Between two requests for the same pod's eviction, of which the first come fast: a budget is counted anew a moment after a pod is ready. */
const againMs = 200;
const againMostMs = 1_000;
const slower = 1.6;
/** What a kubelet takes beyond the grace period, to take down what the containers leave behind. */
const slackMs = 5_000;
/** Accepted, and yet nobody stops it: a webhook may have taken the eviction for its own. */
const ignoredMs = 10_000;
/** Of a controller that had no pod here at first. */
const lateMost = 2;

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

/**
 * Evicts the pods of a cordoned node, lower priorities first, and waits until they are gone: deleted, or with no container left that runs. Disruption
 * budgets are kept until `forceAfterMs`; so are grace periods, of which then only as much is kept as a drain may take. Throws UserError, which names every pod that stays and why, when time is up;
 * nothing is undone then. An API that is away for a while is waited for.
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

const stateOf = (leaving: Map<string, Leaving>, { uid }: Pod): Leaving => {
  const found = leaving.get(uid) ?? { nextAt: 0, tries: 0 };
  leaving.set(uid, found);
  return found;
};

function noteStopping(state: Leaving, pod: Pod, now: number): void {
  if (pod.terminating) state.stoppingSince ??= now;
}
/** One that a budget keeps need not wait where somebody has just come to be ready: that is what budgets wait for. */
function noteReadied(state: Leaving, readied: number, now: number): void {
  if (state.refusal && state.refusal.causes.length > 0 && state.readied !== readied) [state.nextAt, state.tries] = [now, 0];
  state.readied = readied;
}
const isOverdue = (pod: Pod, { stoppingSince }: Leaving, now: number, graceMs = pod.graceSeconds * 1000): boolean =>
  stoppingSince !== undefined && now - stoppingSince > graceMs + slackMs;

/** Of a grace period, what is kept once pods are deleted: an hour of it would hold up the upgrade for that hour, whatever was said of force. */
const keptGraceMs = ({ timeoutMs, forceAfterMs = 0 }: DrainPolicy, { graceSeconds }: Pod): number =>
  Math.min(graceSeconds * 1000, Math.max(timeoutMs, forceAfterMs));
const forcedBy = (pod: Pod, { stoppingSince, deletedAt }: Leaving, policy: DrainPolicy): number =>
  (stoppingSince ?? deletedAt ?? Number.NEGATIVE_INFINITY) + keptGraceMs(policy, pod) + 3 * slackMs;

/**
 * It is not deleted yet, and yet gone from here: all its containers have ended, and its kubelet has let go of it (a grace of 0 is its last
 * word; then finalizers alone keep the object), or had the time to.
 */
const isOver = (pod: Pod, state: Leaving, now: number): boolean =>
  pod.terminating && pod.stopped && ((pod.graceSeconds === 0 && pod.finalizers.length > 0) || isOverdue(pod, state, now));

/**
 * Which pods this drain is about: those that the first look found, and as many again of each controller, which may have been told of late. What keeps
 * coming has passed the cordon by, by a toleration or by the node's name in its template, and would do so for ever.
 */
function takesPart(): (pod: Pod, look: number) => boolean {
  const verdicts = new Map<string, boolean>();
  const open = new Map<string, number>();
  let first: number | undefined;
  const judge = (pod: Pod, look: number): boolean => {
    first ??= look;
    const owner = pod.controller ? `${pod.namespace}/${pod.controller.kind}/${pod.controller.name}` : podKey(pod);
    const left = open.get(owner);
    if (look === first) open.set(owner, (left ?? 0) + 1);
    else open.set(owner, (left ?? lateMost) - 1);
    return look === first || (!pod.toleratesCordon && (left ?? lateMost) > 0);
  };
  return (pod, look) => {
    const verdict = verdicts.get(pod.uid) ?? judge(pod, look);
    verdicts.set(pod.uid, verdict);
    return verdict;
  };
}

/**
 * Whom to ask next: of those that nobody has told to stop, the ones of the lowest priority, and what the system needs last, all at once. Who is stopping is not
 * waited for: what it needs of its own node (network, volumes) is a DaemonSet's and stays, and what it needs of the cluster runs elsewhere, too. With `force`,
 * also those whose time to stop is over. Pure.
 */
export function due(
  waiting: readonly Pod[],
  leaving: ReadonlyMap<string, Leaving>,
  now: number,
  force?: DrainPolicy,
): readonly Pod[] {
  const asked = (pod: Pod): boolean => {
    const acceptedAt = leaving.get(pod.uid)?.acceptedAt;
    return pod.terminating || (acceptedAt !== undefined && now - acceptedAt < ignoredMs);
  };
  const open = waiting.filter((pod) => !asked(pod));
  const lowest = Math.min(...open.map(({ priority }) => priority));
  const mayGo = open.filter(({ priority }) => priority === lowest || (isCritical(priority) && isCritical(lowest)));
  const late = force
    ? waiting.filter((pod) => {
        const state = leaving.get(pod.uid) ?? { nextAt: 0, tries: 0 };
        return pod.terminating && isOverdue(pod, state, now, keptGraceMs(force, pod));
      })
    : [];
  return [...mayGo, ...late].filter((pod) => {
    const state = leaving.get(pod.uid);
    return !state || state.nextAt <= now || (force && state.deletedAt === undefined);
  });
}
/** system-cluster-critical and system-node-critical are 2000000000 and more; no other class may be. */
const isCritical = (priority: number): boolean => priority >= 2_000_000_000;

async function askToLeave(
  api: Pick<KubeApi, 'evict'>,
  pod: Pod,
  state: Leaving,
  refused: (why: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const answer = await api.evict(pod, signal).catch((error: unknown) => {
    if (!(error instanceof UnreachableError)) throw error;
    return { state: 'refused', why: error.message, causes: [], retryAfterMs: 0 } as const;
  });
  const now = performance.now();
  if (answer.state !== 'refused') {
    state.acceptedAt = now;
    delete state.refusal;
    return;
  }
  const { why, causes, retryAfterMs } = answer;
  const reason = causes[0] ?? why;
  if (reason !== (state.refusal?.causes[0] ?? state.refusal?.why)) refused(reason);
  state.refusal = { why, causes };
  const pace = Math.min(againMs * slower ** state.tries++, againMostMs);
  // For a budget the API guesses a time that is no promise; overload means what it says.
  state.nextAt = now + (causes.length > 0 ? pace : Math.max(pace, Math.min(retryAfterMs, 30_000)));
}

/** By its grace period; without any, when that is over. */
async function remove(api: Pick<KubeApi, 'delete'>, pod: Pod, state: Leaving, signal: AbortSignal): Promise<void> {
  const name = { apiVersion: 'v1', kind: 'Pod', namespace: pod.namespace, name: pod.name };
  const only = { uid: pod.uid, ...(pod.terminating ? { gracePeriodSeconds: 0 } : {}) };
  const now = performance.now();
  try {
    await api.delete(name, signal, only);
    state.acceptedAt = now;
    if (pod.terminating) state.forcedAt ??= now;
    state.nextAt = now + slackMs;
  } catch (error) {
    // 409: another pod has its name by now.
    const passing = error instanceof UnreachableError || (error instanceof KubeRefusal && error.status !== 401);
    if (!passing) throw error;
    state.refusal = { why: messageOf(error), causes: [] };
    state.nextAt = now + againMs;
  }
}
