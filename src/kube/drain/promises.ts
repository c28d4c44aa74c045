import { UnreachableError } from '../../errors.ts';
import type { KubeApi } from '../client.ts';
import { KubeRefusal } from '../http.ts';
import { budgetName, budgetOf, budgetsBy } from './budget.ts';
import type { PodsByNode } from './feed.ts';
import { type Pod, podKey } from './pod.ts';

/**
 * How long a budget counts a pod as away whose eviction was accepted and which nobody deleted (k8s.io/kubernetes: pkg/controller/disruption,
 * DeletionTimeout), and what its controller takes to count anew.
 */
const keptMs = 120_000 + 5_000;
/** A budget that frees up by itself needs no look at it. */
const firstLookMs = 5_000;
const nextLookMs = 30_000;

interface Promises {
  readonly api: Pick<KubeApi, 'list'>;
  /** When the drain was to end by itself: then it looks for the last time, so that it ends. */
  readonly lastLook: number;
  readonly signal: AbortSignal;
  progress(message: string): void;
}

/**
 * Finds what a budget waits for that keeps these pods: evictions that it has allowed, of pods which nobody deleted then, because whoever asked was killed, or the
 * API server that it asked. Resolves to when the last of them is forgotten, in monotonic time, and says so once; undefined: there is none that was not told of.
 */
export function promisedEvictions({ api, lastLook, signal, progress }: Promises) {
  const known = new Set<string>();
  let nextLook: number | undefined;
  return async (kept: readonly Pod[], seen: PodsByNode, now: number): Promise<number | undefined> => {
    if (kept.length === 0) return undefined;
    nextLook ??= Math.min(now + firstLookMs, lastLook);
    if (now < nextLook) return undefined;
    nextLook = now < lastLook ? Math.min(now + nextLookMs, lastLook) : Number.POSITIVE_INFINITY;
    let until: number | undefined;
    for (const { budget, pod, at } of await promisesOf(api, kept, seen, signal)) {
      const key = `${budget} ${pod.uid}`;
      // Of the API server's clock, which may be another than ours: never longer than from now.
      const left = keptMs - Math.max(0, Date.now() - at);
      if (known.has(key) || !(left > 0)) continue;
      known.add(key);
      until = Math.max(until ?? 0, now + left);
      progress(
        `waits up to ${Math.ceil(left / 1000)} s for ${budget}: an eviction of ${podKey(pod)} on ${pod.node} was accepted, and nobody has deleted that pod; the budget counts it as away until then`,
      );
    }
    return until;
  };
}

interface Promised {
  readonly budget: string;
  readonly pod: Pod;
  /** Milliseconds since the epoch. */
  readonly at: number;
}
async function promisesOf(
  api: Pick<KubeApi, 'list'>,
  kept: readonly Pod[],
  seen: PodsByNode,
  signal: AbortSignal,
): Promise<readonly Promised[]> {
  const namespaces = [...new Set(kept.map(({ namespace }) => namespace))];
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(5_000)]);
  const lists = await Promise.all(
    namespaces.map((namespace) => api.list('policy/v1', 'PodDisruptionBudget', { namespace, signal: bounded })),
  ).catch((error: unknown) => {
    signal.throwIfAborted();
    // Looked at again later, or told of as a budget that keeps them.
    if (bounded.aborted || error instanceof UnreachableError || error instanceof KubeRefusal) return [];
    throw error;
  });
  const budgetsOf = budgetsBy(lists.flat().map(budgetOf));
  const keeping = new Set(kept.flatMap((pod) => budgetsOf(pod)));
  return [...keeping].flatMap((budget) =>
    budget.promised.flatMap(({ name, at }) => {
      const pod = podNamed(seen, budget.namespace, name);
      return pod && !pod.terminating ? [{ budget: budgetName(budget), pod, at }] : [];
    }),
  );
}

function podNamed(seen: PodsByNode, namespace: string, name: string): Pod | undefined {
  for (const pods of seen.values())
    for (const pod of pods.values()) if (pod.name === name && pod.namespace === namespace) return pod;
  return undefined;
}
