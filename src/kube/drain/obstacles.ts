import type { Obstacle } from '../../rollout/rollout.ts';
import { allows, asksBudget, type Budget, budgetName, budgetNumbers, budgetsBy } from './budget.ts';
import { type Pod, podKey, skipAnnotation } from './pod.ts';
import type { BoundVolume, DrainedNode, DrainWorld, PodsOnNode } from './pods.ts';

interface Drain {
  readonly drained: DrainedNode;
  readonly pods: PodsOnNode;
}
/** Of one pod; those that read the same of pods of one controller become one obstacle. */
interface Found extends Omit<Obstacle, 'where'> {
  readonly pod: Pod;
  readonly node: string;
}

/** What would stop these drains, each by name; errors first. Pure. */
export function drainObstacles(world: DrainWorld, drains: readonly Drain[]): readonly Obstacle[] {
  const budgetsOf = budgetsBy(world.budgets);
  const volumes = Map.groupBy(world.volumes, ({ claim }) => podKey(claim));
  const found = drains.flatMap(({ drained, pods }) => [
    ...pods.moves.flatMap((pod) => podObstacles(pod, drained, budgetsOf(pod), volumes)),
    ...pods.stays.flatMap(({ pod }) => leftBehind(pod, drained)),
  ]);
  const all = [...budgetObstacles(drains, budgetsOf), ...grouped(found)];
  return [...all.filter(({ severity }) => severity === 'error'), ...all.filter(({ severity }) => severity === 'warning')];
}

function podObstacles(
  pod: Pod,
  drained: DrainedNode,
  budgets: readonly Budget[],
  volumes: ReadonlyMap<string, readonly BoundVolume[]>,
): readonly Found[] {
  // It goes already: only what keeps it from being gone matters.
  if (pod.terminating) return stuck(pod, drained);
  const claimed = pod.claims.flatMap((name) => volumes.get(podKey({ namespace: pod.namespace, name })) ?? []);
  return [
    ...unmanaged(pod, drained),
    ...severalBudgets(pod, drained, budgets),
    ...bound(pod, drained, claimed),
    ...lostData(pod, drained, claimed),
    ...stuck(pod, drained),
  ];
}

function unmanaged(pod: Pod, { name: node, policy }: DrainedNode): readonly Found[] {
  if (pod.controller) return [];
  const what = 'no controller makes it anew: evicted, it is gone';
  if (policy.unmanaged === 'evict') return [{ severity: 'warning', pod, node, what }];
  const next = `delete it, let a controller own it, annotate it ${skipAnnotation}: skip, or let its pool say upgrade.drain.unmanagedPods: evict`;
  return [{ severity: 'error', pod, node, what, next }];
}

function severalBudgets(pod: Pod, { name: node, policy }: DrainedNode, budgets: readonly Budget[]): readonly Found[] {
  // The API asks no budget for what does not run.
  if (budgets.length < 2 || pod.phase === 'Pending') return [];
  return [
    {
      severity: severityOf(policy),
      pod,
      node,
      what: `several disruption budgets select it: the API refuses its eviction, always${forced(policy)}`,
      why: budgets.map(({ name }) => name).join(', '),
      next: 'narrow the selectors, so that one budget selects it',
    },
  ];
}

/** Where it can run on no other node, it is away as long as the node is; and for good, if the node is. */
function bound(pod: Pod, { name: node, how }: DrainedNode, claimed: readonly BoundVolume[]): readonly Found[] {
  const here = (nodes: readonly string[]): boolean => nodes.every((only) => only === node);
  const local = claimed.filter(({ nodes }) => nodes !== undefined && here(nodes));
  const names = local.map(({ name }) => name).join(', ');
  if (local.length > 0 && how !== 'in-place')
    return [
      {
        severity: 'error',
        pod,
        node,
        what: `its data is on this machine, which is ${how === 'remove' ? 'removed' : 'replaced'}: PersistentVolume ${names}`,
        next: how === 'replace' ? 'move the data, or upgrade this pool in place' : 'move the data first',
      },
    ];
  const away = 'it does not run until the node is back';
  if (local.length > 0)
    return [{ severity: 'warning', pod, node, what: `it cannot move: PersistentVolume ${names} is on this machine`, why: away }];
  if (!pod.onlyOn || !here(pod.onlyOn)) return [];
  const what = 'it cannot move: its node selector or affinity names this node alone';
  if (how === 'remove') return [{ severity: 'error', pod, node, what, next: 'let it run on other nodes, or delete it' }];
  return [{ severity: 'warning', pod, node, what, why: away }];
}

function lostData(pod: Pod, { name: node, how }: DrainedNode, claimed: readonly BoundVolume[]): readonly Found[] {
  const volumes = claimed.flatMap(({ name, nodes, hostPath }) =>
    nodes === undefined && hostPath !== undefined ? [`${hostPath} (PersistentVolume ${name})`] : [],
  );
  const paths = [...pod.hostPaths, ...volumes];
  const list = (names: readonly string[]): string => [...names].toSorted().join(', ');
  const gone = how === 'in-place' ? 'they stay here, and another node has others' : 'they go with the machine';
  return [
    ...(pod.emptyDirs.length > 0
      ? [{ severity: 'warning' as const, pod, node, what: `the data of its emptyDir volumes is lost: ${list(pod.emptyDirs)}` }]
      : []),
    ...(paths.length > 0
      ? [{ severity: 'warning' as const, pod, node, what: `it uses files of the machine: ${list(paths)}`, why: gone }]
      : []),
  ];
}

