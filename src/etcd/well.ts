import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../errors.ts';
import type { HostsClients } from '../host/host.ts';
import type { MemberView } from './gateway.ts';
import { memberHostsOf } from './on-host.ts';
import type { EtcdCluster } from './probe.ts';
import { pollMs } from './view.ts';

const withinMs = 60_000;
/** Entries of the log: members are asked one after the other, and an API server writes hundreds of them a second. One that lags behind lags by far more. */
const mostBehind = 1_000;

/**
 * Waits until every member of these clusters knows a leader, by its own word, reports no error, has a vote, and has applied what the others have. Throws UserError
 * after a minute.
 */
export async function membersWell({
  clients,
  clusters,
  signal,
}: {
  readonly clients: HostsClients;
  readonly clusters: readonly EtcdCluster[];
  readonly signal: AbortSignal;
}): Promise<void> {
  await Promise.all(
    clusters.map(async (cluster) => {
      const end = performance.now() + withinMs;
      const members = [...memberHostsOf(clients, cluster).values()];
      for (;;) {
        const views = await Promise.all(
          members.map(async (member) => [member.name, await member.waitForLeader(withinMs, signal)] as const),
        );
        const lacks = lackOfMembers(new Map(views));
        if (lacks.length === 0) return;
        if (performance.now() > end)
          throw new UserError({
            what: `members are not well within ${withinMs / 1000} s`,
            where: `etcd ${cluster}`,
            why: lacks.join('\n'),
            next: 'cluster logs of these machines; then run the same command again: it goes on from there',
          });
        await sleep(pollMs, undefined, { signal });
      }
    }),
  );
}

/** What is not well with whom, a line each. Pure. */
export function lackOfMembers(views: ReadonlyMap<string, MemberView>): readonly string[] {
  const ahead = Math.max(0, ...[...views.values()].map(({ status }) => status.raftAppliedIndex));
  return [...views].flatMap(([name, { status }]) => {
    const behind = ahead - status.raftAppliedIndex;
    return [
      ...status.errors.map((error) => `${name}: ${error}`),
      ...(status.isLearner ? [`${name} has no vote yet`] : []),
      ...(behind > mostBehind ? [`${name} is ${behind} entries behind`] : []),
    ];
  });
}
