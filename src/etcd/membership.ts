import { setTimeout as sleep } from 'node:timers/promises';
import { UnreachableError, UserError } from '../errors.ts';
import { isHealthy, type ListedMember } from './gateway.ts';
import type { MemberHost } from './on-host.ts';
import { EtcdRefusal } from './on-host.ts';
import { canAdd, canPromote, canRemove, type Verdict } from './quorum.ts';
import { type ClusterView, findMember, hex, type Joining, pollMs, viewCluster } from './view.ts';

const settleWithinMs = 30_000;

/** Removes a member after quorum has been simulated without it. */
export async function removeMember(id: string, view: ClusterView, joining: Joining): Promise<void> {
  const { cluster } = joining;
  insist(canRemove(view.quorum, id), `member ${hex(id)} of etcd ${cluster} may not be removed`);
  const done: Change['done'] = (list) => !list.some((member) => member.ID === id);
  await change(view, joining, { path: 'cluster/member/remove', body: { ID: id }, done, notBy: id });
}

/** Adds the host as a learner: it has no vote before it is in sync. */
export async function addMember(host: MemberHost, view: ClusterView, joining: Joining): Promise<void> {
  insist(canAdd(view.quorum, host.name), `${host.name} may not join etcd ${joining.cluster}`);
  const body = { peerURLs: [host.peerUrl], isLearner: true };
  const done: Change['done'] = (list) => findMember(list, host) !== undefined;
  await change(view, joining, { path: 'cluster/member/add', body, done });
}

/** Makes a learner a voter. Returns why not yet, or undefined when it is one. */
export async function promoteMember(id: string, view: ClusterView, joining: Joining): Promise<string | undefined> {
  const verdict = canPromote(view.quorum, id);
  if (!verdict.ok) return verdict.why;
  const done: Change['done'] = (list) => list.some((member) => member.ID === id && !member.isLearner);
  try {
    await change(view, joining, { path: 'cluster/member/promote', body: { ID: id }, done });
    return undefined;
  } catch (error) {
    // "can only promote a learner member which is in sync with leader", and its like: it will be soon.
    if (error instanceof EtcdRefusal) return error.message;
    throw error;
  }
}

interface Change {
  readonly path: string;
  readonly body: object;
  /** Whether the members' list shows that it has happened. */
  readonly done: (list: readonly ListedMember[]) => boolean;
  /** ID of a member that is not asked: one that is removed stops before it has answered. */
  readonly notBy?: string;
}
/**
 * One change of membership. etcd itself refuses it until all voters have been connected for 5 s (strict reconfig check), so that
 * answer is waited out; any other refusal is thrown in etcd's own words. A proposal that raft drops (another change is pending) is
 * never answered: then the list says whether it happened.
 */
async function change(view: ClusterView, joining: Joining, { path, body, done, notBy }: Change): Promise<void> {
  const { cluster, signal, progress } = joining;
  const end = performance.now() + settleWithinMs;
  let through = askedOf(view, notBy);
  for (let waited = false; ; waited = true) {
    if (!through) throw new UnreachableError({ what: `no member of etcd ${cluster} answers` });
    try {
      await through.call(path, body, signal);
      return;
    } catch (error) {
      const passing =
        error instanceof UnreachableError || (error instanceof EtcdRefusal && /unhealthy cluster/.test(error.message));
      if (!passing || signal.aborted || performance.now() > end) throw error;
      if (!waited) progress('waiting until the members have been connected for 5 s');
    }
    await sleep(pollMs, undefined, { signal });
    const now = await viewCluster(joining);
    if (now.list && done(now.list)) return;
    through = askedOf(now, notBy);
  }
}

function askedOf({ hosts, views, through }: ClusterView, notBy: string | undefined): MemberHost | undefined {
  const answers = [...hosts.values()].filter(({ name }) => {
    const view = views.get(name);
    return isHealthy(view) && !view.status.isLearner && view.status.header.member_id !== notBy;
  });
  return answers.find(({ name }) => name === through?.name) ?? (notBy === undefined ? through : answers[0]);
}

function insist(verdict: Verdict, what: string): void {
  if (!verdict.ok)
    throw new UserError({ what, why: verdict.why, next: 'bring the other members to health first (cluster status)' });
}
