import { admits } from './admits.ts';
import { type Amounts, minus, type NodeRoom, none, type PodDemand, plus } from './demand.ts';

/** Pods for which the scheduler asks the same nodes. */
interface Sort {
  readonly like: PodDemand;
  /** By the number of a node; undefined: not asked yet. */
  readonly admitted: (boolean | undefined)[];
}
/** Pods of one sort that ask for as much: where one finds no room, the next need not look again. */
interface Kind {
  readonly sort: Sort;
  readonly asks: Amounts;
  readonly size: number;
}
interface Moving {
  readonly pod: PodDemand;
  readonly kind: Kind;
}
/** A machine that is made besides: as one that stands, with its DaemonSets. */
export interface Spare {
  readonly like: number;
  readonly count: number;
}
export interface Placed {
  /** They could run on other nodes, on which there is no room. */
  readonly homeless: readonly PodDemand[];
  /** No other node takes them. */
  readonly stranded: readonly PodDemand[];
}

/** Where pods find room while some nodes are away; nodes by their numbers. */
export interface Placing {
  readonly numberOf: ReadonlyMap<string, number>;
  /** What leaves a node when it drains. */
  moved(node: number): Amounts;
  /** What goes when it is away: what leaves it, and what it has free. */
  held(node: number): Amounts;
  /** Of the pods that not every node takes, the sorts that ask for most; of each what goes with a node, as `held` has it. */
  picky(most: number): readonly ((node: number) => Amounts)[];
  place(away: readonly number[], spares: readonly Spare[]): Placed;
}

/** One reading of nodes and pods, of which any number of combinations can be asked. Pure. */
export function newPlacing(nodes: readonly NodeRoom[], pods: readonly PodDemand[]): Placing {
  const numberOf = new Map(nodes.map(({ name }, i) => [name, i]));
  const taken = nodes.map(() => none);
  const staying = nodes.map(() => none);
  const moving: Moving[][] = nodes.map(() => []);
  const kindOf = kinds(nodes);
  for (const pod of pods) {
    const at = numberOf.get(pod.node);
    if (at === undefined || pod.finished) continue;
    taken[at] = plus(taken[at] ?? none, pod.asks);
    if (pod.stays) staying[at] = plus(staying[at] ?? none, pod.asks);
    else moving[at]?.push({ pod, kind: kindOf(pod) });
  }
  const free = nodes.map(({ allocatable }, i) => minus(allocatable, taken[i] ?? none));
  const usable = nodes.flatMap((node, i) => (node.usable ? [i] : []));
  const moved = (node: number): Amounts => minus(taken[node] ?? none, staying[node] ?? none);
  const left = (node: number): Amounts => (nodes[node]?.usable ? (free[node] ?? none) : none);

  return {
    numberOf,
    moved,
    held: (node) => plus(moved(node), left(node)),
    picky(most) {
      const asked = new Map<Sort, Amounts[]>();
      for (const [node, all] of moving.entries())
        for (const { kind } of all) {
          const by = asked.get(kind.sort) ?? [];
          asked.set(kind.sort, by);
          by[node] = plus(by[node] ?? none, kind.asks);
        }
      const count = (by: readonly Amounts[]): number => by.reduce((sum, each) => sum + (each?.pods ?? 0), 0);
      return [...asked]
        .toSorted(([, a], [, b]) => count(b) - count(a))
        .slice(0, 10 * most)
        .filter(([sort]) => !usable.every((node) => takes(sort, nodes, node)))
        .slice(0, most)
        .map(
          ([sort, by]) =>
            (node) =>
              plus(by[node] ?? none, takes(sort, nodes, node) ? left(node) : none),
        );
    },
    place(away, spares) {
      const gone = new Set(away);
      const rooms: Room[] = usable.flatMap((node) => (gone.has(node) ? [] : [{ node, free: free[node] ?? none }]));
      for (const { like, count } of spares) {
        const node = nodes[like];
        if (!node) continue;
        const made = { free: minus(node.allocatable, staying[like] ?? none), made: unnamed(node) };
        for (let i = 0; i < count; i++) rooms.push({ ...made });
      }
      const takesIt = (room: Room, sort: Sort): boolean =>
        'made' in room ? admits(room.made, sort.like) : takes(sort, nodes, room.node);
      const from = new Map<Kind, number>();
      const [homeless, stranded]: [PodDemand[], PodDemand[]] = [[], []];
      // First fit, the largest first.
      const all = away.flatMap((node) => moving[node] ?? []).toSorted((a, b) => b.kind.size - a.kind.size);
      for (const { pod, kind } of all) {
        let at = from.get(kind) ?? 0;
        let room = rooms[at];
        while (room && !(fits(kind.asks, room.free) && takesIt(room, kind.sort))) room = rooms[++at];
        from.set(kind, at);
        if (room) room.free = minus(room.free, kind.asks);
        else (rooms.some((each) => takesIt(each, kind.sort)) ? homeless : stranded).push(pod);
      }
      return { homeless, stranded };
    },
  };
}

type Room = { free: Amounts } & ({ readonly node: number } | { readonly made: NodeRoom });

/** Nobody knows its name yet: what names this node does not mean that one. */
function unnamed({ labels, ...node }: NodeRoom): NodeRoom {
  const { 'kubernetes.io/hostname': _, ...others } = labels;
  return { ...node, name: '', labels: others };
}

function takes(sort: Sort, nodes: readonly NodeRoom[], number: number): boolean {
  const node = nodes[number];
  sort.admitted[number] ??= node !== undefined && admits(node, sort.like);
  return sort.admitted[number];
}

/** Thousands of pods are of a few kinds. */
function kinds(nodes: readonly NodeRoom[]): (pod: PodDemand) => Kind {
  const sorts = new Map<string, Sort>();
  const known = new Map<string, Kind>();
  const greatest = (of: 'cpu' | 'memory'): number =>
    nodes.reduce((most, { allocatable }) => Math.max(most, allocatable[of]), 0) || 1;
  const [cpu, memory] = [greatest('cpu'), greatest('memory')];
  return (pod) => {
    const { selector, affinity, tolerations, asks } = pod;
    const wants = JSON.stringify([selector, affinity, tolerations]);
    const sort = sorts.get(wants) ?? { like: pod, admitted: [] };
    sorts.set(wants, sort);
    const key = `${asks.cpu} ${asks.memory} ${wants}`;
    const kind = known.get(key) ?? { sort, asks, size: Math.max(asks.cpu / cpu, asks.memory / memory) };
    known.set(key, kind);
    return kind;
  };
}

const fits = (asks: Amounts, free: Amounts): boolean =>
  asks.cpu <= free.cpu + 1e-9 && asks.memory <= free.memory && asks.pods <= free.pods;
