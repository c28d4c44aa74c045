import { setTimeout as sleep } from 'node:timers/promises';
import { minorName } from '../../assets/version-order.ts';
import { etcdClustersOf } from '../../components/etcd.ts';
import { durationMs } from '../../config/duration.ts';
import { UnreachableError, UserError } from '../../errors.ts';
import { refuseFartherApart, waitForClusterVersion } from '../../etcd/turn.ts';
import { membersWell } from '../../etcd/well.ts';
import { programsWell } from '../../host/programs.ts';
import { answersInTime } from '../../kube/api-time.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { notReady } from '../../kube/readiness.ts';
import { sharedAnswer } from '../../kube/wait.ts';
import type { Turn, Wave } from '../../rollout/rollout.ts';
import { during } from '../../run/during.ts';
import type { Session } from '../session.ts';
import type { NodeWork } from './node-work.ts';
import { askUserGates } from './user-gates.ts';

const waverMs = 60_000;
/** What is asked of all of the cluster is as good for the machines that end their turns within this time: calls do not grow with their number. */
const sharedMs = 5_000;

/** Whose turn has come to its end, in this run or in one before. */
export type Gated = Pick<Turn, 'machine' | 'role' | 'how'>;

export interface Gates {
  /** From now on it is seen whether the node stays Ready: while the rest of its turn goes on. For turns that have nothing left but that, `afterMachine` begins. */
  watch(turn: Gated, signal: AbortSignal): void;
  /**
   * What must be well after a machine's turn before the next one begins: Slipway's own questions, then the user's. `unready`: DaemonSets of users that were not ready
   * on it before. Throws UserError with what is not.
   */
  afterMachine(turn: Gated, wave: Pick<Wave, 'name'>, signal: AbortSignal, unready?: readonly string[]): Promise<void>;
  /** What must be so before the first turn of a wave, besides what each turn sees to. Throws UserError. */
  beforeWave(wave: Wave, signal: AbortSignal): Promise<void>;
  /** `etcdMinor`: where its members of etcd have come to; undefined: none has moved. */
  afterWave(wave: Pick<Wave, 'name'>, etcdMinor: string | undefined, signal: AbortSignal): Promise<void>;
  /** Nothing is asked or watched any more. */
  close(): void;
}

/** `saw`: is told all Nodes whenever a gate is. */
export function openGates(
  session: Session,
  work: Pick<NodeWork, 'daemonsReady' | 'leadersLead'>,
  saw: Saw = () => undefined,
): Gates {
  const closing = new AbortController();
  const watched = new Map<Gated, Stay>();
  const stayOf = (turn: Gated, signal: AbortSignal): Stay => {
    const found = watched.get(turn) ?? watchReady(turn, session, saw, AbortSignal.any([signal, closing.signal]));
    watched.set(turn, found);
    return found;
  };
  const lifetime = AbortSignal.any([session.signal, closing.signal]);
  const etcd = sharedAnswer(() => membersWell(etcdOf(session, lifetime)));
  const api = sharedAnswer(() => answersInTime(session.reach.kube(), session.opened.cluster.upgrade.apiP99, lifetime));
  return {
    watch(turn, signal) {
      if (isNode(turn, session)) stayOf(turn, signal);
    },
    async afterMachine(turn, wave, signal, unready) {
      const task = `gate ${turn.machine}`;
      await during(task, session.emit, async () => {
        await passGates(
          turn,
          session,
          { ...work, unready, stays: () => stayOf(turn, signal).now(), etcdIsWell: etcd.get, apiAnswers: api.get },
          signal,
        );
        await askUserGates(session, { wave: wave.name, machine: turn.machine }, signal);
      });
      watched.delete(turn);
    },
    async beforeWave(wave, signal) {
      const minor = etcdMinorOf(wave);
      if (minor !== undefined) await refuseFartherApart(minor, etcdOf(session, signal));
    },
    async afterWave(wave, etcdMinor, signal) {
      // Hard part 7: a minor version is reached when the cluster says so, not when all members run it.
      if (etcdMinor !== undefined) await waitForClusterVersion(etcdMinor, etcdOf(session, signal));
      await askUserGates(session, { wave: wave.name }, signal);
    },
    close() {
      closing.abort();
    },
  };
}

