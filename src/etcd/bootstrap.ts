import { messageOf, UnreachableError, UserError } from '../errors.ts';
import type { HostsClients } from '../host/host.ts';
import type { Bootstrap, MemberHost, Volume } from './on-host.ts';
import { memberHostsOf } from './on-host.ts';
import type { EtcdCluster } from './probe.ts';
import { quorumOf } from './quorum.ts';

/** The store's word that a cluster was initialised. Written once, after all its members were healthy together. */
export const initialisedKey = (cluster: EtcdCluster): string => `etcd/${cluster}/initialised`;
export const tokenOf = (uid: string, cluster: EtcdCluster): string => `${uid}-${cluster}`;

const healthyWithinMs = 60_000;
/** Volumes of a machine that was just made may be attached only now. */
export const mountedWithinMs = 60_000;

export type Decision =
  /** Nobody has started: write bootstrap.env everywhere, then markers. */
  | { readonly kind: 'begin' }
  /** A killed bootstrap (or a lost record): these hosts hold their part of it. The rest, if any, joins later as new members. */
  | { readonly kind: 'continue'; readonly hosts: readonly string[] }
  | { readonly kind: 'refuse'; readonly what: string; readonly where: string };

/**
 * What to do with volumes as they are, when the store does not say that the cluster was initialised. Pure.
 *
 * bootstrap.env is on every host before the first marker is on any, and no unit starts without a marker. So once anybody has a
 * marker or data, a host without its bootstrap.env has lost its volume: it must not start with an empty log under a name that may
 * have voted (hard part 6).
 */
export function decide(volumes: ReadonlyMap<string, Volume>, token: string): Decision {
  for (const [host, volume] of volumes) {
    if (!volume.mounted) return { kind: 'refuse', what: notMounted(volume), where: host };
    if (volume.marker === 'foreign')
      return { kind: 'refuse', what: 'the etcd volume belongs to another cluster or member (its marker says so)', where: host };
    if (volume.data && volume.marker === 'none')
      return { kind: 'refuse', what: 'the etcd volume holds data, and no marker says whose', where: host };
    if ((volume.data || volume.marker === 'ours') && volume.bootstrap?.token !== token)
      return {
        kind: 'refuse',
        what: 'the etcd volume is marked as ours, but its bootstrap.env is not of this cluster',
        where: host,
      };
  }
  const begun = [...volumes].filter(([, volume]) => volume.marker === 'ours');
  if (begun.length === 0) return { kind: 'begin' };
  const participants = begun[0]?.[1].bootstrap?.members ?? new Map();
  const holding = [...volumes].filter(([host, { bootstrap }]) => participants.has(host) && bootstrap?.token === token);
  if (holding.length >= quorumOf(participants.size)) return { kind: 'continue', hosts: holding.map(([host]) => host) };
  return {
    kind: 'refuse',
    what: `only ${holding.length} of ${participants.size} members still have their volume: quorum is lost`,
    where: begun.map(([host]) => host).join(', '),
  };
}

const notMounted = ({ why }: Volume): string => `the etcd volume is not mounted${why === undefined ? '' : ` (${why})`}`;

/** Makes the cluster, once in its life; may be killed anywhere and run again. */
export async function bootstrap(
  clients: HostsClients,
  cluster: EtcdCluster,
  signal: AbortSignal,
  progress: (message: string) => void,
): Promise<void> {
  const record = await clients.records.get(initialisedKey(cluster));
  if (record !== undefined) throw refusal(cluster, 'the store says that it was initialised before', record);
  const hosts = memberHostsOf(clients, cluster);
  const token = tokenOf(clients.uid, cluster);
  const decision = decide(await readVolumes(hosts, cluster, signal), token);
  if (decision.kind === 'refuse') throw refusal(cluster, decision.what, decision.where);
  const taking = decision.kind === 'begin' ? [...hosts.values()] : decision.hosts.flatMap((name) => hosts.get(name) ?? []);
  if (decision.kind === 'begin') {
    const members = new Map(taking.map((host) => [host.name, host.peerUrl]));
    const content: Bootstrap = { state: 'new', token, members };
    await Promise.all(taking.map((host) => host.writeBootstrap(content, signal)));
  }
  progress(`starting ${taking.length} members together`);
  await Promise.all(taking.map((host) => host.startMarked(signal)));
  await Promise.all(taking.map((host) => host.waitForLeader(healthyWithinMs, signal)));
  const at = new Date(clients.now()).toISOString();
  await clients.records.put(initialisedKey(cluster), JSON.stringify({ at, members: taking.map((host) => host.name) }));
  progress('initialised');
}

/** Every member is asked, and none may be missing: an unreached one might hold the cluster's data. */
async function readVolumes(
  hosts: ReadonlyMap<string, MemberHost>,
  cluster: EtcdCluster,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Volume>> {
  const answers = await Promise.allSettled(
    [...hosts].map(async ([name, host]) => [name, await host.volume(signal, mountedWithinMs)] as const),
  );
  signal.throwIfAborted();
  const lost = answers.find((answer) => answer.status === 'rejected');
  if (lost)
    throw new UnreachableError({
      what: `etcd ${cluster} is bootstrapped only when every member is reached`,
      why: messageOf(lost.reason),
      next: 'run the same command again when all etcd machines are up',
    });
  return new Map(answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : [])));
}

const refusal = (cluster: EtcdCluster, what: string, where: string): UserError =>
  new UserError({
    what: `etcd ${cluster} is not bootstrapped: ${what}`,
    where,
    next: 'bring the volumes back, or restore a recovery point by hand (docs/operations/backup.md); cluster down --allow-data-loss begins from nothing',
  });
