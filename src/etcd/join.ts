import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../errors.ts';
import type { HostsClients } from '../host/host.ts';
import { mountedWithinMs, tokenOf } from './bootstrap.ts';
import type { ListedMember, MemberView } from './gateway.ts';
import { addMember, promoteMember, removeMember } from './membership.ts';
import { type MemberHost, memberHostsOf, RemovedMember, removedMember, type Volume } from './on-host.ts';
import type { EtcdCluster } from './probe.ts';
import { hasQuorum } from './quorum.ts';
import { type ClusterView, findMember, hex, isOf, type Joining, pollMs, quorateView, viewCluster } from './view.ts';

const startWithinMs = 60_000;
const syncWithinMs = 90_000;
const agreeWithinMs = 30_000;
const maxAttempts = 3;

/**
 * Brings one member to "voter, with its data, in its cluster", from whatever state it is in: each sub-step begins by looking, so a
 * killed run is gone on with by running it again. One at a time in a cluster.
 */
export async function ensureMember(name: string, joining: Joining): Promise<ListedMember> {
  const { clients, cluster, signal } = joining;
  const host = memberHostsOf(clients, cluster).get(name);
  if (!host) throw new Error(`${name} runs no member of etcd ${cluster}`);
  // The usual case, right after bootstrap: it is a voter already. No queue, one round trip.
  const own = await host.view(signal);
  const settled = own && settledMember(own, host);
  if (settled) return settled;
  return inTurn(clients, cluster, () => bringIn(host, joining));
}

const settledMember = (view: MemberView, host: MemberHost): ListedMember | undefined =>
  view.status.leader !== '0' && !view.status.isLearner
    ? view.members.find((m) => m.ID === view.status.header.member_id && m.name === host.name && !m.isLearner)
    : undefined;

/** The queue of each etcd cluster lives as long as the clients that talk to it. */
const queues = new WeakMap<HostsClients, Map<EtcdCluster, Promise<unknown>>>();
export function inTurn<T>(clients: HostsClients, cluster: EtcdCluster, act: () => Promise<T>): Promise<T> {
  const ofClients = queues.get(clients) ?? new Map<EtcdCluster, Promise<unknown>>();
  queues.set(clients, ofClients);
  const turn = (ofClients.get(cluster) ?? Promise.resolve()).then(act, act);
  ofClients.set(cluster, turn);
  return turn;
}

async function bringIn(host: MemberHost, joining: Joining): Promise<ListedMember> {
  const { cluster, signal, progress } = joining;
  for (let attempt = 1; ; attempt++) {
    try {
      await bringToAnswer(host, joining);
      return await promoteWhenInSync(host, joining);
    } catch (error) {
      // Its data may prove to be a removed member's only once it runs: then it is of no use, and the next round joins it anew.
      if (!(error instanceof RemovedMember) || attempt === maxAttempts) throw error;
      await quorateView(host, joining);
      progress(`etcd ${cluster} has removed this member: moving its old data aside`);
      await host.setDataAside(signal);
    }
  }
}

async function bringToAnswer(host: MemberHost, joining: Joining): Promise<void> {
  const { progress } = joining;
  const volume = await ownVolume(host, joining);
  if (volume.data) return startWithItsData(host, joining);
  const view = await quorateView(host, joining);
  const listed = view.list && findMember(view.list, host);
  // A learner that was added by a run that was killed has an ID of its own and no data yet: it goes on from there.
  if (listed?.name === '' && listed.isLearner) return startJoined(host, joining);
  if (listed) {
    progress('its data is lost: removing the old member');
    await removeMember(listed.ID, view, joining);
  }
  await addLearner(host, await quorateView(host, joining), joining);
  await startJoined(host, joining);
}

/**
 * Its volume, which holds either this member's data or none. A start that a killed run left behind may be writing that data just now: so it is
 * stopped before "none" is believed. Else a member that has just become one is taken for lost and removed.
 */
async function ownVolume(host: MemberHost, { cluster, signal }: Joining): Promise<Volume> {
  const volume = await host.volume(signal, mountedWithinMs);
  refuseStrange(volume, host, cluster);
  if (volume.data) return volume;
  await host.stop(signal);
  const still = await host.volume(signal);
  refuseStrange(still, host, cluster);
  return still;
}

