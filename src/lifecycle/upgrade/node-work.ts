import { setTimeout as sleep } from 'node:timers/promises';
import { durationMs } from '../../config/duration.ts';
import { UserError } from '../../errors.ts';
import { cordon, cordonedByUs, preferNoSchedule, uncordon } from '../../kube/drain/cordon.ts';
import { daemonSetOf, daemonsWithinMs, isOfDaemonSet, isSystem, isWell } from '../../kube/drain/daemons.ts';
import { drain } from '../../kube/drain/drain.ts';
import type { PodsByNode } from '../../kube/drain/feed.ts';
import { watchPods } from '../../kube/drain/feed.ts';
import { announceLeaving } from '../../kube/drain/leaving.ts';
import { type Pod, podKey } from '../../kube/drain/pod.ts';
import type { DrainPolicy } from '../../kube/drain/pods.ts';
import { markGone } from '../../kube/gone.ts';
import { leadsOn, releaseLeads, waitForLeaders } from '../../kube/leaders.ts';
import { podStarts, removeTrialPods } from '../../kube/trial-pod.ts';
import { readNodes } from '../../kube/types/node.ts';
import { patiently, type SharedPoll, waitFor } from '../../kube/wait.ts';
import { poolOfNode } from '../../rollout/removals.ts';
import type { Wave } from '../../rollout/rollout.ts';
import { during } from '../../run/during.ts';
import type { Session } from '../session.ts';
import type { TurnPorts } from './turn.ts';

/** A master's API server may just be on its way out: through the balancer another one answers soon. */
const patienceMs = 30_000;

