import { messageOf } from '../errors.ts';
import { type Clock, systemClock } from '../run/clock.ts';
import type { Emit } from '../run/events.ts';
import { type Beside, type LaneQueue, laneQueue, takesAway } from './lanes.ts';
import type { Turn, Wave } from './rollout.ts';
import { type Lost, lostTooLong, newRoom, waitsFor } from './room.ts';
import { newStop, type Stop, type StopOptions, type StopReason } from './stop.ts';
import { turnsOfWave } from './turns.ts';

/** What the schedule does to the world. Each must end, by itself or soon after its signal has aborted. */
export interface SchedulePorts {
  /** Brings one machine to where the plan wants it, up to and with its record. */
  turn(turn: Turn, wave: Wave, signal: AbortSignal): Promise<void>;
  /** Rejects when the cluster is not as it must be for the next machine to begin. The machine counts as away until then. */
  gate(turn: Turn, wave: Wave, signal: AbortSignal): Promise<void>;
  /** Around the turns of a wave. `end` only when every turn is done: a wave that was stopped is gone on with later. */
  wave(wave: Wave, at: 'begin' | 'end', signal: AbortSignal): Promise<void>;
  /**
   * Who is not Ready, or gone: those who are not in a turn of theirs count against the caps. Asked where workers have turns: before the first, at the end of each,
   * and every now and then while nobody may begin because of them. What was seen within the last `sinceMs` will do; 0: from now on.
   */
  lost?(sinceMs: number, signal: AbortSignal): Promise<Lost>;
  readonly emit: Emit;
}
export interface ScheduleOptions extends StopOptions {
  /** Machines of all lanes of a wave that may be away at once. */
  readonly maxDrains: number;
  /** The first turn of each lane goes alone. */
  readonly canary: boolean;
  /** Machines that a run before this one has taken away, and not brought back: they count as away from the beginning, and their turns come first. */
  readonly away?: ReadonlySet<string>;
  /** `masters`: when a wave of masters is done; `wave`: after each wave. */
  readonly pauseAfter?: 'masters' | 'wave' | undefined;
  /** How long machines that are lost may hold up everything. Default: 2 min. */
  readonly lostWithinMs?: number;
}

/** One turn, and where it stands: with chained minors a machine has more than one. */
export interface Place {
  readonly wave: Wave;
  /** Its name. */
  readonly lane: string;
  readonly turn: Turn;
}
export interface Failure {
  readonly wave: Wave;
  readonly at: 'begin' | 'wait' | 'turn' | 'gate' | 'end';
  /** Undefined: it was the beginning or the end of the wave, or a wait between turns for machines that are lost. */
  readonly place?: Place;
  readonly error: unknown;
}
export interface Outcome {
  readonly end: 'done' | 'paused' | StopReason;
  readonly failures: readonly Failure[];
  readonly done: readonly Place[];
  /** Begun and not brought to an end: told to end, or not done in time. Where they are is found by observing. */
  readonly cut: readonly Place[];
  readonly notBegun: readonly Place[];
}

/** The task of a turn in the events. */
export const turnTask = (wave: Wave, { machine }: Turn): string => `${waveTask(wave)}/${machine}`;
const waveTask = ({ name, kubernetes }: Wave): string => `${name} ${kubernetes}`;

/**
 * Carries out the waves one after the other, the lanes of a wave side by side, under the caps. The first failure stops everything: nothing begins any
 * more, what runs is brought to its end, and nothing is rolled on or back. Throws for a plan that contradicts itself, never for what a port does.
 */
export async function runWaves(waves: readonly Wave[], ports: SchedulePorts, options: ScheduleOptions): Promise<Outcome> {
  const { maxDrains, canary, pauseAfter, away, clock = systemClock, lostWithinMs = 120_000 } = options;
  if (maxDrains < 1) throw new Error('maxDrains is at least 1');
  const isAway = (turn: Turn): boolean => takesAway(turn) && away?.has(turn.machine) === true;
  const all = waves.map((wave) => ({ wave, queues: wave.lanes.map((lane) => laneQueue(lane, canary, isAway)) }));
  const stop = newStop(options);
  const course: Course = { ports, maxDrains, isAway, clock, lostWithinMs, stop, done: [], cut: [], failures: [] };
  let ended = 0;
  let paused = false;
  for (const { wave, queues } of all) {
    if (paused || !stop.mayBegin()) break;
    if (!(await runWave(course, wave, queues))) break;
    ended++;
    paused = pauseAfter === 'wave' || pauseAfter === wave.name;
  }
  stop.close();
  const { done, cut, failures } = course;
  const end = ended === all.length ? 'done' : (stop.reason ?? 'paused');
  const notBegun = all.flatMap(({ wave, queues }) =>
    queues.flatMap(({ lane, left }) => left.map((turn) => ({ wave, lane: lane.name, turn }))),
  );
  return { end, failures, done, cut, notBegun };
}

interface Course {
  readonly ports: SchedulePorts;
  readonly maxDrains: number;
  readonly isAway: (turn: Turn) => boolean;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly lostWithinMs: number;
  readonly stop: Stop;
  readonly done: Place[];
  readonly cut: Place[];
  readonly failures: Failure[];
}

