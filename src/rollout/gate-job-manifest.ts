import { isFields, type ManifestObject } from '../config/manifest-object.ts';
import { skipAnnotation } from '../kube/drain/pod.ts';
import type { KubeObject } from '../kube/objects.ts';

export interface JobOfGate {
  readonly manifest: ManifestObject;
  /** Makes its name one that no other has. */
  readonly suffix: string;
  readonly labels: Readonly<Record<string, string>>;
  /** For all containers, where they do not set them themselves. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}
/** Ours, not the user's: it is long over when it is deleted, even if nobody comes to delete it. */
const keptSeconds = 600;

/** What the user has written, as one run of it: with a name and an end of its own, and on its node until then. */
export function jobOf({ manifest, suffix, labels, env, timeoutMs }: JobOfGate): KubeObject {
  const { metadata } = manifest;
  const spec = isFields(manifest.spec) ? manifest.spec : {};
  const template = isFields(spec.template) ? spec.template : {};
  return {
    ...manifest,
    metadata: {
      ...metadata,
      // Pods are named after it, and 63 letters are a label.
      name: `${metadata.name.slice(0, 50).replace(/[^a-z0-9]+$/, '')}-${suffix}`,
      namespace: metadata.namespace ?? 'default',
      labels: { ...metadata.labels, ...labels },
    },
    spec: {
      ttlSecondsAfterFinished: keptSeconds,
      // If nobody is left who waits: not earlier, since its pods go with their logs.
      activeDeadlineSeconds: Math.ceil(timeoutMs / 1000) + 60,
      ...spec,
      template: {
        ...template,
        metadata: staying(template.metadata),
        spec: withEnv(isFields(template.spec) ? template.spec : {}, env),
      },
    },
  };
}
function withEnv(
  podSpec: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string>>,
): Readonly<Record<string, unknown>> {
  const fill = (container: unknown): unknown => {
    if (!isFields(container)) return container;
    const own: readonly unknown[] = Array.isArray(container.env) ? container.env : [];
    const names = new Set(own.map((entry) => (isFields(entry) ? entry.name : undefined)));
    const more = Object.entries(env).flatMap(([name, value]) => (names.has(name) ? [] : [{ name, value }]));
    return { ...container, env: [...more, ...own] };
  };
  const filled = ['initContainers', 'containers'].flatMap((key) => {
    const list = podSpec[key];
    return Array.isArray(list) ? [[key, list.map(fill)] as const] : [];
  });
  return { ...podSpec, ...Object.fromEntries(filled) };
}

/** Evicted by the drain of another machine it would fail, and with it the upgrade. A node that is due is avoided already: PreferNoSchedule. */
function staying(metadata: unknown): Readonly<Record<string, unknown>> {
  const own = isFields(metadata) ? metadata : {};
  return { ...own, annotations: { [skipAnnotation]: 'skip', ...(isFields(own.annotations) ? own.annotations : {}) } };
}
