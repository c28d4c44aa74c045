import { z } from 'zod';
import { minorOf } from '../../assets/version-order.ts';
import type { KubeObject } from '../../kube/objects.ts';
import type { Obstacle } from '../rollout.ts';
import { goesIn } from './removed-kinds.ts';

/** An API that somebody has asked for since the API server started, and in which minor version it goes. */
export interface RequestedApi {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly removedIn: number;
}

const metric = /^apiserver_requested_deprecated_apis\{([^}]*)\}\s+(\S+)/gm;
const label = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** What of an API server's /metrics, which are megabytes, is read here. */
export const deprecatedLines = (metrics: string): string => (metrics.match(metric) ?? []).join('\n');

/** Out of an API server's /metrics, where they say of each deprecated API in use in which release it goes. Each server counts for itself. */
export function requestedApis(metrics: string): readonly RequestedApi[] {
  return [...metrics.matchAll(metric)].flatMap(([, text = '', value]) => {
    const labels: Readonly<Record<string, string>> = Object.fromEntries(
      [...text.matchAll(label)].map(([, key = '', of = '']) => [key, of]),
    );
    const { group = '', version = '', resource = '', removed_release: release = '' } = labels;
    const removedIn = minorOf(release);
    return Number(value) === 0 || Number.isNaN(removedIn) ? [] : [{ group, version, resource, removedIn }];
  });
}

/**
 * Whose requests the target no longer answers. `metrics`: the /metrics of every API server. An error: a client breaks. What goes a little later is a warning.
 */
export function deprecatedApis(metrics: readonly string[], target: string): readonly Obstacle[] {
  const minor = minorOf(target);
  const found = new Map(
    metrics.flatMap(requestedApis).map((api) => [`${[api.group, api.version].filter(Boolean).join('/')} ${api.resource}`, api]),
  );
  return [...found].toSorted(byName).flatMap(([where, { removedIn }]): readonly Obstacle[] => {
    if (removedIn > minor + 1) return [];
    const gone = removedIn <= minor;
    return [
      {
        severity: gone ? 'error' : 'warning',
        where,
        what: gone
          ? `this API is in use, and Kubernetes 1.${minor} does not have it: 1.${removedIn} removed it`
          : `this API is in use, and Kubernetes 1.${removedIn} removes it`,
        why: 'the API servers have counted requests for it since they started',
        next: `find who asks (the audit log of the masters has user and agent of each request) and move it to a newer version of the API${gone ? '; the count begins anew when the API servers are restarted, one after another' : ''}`,
      },
    ];
  });
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
const writtenSchema = z.looseObject({ manager: z.string().default('somebody'), apiVersion: z.string().optional() });
const appliedSchema = z.looseObject({ apiVersion: z.string(), kind: z.string() });
const crdSchema = z.looseObject({
  spec: z.looseObject({ versions: z.array(z.looseObject({ name: z.string(), served: z.boolean().default(true) })).default([]) }),
  status: z.looseObject({ storedVersions: z.array(z.string()).default([]) }).prefault({}),
});

/**
 * Objects whose manifests, wherever they are kept, name an API version that the target does not have, and definitions with objects in a version that they do
 * not serve. Warnings: what is stored stays readable, whoever writes it that way the next time fails.
 */
export function storedObjects(objects: readonly KubeObject[], target: string): readonly Obstacle[] {
  const minor = minorOf(target);
  return [...objects.flatMap((object) => [...writtenAs(object, minor), ...storedVersions(object)])].toSorted((a, b) =>
    a.where < b.where ? -1 : 1,
  );
}

function writtenAs(object: KubeObject, minor: number): readonly Obstacle[] {
  const { kind, metadata } = object;
  const writers = [
    ...appliedAs(metadata.annotations?.[lastApplied]),
    ...(metadata.managedFields ?? []).flatMap((entry) => {
      const { manager, apiVersion } = writtenSchema.parse(entry);
      // Kubernetes' own programs move with it.
      return apiVersion === undefined || manager.startsWith('kube-') ? [] : [{ manager, apiVersion }];
    }),
  ];
  const gone = writers.filter(({ apiVersion }) => goesIn(apiVersion, kind) <= minor);
  const [first] = gone;
  if (!first) return [];
  return [
    {
      severity: 'warning',
      where: [kind, metadata.namespace, metadata.name].filter(Boolean).join('/'),
      what: `it was last written as ${first.apiVersion}, which Kubernetes 1.${goesIn(first.apiVersion, kind)} removed`,
      why: `by ${[...new Set(gone.map(({ manager }) => manager))].join(', ')}`,
      next: 'move its manifest to a newer version of the API before it is applied again',
    },
  ];
}

function appliedAs(text: string | undefined): readonly { readonly manager: string; readonly apiVersion: string }[] {
  if (text === undefined) return [];
  try {
    const applied = appliedSchema.safeParse(JSON.parse(text));
    return applied.success ? [{ manager: 'kubectl apply', apiVersion: applied.data.apiVersion }] : [];
  } catch {
    return [];
  }
}

function storedVersions(object: KubeObject): readonly Obstacle[] {
  if (object.kind !== 'CustomResourceDefinition') return [];
  const { spec, status } = crdSchema.parse(object);
  const served = new Set(spec.versions.filter((version) => version.served).map(({ name }) => name));
  const lost = status.storedVersions.filter((version) => !served.has(version));
  if (lost.length === 0) return [];
  return [
    {
      severity: 'warning',
      where: `CustomResourceDefinition/${object.metadata.name}`,
      what: `objects may be stored as ${lost.join(', ')}, which it does not serve`,
      next: 'write its objects anew in a version that it serves, then take the old one out of status.storedVersions',
    },
  ];
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1);