/** Throws RemovedMember: its data is of a member that is no more. */
async function startWithItsData(host: MemberHost, joining: Joining): Promise<void> {
  const { cluster, signal, progress } = joining;
  const seen = await viewCluster(joining);
  // Without quorum nobody's list tells who was removed; its own vote may be the one that is missing.
  if (seen.list && hasQuorum(seen.quorum) && !findMember(seen.list, host)) throw removedMember(host.name, cluster);
  progress('starting it with its own data');
  await host.startMarked(signal);
  await host.waitForLeader(startWithinMs, signal);
}

async function addLearner(host: MemberHost, view: ClusterView, joining: Joining): Promise<void> {
  const { progress } = joining;
  const other = view.list?.find((member) => member.isLearner);
  if (other) {
    await finishOther(other, view, joining);
    return addLearner(host, await quorateView(host, joining), joining);
  }
  progress('adding it as a learner');
  await addMember(host, view, joining);
}

/** A learner that another killed run left behind: bring it in first; if no machine of the design is its own, it goes. */
async function finishOther(other: ListedMember, view: ClusterView, joining: Joining): Promise<void> {
  const hosts = [...memberHostsOf(joining.clients, joining.cluster).values()];
  const host = hosts.find((candidate) => findMember([other], candidate));
  joining.progress(`first: ${host?.name ?? hex(other.ID)}, a learner that was left behind`);
  if (host) await bringIn(host, joining);
  else await removeMember(other.ID, view, joining);
}

async function startJoined(host: MemberHost, joining: Joining): Promise<void> {
  const { clients, cluster, signal, progress } = joining;
  const list = await agreedList(host, joining);
  const members = new Map(list.map((m) => [isOf(m, host) ? host.name : m.name, m.peerURLs[0] ?? '']));
  await host.writeBootstrap({ state: 'existing', token: tokenOf(clients.uid, cluster), members }, signal);
  progress('starting it as a learner');
  await host.startMarked(signal);
  await host.waitForLeader(startWithinMs, signal);
}

/**
 * The members' list once all who answer have the same, with the newcomer in it. A starting member asks any of them who it is: one that
 * lags by a moment would let it start under the ID of its removed predecessor.
 */
async function agreedList(host: MemberHost, joining: Joining): Promise<readonly ListedMember[]> {
  const end = performance.now() + agreeWithinMs;
  for (;;) {
    const { list, views } = await quorateView(host, joining);
    const lists = [...views].flatMap(([name, view]) =>
      name !== host.name && view && view.members.length > 0 ? [view.members] : [],
    );
    const ids = new Set(
      lists.map((members) =>
        members
          .map((member) => member.ID)
          .sort()
          .join(' '),
      ),
    );
    if (list && ids.size === 1 && findMember(list, host)) return list;
    if (performance.now() > end)
      throw new UserError({
        what: `the members of etcd ${joining.cluster} do not agree on who they are`,
        next: 'cluster status',
      });
    await sleep(pollMs, undefined, { signal: joining.signal });
  }
}

async function promoteWhenInSync(host: MemberHost, joining: Joining): Promise<ListedMember> {
  const { cluster, signal, progress } = joining;
  const end = performance.now() + syncWithinMs;
  let why: string | undefined = 'it gives no answer';
  while (performance.now() < end) {
    const view = await viewCluster(joining);
    const member = view.list && findMember(view.list, host);
    const own = view.views.get(host.name);
    // A removed member hears of the leader, and answers, for a moment before it is told.
    const other = own !== undefined && member !== undefined && own.status.header.member_id !== member.ID;
    if (other || (view.list && !member && hasQuorum(view.quorum))) throw removedMember(host.name, cluster);
    if (member && !member.isLearner && member.name === host.name) return member;
    if (member?.isLearner && own) {
      progress('promoting it to a voter');
      why = await promoteMember(member.ID, view, joining);
      if (why === undefined) continue;
    }
    await sleep(pollMs, undefined, { signal });
  }
  throw new UserError({
    what: `the new member of etcd ${cluster} was not in sync within ${syncWithinMs / 1000} s`,
    where: host.name,
    why: [why ?? '', ...(await host.lastLines(signal))].join('\n'),
    next: 'run the same command again: it goes on from here',
  });
}

function refuseStrange(volume: Volume, host: MemberHost, cluster: EtcdCluster): void {
  const where = host.name;
  if (!volume.mounted)
    throw new UserError({ what: `the volume of etcd ${cluster} is not mounted`, where, ...(volume.why && { why: volume.why }) });
  if (volume.marker === 'foreign' || (volume.data && volume.marker === 'none'))
    throw new UserError({
      what: `the volume of etcd ${cluster} holds data of another cluster or member`,
      where,
      next: `look at /var/lib/etcd-${cluster} on ${where}; give the machine an empty volume`,
    });
}
