import type { Amounts } from './demand.ts';
import type { Placing } from './placing.ts';

/** Nodes, by their numbers, of which at most some drain at once. */
export interface LaneNodes {
  readonly nodes: readonly number[];
  readonly atOnce: number;
}

/** How many combinations are asked at most, and of how many sorts of pods that not every node takes. */
const most = 200;
const sortsMost = 12;

/**
 * Of all the nodes that could be away at the same time, under the lanes' caps and that over all of them, the combinations that leave least room: of each lane and
 * of all lanes together, those that lose most cores, most memory, most pods; and most of what pods need that not every node takes. Each of two nodes or more: a
 * node alone is asked besides. Which of them drain together is known when they do; of a thousand nodes there are too many to ask for all.
 */
export function worstCombinations(
  placing: Placing,
  lanes: readonly LaneNodes[],
  maxDrains: number,
): readonly (readonly number[])[] {
  const measures: readonly ((node: number) => number)[] = [placing.moved, placing.held, ...placing.picky(sortsMost)].flatMap(
    (amounts) => parts.map((part) => (node: number) => amounts(node)[part]),
  );
  // The lanes together first: that is what happens.
  const scopes = lanes.length > 1 ? [lanes, ...lanes.map((lane) => [lane])] : [lanes];
  const found = new Map<string, readonly number[]>();
  for (const scope of scopes)
    for (const measure of measures) {
      const chosen = heaviest(scope, measure, maxDrains);
      if (chosen.length > 1) found.set(chosen.toSorted((a, b) => a - b).join(), chosen);
      if (found.size >= most) return [...found.values()];
    }
  return [...found.values()];
}
const parts: readonly (keyof Amounts)[] = ['cpu', 'memory', 'pods'];

function heaviest(lanes: readonly LaneNodes[], measure: (node: number) => number, maxDrains: number): readonly number[] {
  const ranked = lanes
    .flatMap((lane) => lane.nodes.map((node) => ({ lane, node, weight: measure(node) })))
    .toSorted((a, b) => b.weight - a.weight);
  const counts = new Map<LaneNodes, number>();
  const chosen: number[] = [];
  for (const { lane, node, weight } of ranked) {
    const count = counts.get(lane) ?? 0;
    if (weight <= 0 || chosen.length >= maxDrains) break;
    if (count >= lane.atOnce) continue;
    counts.set(lane, count + 1);
    chosen.push(node);
  }
  return chosen;
}
