import { messageOf, UnreachableError } from '../../errors.ts';
import type { KubeApi } from '../client.ts';
import { KubeRefusal } from '../http.ts';
import { type Leaving, slackMs } from './course.ts';
import type { Pod } from './pod.ts';

/** Between two requests for the same pod's eviction, of which the first come fast: a budget is counted anew a moment after a pod is ready. */
const againMs = 200;
const againMostMs = 1_000;
const slower = 1.6;

export async function askToLeave(
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
export async function remove(api: Pick<KubeApi, 'delete'>, pod: Pod, state: Leaving, signal: AbortSignal): Promise<void> {
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
