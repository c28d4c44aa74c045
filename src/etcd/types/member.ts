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
import { ensureMember } from '../join.ts';
import { memberHost, peerUrlOf } from '../on-host.ts';
import { type EtcdCluster, etcdClusterNames, memberHosts, viewOf } from '../probe.ts';
import { hasQuorum } from '../quorum.ts';
import { leave } from '../remove.ts';
import { hex } from '../view.ts';

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
/** One SSH round trip a host, shared with every other type of the layer. */
export type ReadFacts = (clients: HostsClients, signal: AbortSignal) => Promise<ReadonlyMap<string, Seen>>;
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
  /** Its machine or its unit has just been started: it serves once it knows a leader. */
  async verify(_props, { address, clients, signal }) {
    const { cluster, host } = parse(address);
    await memberHost(clients, cluster, host).waitForLeader(60_000, signal);
  },
  delete({ id }, { address, clients, signal, progress }) {
    return leave(id, { clients, cluster: parse(address).cluster, signal, progress });
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
  const views = viewsOf(clients, cluster, facts);
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

/** Of the members that are designed, and of machines that are no longer: their votes count until they are removed. */
const viewsOf = (
  clients: HostsClients,
  cluster: EtcdCluster,
  facts: ReadonlyMap<string, Seen>,
): ReadonlyMap<string, MemberView | undefined> =>
  new Map(
    [...memberHosts(clients, cluster), ...[...facts.keys()].filter((name) => !clients.machines.has(name))].map((host) => [
      host,
      viewOf(facts.get(host), cluster),
    ]),
  );

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
  const lacks = answers ? undefined : await lackingData(evidence);
  if (member) return present(member, lacks === undefined ? 'present' : 'lost');
  if (lacks !== undefined) return { state: 'unknown', why: `${host}: etcd ${cluster} has no leader, and ${lacks}` };
  return { state: 'present', props: { peerUrl: url, data: 'present', membership: 'voter' }, outputs: { id: '' } };
}

/** Its etcd does not answer: why its volume is not this member's data. Undefined: it is. */
async function lackingData({ world, cluster, host }: Pick<Evidence, 'world' | 'cluster' | 'host'>): Promise<string | undefined> {
  const { mounted, data, marker } = await memberHost(world.clients, cluster, host).volume(world.signal);
  const volume = `the volume of ${host}`;
  if (!mounted) return `${volume} is not mounted`;
  if (!data) return `${volume} holds no data: bring back the volume, or your own copy of it`;
  if (marker === 'ours') return undefined;
  return marker === 'none'
    ? `${volume} holds data without the marker .slipway-member that says whose: it is not started`
    : `${volume} is marked as another member's: it is not started`;
}

/**
 * Why no leader can be expected of an initialised cluster: machines that are there, and hold no data of their members. Undefined: it is led, or
 * its members have only to be started.
 */
export async function whyNobodyLeads(
  world: World<HostsClients>,
  cluster: EtcdCluster,
  facts: ReadonlyMap<string, Seen>,
): Promise<string | undefined> {
  const hosts = memberHosts(world.clients, cluster);
  const views = viewsOf(world.clients, cluster, facts);
  if (believedList(facts, views)) return undefined;
  const silent = hosts.filter((host) => facts.get(host)?.state === 'present' && !views.get(host));
  const lacks = await Promise.all(silent.map((host) => lackingData({ world, cluster, host })));
  const said = lacks.filter((why) => why !== undefined);
  return said.length > 0 ? said.join('; ') : undefined;
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
