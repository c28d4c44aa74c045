import type { Event } from '../run/events.ts';
import { listRuns, readRun } from '../run/journal.ts';
import type { Store } from '../store/store.ts';
import { sparesOf, takesAway } from './lanes.ts';
import type { Lane, Turn, Wave } from './rollout.ts';
import { turnsOfLane } from './turns.ts';

/** How long one turn took, gate and all, by what it was: `masters in-place`, `pools in-place, drained`. */
export interface TurnTime {
  readonly kind: string;
  readonly seconds: number;
}

const kindOf = (wave: string, how: string, drained: boolean): string => `${wave} ${how}${drained ? ', drained' : ''}`;
/** Of a wave that may be called `shrink masters`. */
const taskPattern = /^(\S.*) \S+\/(\S+)$/;
const titlePattern = /^(in-place|replace|add|remove) \S+$/;
/** Within the turn of that machine. */
const drainPattern = /^drain (\S+)$/;

/** The turns that were brought to their end, out of the events of one journalled run. */
export function turnTimes(events: readonly Event[]): readonly TurnTime[] {
  const begun = new Map<string, { readonly wave: string; readonly how: string; readonly at: number; drained: boolean }>();
  const turning = new Map<string, { drained: boolean }>();
  return events.flatMap((event): readonly TurnTime[] => {
    if (event.type === 'started') {
      const drains = turning.get(drainPattern.exec(event.title)?.[1] ?? '');
      if (drains) drains.drained = true;
    }
    const [, wave, machine] = taskPattern.exec(event.task) ?? [];
    if (wave === undefined || machine === undefined) return [];
    if (event.type === 'started') {
      const how = titlePattern.exec(event.title)?.[1];
      if (how === undefined) return [];
      const turn = { wave, how, at: event.at, drained: false };
      begun.set(event.task, turn);
      turning.set(machine, turn);
      return [];
    }
    const turn = begun.get(event.task);
    if (event.type !== 'done' || !turn) return [];
    return [{ kind: kindOf(turn.wave, turn.how, turn.drained), seconds: (event.at - turn.at) / 1000 }];
  });
}

/** Older runs were made by another Slipway, of another cluster size, and cost reading. */
const runsRead = 3;
/** Out of the newest upgrades that the store has journals of. */
export async function turnHistory(store: Store): Promise<readonly TurnTime[]> {
  const upgrades = (await listRuns(store)).filter(({ command }) => / upgrade( |$)/.test(command)).slice(0, runsRead);
  const runs = await Promise.all(upgrades.map(({ runId }) => readRun(store, runId)));
  return runs.flatMap((run) => turnTimes(run?.events ?? []));
}

/** As the schedule has them. */
interface Caps {
  readonly maxDrains: number;
  readonly canary: boolean;
}

/**
 * Seconds that these waves take, by the median of what such turns took in this cluster before; of one that it never had, by the slowest other kind.
 * Null: it has no history, and nothing is made up.
 */
export function estimateSeconds(history: readonly TurnTime[], waves: readonly Wave[], caps: Caps): number | null {
  const medians = new Map(
    [...Map.groupBy(history, ({ kind }) => kind)].map(([kind, times]) => [kind, median(times.map(({ seconds }) => seconds))]),
  );
  if (medians.size === 0) return waves.every(({ lanes }) => lanes.length === 0) ? 0 : null;
  const slowest = Math.max(...medians.values());
  const secondsOf = (wave: Wave, turn: Turn): number => medians.get(kindOf(wave.name, turn.how, turn.drain)) ?? slowest;
  return Math.round(waves.reduce((sum, wave) => sum + waveSeconds(wave, caps, (turn) => secondsOf(wave, turn)), 0));
}

/** Lanes go side by side, under one cap on what is away: neither faster than the longest of them, nor than the cap lets them be in all. */
function waveSeconds({ lanes }: Wave, { maxDrains, canary }: Caps, secondsOf: (turn: Turn) => number): number {
  const away = lanes.flatMap(turnsOfLane).filter(takesAway);
  const work = away.reduce((sum, turn) => sum + secondsOf(turn), 0);
  return Math.max(work / maxDrains, ...lanes.map((lane) => laneSeconds(lane, maxDrains, canary, secondsOf)), 0);
}

/** As the queue of the lane goes: its phases one after the other, each as many at once as the caps let it. */
function laneSeconds(lane: Lane, maxDrains: number, canary: boolean, secondsOf: (turn: Turn) => number): number {
  const { first, turns, last, maxUnavailable } = lane;
  const cap = Math.max(1, Math.min(maxUnavailable + sparesOf(lane), maxDrains));
  const phase = (all: readonly Turn[], atOnce: number, alone: boolean): number => {
    const before = alone && all.length > 1 ? 1 : 0;
    return (before + Math.ceil((all.length - before) / atOnce)) * Math.max(0, ...all.map(secondsOf));
  };
  return phase(first, Math.max(1, first.length), canary) + phase(turns, cap, canary) + phase(last, cap, false);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}