export interface NodeWork extends TurnPorts {
  /** Before a wave: what is still to have its turn is avoided by pods that move. */
  due(wave: Wave, signal: AbortSignal): Promise<void>;
  /** Waits until a controller manager and a scheduler lead. */
  leadersLead(signal: AbortSignal): Promise<void>;
  /** DaemonSets of users, `namespace/name`, whose pod on this node is not ready as it is. */
  unreadyDaemons(machine: string, signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Waits until what runs on every node (DaemonSets) is ready on this one, but for what `unready` names: that was not before, which is no reason to stop. What the
   * system needs is waited for in any case. Throws UserError with what is not.
   */
  daemonsReady(machine: string, signal: AbortSignal, unready?: readonly string[]): Promise<void>;
  /** Starts one on it, and takes it away again. Throws UserError when none starts: the node is cordoned then, until one does. */
  podStarts(machine: string, image: string, signal: AbortSignal): Promise<void>;
  /**
   * Takes away every cordon and mark of an upgrade's, of whichever run, from all nodes or these. Returns the nodes that were cordoned by us. `image`: none of
   * them takes pods before one has started there: its turn may have ended on just that. Throws UserError when none starts.
   */
  release(signal: AbortSignal, of?: (node: string) => boolean, image?: string): Promise<readonly string[]>;
  /** Nodes that an upgrade has cordoned, of whichever run. */
  cordoned(signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** The run is over: nothing is marked any more. */
  done(): Promise<void>;
}

/** What a rollout does to nodes through the API. All drains share one look at the pods. */
export function nodeWork(session: Session, forceAfterMs: number | undefined): NodeWork {
  const { runId, emit } = session;
  const kube = session.reach.kube();
  const closing = new AbortController();
  const lifetime = AbortSignal.any([session.signal, closing.signal]);
  let pods: SharedPoll<PodsByNode> | undefined;
  const api = (signal: AbortSignal) => kube.api({ waitMs: patienceMs, signal });
  const nodesNow = async (signal: AbortSignal) => (await readNodes(kube, signal)) ?? [];
  let due = new Set<string>();
  const left = new Set<string>();
  const going = new Set<Promise<void>>();

  const podsNow = async (signal: AbortSignal): Promise<PodsByNode> => {
    pods ??= watchPods(await api(signal), lifetime);
    const feed = pods;
    return patiently(() => feed.next(signal), signal);
  };
  const mark = async (signal: AbortSignal): Promise<void> =>
    preferNoSchedule(await api(signal), await nodesNow(signal), due, signal);
  const starts = async (node: string, image: string, signal: AbortSignal): Promise<void> => {
    const task = `pod on ${node}`;
    await during(task, emit, async () => {
      const connected = await api(signal);
      pods ??= watchPods(connected, lifetime);
      const later = (gone: Promise<void>): void => {
        going.add(gone);
        void gone.then(() => going.delete(gone));
      };
      const untried = await podStarts(connected, pods, { node, image, timeoutMs: kube.readyWithinMs, signal, later });
      if (untried !== undefined) emit({ type: 'progress', task, message: `it could not be tried: ${untried}` });
    });
  };
  return {
    async due({ name, lanes }, signal) {
      const turns = lanes.flatMap((lane) => lane.turns).filter((turn) => turn.drain && turn.role === 'worker');
      due = new Set(turns.map(({ machine }) => machine));
      if (name === 'pools') await mark(signal);
    },
    async drain(machine, signal) {
      const task = `drain ${machine}`;
      await during(task, emit, async () => {
        const connected = await api(signal);
        await cordon(connected, machine, { runId, signal });
        pods ??= watchPods(connected, lifetime);
        await drain(connected, machine, {
          policy: drainPolicy(session, machine, forceAfterMs),
          pods,
          signal,
          progress: (message, amount) => emit({ type: 'progress', task, message, ...(amount && { amount }) }),
        });
      });
    },
    async leave(machine, signal) {
      left.add(machine);
      await announceLeaving(await api(signal), machine, signal);
      await sleep(session.opened.provider.leaveMs(session.design.topology), undefined, { signal });
    },
    async leads(machine, programs, signal) {
      return leadsOn(await api(signal), machine, programs, signal);
    },
    async handOver(stopped, signal) {
      if (stopped.size > 0) await releaseLeads(await api(signal), stopped, signal);
    },
    async leadersLead(signal) {
      await waitForLeaders(await api(signal), signal);
    },
    async unready(machine, signal) {
      await markGone(await api(signal), machine, signal);
    },
    async uncordon(machine, signal) {
      // What tells balancers that it goes must be seen to be taken away.
      const seen = left.has(machine) ? undefined : kube.nodes.latest?.()?.get(machine);
      await uncordon(await api(signal), machine, signal, seen);
      due.delete(machine);
    },
    async unreadyDaemons(machine, signal) {
      const nodes = await podsNow(signal);
      return [...new Set(daemonPods(nodes, machine).flatMap((pod) => (isWell(pod) || isSystem(pod) ? [] : [daemonSetOf(pod)])))];
    },
    async daemonsReady(machine, signal, unready = []) {
      const spared = new Set(unready);
      pods ??= watchPods(await api(signal), lifetime);
      await waitFor({
        poll: pods,
        timeoutMs: daemonsWithinMs,
        signal,
        missing: (nodes) => {
          const bad = daemonPods(nodes, machine).filter(
            (pod) => !isWell(pod) && (isSystem(pod) || !spared.has(daemonSetOf(pod))),
          );
          return bad.length === 0 ? undefined : bad.map(podKey).join(', ');
        },
        failure: async (why) =>
          new UserError({
            what: `pods of DaemonSets were not ready within ${daemonsWithinMs / 1000} s`,
            where: `node ${machine}`,
            why,
            next: 'kubectl describe says why; then run the same command again: it goes on from there',
          }),
      });
    },
    async podStarts(machine, image, signal) {
      try {
        await starts(machine, image, signal);
      } catch (error) {
        // Also where nothing was drained: more pods would come to it, and the next run would find nothing there that differs.
        if (error instanceof UserError && !signal.aborted) await cordon(await api(signal), machine, { runId, signal });
        throw error;
      }
    },
    async release(signal, of = () => true, image) {
      const connected = await api(signal);
      await removeTrialPods(connected, signal);
      const nodes = (await nodesNow(signal)).filter(({ metadata }) => of(metadata.name));
      const ours = nodes.filter(cordonedByUs).map(({ metadata }) => metadata.name);
      for (const name of ours) {
        if (image !== undefined) await starts(name, image, signal);
        await uncordon(connected, name, signal);
      }
      await preferNoSchedule(connected, nodes, new Set(), signal);
      return ours;
    },
    async cordoned(signal) {
      return new Set((await nodesNow(signal)).filter(cordonedByUs).map(({ metadata }) => metadata.name));
    },
    async done() {
      await Promise.all(going);
      closing.abort();
      if (due.size === 0 || session.signal.aborted) return;
      due = new Set();
      // A mark that stays is only a preference, and the next run takes it away.
      await mark(session.signal).catch(() => undefined);
    },
  };
}

const daemonPods = (nodes: PodsByNode, machine: string): readonly Pod[] =>
  [...(nodes.get(machine)?.values() ?? [])].filter(isOfDaemonSet);

/** As the pool of this machine says; masters as masters do, and what is left of a pool that is no longer in cluster.yaml. */
export function drainPolicy(
  { opened, design, seen }: Pick<Session, 'opened' | 'design' | 'seen'>,
  machine: string,
  forceAfterMs: number | undefined,
): DrainPolicy {
  const { masters, pools } = opened.cluster;
  const spec = design.topology.machines.find(({ name }) => name === machine);
  const poolName = spec ? spec.pool : poolOfNode(seen, machine);
  const pool = pools.find(({ name }) => name === poolName);
  const own = (pool ?? masters).upgrade.drain;
  const force = forceAfterMs ?? (own.forceAfter === undefined ? undefined : durationMs(own.forceAfter));
  return {
    timeoutMs: durationMs(own.timeout),
    unmanaged: own.unmanagedPods,
    ...(force !== undefined && { forceAfterMs: force }),
  };
}
