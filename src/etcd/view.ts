import { setTimeout as sleep } from 'node:timers/promises';
import { UnreachableError, UserError } from '../errors.ts';
import type { HostsClients } from '../host/host.ts';
import { bestView, type ListedMember, type MemberView, quorumMembers } from './gateway.ts';
import { formerHosts, type MemberHost, memberHost, memberHostsOf } from './on-host.ts';
import type { EtcdCluster } from './probe.ts';
import { hasQuorum, type Member } from './quorum.ts';

/** How long a cluster is asked again before what it lacks is believed. */
export const patienceMs = 6_000;
/** A machine that is down must not take the time in which the others are to agree. */
const reachMs = 2_000;
export const pollMs = 150;

/** The cluster as its members see it just now. */
export interface ClusterView {
  /** Undefined: nobody knows a leader. */
  readonly list: readonly ListedMember[] | undefined;
  readonly quorum: readonly Member[];
  /** By host: those of the design, and those that are members still. */
  readonly views: ReadonlyMap<string, MemberView | undefined>;
  readonly hosts: ReadonlyMap<string, MemberHost>;
  /** Someone healthy, to ask for changes of membership. */
  readonly through: MemberHost | undefined;
}

export interface Joining {
  readonly clients: HostsClients;
  readonly cluster: EtcdCluster;
  readonly signal: AbortSignal;
  progress(message: string): void;
}

/** Asks every member at once; one that cannot be reached has no view. */
export async function viewCluster({ clients, cluster, signal }: Omit<Joining, 'progress'>): Promise<ClusterView> {
  const hosts = new Map(memberHostsOf(clients, cluster));
  const views = await ask(hosts, signal);
  // A machine that is no longer designed is asked while it is a member: its vote counts until it is removed.
  const listed = bestView(views.values())?.members;
  const former = new Map(
    formerHosts(clients)
      .filter((name) => clients.hosts.access().hosts.get(name)?.state === 'reachable')
      .filter((name) => listed?.some((member) => member.name === name) ?? true)
      .map((name) => [name, memberHost(clients, cluster, name)]),
  );
  for (const [name, host] of former) hosts.set(name, host);
  for (const [name, view] of await ask(former, signal)) views.set(name, view);
  const best = bestView(views.values());
  const through = best && [...hosts.values()].find((host) => views.get(host.name) === best);
  return { list: best?.members, quorum: best ? quorumMembers(best, views.values()) : [], views, hosts, through };
}

async function ask(hosts: ReadonlyMap<string, MemberHost>, signal: AbortSignal): Promise<Map<string, MemberView | undefined>> {
  const answers = await Promise.all(
    [...hosts].map(async ([name, host]): Promise<[string, MemberView | undefined]> => {
      const answer = await host.view(signal, reachMs).catch((error: unknown) => {
        if (signal.aborted || !(error instanceof UnreachableError)) throw error;
        return undefined;
      });
      return [name, answer];
    }),
  );
  return new Map(answers);
}

/** A view in which quorum holds. One slow answer is no loss of quorum, so it is asked for a few seconds before it is refused. */
export async function quorateView(host: Pick<MemberHost, 'name'>, joining: Joining, act = 'join'): Promise<ClusterView> {
  const end = performance.now() + patienceMs;
  for (;;) {
    const view = await viewCluster(joining);
    if (view.list && hasQuorum(view.quorum)) return view;
    if (performance.now() > end) throw quorumLost(host.name, joining.cluster, view.quorum, act);
    await sleep(pollMs, undefined, { signal: joining.signal });
  }
}

export const isOf = (member: ListedMember, host: MemberHost): boolean =>
  member.name === host.name || member.peerURLs.includes(host.peerUrl);
export const findMember = (list: readonly ListedMember[], host: MemberHost): ListedMember | undefined =>
  list.find((member) => isOf(member, host));

const quorumLost = (where: string, cluster: EtcdCluster, members: readonly Member[], act: string): UserError =>
  new UserError({
    what: `etcd ${cluster} has no quorum, so no member can ${act}`,
    where,
    why:
      members.length > 0
        ? members.map((m) => `${m.name || hex(m.id)}: ${m.healthy ? 'healthy' : 'not healthy'}`).join('\n')
        : 'no member knows a leader',
    next: 'start the other members; if their data is lost, bring back your own copies of their volumes',
  });

/** etcdctl shows IDs in hex. */
export const hex = (id: string): string => BigInt(id).toString(16);
