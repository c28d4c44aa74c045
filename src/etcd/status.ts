import type { Seen } from '../host/facts.ts';
import { bestView, isHealthy, type MemberView, quorumMembers } from './gateway.ts';
import { type EtcdCluster, etcdClusterNames, probeName, viewOf } from './probe.ts';
import { healthyVoters, quorumOf, votersOf } from './quorum.ts';

/** What `status` shows of one member. */
export interface EtcdMemberStatus {
  readonly host: string;
  readonly state: 'healthy' | 'unhealthy' | 'learner' | 'no answer' | 'unreachable' | 'absent';
  readonly leader: boolean;
  readonly version?: string;
  /** Bytes on disk, and of those in use: the rest is what defragmentation gives back. */
  readonly dbSize?: number;
  readonly dbSizeInUse?: number;
  /** NOSPACE, CORRUPT */
  readonly alarms: readonly string[];
  readonly why?: string;
}
export interface EtcdStatus {
  readonly cluster: EtcdCluster;
  readonly quorum: 'held' | 'lost' | 'unknown';
  readonly healthyVoters: number;
  readonly voters: number;
  readonly members: readonly EtcdMemberStatus[];
}

/** Each etcd cluster as its members' probes show it. `hosts`: the machines that the design gives a member; others that still are members are added. Pure. */
export function etcdStatus(facts: ReadonlyMap<string, Seen>, hosts?: readonly string[]): readonly EtcdStatus[] {
  return etcdClusterNames.flatMap((cluster) => {
    const probing = hostsWithProbe(facts, cluster);
    const all = new Map([...new Set([...(hosts ?? []), ...probing])].map((name) => [name, viewOf(facts.get(name), cluster)]));
    // A machine that is no longer designed counts while it is a member, also where it is lost.
    const listed = bestView(all.values())?.members ?? [];
    const others = listed.map(({ name }) => name).filter((name) => name !== '' && !hosts?.includes(name));
    const names = hosts ? [...hosts, ...others] : probing;
    const views = new Map(names.map((name) => [name, all.get(name)]));
    const probed = names.some((name) => hasProbe(facts.get(name), cluster));
    if (names.length === 0 || (cluster !== 'main' && !probed)) return [];
    const best = bestView(views.values());
    const quorum = best ? quorumMembers(best, views.values()) : [];
    const [healthy, voters] = [healthyVoters(quorum), votersOf(quorum).length];
    const blind = names.some((name) => facts.get(name)?.state === 'unknown');
    return {
      cluster,
      quorum: best ? (healthy >= quorumOf(voters) || blind ? 'held' : 'lost') : blind ? 'unknown' : 'lost',
      healthyVoters: healthy,
      voters,
      members: names.map((name) => memberStatus(name, facts.get(name), views.get(name), best)),
    };
  });
}

const hasProbe = (seen: Seen | undefined, cluster: EtcdCluster): boolean =>
  seen?.state === 'present' && seen.facts.probes.has(probeName(cluster));
const hostsWithProbe = (facts: ReadonlyMap<string, Seen>, cluster: EtcdCluster): readonly string[] =>
  [...facts].filter(([, seen]) => hasProbe(seen, cluster)).map(([name]) => name);

function memberStatus(
  host: string,
  seen: Seen | undefined,
  view: MemberView | undefined,
  best: MemberView | undefined,
): EtcdMemberStatus {
  const none = { host, leader: false, alarms: [] };
  if (!seen || seen.state === 'absent') return { ...none, state: 'absent' };
  if (seen.state === 'unknown') return { ...none, state: 'unreachable', why: seen.why };
  if (!view) return { ...none, state: 'no answer' };
  const { status } = view;
  const id = status.header.member_id;
  const alarms = (best ?? view).alarms.filter((alarm) => alarm.memberId === id).map(({ alarm }) => alarm);
  const [why] = status.errors;
  return {
    host,
    state: status.isLearner ? 'learner' : isHealthy(view) ? 'healthy' : 'unhealthy',
    leader: status.leader === id,
    version: status.version,
    dbSize: status.dbSize,
    dbSizeInUse: status.dbSizeInUse,
    alarms,
    ...(why === undefined ? {} : { why }),
  };
}
