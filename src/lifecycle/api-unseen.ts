import { setTimeout as sleep } from 'node:timers/promises';
import { unseenOf } from '../plan/make.ts';
import type { Plan } from '../plan/plan.ts';
import { typeOf } from '../plan/resource.ts';
import type { Session } from './session.ts';

const throughApi: ReadonlySet<string> = new Set([
  'kube.node',
  'kube.pool',
  'kube.addon',
  'kube.certificate',
  'kube.holders',
  'kube.objects',
  'kube.ready',
]);

/** Enough for an API server to start, and for one that runs to try the connections to its etcd again. */
const apiWithinMs = 60_000;
const lookEveryMs = 1000;

/**
 * Looks until what only the API knows is seen, too, or for so long: where machines and hosts are seen, an API server that is just starting, or whose only etcd
 * member has just come back, tells it a moment later. Returns the last look, whatever it has not seen. `enough`: of one that need not see it.
 */
export async function untilApiSeen<Found>(
  { opened, signal }: Pick<Session, 'opened' | 'signal'>,
  look: () => Promise<Found>,
  planOf: (found: Found) => Plan,
  enough: (found: Found) => boolean = () => false,
): Promise<Found> {
  const end = opened.now() + apiWithinMs;
  for (;;) {
    const found = await look();
    if (!onlyApiUnseen(planOf(found)) || enough(found) || opened.now() > end) return found;
    await sleep(lookEveryMs, undefined, { signal });
  }
}

/** Machines and hosts are seen, and only what the API knows is not. */
export function onlyApiUnseen(plan: Plan): boolean {
  const unseen = unseenOf(plan);
  return unseen.length > 0 && unseen.every(({ address }) => throughApi.has(typeOf(address)));
}
