import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../errors.ts';
import { inTurn } from './join.ts';
import { moveLeaderAway } from './leader.ts';
import { removeMember } from './membership.ts';
import { hasQuorum, type Member } from './quorum.ts';
import { type ClusterView, hex, type Joining, pollMs, quorateView, viewCluster } from './view.ts';

/** One slow answer is no failure: it is asked for a few seconds before it is refused. */
const patienceMs = 6_000;
const settleWithinMs = 30_000;

/**
 * Takes a member out that is no longer designed: one at a time in a cluster, only while all that stay are healthy, the leader handing over first. May be
 * killed anywhere and run again. Throws UserError when quorum does not allow it.
 */
export const leave = (id: string, joining: Joining): Promise<void> =>
  inTurn(joining.clients, joining.cluster, () => leaveInTurn(id, joining));

async function leaveInTurn(id: string, joining: Joining): Promise<void> {
  const { cluster, clients, progress } = joining;
  const where = { name: `etcd ${cluster}` };
  if (isOut(await quorateView(where, joining, 'leave'), id)) return;
  await healthyWithout(id, joining);
  await moveLeaderAway(id, joining, (host) => clients.machines.has(host));
  const view = await quorateView(where, joining, 'leave');
  if (isOut(view, id)) return;
  progress(`removing ${nameIn(view, id)} from etcd ${cluster}`);
  await removeMember(id, view, joining);
  await settled(id, joining);
}

const isOut = ({ list }: ClusterView, id: string): boolean => list !== undefined && !list.some((member) => member.ID === id);
const nameIn = ({ list }: ClusterView, id: string): string => list?.find((member) => member.ID === id)?.name || hex(id);

/** Why a healthy member may not leave: who stays must be well first. One that is not healthy itself leaves a stronger cluster behind. Pure. */
export function whyNotLeave(members: readonly Member[], id: string): string | undefined {
  const leaving = members.find((member) => member.id === id);
  if (leaving && !leaving.healthy) return undefined;
  const sick = members.filter((member) => member.id !== id && !member.healthy);
  return sick.length === 0 ? undefined : sick.map((member) => `${member.name || hex(member.id)} is not healthy`).join('\n');
}

async function healthyWithout(id: string, joining: Joining): Promise<void> {
  const end = performance.now() + patienceMs;
  for (;;) {
    const view = await viewCluster(joining);
    const why = whyNotLeave(view.quorum, id);
    if (view.list && why === undefined) return;
    if (performance.now() > end)
      throw new UserError({
        what: `${nameIn(view, id)} may not leave etcd ${joining.cluster} now`,
        why: why ?? 'no member knows a leader',
        next: 'bring the members that stay to health first (cluster status), then run the same command again',
      });
    await sleep(pollMs, undefined, { signal: joining.signal });
  }
}

/** The next act finds members that have taken notice. */
async function settled(id: string, joining: Joining): Promise<void> {
  const end = performance.now() + settleWithinMs;
  for (;;) {
    const view = await viewCluster(joining);
    const agreed = [...view.views.values()].every(
      (own) => !own || own.status.header.member_id === id || !own.members.some(({ ID }) => ID === id),
    );
    if (isOut(view, id) && hasQuorum(view.quorum) && agreed) return;
    if (performance.now() > end)
      throw new UserError({
        what: `etcd ${joining.cluster} was not well within ${settleWithinMs / 1000} s after ${hex(id)} was removed`,
        next: 'cluster status, then run the same command again',
      });
    await sleep(pollMs, undefined, { signal: joining.signal });
  }
}
