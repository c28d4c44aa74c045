import { UserError } from '../errors.ts';
import type { KubeObject } from '../kube/objects.ts';
import { readiness } from '../kube/readiness.ts';
import { fewNames } from './few-names.ts';
import { type Beside, takesAway } from './lanes.ts';
import type { Turn, Wave } from './rollout.ts';

/** Workers of the design whose Nodes are not Ready, or gone, each with its pool. Whether a turn is why is the schedule's to know. */
export type Lost = ReadonlyMap<string, string>;

/** Each Node is judged once as it is: of a thousand that are followed only those that have changed since are read again. */
const judged = new WeakMap<KubeObject, boolean>();

export function lostOf(
  workers: readonly { readonly name: string; readonly pool?: string }[],
  nodes: ReadonlyMap<string, KubeObject>,
): Lost {
  return new Map(workers.filter(({ name }) => !serves(nodes.get(name))).map(({ name, pool = '' }) => [name, pool]));
}
function serves(node: KubeObject | undefined): boolean {
  if (!node) return false;
  // Without a pod network all wait for the same, and none is lost.
  const found = judged.get(node) ?? readiness(node) !== false;
  judged.set(node, found);
  return found;
}

/** What is away while a wave goes on: machines in their turns, those that a run before this one has taken away, and those that are lost. */
export interface Room extends Beside {
  /** Turns that have begun and not ended. */
  readonly running: number;
  /** Lost, and not by a turn. */
  readonly lost: readonly string[];
  begin(turn: Turn): void;
  end(turn: Turn): void;
  told(lost: Lost): void;
  /** The same, if nobody were lost. */
  readonly unlessLost: Beside;
}

/** `isAway`: a run before this one has taken the machine away. */
export function newRoom(wave: Wave, maxDrains: number, isAway: (turn: Turn) => boolean): Room {
  // What comes last in a lane that has others before it is waited for by nobody.
  const waiting = new Set(wave.lanes.flatMap(({ turns, last }) => (turns.length > 0 ? turns : last)).filter(isAway));
  const inTurn = new Set<string>();
  /** Not made yet, or gone in its turn: that is no loss. */
  const notThere = new Set(wave.lanes.flatMap(({ first }) => first.map(({ machine }) => machine)));
  const awayByZone = new Map<string, number>();
  let told: Lost = new Map();
  let running = 0;
  let away = 0;
  const count = (turn: Turn, by: 1 | -1): void => {
    running += by;
    if (!takesAway(turn)) return;
    away += by;
    awayByZone.set(turn.zone, (awayByZone.get(turn.zone) ?? 0) + by);
  };
  const lost = (): string[] => [...told.keys()].filter((machine) => !inTurn.has(machine) && !notThere.has(machine));
  const isFull = (others: readonly string[]): boolean =>
    away + new Set([...[...waiting].map(({ machine }) => machine), ...others]).size >= maxDrains;
  return {
    awayByZone,
    get running() {
      return running;
    },
    get lost() {
      return lost();
    },
    get full() {
      return isFull(lost());
    },
    lostOf: (pool) => lost().filter((machine) => told.get(machine) === pool).length,
    isAway: (turn) => waiting.has(turn) || lost().includes(turn.machine),
    begin(turn) {
      inTurn.add(turn.machine);
      waiting.delete(turn);
      count(turn, 1);
    },
    end(turn) {
      inTurn.delete(turn.machine);
      if (turn.how === 'add') notThere.delete(turn.machine);
      if (turn.how === 'remove') notThere.add(turn.machine);
      count(turn, -1);
    },
    told(now) {
      told = now;
    },
    get unlessLost() {
      return { awayByZone, full: isFull([]), lostOf: () => 0, isAway: (turn: Turn) => waiting.has(turn) };
    },
  };
}

export const waitsFor = (lost: readonly string[]): string =>
  `waits for ${fewNames(lost)}: lost, and no other machine may be away beside that`;
/** They were waited for, and do not come back. */
export const lostTooLong = (wave: Wave, lost: readonly string[], waitedMs: number): UserError =>
  new UserError({
    what: `${lost.length === 1 ? 'a worker is' : `${lost.length} workers are`} lost, and no other machine may be away beside that: ${fewNames(lost)}`,
    why: `not Ready, and not by a turn; nothing else of ${wave.name} may begin within maxUnavailable of its pool and upgrade.maxDrains. Waited for ${Math.round(waitedMs / 1000)} s`,
    next: 'cluster up brings machines back; then run the same command again',
  });
