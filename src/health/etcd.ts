import type { Finding } from '../config/finding.ts';
import { etcdStatus } from '../etcd/status.ts';
import type { Seen } from '../host/facts.ts';
import type { EtcdMemberStatus, EtcdStatus } from './status.ts';

type Told = ReturnType<typeof etcdStatus>[number];

/** Each etcd cluster, as its members say. `hosts`: machines that the design gives a member. */
export function etcdStatuses(
  facts: ReadonlyMap<string, Seen>,
  hosts: readonly string[],
  quotaBytes: number,
): readonly EtcdStatus[] {
  return etcdStatus(facts, hosts).map((told) => ({
    cluster: told.cluster,
    quorum: quorumOf(told),
    members: told.members.map((member) => memberStatus(member, quotaBytes)),
  }));
}

/** Held with one voter missing is at risk: the next loss may be the one too many. */
function quorumOf({ quorum, healthyVoters, voters, members }: Told): EtcdStatus['quorum'] {
  if (quorum !== 'held') return quorum;
  return healthyVoters === voters && members.every(({ state }) => state === 'healthy' || state === 'learner')
    ? 'healthy'
    : 'at-risk';
}

const whyOf: Readonly<Partial<Record<Told['members'][number]['state'], string>>> = {
  'no answer': 'etcd does not answer',
  absent: 'its machine does not exist',
};

function memberStatus(member: Told['members'][number], quotaBytes: number): EtcdMemberStatus {
  const { host: name, state, leader, version, dbSize: dbBytes, alarms } = member;
  const why = member.why ?? whyOf[state];
  const known = state === 'healthy' || state === 'unhealthy' || state === 'learner';
  return {
    name,
    state: known ? state : state === 'unreachable' ? 'unknown' : 'unhealthy',
    leader,
    version,
    dbBytes,
    quotaBytes: known ? quotaBytes : undefined,
    alarms,
    ...(why === undefined ? {} : { why }),
  };
}

/** Do all members serve, does quorum hold, is any alarm raised? */
export const etcdFindings = (clusters: readonly EtcdStatus[]): readonly Finding[] =>
  clusters.flatMap((etcd) => [...quorumFindings(etcd), ...memberFindings(etcd), ...alarmFindings(etcd)]);

function quorumFindings({ cluster, quorum, members }: EtcdStatus): readonly Finding[] {
  const healthy = members.filter(({ state }) => state === 'healthy').length;
  const where = `etcd ${cluster}`;
  const counts = `${healthy} of ${members.length} members are healthy`;
  const check = 'etcd.quorum';
  switch (quorum) {
    case 'healthy':
      return [{ severity: 'ok', check, where, what: `${counts}, quorum holds` }];
    case 'at-risk':
      return [{ severity: 'warning', check, where, what: `${counts}: quorum holds, with less to lose than designed` }];
    case 'lost':
      return [
        {
          severity: 'error',
          check,
          where,
          what: `${counts}: quorum is lost, and with it the API`,
          next: 'bring members back: cluster up starts machines and units; cluster logs etcd says why one does not start',
        },
      ];
    case 'unknown':
      return [{ severity: 'error', check: 'etcd.unreachable', where, what: 'whether quorum holds is unknown: too few answer' }];
  }
}

const memberFindings = ({ cluster, members }: EtcdStatus): readonly Finding[] =>
  members.flatMap((member) => memberFinding(cluster, member) ?? []);

function memberFinding(cluster: EtcdStatus['cluster'], { name, state, why }: EtcdMemberStatus): Finding | undefined {
  const base = { check: 'etcd.member', where: `etcd ${cluster} on ${name}`, ...(why === undefined ? {} : { why }) };
  switch (state) {
    case 'healthy':
      return undefined;
    case 'learner':
      return { ...base, severity: 'warning', what: 'the member is a learner: it does not vote yet', next: 'cluster up' };
    case 'unhealthy': {
      const unit = cluster === 'main' ? 'etcd' : 'etcd-events';
      const next = `cluster logs ${name} -u ${unit} says why; cluster up heals a lost one`;
      return { ...base, severity: 'error', what: 'the member is not healthy', next };
    }
    case 'unknown':
      return { ...base, severity: 'warning', what: 'nothing is known of the member: its machine does not answer' };
  }
}

const advice: Readonly<Record<string, string>> = {
  NOSPACE: 'its database has reached the quota and takes no writes: compact, defragment, then disarm the alarm',
  CORRUPT: 'its data differ from the other members: replace the member',
};
const alarmFindings = ({ cluster, members }: EtcdStatus): readonly Finding[] =>
  members.flatMap(({ name, alarms }) =>
    alarms.map((alarm) => ({
      severity: 'error',
      check: 'etcd.alarm',
      where: `etcd ${cluster} on ${name}`,
      what: `alarm ${alarm} is raised`,
      ...(advice[alarm] ? { next: advice[alarm] } : {}),
    })),
  );
