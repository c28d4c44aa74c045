import type { Obstacle } from '../rollout.ts';
import { type Amounts, minus, type NodeRoom, none, type PodDemand, plus, type Taint, type Toleration } from './demand.ts';

/** Nodes that drain under one cap. */
interface Lane {
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
  readonly lanes: readonly Lane[];
  /** Over all lanes. */
  readonly maxDrains: number;
}

/**
 * Would the pods of the fullest nodes of each lane find room on the others while those are away? By requests, node selectors and taints: roughly, as only
 * the scheduler knows, and lane by lane. A pod that could run nowhere else at all (one worker, a pool of one) is a warning: it is interrupted.
 */
export function capacityForDrain({ nodes, pods, lanes, maxDrains }: DrainCapacity): readonly Obstacle[] {
  const living = pods.filter(({ finished }) => !finished);
  const on = Map.groupBy(living, ({ node }) => node);
  return lanes.flatMap((lane) => {
    const names = new Set(lane.nodes);
    const own = nodes
      .filter(({ name }) => names.has(name))
      .map((node) => ({ node, full: share(asksOf(on.get(node.name), 'moves'), node) }));
    const atOnce = lane.forGood ? own.length : Math.max(1, Math.min(lane.atOnce, maxDrains));
    const away = own.toSorted((a, b) => b.full - a.full).slice(0, atOnce);
    return obstaclesOf(
      lane,
      away.map(({ node }) => node),
      { nodes, on },
    );
  });
}

interface Placed {
  readonly nodes: readonly NodeRoom[];
  readonly on: ReadonlyMap<string, readonly PodDemand[]>;
}
function obstaclesOf(
  { name: where, surge, forGood = false }: Lane,
  away: readonly NodeRoom[],
  { nodes, on }: Placed,
): readonly Obstacle[] {
  const gone = new Set(away.map(({ name }) => name));
  const [fullest] = away;
  const moving = [...gone].flatMap((name) => (on.get(name) ?? []).filter(({ stays }) => !stays));
  const others = nodes
    .filter(({ name, usable }) => usable && !gone.has(name))
    .map((node) => ({ node, free: minus(node.allocatable, asksOf(on.get(node.name))) }));
  const surged = fullest
    ? Array.from({ length: surge }, () => ({
        node: fullest,
        free: minus(fullest.allocatable, asksOf(on.get(fullest.name), 'stays')),
      }))
    : [];
  const rooms = [...others, ...surged];
  const movable = moving.filter((pod) => rooms.some(({ node }) => admits(node, pod)));
  // First fit, the largest first.
  const homeless = movable
    .toSorted((a, b) => share(b.asks, fullest) - share(a.asks, fullest))
    .filter((pod) => {
      const room = rooms.find(({ node, free }) => admits(node, pod) && fits(pod.asks, free));
      if (room) room.free = minus(room.free, pod.asks);
      return room === undefined;
    });
  const are = gone.size === 1 ? 'is' : 'are';
  const drained = forGood ? `once ${named([...gone].toSorted())} ${are} gone` : `while ${[...gone].join(', ')} ${are} away`;
  return [
    ...said(homeless, (pods) => ({
      severity: 'error',
      where,
      what: `${drained} ${pods} no room on the ${forGood ? 'nodes that stay' : 'other nodes'}`,
      next: forGood
        ? 'keep more workers, or lower the requests of these pods'
        : gone.size > 1
          ? 'lower maxUnavailable or upgrade.maxDrains, or add workers'
          : 'add a worker, lower the requests of these pods, or let the pool surge (strategy replace, maxSurge 1)',
    })),
    ...said(
      moving.filter((pod) => !movable.includes(pod)),
      (pods) => ({
        severity: 'warning',
        where,
        what: `${drained} ${pods} no other node to run on`,
        next: forGood
          ? 'they do not run until there is a node that takes them: keep one, or delete them'
          : 'they are interrupted until a node like it is back; one more worker would take them',
      }),
    ),
  ];
}

function said(pods: readonly PodDemand[], obstacle: (pods: string) => Obstacle): readonly Obstacle[] {
  if (pods.length === 0) return [];
  const why = named(pods.map(({ name }) => name));
  return [{ ...obstacle(pods.length === 1 ? 'one pod finds' : `${pods.length} pods find`), why }];
}
const shown = 20;
const named = (names: readonly string[]): string =>
  [...names.slice(0, shown), ...(names.length > shown ? [`and ${names.length - shown} more`] : [])].join(', ');

const asksOf = (pods: readonly PodDemand[] = [], which?: 'moves' | 'stays'): Amounts =>
  pods
    .filter(({ stays }) => which === undefined || stays === (which === 'stays'))
    .reduce((sum, { asks }) => plus(sum, asks), none);
const fits = (asks: Amounts, free: Amounts): boolean =>
  asks.cpu <= free.cpu + 1e-9 && asks.memory <= free.memory && asks.pods <= free.pods;
const share = ({ cpu, memory }: Amounts, node: NodeRoom | undefined): number =>
  node ? Math.max(cpu / (node.allocatable.cpu || 1), memory / (node.allocatable.memory || 1)) : 0;
/** Would the scheduler ask at all? */
const admits = ({ labels, taints }: NodeRoom, { selector, tolerations }: PodDemand): boolean =>
  Object.entries(selector).every(([key, value]) => labels[key] === value) &&
  taints.every((taint) => tolerations.some((each) => tolerates(each, taint)));
const tolerates = ({ key, operator, value, effect }: Toleration, taint: Taint): boolean =>
  (effect === '' || effect === taint.effect) &&
  (key === '' ? operator === 'Exists' : key === taint.key && (operator === 'Exists' || value === taint.value));
