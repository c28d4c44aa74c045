import { z } from 'zod';
import type { KubeObject } from '../objects.ts';
import { holds } from '../requirement.ts';
import type { Pod } from './pod.ts';

/** A PodDisruptionBudget: its rule, and what its controller has counted. */
export interface Budget {
  readonly namespace: string;
  readonly name: string;
  /** `minAvailable 2`, `maxUnavailable 25%` */
  readonly rule: string;
  readonly selects: (labels: Readonly<Record<string, string>>) => boolean;
  /** False: its controller has not counted since it was changed, and the API allows nothing until it has. */
  readonly counted: boolean;
  /** Why its controller cannot count its pods at all: then the API allows nothing, for as long as that is so. */
  readonly uncountable: string | undefined;
  readonly allowed: number;
  readonly healthy: number;
  readonly needed: number;
  readonly expected: number;
  /** Pods whose eviction was accepted, and which it counts as away until they are deleted; since when, in milliseconds since the epoch. */
  readonly promised: readonly { readonly name: string; readonly at: number }[];
  /** Pods that are not ready may go, however many are healthy. */
  readonly unhealthyMayGo: boolean;
}

const labelsSchema = z.record(z.string(), z.string()).default({});
const selectorSchema = z.looseObject({
  matchLabels: labelsSchema,
  matchExpressions: z
    .array(z.looseObject({ key: z.string(), operator: z.string(), values: z.array(z.string()).default([]) }))
    .default([]),
});
const amount = z.union([z.number(), z.string()]).optional();
const budgetSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string(), namespace: z.string().default(''), generation: z.number().default(0) }),
  spec: z
    .looseObject({
      minAvailable: amount,
      maxUnavailable: amount,
      selector: selectorSchema.optional(),
      unhealthyPodEvictionPolicy: z.string().default('IfHealthyBudget'),
    })
    .prefault({}),
  status: z
    .looseObject({
      observedGeneration: z.number().default(0),
      disruptionsAllowed: z.number().default(0),
      currentHealthy: z.number().default(0),
      desiredHealthy: z.number().default(0),
      expectedPods: z.number().default(0),
      disruptedPods: z.record(z.string(), z.string()).default({}),
      conditions: z
        .array(z.looseObject({ type: z.string(), reason: z.string().default(''), message: z.string().default('') }))
        .default([]),
    })
    .prefault({}),
});

export function budgetOf(object: KubeObject): Budget {
  const { metadata, spec, status } = budgetSchema.parse(object);
  const { selector } = spec;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    rule: spec.minAvailable === undefined ? `maxUnavailable ${spec.maxUnavailable ?? 1}` : `minAvailable ${spec.minAvailable}`,
    // policy/v1: an empty selector selects all, none selects nothing.
    selects: selector ? (labels) => matches(selector, labels) : () => false,
    counted: status.observedGeneration >= metadata.generation,
    // k8s.io/kubernetes: pkg/controller/disruption, failSafe: of pods whose controllers have no scale (Jobs, many operators').
    uncountable: status.conditions.find(({ reason }) => reason === 'SyncFailed')?.message,
    allowed: status.disruptionsAllowed,
    healthy: status.currentHealthy,
    needed: status.desiredHealthy,
    expected: status.expectedPods,
    promised: Object.entries(status.disruptedPods).map(([name, at]) => ({ name, at: Date.parse(at) })),
    unhealthyMayGo: spec.unhealthyPodEvictionPolicy === 'AlwaysAllow',
  };
}

const matches = (selector: z.infer<typeof selectorSchema>, labels: Readonly<Record<string, string>>): boolean =>
  Object.entries(selector.matchLabels).every(([key, value]) => labels[key] === value) &&
  selector.matchExpressions.every((each) => holds(labels[each.key], each));

/** Of each namespace once, however many pods ask. */
export function budgetsBy(budgets: readonly Budget[]): (pod: Pod) => readonly Budget[] {
  const byNamespace = Map.groupBy(budgets, ({ namespace }) => namespace);
  return ({ namespace, labels }) => (byNamespace.get(namespace) ?? []).filter((budget) => budget.selects(labels));
}

/** Whether its eviction asks the budget at all: the API lets go what does not run, or, as the budget's policy says, is not ready. */
export function asksBudget(pod: Pod, budget: Budget): boolean {
  if (pod.terminating || pod.phase === 'Pending' || pod.stopped) return false;
  if (pod.ready) return true;
  return !budget.unhealthyMayGo && !(budget.healthy >= budget.needed && budget.needed > 0);
}

/** `never`: however healthy all are, it keeps every one of them. */
export function allows({ counted, uncountable, allowed, needed, expected }: Budget): 'some' | 'none now' | 'never' {
  if (uncountable !== undefined) return 'never';
  if (counted && expected > 0 && needed >= expected) return 'never';
  return counted && allowed > 0 ? 'some' : 'none now';
}

/** `minAvailable 2: 2 of 3 pods are healthy, 2 must be` */
export function budgetNumbers({ rule, counted, uncountable, healthy, needed, expected }: Budget): string {
  if (uncountable !== undefined) return `${rule}: its controller cannot count its pods: ${uncountable}`;
  return counted
    ? `${rule}: ${healthy} of ${expected} pods are healthy, ${needed} must be`
    : `${rule}: its controller has not counted yet`;
}
export const budgetName = ({ namespace, name }: Pick<Budget, 'namespace' | 'name'>): string =>
  `PodDisruptionBudget ${namespace}/${name}`;
