import { z } from 'zod';
import type { NodeStatus } from '../../health/status.ts';
import { daemonSetOf, daemonsWithinMs, isOfDaemonSet, isSystem, isWell } from '../../kube/drain/daemons.ts';
import type { Pod } from '../../kube/drain/pod.ts';
import type { KubeObject } from '../../kube/objects.ts';
import type { Obstacle, Turn, Wave } from '../rollout.ts';
import { turnsOfWave } from '../turns.ts';

/** A pod of a DaemonSet that is not ready: all that is kept of it. */
export interface UnreadyDaemon {
  /** `namespace/name` */
  readonly daemonSet: string;
  readonly node: string;
  /** Of kube-system, or of an addon. */
  readonly system: boolean;
  /** Something last happened to it, in milliseconds since the epoch; 0: nobody knows when. */
  readonly sinceMs: number;
}
/** What of DaemonSets the checks look at. */
export interface Daemons {
  readonly unready: readonly UnreadyDaemon[];
  /** Machines that have moved and whose gates have not succeeded. */
  readonly ungated: ReadonlySet<string>;
  /** DaemonSets of addons, `namespace/name`, and what they are a part of: `kube.addon/ebs-csi`. */
  readonly addons: ReadonlyMap<string, string>;
  readonly nowMs: number;
}
interface DaemonsInput extends Daemons {
  readonly waves: readonly Wave[];
  readonly nodes: readonly Pick<NodeStatus, 'name' | 'ready'>[];
  /** Machines whose turn, or what comes before all turns, may be just what mends it. */
  readonly mended: ReadonlySet<string>;
}

const timesSchema = z.looseObject({
  status: z
    .looseObject({
      conditions: z.array(z.looseObject({ type: z.string(), lastTransitionTime: z.string().nullish() })).default([]),
    })
    .prefault({}),
});
/** Undefined: it is ready, or no DaemonSet's. */
export function unreadyDaemon(object: KubeObject, pod: Pod): UnreadyDaemon | undefined {
  if (!isOfDaemonSet(pod) || isWell(pod)) return undefined;
  const { creationTimestamp, deletionTimestamp } = object.metadata;
  const ready = timesSchema.parse(object).status.conditions.find(({ type }) => type === 'Ready');
  const times = [creationTimestamp, deletionTimestamp, ready?.lastTransitionTime].map((at) => Date.parse(at ?? '') || 0);
  return { daemonSet: daemonSetOf(pod), node: pod.node, system: isSystem(pod), sinceMs: Math.max(...times) };
}

/** What becomes of it, the worst first, and why. */
const verdicts = {
  stops: 'the upgrade would stop after the turn of such a node: what the system needs has to be ready then',
  anew: 'such a node is made anew: what is not ready on it ends with it',
  changes: 'its addon changes before the turn of such a node',
  passing: `it may just have started: after its turn a node has ${daemonsWithinMs / 1000} s for that`,
  spared: 'what was not ready on a node before its turn need not be after it',
} as const;
type Verdict = keyof typeof verdicts;
const worstFirst: readonly string[] = Object.keys(verdicts);

/** DaemonSets with pods that are not ready on nodes that have a turn, one line each: the gate after it would ask for them. Pure. */
export function daemonObstacles({ unready, waves, nodes, ungated, mended, addons, nowMs }: DaemonsInput): readonly Obstacle[] {
  // Others are named by what asks for nodes.
  const ready = new Set(nodes.filter((node) => node.ready === true).map(({ name }) => name));
  const turns = turnsBy(waves);
  const verdictOf = ({ daemonSet, node, system, sinceMs }: UnreadyDaemon): Verdict | undefined => {
    const turn = turns.get(node);
    if (!turn || !ready.has(node) || ungated.has(node) || mended.has(node)) return undefined;
    if (turn.how === 'replace') return 'anew';
    if (!system) return 'spared';
    const addon = addons.get(daemonSet);
    if (addon !== undefined && turn.after.has(addon)) return 'changes';
    return nowMs - sinceMs < daemonsWithinMs ? 'passing' : 'stops';
  };
  const found = unready.flatMap((daemon) => {
    const verdict = verdictOf(daemon);
    return verdict ? [{ ...daemon, verdict }] : [];
  });
  return [...Map.groupBy(found, ({ daemonSet }) => daemonSet)].map(([daemonSet, pods]) => {
    const sorted = pods.toSorted((a, b) => worstFirst.indexOf(a.verdict) - worstFirst.indexOf(b.verdict));
    return obstacle(daemonSet, [...new Set(sorted.map(({ node }) => node))], sorted[0]?.verdict ?? 'spared');
  });
}

interface FirstTurn {
  readonly how: Turn['how'];
  /** What has changed by then, besides machines. */
  readonly after: ReadonlySet<string>;
}
/** The first turn of each machine that is there after it. */
function turnsBy(waves: readonly Wave[]): ReadonlyMap<string, FirstTurn> {
  const turns = new Map<string, FirstTurn>();
  let after: ReadonlySet<string> = new Set();
  for (const wave of waves) {
    for (const { machine, how } of turnsOfWave(wave))
      if ((how === 'in-place' || how === 'replace') && !turns.has(machine)) turns.set(machine, { how, after });
    after = new Set([...after, ...wave.changes]);
  }
  return turns;
}

function obstacle(daemonSet: string, nodes: readonly string[], verdict: Verdict): Obstacle {
  const namespace = daemonSet.slice(0, daemonSet.indexOf('/'));
  return {
    severity: verdict === 'stops' ? 'error' : 'warning',
    where: `DaemonSet ${daemonSet}`,
    what: `its pods are not ready on ${named(nodes)}`,
    why: verdicts[verdict],
    ...(verdict === 'stops' && { next: `cluster kubectl -- describe pods -n ${namespace} says why; then look again` }),
  };
}
const shown = 5;
const named = (names: readonly string[]): string =>
  names.length <= shown ? names.join(', ') : `${names.slice(0, shown).join(', ')} and ${names.length - shown} more`;
