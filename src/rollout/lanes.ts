import type { Lane, Turn } from './rollout.ts';

/**
 * Who is next in one lane, and whether it may begin: bookkeeping without time or I/O. A lane has three phases: surge machines are made, machines take
 * their turns, machines that are no longer wanted go. A phase begins when the one before it is done.
 */
export interface LaneQueue {
  readonly lane: Lane;
  /** Turns that have not begun. */
  readonly left: readonly Turn[];
  /** How many more times the lane fills its cap; infinite before its first turn, whose canary holds up the others. */
  readonly rounds: number;
  /** The turn that may begin now, without beginning it; undefined: none is left, a cap is reached, or the canary is on its way. */
  next(beside: Beside): Turn | undefined;
  begin(turn: Turn): void;
  end(turn: Turn): void;
}

/** What is away already, as far as a lane does not know it by itself. */
export interface Beside {
  readonly awayByZone: ReadonlyMap<string, number>;
  /** The cap of all lanes is reached. */
  readonly full: boolean;
  /** How many of this pool's machines are lost: they count against its cap. */
  lostOf(pool: string): number;
  /** Lost, or taken away by a run before this one: its own turn takes nothing more away. */
  isAway(turn: Turn): boolean;
}

/** A machine that is made takes no capacity away; every other turn does, from its beginning until its gate has passed. */
export const takesAway = (turn: Turn): boolean => turn.how !== 'add';

/**
 * `canary`: the first surge machine and the first turn go alone, if others follow. Throws when the lane contradicts itself: a bug of whoever planned it.
 * Surge machines that stand already are among `first`: their turn is a short one. `isAway`: a run before this one has taken the machine away. It comes back
 * before another one goes.
 */
export function laneQueue(lane: Lane, canary: boolean, isAway: (turn: Turn) => boolean = () => false): LaneQueue {
  check(lane);
  // Ready capacity is size + surge − away: each surge machine lets one more be away.
  const cap = lane.maxUnavailable + sparesOf(lane);
  const phases = [
    newPhase(lane.first, lane.first.length, canary),
    newPhase(awayFirst(lane.turns, isAway), cap, canary),
    newPhase(awayFirst(lane.last, isAway), Math.max(1, cap), false),
  ];
  const current = (): Phase | undefined => phases.find(({ left, running }) => left.size > 0 || running > 0);
  const inZone = new Map<string, number>();
  const lastBegun = new Map<string, number>();
  let begun = 0;
  const pool = phases.flatMap(({ left }) => [...left]).find((turn) => turn.pool !== undefined)?.pool;

  return {
    lane,
    get left() {
      return phases.flatMap(({ left }) => [...left]);
    },
    get rounds() {
      return begun === 0 ? Number.POSITIVE_INFINITY : phases.reduce((sum, { left }) => sum + left.size, 0) / Math.max(1, cap);
    },
    next(beside) {
      const now = current();
      if (!now || now.running >= (now.canary && !now.proven ? 1 : now.most)) return undefined;
      const inOrder = least(
        [...now.groups.values()].flatMap(([turn]) => turn ?? []),
        [
          (turn) => (isAway(turn) ? 0 : 1),
          ({ zone }) => inZone.get(zone) ?? 0,
          ({ zone }) => beside.awayByZone.get(zone) ?? 0,
          ({ zone }) => lastBegun.get(zone) ?? 0,
        ],
      );
      if (!inOrder || !takesAway(inOrder) || beside.isAway(inOrder)) return inOrder;
      const lost = pool === undefined ? 0 : beside.lostOf(pool);
      if (!beside.full && now.running + lost < now.most) return inOrder;
      return lost === 0 ? undefined : [...now.left].find((turn) => beside.isAway(turn));
    },
    begin(turn) {
      const now = current();
      if (!now?.left.delete(turn)) throw new Error(`${turn.machine} is not next in ${lane.name}`);
      const group = now.groups.get(groupOf(turn)) ?? [];
      group.splice(group.indexOf(turn), 1);
      now.running++;
      lastBegun.set(turn.zone, ++begun);
      if (takesAway(turn)) inZone.set(turn.zone, (inZone.get(turn.zone) ?? 0) + 1);
    },
    end(turn) {
      const now = current();
      if (!now || now.running === 0) throw new Error(`${turn.machine} is not running in ${lane.name}`);
      now.running--;
      now.proven = true;
      if (takesAway(turn)) inZone.set(turn.zone, (inZone.get(turn.zone) ?? 1) - 1);
    },
  };
}

interface Phase {
  readonly left: Set<Turn>;
  /** Those of `left` by zone, in the order of the plan. */
  readonly groups: Map<string, Turn[]>;
  /** How many may run at once. */
  readonly most: number;
  readonly canary: boolean;
  running: number;
  proven: boolean;
}

function newPhase(turns: readonly Turn[], most: number, canary: boolean): Phase {
  const groups = new Map<string, Turn[]>();
  for (const turn of turns) {
    const group = groups.get(groupOf(turn));
    if (group) group.push(turn);
    else groups.set(groupOf(turn), [turn]);
  }
  return { left: new Set(turns), groups, most, canary: canary && turns.length > 1, running: 0, proven: false };
}

/** Machines that a lane has besides while it is its turn. */
export const sparesOf = ({ surge, maxSurge, first }: Pick<Lane, 'surge' | 'maxSurge' | 'first'>): number =>
  surge === 'each turn' ? maxSurge : first.length;
const awayFirst = (turns: readonly Turn[], isAway: (turn: Turn) => boolean): readonly Turn[] =>
  turns.toSorted((a, b) => Number(isAway(b)) - Number(isAway(a)));

/** Workers alternate between zones. The order of etcd members (the leader last) and of masters is the plan's. */
const groupOf = (turn: Turn): string => (turn.role === 'worker' ? turn.zone : '');

/** The one with the least scores, the first score first; of equals the first. */
function least(turns: readonly Turn[], scores: readonly ((turn: Turn) => number)[]): Turn | undefined {
  return turns.reduce<Turn | undefined>((best, turn) => {
    if (!best) return turn;
    const decisive = scores.find((score) => score(turn) !== score(best));
    return decisive && decisive(turn) < decisive(best) ? turn : best;
  }, undefined);
}

function check(lane: Lane): void {
  const { name, maxUnavailable, maxSurge, first, turns } = lane;
  if (first.length > maxSurge) throw new Error(`${name}: ${first.length} surge machines, and at most ${maxSurge} may be made`);
  if (first.some(({ how }) => how !== 'add')) throw new Error(`${name}: what comes first are machines that are made`);
  if (turns.length > 0 && maxUnavailable + sparesOf(lane) < 1)
    throw new Error(`${name}: no machine may be away, and none is made in its place`);
}
