import { z } from 'zod';
import type { KubeObject } from '../objects.ts';

/** What of a pod matters to a drain: a hundredth of what the API tells. */
export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Empty: not on a node yet. */
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Who makes another when this one is gone. Undefined: nobody. */
  readonly controller: { readonly kind: string; readonly name: string } | undefined;
  readonly phase: string;
  readonly ready: boolean;
  readonly priority: number;
  readonly graceSeconds: number;
  /** It is told to stop, or has been: by whom does not matter. */
  readonly terminating: boolean;
  /** No container of it runs any more; one that never ran counts as well, once its phase says so. */
  readonly stopped: boolean;
  /** What must let go of the object before it is deleted. */
  readonly finalizers: readonly string[];
  /** A static pod's image in the API. */
  readonly mirror: boolean;
  /** Its annotation says that drains leave it. */
  readonly skip: boolean;
  /** It may be scheduled on a cordoned node: evicted, it comes back. */
  readonly toleratesCordon: boolean;
  /** Names of nodes, when it can run on no others. */
  readonly onlyOn: readonly string[] | undefined;
  readonly emptyDirs: readonly string[];
  readonly hostPaths: readonly string[];
  /** PersistentVolumeClaims, in its namespace. */
  readonly claims: readonly string[];
}

export const skipAnnotation = 'slipway.dev/drain';
export const podKey = ({ namespace, name }: Pick<Pod, 'namespace' | 'name'>): string => `${namespace}/${name}`;

const termSchema = z.looseObject({ key: z.string(), operator: z.string(), values: z.array(z.string()).default([]) });
const selectorTermSchema = z.looseObject({
  matchExpressions: z.array(termSchema).default([]),
  matchFields: z.array(termSchema).default([]),
});
/** Of a pod's affinity, and of a PersistentVolume's. */
export const nodeTermsSchema = z.looseObject({ nodeSelectorTerms: z.array(selectorTermSchema).default([]) });
export type NodeTerms = z.infer<typeof nodeTermsSchema>;

const containerStatuses = z
  .array(z.looseObject({ state: z.looseObject({ terminated: z.unknown().optional() }).prefault({}) }))
  .default([]);
const podSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().default(''),
    uid: z.string().default(''),
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
    finalizers: z.array(z.string()).default([]),
    deletionTimestamp: z.string().optional(),
    deletionGracePeriodSeconds: z.number().optional(),
    ownerReferences: z
      .array(z.looseObject({ kind: z.string(), name: z.string(), controller: z.boolean().default(false) }))
      .default([]),
  }),
  spec: z
    .looseObject({
      nodeName: z.string().default(''),
      priority: z.number().default(0),
      terminationGracePeriodSeconds: z.number().default(30),
      nodeSelector: z.record(z.string(), z.string()).default({}),
      affinity: z
        .looseObject({
          nodeAffinity: z.looseObject({ requiredDuringSchedulingIgnoredDuringExecution: nodeTermsSchema.optional() }).optional(),
        })
        .nullish(),
      tolerations: z
        .array(
          z.looseObject({
            key: z.string().default(''),
            operator: z.string().default('Equal'),
            value: z.string().default(''),
            effect: z.string().default(''),
          }),
        )
        .default([]),
      volumes: z
        .array(
          z.looseObject({
            name: z.string(),
            emptyDir: z.unknown().optional(),
            hostPath: z.looseObject({ path: z.string() }).optional(),
            persistentVolumeClaim: z.looseObject({ claimName: z.string() }).optional(),
            ephemeral: z.unknown().optional(),
          }),
        )
        .default([]),
    })
    .prefault({}),
  status: z
    .looseObject({
      phase: z.string().default(''),
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string() })).default([]),
      initContainerStatuses: containerStatuses,
      containerStatuses,
      ephemeralContainerStatuses: containerStatuses,
    })
    .prefault({}),
});