interface Questions extends Pick<NodeWork, 'daemonsReady' | 'leadersLead'> {
  readonly unready: readonly string[] | undefined;
  stays(): Promise<void>;
  /** Of the whole cluster: an answer that is no older than this. */
  etcdIsWell(sinceMs: number, signal: AbortSignal): Promise<void>;
  apiAnswers(sinceMs: number, signal: AbortSignal): Promise<void>;
}
async function passGates(turn: Gated, session: Session, ask: Questions, signal: AbortSignal): Promise<void> {
  const { role, how, machine } = turn;
  // What it has just restarted itself is asked after that.
  const sinceMs = role === 'etcd' || role === 'master' ? 0 : sharedMs;
  await Promise.all([
    ...(how === 'remove' ? [] : [ask.etcdIsWell(sinceMs, signal)]),
    ask.apiAnswers(sinceMs, signal),
    ...(role === 'master' ? [ask.leadersLead(signal)] : []),
    ...(isNode(turn, session)
      ? [staysWell(turn, session, ask.stays, signal), ask.daemonsReady(machine, signal, ask.unready)]
      : []),
  ]);
}

/** A member of a group is gone after its turn; whoever came in its place was waited for in it. */
const isNode = ({ role, how, machine }: Gated, { design: { topology } }: Session): boolean =>
  (role === 'master' || role === 'worker') && how !== 'remove' && topology.machines.some(({ name }) => name === machine);

/** Where the members of a wave go. Undefined: none of them moves. */
export function etcdMinorOf({ name, lanes }: Wave): string | undefined {
  if (name !== 'etcd') return undefined;
  const versions = lanes.flatMap(({ turns }) => turns.flatMap((turn) => turn.versions)).filter(({ what }) => what === 'etcd');
  return versions.map(({ after }) => minorName(after))[0];
}
const etcdOf = ({ reach, design }: Session, signal: AbortSignal) => ({
  clients: reach.hosts(),
  clusters: etcdClustersOf(design.topology),
  signal,
});

/** Asked of the machine's programs last: one that crashes again and again may be well for its first seconds. */
async function staysWell(turn: Gated, session: Session, stays: () => Promise<void>, signal: AbortSignal): Promise<void> {
  await stays();
  const { topology, bundles } = session.design;
  const bundle = bundles.get(topology.machines.find(({ name }) => name === turn.machine)?.bundle ?? '');
  const host = await session.reach.hosts().hosts.get(turn.machine, { signal });
  await programsWell(host, bundle?.units.map(({ name }) => name) ?? [], { timeoutMs: waverMs, signal });
}

interface Stay {
  /** Resolves when the node is Ready, and has been without a break for as long as `upgrade.stableFor` says: since the watch began, at the earliest. */
  now(): Promise<void>;
}
type Saw = (nodes: ReadonlyMap<string, KubeObject>) => void;
function watchReady({ machine }: Gated, session: Session, saw: Saw, signal: AbortSignal): Stay {
  let asked = false;
  const stays = staysReady(machine, session, () => asked, saw, signal);
  // A turn that fails does not come to its gate.
  stays.catch(() => undefined);
  return {
    now() {
      asked = true;
      return stays;
    },
  };
}

/** A kubelet that has just started may waver before that. */
async function staysReady(machine: string, session: Session, asked: () => boolean, saw: Saw, signal: AbortSignal): Promise<void> {
  const stableMs = durationMs(session.opened.cluster.upgrade.stableFor);
  const { nodes } = session.reach.kube();
  let end = Number.POSITIVE_INFINITY;
  let [since, why] = [performance.now(), ''];
  while (performance.now() < end) {
    if (asked()) end = Math.min(end, performance.now() + stableMs + waverMs);
    const lacks = await nodes.next(signal).then(
      (all) => {
        saw(all);
        return lackOf(all.get(machine));
      },
      // The API may be away for a moment, as for every other wait.
      (error: unknown) => {
        if (!(error instanceof UnreachableError)) throw error;
        return error.message;
      },
    );
    if (lacks === undefined) {
      if (asked() && performance.now() - since >= stableMs) return;
      await sleep(200, undefined, { signal });
    } else [since, why] = [performance.now(), lacks];
  }
  throw new UserError({
    what: `the node does not stay Ready for ${session.opened.cluster.upgrade.stableFor}`,
    where: `node ${machine}`,
    why,
    next: `cluster logs ${machine}; then run the same command again: it goes on from there`,
  });
}

const lackOf = (node: KubeObject | undefined): string | undefined => (node ? notReady(node) : 'its Node object is gone');
