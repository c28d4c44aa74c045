import { z } from 'zod';
import { quantityOf } from '../../config/quantity.ts';
import { cordonedByUs, isCordonedByOthers } from '../../kube/drain/cordon.ts';
import { staying } from '../../kube/drain/leaving.ts';
import { type NodeTerms, nodeTermsSchema, type Pod, podOf, staysBecause } from '../../kube/drain/pod.ts';
import type { KubeObject } from '../../kube/objects.ts';

/** Cores and bytes; `pods` counts. */
export interface Amounts {
  readonly cpu: number;
  readonly memory: number;
  readonly pods: number;
}
export interface Taint {
  readonly key: string;
  readonly value: string;
  readonly effect: string;
}
export interface Toleration {
  readonly key: string;
  readonly operator: string;
  readonly value: string;
  readonly effect: string;
}
/** What a node offers. */
export interface NodeRoom {
  readonly name: string;
  readonly allocatable: Amounts;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  /** It is Ready, and not cordoned by somebody; or it will be. */
  readonly usable: boolean;
}
/** What a pod asks for. */
export interface PodDemand {
  readonly name: string;
  readonly node: string;
  readonly asks: Amounts;
  readonly selector: Readonly<Record<string, string>>;
  /** Required node affinity. */
  readonly affinity: NodeTerms | undefined;
  readonly tolerations: readonly Toleration[];
  /** It goes with its node: of a DaemonSet, static, or finished. */
  readonly stays: boolean;
  readonly finished: boolean;
}

const quantities = z.record(z.string(), z.union([z.string(), z.number()])).default({});
const text = z.string().default('');
const nodeSchema = z.looseObject({
  spec: z
    .looseObject({
      unschedulable: z.boolean().default(false),
      taints: z.array(z.looseObject({ key: z.string(), value: text, effect: text })).default([]),
    })
    .prefault({}),
  status: z
    .looseObject({
      allocatable: quantities,
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string() })).default([]),
    })
    .prefault({}),
});
const containers = z
  .array(z.looseObject({ restartPolicy: text, resources: z.looseObject({ requests: quantities }).prefault({}) }))
  .default([]);
const podSchema = z.looseObject({
  spec: z.looseObject({
    containers,
    initContainers: containers,
    overhead: quantities,
    resources: z.looseObject({ requests: quantities }).prefault({}),
    nodeSelector: z.record(z.string(), z.string()).default({}),
    affinity: z
      .looseObject({
        nodeAffinity: z.looseObject({ requiredDuringSchedulingIgnoredDuringExecution: nodeTermsSchema.optional() }).optional(),
      })
      .nullish(),
    tolerations: z
      .array(z.looseObject({ key: text, operator: z.string().default('Equal'), value: text, effect: text }))
      .default([]),
  }),
});

const amountsOf = (list: z.infer<typeof quantities>): Amounts => {
  const of = (name: string): number => quantityOf(String(list[name] ?? '0')) || 0;
  return { cpu: of('cpu'), memory: of('memory'), pods: of('pods') };
};
export const plus = (a: Amounts, b: Amounts): Amounts => ({
  cpu: a.cpu + b.cpu,
  memory: a.memory + b.memory,
  pods: a.pods + b.pods,
});
export const minus = (a: Amounts, b: Amounts): Amounts => ({
  cpu: a.cpu - b.cpu,
  memory: a.memory - b.memory,
  pods: a.pods - b.pods,
});
const most = (a: Amounts, b: Amounts): Amounts => ({
  cpu: Math.max(a.cpu, b.cpu),
  memory: Math.max(a.memory, b.memory),
  pods: 0,
});
export const none: Amounts = { cpu: 0, memory: 0, pods: 0 };

export function nodeRoom(node: KubeObject): NodeRoom {
  const { spec, status } = nodeSchema.parse(node);
  // One that a run before this one has taken away comes back before another one goes.
  const comesBack = cordonedByUs(node) && !isCordonedByOthers(node);
  return {
    name: node.metadata.name,
    allocatable: amountsOf(status.allocatable),
    labels: node.metadata.labels ?? {},
    // Those of conditions come and go with what `usable` says.
    taints: staying(spec.taints).filter(
      ({ key, effect }) => effect !== 'PreferNoSchedule' && !key.startsWith('node.kubernetes.io/'),
    ),
    usable:
      comesBack || (!spec.unschedulable && status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True')),
  };
}

/**
 * As the scheduler counts it (k8s.io/component-helpers: PodRequests): containers and sidecars together, or the greatest of the init containers; what the
 * pod asks for as a whole instead of that.
 */
export function podDemand(object: KubeObject, pod: Pod = podOf(object)): PodDemand {
  const { spec } = podSchema.parse(object);
  const asked = (of: typeof spec.containers): Amounts =>
    of.reduce((sum, { resources }) => plus(sum, amountsOf(resources.requests)), none);
  const sidecars = spec.initContainers.filter(({ restartPolicy }) => restartPolicy === 'Always');
  const running = plus(asked(spec.containers), asked(sidecars));
  const starting = spec.initContainers
    .filter((each) => !sidecars.includes(each))
    .reduce((sum, each) => most(sum, asked([each])), none);
  const { requests } = spec.resources;
  const whole = amountsOf(requests);
  const together = {
    cpu: requests.cpu === undefined ? Math.max(running.cpu, starting.cpu) : whole.cpu,
    memory: requests.memory === undefined ? Math.max(running.memory, starting.memory) : whole.memory,
    pods: 1,
  };
  const stays = staysBecause(pod) !== undefined;
  const asks = plus(together, { ...amountsOf(spec.overhead), pods: 0 });
  return {
    name: `${pod.namespace}/${pod.name}`,
    node: pod.node,
    asks,
    selector: spec.nodeSelector,
    // A DaemonSet's name one node each: of no use, and thousands.
    affinity: stays ? undefined : spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution,
    tolerations: spec.tolerations,
    stays,
    finished: pod.phase === 'Succeeded' || pod.phase === 'Failed',
  };
}
