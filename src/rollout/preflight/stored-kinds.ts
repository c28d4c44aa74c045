import { minorOf } from '../../assets/version-order.ts';
import type { KubeApi } from '../../kube/client.ts';
import type { Obstacle } from '../rollout.ts';
import { goesIn, removedBetween } from './removed-kinds.ts';

/** A kind of which every version that the API servers serve is gone in the target. */
export interface LonelyKind {
  /** As the API servers count it: `podcertificaterequests.certificates.k8s.io`. */
  readonly resource: string;
  readonly versions: readonly string[];
}

const counted = /^apiserver_(?:resource|storage)_objects\{([^}]*)\}\s+(\S+)/gm;
const label = (text: string, name: string): string => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(text)?.[1] ?? '';

/** How many objects of each resource are stored, by `plural.group`, out of an API server's /metrics; it counts them about once a minute. */
function storedCounts(metrics: string): ReadonlyMap<string, number> {
  return new Map(
    [...metrics.matchAll(counted)].map(([, labels = '', value]) => [
      [label(labels, 'resource'), label(labels, 'group')].filter(Boolean).join('.'),
      Number(value),
    ]),
  );
}
/** What of an API server's /metrics, which are megabytes, is read here. */
export const countLines = (metrics: string): string => (metrics.match(counted) ?? []).join('\n');

/** `served`: groups with their versions, as discovery has them. `from`, `to`: versions of Kubernetes. Listing them would count as a use of what goes. */
export async function lonelyKinds(
  api: Pick<KubeApi, 'kind'>,
  served: ReadonlyMap<string, readonly string[]>,
  { from, to, signal }: { readonly from: string; readonly to: string; readonly signal: AbortSignal },
): Promise<readonly LonelyKind[]> {
  const lonely = new Map<string, LonelyKind>();
  for (const { apiVersion, kind } of removedBetween(from, to)) {
    const group = apiVersion.slice(0, apiVersion.indexOf('/'));
    const all = served.get(group) ?? [];
    const known = all.includes(apiVersion) ? await api.kind(apiVersion, kind, signal) : undefined;
    if (!known) continue;
    const others = await Promise.all(all.map(async (version) => ((await api.kind(version, kind, signal)) ? [version] : [])));
    const versions = others.flat();
    if (versions.length === 0 || versions.some((version) => goesIn(version, kind) > minorOf(to))) continue;
    const resource = `${known.plural}.${group}`;
    lonely.set(resource, { resource, versions });
  }
  return [...lonely.values()];
}

/** Objects that nobody could read or delete any more: stored in versions that the target does not know. Pure. */
export function orphanedObjects(kinds: readonly LonelyKind[], metrics: readonly string[], target: string): readonly Obstacle[] {
  const counts = metrics.map(storedCounts);
  return kinds.flatMap(({ resource, versions }): readonly Obstacle[] => {
    const stored = Math.max(0, ...counts.map((each) => each.get(resource) ?? 0));
    if (stored === 0) return [];
    return [
      {
        severity: 'error',
        where: resource,
        what: `${stored === 1 ? 'an object of it is' : `${stored} objects of it are`} stored as ${versions.join(' or ')}, and Kubernetes 1.${minorOf(target)} does not know ${versions.length === 1 ? 'that version' : 'these versions'}`,
        why: 'the API servers count what is stored, about once a minute; after the upgrade nobody could read or delete it',
        next: `cluster kubectl -- get ${resource} -A shows them: keep what is needed of them elsewhere, and delete them`,
      },
    ];
  });
}