/** Taken by controllers of Kubernetes within moments. */
const passingFinalizers: ReadonlySet<string> = new Set(['batch.kubernetes.io/job-tracking']);

function stuck(pod: Pod, { name: node, policy }: DrainedNode): readonly Found[] {
  const { graceSeconds, toleratesCordon, terminating } = pod;
  const finalizers = pod.finalizers.filter((finalizer) => !passingFinalizers.has(finalizer));
  const limit = policy.timeoutMs / 1000;
  const what = `its grace period of ${graceSeconds} s is longer than the drain may take (${limit} s)`;
  return [
    ...(graceSeconds > limit
      ? [
          {
            severity: 'warning' as const,
            pod,
            node,
            what: `${what}${forced(policy)}`,
            next: "raise the pool's upgrade.drain.timeout",
          },
        ]
      : []),
    ...(finalizers.length > 0
      ? [
          {
            severity: 'warning' as const,
            pod,
            node,
            what: `its object stays until somebody takes its finalizers: ${finalizers.join(', ')}`,
            why: 'the drain waits for its containers only',
          },
        ]
      : []),
    ...(toleratesCordon && !terminating
      ? [
          {
            severity: 'warning' as const,
            pod,
            node,
            what: 'it tolerates a cordon: evicted, its like may come back to the same node',
          },
        ]
      : []),
  ];
}

function leftBehind(pod: Pod, { name: node, how }: DrainedNode): readonly Found[] {
  if (how === 'in-place' || !pod.skip || pod.controller?.kind === 'DaemonSet' || pod.mirror || pod.stopped) return [];
  return [
    {
      severity: 'warning',
      pod,
      node,
      what: `its annotation ${skipAnnotation} says skip: it is not evicted, and ends with the machine`,
    },
  ];
}

/** Of each budget that would refuse a pod that moves. */
function budgetObstacles(drains: readonly Drain[], budgetsOf: (pod: Pod) => readonly Budget[]): readonly Obstacle[] {
  const asking = new Map<Budget, { readonly pod: Pod; readonly drained: DrainedNode }[]>();
  for (const { drained, pods } of drains)
    for (const pod of pods.moves) {
      const [budget, ...more] = budgetsOf(pod);
      if (!budget || more.length > 0 || !asksBudget(pod, budget)) continue;
      const list = asking.get(budget);
      if (list) list.push({ pod, drained });
      else asking.set(budget, [{ pod, drained }]);
    }
  return [...asking].flatMap(([budget, blocked]): Obstacle[] => {
    const verdict = allows(budget);
    if (verdict === 'some') return [];
    const pods = some([...new Set(blocked.map(({ pod, drained }) => `${podKey(pod)} on ${drained.name}`))]);
    const common = { where: budgetName(budget), why: `${budgetNumbers(budget)}; it keeps ${pods}` };
    if (verdict === 'none now')
      return [
        {
          ...common,
          severity: 'warning',
          what: 'it allows no disruption now',
          next: 'the drain waits for it: look why its pods are not ready',
        },
      ];
    // Where one of them would not be deleted in the end, the upgrade would stop there.
    const policy =
      blocked.find(({ drained }) => drained.policy.forceAfterMs === undefined)?.drained.policy ?? blocked[0]?.drained.policy;
    return [
      {
        ...common,
        severity: policy ? severityOf(policy) : 'error',
        what: `it allows no disruption, ever${policy ? forced(policy) : ''}`,
        next:
          budget.uncountable === undefined
            ? 'run one pod more, or let the budget spare one'
            : 'say minAvailable as a number: that needs no scale of whoever makes these pods',
      },
    ];
  });
}

const severityOf = ({ forceAfterMs }: DrainedNode['policy']): Obstacle['severity'] =>
  forceAfterMs === undefined ? 'error' : 'warning';
const forced = ({ forceAfterMs }: DrainedNode['policy']): string =>
  forceAfterMs === undefined ? '' : `; its pods are deleted after ${forceAfterMs / 1000} s`;

/** A Deployment of a hundred pods with the same emptyDir is one line. */
function grouped(found: readonly Found[]): readonly Obstacle[] {
  const groups = Map.groupBy(found, ({ pod, severity, what, why, next }) => {
    const { namespace, controller } = pod;
    const owner = controller ? `${controller.kind}/${controller.name}` : podKey(pod);
    return JSON.stringify([namespace, owner, severity, what, why, next]);
  });
  return [...groups.values()].flatMap((group): Obstacle[] => {
    const [first] = group;
    if (!first) return [];
    const { severity, what, why, next } = first;
    // A node that has several turns, of chained versions, is named once.
    const names = [...new Set(group.map(({ pod, node }) => `${podKey(pod)} on ${node}`))];
    const where = `${names.length === 1 ? 'pod' : 'pods'} ${some(names)}`;
    return [{ severity, where, what, ...(why === undefined ? {} : { why }), ...(next === undefined ? {} : { next }) }];
  });
}

const shown = 5;
const some = (names: readonly string[]): string =>
  names.length <= shown ? names.join(', ') : `${names.slice(0, shown).join(', ')} and ${names.length - shown} more`;
