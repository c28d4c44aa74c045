import { unseenOf } from '../plan/make.ts';
import type { Plan } from '../plan/plan.ts';
import { typeOf } from '../plan/resource.ts';

const throughApi: ReadonlySet<string> = new Set([
  'kube.node',
  'kube.pool',
  'kube.addon',
  'kube.certificate',
  'kube.holders',
  'kube.objects',
  'kube.ready',
]);

/** Machines and hosts are seen, and only what the API knows is not: an API server that is just starting, or whose etcd has just come back, tells it a moment later. */
export function onlyApiUnseen(plan: Plan): boolean {
  const unseen = unseenOf(plan);
  return unseen.length > 0 && unseen.every(({ address }) => throughApi.has(typeOf(address)));
}