/** True: every turn is done, and the wave has ended. */
async function runWave(course: Course, wave: Wave, queues: readonly LaneQueue[]): Promise<boolean> {
  const { ports, stop, done } = course;
  const task = waveTask(wave);
  const turns = queues.reduce((sum, { left }) => sum + left.length, 0);
  const before = done.length;
  let at: 'begin' | 'wait' | 'end' = 'begin';
  ports.emit({ type: 'started', task, title: task });
  try {
    await stop.bounded((signal) => ports.wave(wave, 'begin', signal));
    at = 'wait';
    await runLanes(course, wave, queues, () => {
      const amount = { done: done.length - before, of: turns, unit: 'machines' };
      ports.emit({ type: 'progress', task, message: `${amount.done} of ${amount.of} machines`, amount });
    });
    if (done.length - before < turns) {
      ports.emit({ type: 'cut', task, because: stop.reason ?? 'stopped' });
      return false;
    }
    at = 'end';
    await stop.bounded((signal) => ports.wave(wave, 'end', signal));
    ports.emit({ type: 'done', task });
    return true;
  } catch (error) {
    fell(course, { wave, at, error }, task);
    return false;
  }
}

const lookEveryMs = 1_000;
/** Nobody notices a machine that is lost before 40 s: what was seen this long ago says as much. */
const recentMs = 5_000;

/** Ends when nothing runs and nothing may begin. Each turn that ends makes way for the next. Throws UserError when machines that are lost hold up all for too long. */
async function runLanes(course: Course, wave: Wave, queues: readonly LaneQueue[], progress: () => void): Promise<void> {
  const { ports, stop, clock, lostWithinMs } = course;
  const ended = Promise.withResolvers<void>();
  const room = newRoom(wave, course.maxDrains, course.isAway);
  // Masters and members of etcd have caps of their own, and take no worker's place.
  const counts = turnsOfWave(wave).some(({ role }) => role === 'worker');
  const look = async (sinceMs = recentMs): Promise<void> => {
    if (!counts || stop.signal.aborted) return;
    await stop
      .bounded(async (signal) => room.told((await ports.lost?.(sinceMs, signal)) ?? new Map()))
      .catch((error: unknown) => {
        if (!stop.signal.aborted) throw error;
      });
  };
  const isHeld = (): boolean => room.lost.length > 0 && choose(queues, room.unlessLost) !== undefined && stop.mayBegin();
  let failure: unknown;
  let waits = false;
  const pump = (): void => {
    for (;;) {
      const next = choose(queues, room);
      if (!next || !stop.mayBegin()) break;
      const { queue, turn } = next;
      queue.begin(turn);
      room.begin(turn);
      void take(course, { wave, lane: queue.lane.name, turn }, look).then(() => {
        queue.end(turn);
        room.end(turn);
        progress();
        pump();
      });
    }
    if (isHeld()) void wait();
    else if (room.running > 0) return;
    else if (failure === undefined) ended.resolve();
    else ended.reject(failure);
  };
  /** Turns go on when they are back. Once nothing else goes on they are not waited for for ever. */
  const wait = async (): Promise<void> => {
    if (waits) return;
    waits = true;
    let told = false;
    try {
      for (let waitedMs = 0; ; waitedMs += lookEveryMs) {
        await look(0);
        pump();
        if (!isHeld()) break;
        if (room.running > 0) waitedMs = 0;
        if (waitedMs >= lostWithinMs) throw lostTooLong(wave, room.lost, waitedMs);
        if (!told) ports.emit({ type: 'progress', task: waveTask(wave), message: waitsFor(room.lost) });
        told = true;
        await clock.sleep(lookEveryMs, { signal: stop.signal });
      }
    } catch (error) {
      if (!stop.signal.aborted) {
        failure = error;
        stop.fail();
      }
      pump();
    }
    waits = false;
  };
  await look();
  pump();
  return ended.promise;
}

/** Of the lanes that may begin a turn, one whose machine is away already, or else that with most rounds to go: all end at about the same time. Of equals, the first. */
function choose(queues: readonly LaneQueue[], beside: Beside): { queue: LaneQueue; turn: Turn } | undefined {
  let best: { queue: LaneQueue; turn: Turn } | undefined;
  for (const queue of queues) {
    const turn = queue.next(beside);
    if (turn && beside.isAway(turn)) return { queue, turn };
    if (turn && (!best || queue.rounds > best.queue.rounds)) best = { queue, turn };
  }
  return best;
}

/** One turn and its gate. Never rejects. `look`: who is lost, before another one begins. */
async function take(course: Course, place: Place, look: () => Promise<void>): Promise<void> {
  const { ports, stop, done, cut } = course;
  const { wave, turn } = place;
  const task = turnTask(wave, turn);
  let at: 'turn' | 'gate' = 'turn';
  ports.emit({ type: 'started', task, title: `${turn.how} ${turn.machine}` });
  try {
    await stop.bounded((signal) => ports.turn(turn, wave, signal));
    at = 'gate';
    await stop.bounded((signal) => ports.gate(turn, wave, signal));
    await look();
    done.push(place);
    ports.emit({ type: 'done', task });
  } catch (error) {
    if (stop.signal.aborted) cut.push(place);
    fell(course, { wave, at, place, error }, task);
  }
}

/** A failure stops the rollout; what ended because it was told to is none. */
function fell({ ports, stop, failures }: Course, failure: Failure, task: string): void {
  if (stop.signal.aborted) ports.emit({ type: 'cut', task, because: messageOf(stop.signal.reason) });
  else {
    failures.push(failure);
    stop.fail();
    ports.emit({ type: 'failed', task, what: messageOf(failure.error), log: [] });
  }
}
