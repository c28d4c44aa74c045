import { isOverdue, keptGraceMs, type Leaving } from './course.ts';
import type { Pod } from './pod.ts';
import type { DrainPolicy } from './pods.ts';

/** Accepted, and yet nobody stops it: a webhook may have taken the eviction for its own. */
const ignoredMs = 10_000;

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
