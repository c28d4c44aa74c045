import { setTimeout as sleep } from 'node:timers/promises';
import { UnreachableError } from '../errors.ts';
import { bestView, isHealthy } from './gateway.ts';
import { EtcdRefusal } from './on-host.ts';
import { type ClusterView, hex, type Joining, pollMs, viewCluster } from './view.ts';

const moveWithinMs = 15_000;

/** ID of the leader, as the member that has applied most knows it; undefined: nobody leads. */
export const leaderOf = ({ views }: ClusterView): string | undefined => bestView(views.values())?.status.leader;

/**
 * Hands the lead to another member before this one stops: without that nothing is written until the others have noticed and voted. Does nothing if it does
 * not lead, or nobody else can. `among`: who may lead next, by host name.
 */
export async function moveLeaderAway(id: string, joining: Joining, among: (host: string) => boolean = () => true): Promise<void> {
  const { cluster, signal, progress } = joining;
  const end = performance.now() + moveWithinMs;
  for (;;) {
    const view = await viewCluster(joining);
    if (leaderOf(view) !== id) return;
    const leader = [...view.hosts.values()].find(({ name }) => view.views.get(name)?.status.header.member_id === id);
    const target = successor(view, id, among);
    if (!leader || !target) return progress(`${hex(id)} leads etcd ${cluster}, and nobody can take over from it`);
    progress(`etcd ${cluster}: ${target.name} is to lead`);
    try {
      await leader.call('maintenance/transfer-leadership', { targetID: target.id }, signal);
    } catch (error) {
      // "not leader", or time is up: the next look says who leads. Without it the others vote, half a second later.
      if (!(error instanceof EtcdRefusal || error instanceof UnreachableError)) throw error;
      if (performance.now() > end) return progress(`${hex(id)} still leads etcd ${cluster}: ${error.message}`);
    }
    if (performance.now() > end) return;
    await sleep(pollMs, undefined, { signal });
  }
}

/** The healthy voter that has applied most: it has the least to catch up with. */
function successor({ views }: ClusterView, id: string, among: (host: string) => boolean) {
  return [...views]
    .flatMap(([name, view]) =>
      isHealthy(view) && !view.status.isLearner ? [{ name, view, id: view.status.header.member_id }] : [],
    )
    .filter((candidate) => candidate.id !== id)
    .toSorted(
      (a, b) => Number(among(b.name)) - Number(among(a.name)) || b.view.status.raftAppliedIndex - a.view.status.raftAppliedIndex,
    )[0];
}