export function podOf(object: KubeObject): Pod {
  const { metadata, spec, status } = podSchema.parse(object);
  const controller = metadata.ownerReferences.find((owner) => owner.controller);
  const { volumes } = spec;
  const terminating = metadata.deletionTimestamp !== undefined;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid,
    node: spec.nodeName,
    labels: metadata.labels,
    controller: controller && { kind: controller.kind, name: controller.name },
    phase: status.phase,
    ready: status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
    priority: spec.priority,
    // Told to stop, it has the time that it was given then.
    graceSeconds: metadata.deletionGracePeriodSeconds ?? spec.terminationGracePeriodSeconds,
    terminating,
    stopped: isStopped(status),
    finalizers: metadata.finalizers,
    mirror: 'kubernetes.io/config.mirror' in metadata.annotations,
    skip: metadata.annotations[skipAnnotation] === 'skip',
    toleratesCordon: spec.tolerations.some(toleratesCordon),
    onlyOn: onlyNodes(spec.nodeSelector, spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution),
    emptyDirs: volumes.filter(({ emptyDir }) => emptyDir !== undefined).map(({ name }) => name),
    hostPaths: volumes.flatMap(({ hostPath }) => (hostPath ? [hostPath.path] : [])),
    claims: volumes.flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
      if (persistentVolumeClaim) return [persistentVolumeClaim.claimName];
      // The claim of a generic ephemeral volume has the pod's name and the volume's.
      return ephemeral === undefined ? [] : [`${metadata.name}-${name}`];
    }),
  };
}

function isStopped(status: z.infer<typeof podSchema>['status']): boolean {
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return true;
  const all = [...status.initContainerStatuses, ...status.containerStatuses, ...status.ephemeralContainerStatuses];
  return status.containerStatuses.length > 0 && all.every(({ state }) => state.terminated !== undefined);
}

const unschedulable = 'node.kubernetes.io/unschedulable';
const toleratesCordon = (toleration: { key: string; operator: string; value: string; effect: string }): boolean =>
  (toleration.effect === '' || toleration.effect === 'NoSchedule') &&
  (toleration.operator === 'Exists'
    ? toleration.key === '' || toleration.key === unschedulable
    : toleration.key === unschedulable && toleration.value === '');

const hostname = 'kubernetes.io/hostname';
/** The nodes that a selector and required terms name. Undefined: they name none, so any may do. */
export function onlyNodes(
  selector: Readonly<Record<string, string>>,
  terms: NodeTerms | undefined,
): readonly string[] | undefined {
  const selected = selector[hostname];
  const named = (terms?.nodeSelectorTerms ?? []).map(({ matchExpressions, matchFields }) => [
    ...matchExpressions.filter(({ key, operator }) => key === hostname && operator === 'In'),
    ...matchFields.filter(({ key, operator }) => key === 'metadata.name' && operator === 'In'),
  ]);
  // Terms are alternatives: one that names no node lets it run anywhere.
  const anywhere = named.length === 0 || named.some((term) => term.length === 0);
  const byTerms = anywhere ? undefined : [...new Set(named.flatMap((term) => intersection(term.map(({ values }) => values))))];
  if (selected === undefined) return byTerms;
  return byTerms === undefined || byTerms.includes(selected) ? [selected] : [];
}
const intersection = (lists: readonly (readonly string[])[]): readonly string[] =>
  lists.reduce((left, right) => left.filter((value) => right.includes(value)));

/**
 * Why a drain leaves a pod where it is; undefined: it moves. A mirror pod and a DaemonSet's pod would come back at once; what is finished runs no more.
 */
export function staysBecause(pod: Pod): string | undefined {
  if (pod.mirror) return 'a static pod of the node';
  if (pod.controller?.kind === 'DaemonSet') return `of DaemonSet ${pod.controller.name}`;
  if (pod.stopped && !pod.terminating) return 'it has finished';
  if (pod.skip) return `its annotation ${skipAnnotation} says skip`;
  return undefined;
}
