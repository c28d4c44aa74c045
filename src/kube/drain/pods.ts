import { z } from 'zod';
import type { Obstacle } from '../../rollout/rollout.ts';
import type { KubeApi } from '../client.ts';
import type { KubeObject } from '../objects.ts';
import { type Budget, budgetOf } from './budget.ts';
import { drainObstacles } from './obstacles.ts';
import { nodeTermsSchema, onlyNodes, type Pod, podKey, podOf, staysBecause } from './pod.ts';

/** A node that is to be drained, and what becomes of its machine then. */
export interface DrainedNode {
  readonly name: string;
  readonly how: 'in-place' | 'replace' | 'remove';
  readonly policy: DrainPolicy;
}
export interface DrainPolicy {
  readonly timeoutMs: number;
  /** Pods that would not leave are deleted after this time. Undefined: never. */
  readonly forceAfterMs?: number | undefined;
  /** Pods that no controller makes anew: `evict` ends them for good. */
  readonly unmanaged: 'refuse' | 'evict';
}
/** A PersistentVolume on certain nodes, or on whichever its pod runs, and who has claimed it. */
export interface BoundVolume {
  readonly name: string;
  readonly claim: { readonly namespace: string; readonly name: string };
  /** Undefined: it names none, and is a directory of each (`hostPath`). */
  readonly nodes: readonly string[] | undefined;
  readonly hostPath?: string | undefined;
}
export interface DrainWorld {
  readonly pods: readonly Pod[];
  readonly budgets: readonly Budget[];
  readonly volumes: readonly BoundVolume[];
}

export interface PodsOnNode {
  readonly node: string;
  /** In the order of eviction. */
  readonly moves: readonly Pod[];
  readonly stays: readonly { readonly pod: Pod; readonly because: string }[];
}
export interface DrainPlan {
  readonly nodes: readonly PodsOnNode[];
  /** Pods that move. */
  readonly pods: number;
  readonly obstacles: readonly Obstacle[];
}

/** Everything that a plan of drains looks at: three LISTs, however many nodes. `each` sees every pod as the API tells it, for what else is asked of them. */
export async function readDrainWorld(
  api: Pick<KubeApi, 'pages' | 'list'>,
  signal?: AbortSignal,
  each?: (object: KubeObject, pod: Pod) => void,
): Promise<DrainWorld> {
  const options = signal ? { signal } : {};
  const [pods, budgets, volumes] = await Promise.all([
    listPods(api, signal, each),
    api.list('policy/v1', 'PodDisruptionBudget', options),
    api.list('v1', 'PersistentVolume', options),
  ]);
  return { pods, budgets: budgets.map(budgetOf), volumes: volumes.flatMap(boundVolume) };
}
async function listPods(
  api: Pick<KubeApi, 'pages'>,
  signal?: AbortSignal,
  each?: (object: KubeObject, pod: Pod) => void,
): Promise<readonly Pod[]> {
  const pods: Pod[] = [];
  // Page by page: thirty thousand pods as the API tells them are half a gigabyte.
  for await (const { items } of api.pages('v1', 'Pod', signal ? { signal } : {}))
    for (const item of items) {
      const pod = podOf(item);
      each?.(item, pod);
      pods.push(pod);
    }
  return pods;
}

/** What moves, what stays, and what would stop it, of several nodes together. Pure. */
export function drainPlan(world: DrainWorld, nodes: readonly DrainedNode[]): DrainPlan {
  const byNode = Map.groupBy(world.pods, ({ node }) => node);
  const drains = nodes.map((drained) => ({ drained, pods: sortPods(drained.name, byNode.get(drained.name) ?? []) }));
  return {
    nodes: drains.map(({ pods }) => pods),
    pods: drains.reduce((sum, { pods }) => sum + pods.moves.length, 0),
    obstacles: drainObstacles(world, drains),
  };
}

function sortPods(node: string, pods: readonly Pod[]): PodsOnNode {
  const stays = pods.flatMap((pod) => {
    const because = staysBecause(pod);
    return because === undefined ? [] : [{ pod, because }];
  });
  return { node, moves: pods.filter((pod) => staysBecause(pod) === undefined).toSorted(byEviction), stays };
}

/**
 * Lower priority first, as a kubelet's graceful shutdown does: what the system needs serves until the others are gone.
 * Of equals, the order of names: a plan reads the same twice.
 */
function byEviction(a: Pod, b: Pod): number {
  return a.priority - b.priority || (podKey(a) < podKey(b) ? -1 : 1);
}

const volumeSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  spec: z
    .looseObject({
      claimRef: z.looseObject({ namespace: z.string().default(''), name: z.string().default('') }).optional(),
      nodeAffinity: z.looseObject({ required: nodeTermsSchema.optional() }).optional(),
      hostPath: z.looseObject({ path: z.string() }).optional(),
    })
    .prefault({}),
});
function boundVolume(object: KubeObject): readonly BoundVolume[] {
  const { metadata, spec } = volumeSchema.parse(object);
  const nodes = onlyNodes({}, spec.nodeAffinity?.required);
  const hostPath = spec.hostPath?.path;
  if (!spec.claimRef || (!nodes && hostPath === undefined)) return [];
  return [{ name: metadata.name, claim: spec.claimRef, nodes, hostPath }];
}
