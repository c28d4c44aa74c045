import { type Budget, budgetOf } from '../../src/kube/drain/budget.ts';
import { type Pod, podOf } from '../../src/kube/drain/pod.ts';
import type { DrainedNode, DrainPolicy } from '../../src/kube/drain/pods.ts';
import { type KubeObject, kubeObjectSchema } from '../../src/kube/objects.ts';

type Fields = Readonly<Record<string, unknown>>;
/** A running, ready pod of ReplicaSet web on node n1, as the API would tell of it; with what a test cares about laid over. */
export const aPod = (name: string, over?: Over): Pod => podOf(podObject(name, over));
interface Over {
  readonly metadata?: Fields;
  readonly spec?: Fields;
  readonly status?: Fields;
}
export function podObject(name: string, over: Over = {}): KubeObject {
  return kubeObjectSchema.parse({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'default',
      uid: `uid-${name}`,
      labels: { app: 'web' },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'rs', controller: true }],
      ...over.metadata,
    },
    spec: { nodeName: 'n1', containers: [{ name: 'app' }], ...over.spec },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [{ name: 'app', state: { running: {} } }],
      ...over.status,
    },
  });
}

/** minAvailable 2 of 3 healthy pods of app web. */
export const aBudget = (name: string, over?: BudgetOver): Budget => budgetOf(budgetObject(name, over));
interface BudgetOver {
  readonly spec?: Fields;
  readonly status?: Fields;
}
export function budgetObject(name: string, over: BudgetOver = {}): KubeObject {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name, namespace: 'default', generation: 1 },
    spec: { minAvailable: 2, selector: { matchLabels: { app: 'web' } }, ...over.spec },
    status: {
      observedGeneration: 1,
      disruptionsAllowed: 1,
      currentHealthy: 3,
      desiredHealthy: 2,
      expectedPods: 3,
      ...over.status,
    },
  };
}

export const aPolicy = (over: Partial<DrainPolicy> = {}): DrainPolicy => ({ timeoutMs: 300_000, unmanaged: 'refuse', ...over });
export const aNode = (name = 'n1', over: Partial<DrainedNode> = {}): DrainedNode => ({
  name,
  how: 'in-place',
  policy: aPolicy(),
  ...over,
});
