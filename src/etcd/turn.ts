import { setTimeout as sleep } from 'node:timers/promises';
import { minorOf } from '../assets/version-order.ts';
import { UserError } from '../errors.ts';
import type { HostsClients } from '../host/host.ts';
import type { Amount } from '../plan/resource.ts';
import { moveLeaderAway } from './leader.ts';
import { memberHostsOf } from './on-host.ts';
import type { EtcdCluster } from './probe.ts';
import { canRestart, type Member } from './quorum.ts';
import { type Joining, patienceMs, pollMs, viewCluster } from './view.ts';

interface Turning {
  readonly clients: HostsClients;
  readonly clusters: readonly EtcdCluster[];
  readonly signal: AbortSignal;
  progress(message: string, amount?: Amount): void;
}
const riseWithinMs = 60_000;

/**
 * Before a member's machine is taken away for a while: the others must have a quorum without it, in every cluster, and lead themselves. The only member of
 * a cluster may go. Throws UserError.
 */
export async function prepareMember(host: string, { clients, clusters, signal, progress }: Turning): Promise<void> {
  for (const cluster of clusters) {
    const joining = { clients, cluster, signal, progress: (message: string) => progress(message) };
    const { own, why } = await spared(host, joining);
    if (why !== undefined) {
      throw new UserError({
        what: `${host} cannot be taken away just now`,
        where: `etcd ${cluster}`,
        why,
        next: 'bring the other members to health first: cluster status, cluster up; then run the same command again',
      });
    }
    if (own) await moveLeaderAway(own.id, joining);
  }
}

/** Whether the others hold quorum without it. One slow answer is no member lost, so it is asked for a few seconds before it is refused. */
async function spared(
  host: string,
  joining: Omit<Joining, 'progress'>,
): Promise<{ readonly own: Member | undefined; readonly why?: string }> {
  const end = performance.now() + patienceMs;
  for (;;) {
    const { quorum } = await viewCluster(joining);
    const own = quorum.find(({ name }) => name === host);
    const verdict = own ? canRestart(quorum, own.id) : ({ ok: true } as const);
    // The only member of a cluster may go: there is nobody to keep it up.
    if (quorum.length <= 1 || verdict.ok) return { own };
    const away = quorum.filter(({ name, healthy }) => name !== host && !healthy).map(({ name, id }) => name || id);
    const others = away.length === 0 ? '' : `; not healthy: ${away.join(', ')}`;
    if (performance.now() > end) return { own, why: `${verdict.why}${others}` };
    await sleep(pollMs, undefined, { signal: joining.signal });
  }
}

/** Members may be one minor version apart, and no more: whoever is to come later, or to leave, holds up all that lies beyond the next. Throws UserError. */
export async function refuseFartherApart(minor: string, { clients, clusters, signal }: Omit<Turning, 'progress'>): Promise<void> {
  for (const cluster of clusters) {
    const { views } = await viewCluster({ clients, cluster, signal });
    const behind = [...views].filter(([, view]) => view && minorOf(minor) - minorOf(view.status.version) > 1);
    if (behind.length === 0) continue;
    throw new UserError({
      what: `no member goes to ${minor} yet`,
      where: `etcd ${cluster}`,
      why: behind.map(([name, view]) => `${name} still runs ${view?.status.version}`).join('\n'),
      next: 'upgrade these first, or let them leave: cluster upgrade to the minor version before',
    });
  }
}

/**
 * Waits until every cluster has risen to this minor version (hard part 7): the next one may come only then. One that members hold at an older version, who are
 * to come later or to leave, is not waited for. Throws UserError after a minute.
 */
export async function waitForClusterVersion(
  minor: string,
  { clients, clusters, signal }: Omit<Turning, 'progress'>,
): Promise<void> {
  const end = performance.now() + riseWithinMs;
  for (const cluster of clusters) {
    for (;;) {
      const told = await Promise.all([...memberHostsOf(clients, cluster).values()].map((host) => host.clusterVersion(signal)));
      if (told.length > 0 && told.every((version) => minorOf(version) >= minorOf(minor))) break;
      const { views } = await viewCluster({ clients, cluster, signal });
      if ([...views.values()].some((view) => view && minorOf(view.status.version) < minorOf(minor))) break;
      if (performance.now() > end) {
        throw new UserError({
          what: `all members of etcd ${cluster} run ${minor}, and the cluster has not risen to it`,
          where: `etcd ${cluster}`,
          why: `its members say ${told.map((version) => version || 'nothing').join(', ')}`,
          next: 'cluster logs of the etcd machines; then run the same command again',
        });
      }
      await sleep(pollMs, undefined, { signal });
    }
  }
}
