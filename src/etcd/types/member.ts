import type { Seen } from '../../host/facts.ts';
import type { HostsClients } from '../../host/host.ts';
import { fields } from '../../plan/fields.ts';
import {
  type Address,
  addressOf,
  type Context,
  nameOf,
  type Observation,
  type ResourceType,
  type World,
} from '../../plan/resource.ts';
import { initialisedKey } from '../bootstrap.ts';
import { bestView, type ListedMember, type MemberView, quorumMembers } from '../gateway.ts';
import { ensureMember, hex, removeMember, viewCluster } from '../join.ts';
import { memberHost, peerUrlOf } from '../on-host.ts';
import { type EtcdCluster, etcdClusterNames, memberHosts, viewOf } from '../probe.ts';
import { hasQuorum } from '../quorum.ts';
import type { ReadFacts } from './cluster.ts';

export interface EtcdMemberProps {
  readonly peerUrl: string;
  /** `lost`: the cluster lists it, and its volume holds nothing of it. */
  readonly data: 'present' | 'lost';
  readonly membership: 'voter' | 'learner';
}
export interface EtcdMemberOutputs {
  /** Decimal uint64; empty: not known while nobody knows a leader. */
  readonly id: string;
}
type Seen1 = Observation<EtcdMemberProps, EtcdMemberOutputs>;

/** A member of an etcd cluster: `etcd.member/main.etcd-a`. Observed through healthy members, so that a lost one is seen as lost. */
export const etcdMember = (readFacts: ReadFacts): ResourceType<EtcdMemberProps, EtcdMemberOutputs, HostsClients> => ({
  name: 'etcd.member',
  dependsOn: ['etcd.cluster', 'host.units'],
  shrink: 'upgrade',
  // Members join one after the other: the last of five waits for all others.
  timeoutMs: 600_000,
  async observe(world) {
    const facts = await world.read(readFacts);
    const found = await Promise.all(etcdClusterNames.map((cluster) => observeCluster(world, cluster, facts)));
    return new Map(found.flat());
  },
  diff: fields<EtcdMemberProps>({ peerUrl: 'replace', data: 'none', membership: 'none' }),
  create: (_props, ctx) => ensure(ctx),
  update: (_props, _outputs, ctx) => ensure(ctx),
  async delete({ id }, ctx) {
    const { cluster } = parse(ctx.address);
    const joining = { clients: ctx.clients, cluster, signal: ctx.signal, progress: ctx.progress };
    const view = await viewCluster(joining);
    if (view.list && !view.list.some((member) => member.ID === id)) return;
    await removeMember(id, view, joining);
  },
});

async function ensure(ctx: Context<HostsClients>): Promise<EtcdMemberOutputs> {
  const { cluster, host } = parse(ctx.address);
  const member = await ensureMember(host, { clients: ctx.clients, cluster, signal: ctx.signal, progress: ctx.progress });
  return { id: member.ID };
}

/** `main.etcd-a` */
function parse(address: Address): { readonly cluster: EtcdCluster; readonly host: string } {
  const name = nameOf(address);
  const cluster = etcdClusterNames.find((candidate) => name.startsWith(`${candidate}.`));
  if (!cluster) throw new Error(`${address} is no etcd member`);
  return { cluster, host: name.slice(cluster.length + 1) };
}

async function observeCluster(
  world: World<HostsClients>,
  cluster: EtcdCluster,
  facts: ReadonlyMap<string, Seen>,
): Promise<readonly (readonly [Address, Seen1])[]> {
  const { clients } = world;
  const hosts = memberHosts(clients, cluster);
  const views = new Map(hosts.map((host) => [host, viewOf(facts.get(host), cluster)]));
  const list = believedList(facts, views);
  const initialised = list !== undefined || (await clients.records.get(initialisedKey(cluster))) !== undefined;
  const designed = await Promise.all(
    hosts.map(async (host): Promise<readonly (readonly [Address, Seen1])[]> => {
      const seen = facts.get(host) ?? { state: 'absent' };
      const view = views.get(host);
      const observation = await observeMember({ world, cluster, host, seen, view, list, initialised });
      return observation ? [[memberAddress(cluster, host), observation]] : [];
    }),
  );
  const strangers = (list ?? []).filter((member) => !hosts.some((host) => isOf(member, host, peerUrl(clients, cluster, host))));
  return [
    ...designed.flat(),
    ...strangers.map((member): readonly [Address, Seen1] => [
      memberAddress(cluster, member.name || `id-${hex(member.ID)}`),
      present(member, 'present'),
    ]),
  ];
}

/**
 * The list of a member that knows a leader, unless too few answer for that to be true: a leader notices only after a second that it
 * has lost its followers. A host that cannot be reached may well be a healthy follower.
 */
function believedList(
  facts: ReadonlyMap<string, Seen>,
  views: ReadonlyMap<string, MemberView | undefined>,
): readonly ListedMember[] | undefined {
  const best = bestView(views.values());
  if (!best) return undefined;
  const possible = quorumMembers(best, views.values()).map((member) => ({
    ...member,
    healthy: member.healthy || facts.get(member.name)?.state === 'unknown',
  }));
  return hasQuorum(possible) ? best.members : undefined;
}

interface Evidence {
  readonly world: World<HostsClients>;
  readonly cluster: EtcdCluster;
  readonly host: string;
  readonly seen: Seen;
  readonly view: MemberView | undefined;
  /** As the members with a leader list it. */
  readonly list: readonly ListedMember[] | undefined;
  readonly initialised: boolean;
}
async function observeMember(evidence: Evidence): Promise<Seen1 | undefined> {
  const { world, cluster, host, seen, view, list, initialised } = evidence;
  // A layer whose lower layer is absent is absent; whose lower layer cannot be reached is unknown.
  if (seen.state === 'unknown') return seen;
  if (seen.state === 'absent' || !initialised) return undefined;
  const url = peerUrl(world.clients, cluster, host);
  const member = list?.find((candidate) => isOf(candidate, host, url));
  if (list && !member) return undefined;
  const answers = view !== undefined && (member === undefined || view.status.header.member_id === member.ID);
  const hasData = answers || (await hasOwnData(evidence));
  if (member) return present(member, hasData ? 'present' : 'lost');
  if (hasData) return { state: 'present', props: { peerUrl: url, data: 'present', membership: 'voter' }, outputs: { id: '' } };
  return { state: 'unknown', why: `${host}: etcd ${cluster} has no leader, and this member has no data` };
}

/** Its etcd does not answer: does its volume hold this member's data? */
async function hasOwnData({ world, cluster, host }: Evidence): Promise<boolean> {
  const volume = await memberHost(world.clients, cluster, host).volume(world.signal);
  return volume.mounted && volume.data && volume.marker === 'ours';
}

const present = (member: ListedMember, data: EtcdMemberProps['data']): Seen1 => ({
  state: 'present',
  props: { peerUrl: member.peerURLs[0] ?? '', data, membership: member.isLearner ? 'learner' : 'voter' },
  outputs: { id: member.ID },
});
const isOf = (member: ListedMember, host: string, url: string): boolean => member.name === host || member.peerURLs.includes(url);
const peerUrl = (clients: HostsClients, cluster: EtcdCluster, host: string): string =>
  peerUrlOf(cluster, clients.machines.get(host)?.identity.NODE_IP ?? '');
const memberAddress = (cluster: EtcdCluster, host: string): Address => addressOf('etcd.member', `${cluster}.${host}`);
