import { z } from 'zod';
import { digestOf } from '../plan/canonical.ts';

/** A Kubernetes object as the API gives and takes it: what is read of it is parsed where it is read. */
export const kubeObjectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
    uid: z.string().optional(),
    creationTimestamp: z.string().nullish(),
    resourceVersion: z.string().optional(),
    generation: z.number().optional(),
    deletionTimestamp: z.string().optional(),
    finalizers: z.array(z.string()).optional(),
    managedFields: z.array(z.looseObject({ manager: z.string().optional(), operation: z.string().optional() })).optional(),
  }),
});
export type KubeObject = z.infer<typeof kubeObjectSchema>;

/** What names one object. */
export interface ObjectName {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string | undefined;
}
export const nameOfObject = ({ apiVersion, kind, metadata }: KubeObject): ObjectName => ({
  apiVersion,
  kind,
  name: metadata.name,
  namespace: metadata.namespace,
});
/** Made before that moment, in milliseconds since the epoch. */
export const isOlderThan = (object: KubeObject | undefined, since: number): boolean =>
  object !== undefined && Date.parse(object.metadata.creationTimestamp ?? '') < since;
/** `Deployment/kube-system/coredns`; the middle is empty for what has no namespace. */
export const keyOf = ({ kind, namespace, name }: Omit<ObjectName, 'apiVersion'>): string => `${kind}/${namespace ?? ''}/${name}`;

export const marks = {
  /** Label: which addon an object belongs to. What carries it and is not designed is pruned. */
  addon: 'slipway.dev/addon',
  /** Label: an object of addons.manifests. Whoever removes it takes the object from us. */
  manifest: 'slipway.dev/manifest',
  /** Annotation of such an object: it was there before us, so that it is let go and not deleted. */
  adopted: 'slipway.dev/adopted',
  /** Annotation: digest of the object as designed. */
  digest: 'slipway.dev/digest',
  /** Annotation: digest of the fields that were ours after the last apply. */
  owned: 'slipway.dev/owned-fields',
  /** Label of Secrets with a certificate that the CLI made. */
  certificate: 'slipway.dev/certificate',
  /** Annotation of nodes: the taints that we put there, as JSON. */
  taints: 'slipway.dev/taints',
  /** Annotation of nodes: the run that has cordoned them. */
  cordon: 'slipway.dev/cordoned-by-run',
  /** Label of pods that are started to see whether pods start. */
  trial: 'slipway.dev/trial',
} as const;
export const fieldManager = 'slipway';

/** Digest of the fields that a manager owns by server-side apply: another one after somebody has changed one of them. */
export function ownedFields({ managedFields }: KubeObject['metadata'], manager: string = fieldManager): string {
  const own = managedFields?.find((entry) => entry.manager === manager && entry.operation === 'Apply');
  return objectDigest(own?.fieldsV1 ?? null);
}

/** Short enough for a plan, long enough never to meet another. */
export const objectDigest = (object: unknown): string => digestOf(object).slice(0, 16);
