import { z } from 'zod';
import { UnreachableError, UserError } from '../../errors.ts';
import type { KubeApi } from '../client.ts';
import { allows, asksBudget, type Budget, budgetName, budgetNumbers, budgetOf, budgetsBy } from './budget.ts';
import type { Leaving } from './course.ts';
import { type Pod, podKey, podOf, skipAnnotation } from './pod.ts';
import type { DrainPolicy } from './pods.ts';

interface Blocked {
  readonly node: string;
  readonly waiting: readonly Pod[];
  readonly total: number;
  readonly leaving: ReadonlyMap<string, Leaving>;
  readonly policy: DrainPolicy;
  /** Why the pods are not seen, where they are not. */
  readonly unseen: string | undefined;
  readonly now: number;
  readonly signal: AbortSignal;
}

/** Which pods did not leave in time, and for each what keeps it: its disruption budget with numbers, a finalizer, containers that run on. */
export async function blockedError(api: Pick<KubeApi, 'list'>, blocked: Blocked): Promise<UserError> {
  const { node, waiting, total, leaving, policy, unseen, now, signal } = blocked;
  const [budgets, unplaced] = waiting.some((pod) => leaving.get(pod.uid)?.refusal)
    ? await Promise.all([listBudgets(api, signal), listUnplaced(api, waiting, signal)])
    : [() => [], []];
  const lines = waiting.map(
    (pod) => `${podKey(pod)}: ${reasonOf(pod, leaving.get(pod.uid), { budgets: budgets(pod), unplaced }, now)}`,
  );
  const more = lines.length > shown ? [`and ${lines.length - shown} more`] : [];
  const hint =
    policy.forceAfterMs === undefined
      ? ", or have them deleted after a while (--force-after, or the pool's upgrade.drain.forceAfter)"
      : '';
  const seconds = policy.timeoutMs / 1000;
  if (waiting.length === 0 && unseen !== undefined)
    return new UnreachableError({ what: `its pods were not seen within ${seconds} s`, where: `node ${node}`, why: unseen });
  return new UserError({
    what: `${waiting.length} of ${total} pods did not leave it within ${seconds} s`,
    where: `node ${node}`,
    why: [...lines.slice(0, shown), ...more, ...(unseen === undefined ? [] : [unseen])].join('\n'),
    next: `mend what keeps them${hint}; then run the same command again: it goes on from what it finds`,
  });
}
const shown = 20;

export const unmanagedError = (node: string, pods: readonly Pod[]): UserError =>
  new UserError({
    what: 'it has pods that no controller makes anew: evicted, they are gone',
    where: `node ${node}`,
    why: pods.map(podKey).join(', '),
    next: `delete them, let a controller own them, annotate them ${skipAnnotation}: skip, or let its pool say upgrade.drain.unmanagedPods: evict`,
  });

interface Around {
  readonly budgets: readonly Budget[];
  readonly unplaced: readonly Unplaced[];
}
function reasonOf(pod: Pod, state: Leaving | undefined, { budgets, unplaced }: Around, now: number): string {
  if (pod.terminating) return stopping(pod, state, now);
  const { refusal, acceptedAt } = state ?? {};
  if (refusal) {
    if (budgets.length > 1)
      return `several disruption budgets select it (${budgets.map(({ name }) => name).join(', ')}), and the API evicts no such pod`;
    const [budget] = budgets;
    if (budget && asksBudget(pod, budget) && allows(budget) !== 'some') {
      const nowhere = unplaced.find((each) => each.pod.namespace === budget.namespace && budget.selects(each.pod.labels));
      const because = nowhere ? `; ${podKey(nowhere.pod)} finds no node: ${nowhere.why}` : '';
      const itself = pod.ready ? '' : '; it is not ready itself: unhealthyPodEvictionPolicy AlwaysAllow would let it go';
      return `${budgetName(budget)} keeps it (${budgetNumbers(budget)})${itself}${because}`;
    }
    return [refusal.why, ...refusal.causes].join('; ');
  }
  if (acceptedAt !== undefined) return 'its eviction was accepted, and yet nothing has told it to stop';
  return 'its eviction waits for pods of lower priority, which go first';
}

function stopping(pod: Pod, state: Leaving | undefined, now: number): string {
  const { graceSeconds, finalizers, stopped } = pod;
  const since = state?.stoppingSince === undefined ? '' : ` for ${Math.round((now - state.stoppingSince) / 1000)} s`;
  const kept = finalizers.length > 0 ? `, and finalizers keep it: ${finalizers.join(', ')}` : '';
  const forced = state?.forcedAt === undefined ? '' : ', and was deleted without any at last';
  const what = stopped ? 'its containers have ended and its kubelet has not let go of it' : 'its containers still run';
  return `it has been stopping${since}, with a grace period of ${graceSeconds} s${forced}: ${what}${kept}`;
}

async function listBudgets(api: Pick<KubeApi, 'list'>, signal: AbortSignal): Promise<(pod: Pod) => readonly Budget[]> {
  try {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(5_000)]);
    return budgetsBy((await api.list('policy/v1', 'PodDisruptionBudget', { signal: bounded })).map(budgetOf));
  } catch {
    signal.throwIfAborted();
    // The API's own words do as well.
    return () => [];
  }
}

interface Unplaced {
  readonly pod: Pod;
  readonly why: string;
}
const scheduledSchema = z.looseObject({
  status: z
    .looseObject({
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string(), message: z.string().default('') })).default([]),
    })
    .prefault({}),
});
/** Those that were to run elsewhere and find no place: why a budget does not free up. */
async function listUnplaced(
  api: Pick<KubeApi, 'list'>,
  waiting: readonly Pod[],
  signal: AbortSignal,
): Promise<readonly Unplaced[]> {
  try {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(5_000)]);
    const namespaces = [...new Set(waiting.map(({ namespace }) => namespace))].slice(0, 5);
    const lists = await Promise.all(namespaces.map((namespace) => api.list('v1', 'Pod', { namespace, signal: bounded })));
    return lists.flat().flatMap((object) => {
      const { conditions } = scheduledSchema.parse(object).status;
      const not = conditions.find(({ type, status }) => type === 'PodScheduled' && status === 'False');
      return not ? [{ pod: podOf(object), why: not.message }] : [];
    });
  } catch {
    signal.throwIfAborted();
    return [];
  }
}
