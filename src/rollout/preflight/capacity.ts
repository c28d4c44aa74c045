import type { Obstacle } from '../rollout.ts';
import { worstCombinations } from './combinations.ts';
import type { NodeRoom, PodDemand } from './demand.ts';
import { newPlacing, type Placed, type Placing } from './placing.ts';

/** Nodes that drain under one cap. */
export interface DrainLane {
  readonly name: string;
  readonly nodes: readonly string[];
  /** At most. */
  readonly atOnce: number;
  /** Machines that are made before. */
  readonly surge: number;
  /** They do not come back: in the end all of them are away. */
  readonly forGood?: boolean;
}
export interface DrainCapacity {
  readonly nodes: readonly NodeRoom[];
  readonly pods: readonly PodDemand[];
  /** Of each wave the lanes, which go on side by side. */
  readonly waves: readonly (readonly DrainLane[])[];
  /** Over all lanes of a wave. */
  readonly maxDrains: number;
}

/**
 * Would the pods of each node that drains find room on the others while it is away, and those of nodes that may be away together? By requests, node selectors,
 * required node affinity and taints. A pod that could run nowhere else at all (one worker, a pool of one) is a warning: it is interrupted.
 *
 * Only the scheduler knows: pod affinity and anti-affinity, topology spread, the zones and the number of a node's volumes, host ports, extended resources
 * (GPUs), preemption, and pods that wait for a place already are not asked about. Nothing found is no promise.
 */
export function capacityForDrain({ nodes, pods, waves, maxDrains }: DrainCapacity): readonly Obstacle[] {
  const placing = newPlacing(nodes, pods);
  const nameOf = (node: number): string => nodes[node]?.name ?? '';
  return waves.flatMap((wave) => {
    const lanes = wave.flatMap((lane): readonly Numbered[] => {
      const numbers = lane.nodes.flatMap((name) => placing.numberOf.get(name) ?? []);
      const { surge, forGood = false } = lane;
      const atOnce = forGood ? numbers.length : Math.max(1, Math.min(lane.atOnce, maxDrains));
      return numbers.length > 0 ? [{ name: lane.name, nodes: numbers, atOnce, surge, forGood }] : [];
    });
    const [going, coming] = [lanes.filter(({ forGood }) => forGood), lanes.filter(({ forGood }) => !forGood)];
    const alone = coming.map((lane) => ({ lane, tries: lane.nodes.map((node) => tried(placing, [node], [lane])) }));
    const together = worstCombinations(placing, coming, maxDrains).map((away) => tried(placing, away, coming));
    return [
      ...going.flatMap((lane) => said([tried(placing, lane.nodes, [lane])], nameOf)),
      ...alone.flatMap(({ tries }) => said(tries, nameOf)),
      ...said(
        beyond(
          together,
          alone.flatMap(({ tries }) => tries),
        ),
        nameOf,
        'the worst',
      ),
    ];
  });
}

interface Numbered {
  readonly name: string;
  readonly nodes: readonly number[];
  readonly atOnce: number;
  readonly surge: number;
  readonly forGood: boolean;
}
interface Tried extends Placed {
  readonly lanes: readonly Numbered[];
  readonly away: readonly number[];
}
function tried(placing: Placing, away: readonly number[], among: readonly Numbered[]): Tried {
  const members = among.map((lane) => {
    const own = new Set(lane.nodes);
    return { lane, away: away.filter((node) => own.has(node)) };
  });
  const lanes = members.filter((each) => each.away.length > 0);
  const spares = lanes.flatMap(({ lane: { surge }, away: [like] }) => (like === undefined ? [] : [{ like, count: surge }]));
  return { lanes: lanes.map(({ lane }) => lane), away, ...placing.place(away, spares) };
}

/** What several nodes lack, where each alone lacks nothing: mended is that first. */
function beyond(together: readonly Tried[], alone: readonly Tried[]): readonly Tried[] {
  const short = new Set(alone.filter(({ homeless }) => homeless.length > 0).flatMap(({ lanes }) => lanes));
  const stranded = new Set(alone.flatMap((each) => each.stranded));
  return together.map((each) => ({
    ...each,
    homeless: each.lanes.some((lane) => short.has(lane)) ? [] : each.homeless,
    stranded: each.stranded.filter((pod) => !stranded.has(pod)),
  }));
}

function said(tries: readonly Tried[], nameOf: (node: number) => string, others?: 'the worst'): readonly Obstacle[] {
  return (['homeless', 'stranded'] as const).flatMap((which): readonly Obstacle[] => {
    const short = tries.filter((each) => each[which].length > 0);
    const worst = short.reduce<Tried | undefined>((a, b) => (a && a[which].length >= b[which].length ? a : b), undefined);
    if (!worst) return [];
    const rest = others ? [] : short.filter((each) => each !== worst).flatMap(({ away }) => away.map(nameOf));
    const why = named(worst[which].map(({ name }) => name));
    const more =
      rest.length > 0 ? `; others while ${named(rest)} ${areIs(rest)} away${rest.length > 1 ? ', one at a time' : ''}` : '';
    return [{ ...words(worst, which, nameOf), why: `${why}${more}` }];
  });
}

function words({ lanes, away, ...short }: Tried, which: 'homeless' | 'stranded', nameOf: (node: number) => string): Obstacle {
  const forGood = lanes.some((lane) => lane.forGood);
  const gone = away.map(nameOf);
  const drained = forGood ? `once ${named(gone.toSorted())} ${areIs(gone)} gone` : `while ${named(gone)} ${areIs(gone)} away`;
  const pods = short[which].length === 1 ? 'one pod finds' : `${short[which].length} pods find`;
  const where = lanes.map(({ name }) => name).join(', ');
  if (which === 'stranded')
    return {
      severity: 'warning',
      where,
      what: `${drained} ${pods} no other node to run on`,
      next: forGood
        ? 'they do not run until there is a node that takes them: keep one, or delete them'
        : 'they are interrupted until a node like it is back; one more worker would take them',
    };
  return {
    severity: 'error',
    where,
    what: `${drained} ${pods} no room on the ${forGood ? 'nodes that stay' : 'other nodes'}`,
    next: forGood
      ? 'keep more workers, or lower the requests of these pods'
      : gone.length > 1
        ? 'lower maxUnavailable or upgrade.maxDrains, or add workers'
        : 'add a worker, lower the requests of these pods, or let the pool surge (strategy replace, maxSurge 1)',
  };
}

const areIs = (names: readonly string[]): string => (names.length === 1 ? 'is' : 'are');
const shown = 20;
const named = (names: readonly string[]): string =>
  [...names.slice(0, shown), ...(names.length > shown ? [`and ${names.length - shown} more`] : [])].join(', ');
