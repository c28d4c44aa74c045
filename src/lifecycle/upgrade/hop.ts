import { imageName } from '../../assets/catalogue.ts';
import { machinesOf } from '../../cluster/topology.ts';
import { partOf } from '../../plan/part.ts';
import type { WaveResult } from '../../rollout/result.ts';
import type { Turn, Wave } from '../../rollout/rollout.ts';
import { type Outcome, runWaves } from '../../rollout/schedule.ts';
import { turnsOfWave } from '../../rollout/turns.ts';
import { runPlan } from '../round.ts';
import { planFrom, type Session } from '../session.ts';
import type { Hop } from './course.ts';
import { etcdMinorOf, openGates } from './gates.ts';
import { drainCap } from './group-look.ts';
import { openGroupPools } from './group-roll.ts';
import { bringImages } from './images.ts';
import { machineLooks } from './machine-look.ts';
import type { Moves } from './moves.ts';
import { nodeWork } from './node-work.ts';
import { policy } from './policy.ts';
import { lostWorkers } from './room.ts';
import { takeTurn } from './turn.ts';
import { isOutside } from './windows.ts';

export interface HopOptions {
  /** Instead of what the pools say, in milliseconds. */
  readonly forceAfterMs?: number;
  readonly pauseAfter?: 'masters' | 'wave';
  readonly stopping: AbortSignal;
}

/** Carries out waves of one hop. `ended`: of each wave that came to its end. */
export async function runHop(
  session: Session,
  moves: Moves,
  hop: Hop,
  waves: readonly Wave[],
  options: HopOptions,
  ended: (result: WaveResult) => void,
): Promise<Outcome> {
  const { opened, signal, emit } = session;
  const { upgrade } = opened.cluster;
  const work = nodeWork(session, options.forceAfterMs);
  const lost = lostWorkers(session);
  const gates = openGates(session, work, lost.saw);
  const began = new Map<Wave, number>();
  /** DaemonSets that were not ready before a turn, until its gate. */
  const unready = new Map<Turn, readonly string[]>();
  const image = imageName('pause', hop.versions);
  const groups = openGroupPools(session, work, image);
  const look = machineLooks(session);
  /** Nodes that a run before this one has cordoned. */
  let away: ReadonlySet<string> = new Set();
  /** What an upgrade has touched before may be unready because of just that. */
  const unreadyBefore = async ({ machine, role }: Turn, own: AbortSignal): Promise<readonly string[]> => {
    if (role !== 'master' && role !== 'worker') return [];
    return moves.unreadyBefore(machine) ?? (away.has(machine) ? [] : work.unreadyDaemons(machine, own));
  };
  const ports = {
    turn: async (turn: Turn, wave: Wave, own: AbortSignal) => {
      if (groups.owns(turn)) {
        await groups.turn(turn, wave, own);
        return moves.moved(turn, wave);
      }
      const before = await unreadyBefore(turn, own);
      unready.set(turn, before);
      await moves.begin(turn, wave, hop);
      const proves = (machine: string): Promise<void> => {
        gates.watch(turn, own);
        return work.podStarts(machine, image, own);
      };
      await takeTurn(turn, session, { ...work, look, gone: () => moves.gone(turn, hop), proves }, own);
      await moves.end(turn, wave, hop, before);
    },
    gate: async (turn: Turn, wave: Wave, own: AbortSignal) => {
      await gates.afterMachine(turn, wave, own, unready.get(turn));
      unready.delete(turn);
      moves.passed(turn);
    },
    wave: async (wave: Wave, at: 'begin' | 'end', own: AbortSignal) => {
      if (at === 'begin') {
        began.set(wave, opened.now());
        await gates.beforeWave(wave, own);
        await work.due(wave, own);
        if (wave.name !== 'pools') return changeShared(session, moves, hop, wave, own);
        await moves.pools(groups.pools(wave), hop);
        return groups.begin(wave, own);
      }
      await groups.end(own);
      await moves.gated(wave, () => gates.afterWave(wave, etcdMinorOf(wave), own));
      ended({
        name: wave.name,
        kubernetes: wave.kubernetes,
        machines: turnsOfWave(wave).map(({ machine }) => machine),
        changes: wave.changes,
        seconds: (opened.now() - (began.get(wave) ?? opened.now())) / 1000,
      });
    },
    lost: lost.within,
    emit,
  };
  try {
    await work.release(signal, withoutTurn(session, waves), image);
    away = await work.cordoned(signal);
    return await runWaves(waves, ports, {
      maxDrains: drainCap(session),
      canary: upgrade.canary,
      away,
      stopping: options.stopping,
      signal,
      pauseAfter: options.pauseAfter,
      ...(upgrade.windows.length > 0 && { windowClosed: () => isOutside(session) }),
    });
  } finally {
    await groups.done();
    await work.done();
    gates.close();
    await moves.rest();
  }
}

/** Machines that a run which was killed has cordoned, and that are where they are to be: healed meanwhile, they have no turn that would uncordon them. */
function withoutTurn({ design: { topology } }: Session, waves: readonly Wave[]): (node: string) => boolean {
  const turning = new Set(waves.flatMap(turnsOfWave).map(({ machine }) => machine));
  const designed = new Set(topology.machines.map(({ name }) => name));
  return (node) => designed.has(node) && !turning.has(node);
}

/** What a wave changes besides machines. Workers have not moved then, and get the images of addons all the same. */
async function changeShared(session: Session, moves: Moves, hop: Hop, { changes }: Wave, signal: AbortSignal): Promise<void> {
  if (changes.length === 0) return;
  const workers = machinesOf(session.design.topology, 'worker').map(({ name }) => name);
  await moves.asIfMoved(workers, hop, () => bringImages(session, signal));
  // What these addons run must serve, and be new, before nodes are drained: else a drain meets a roll of theirs.
  const wanted = new Set<string>([...changes, ...changes.map((address) => address.replace(/^kube\.addon\//, 'kube.ready/'))]);
  const part = () => partOf(planFrom(session, policy), (address) => wanted.has(address));
  await moves.addons(hop, () => runPlan(part(), session, signal));
}
