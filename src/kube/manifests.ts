import { z } from 'zod';
import { isSecret, type ManifestObject, manifestKey } from '../config/manifest-object.ts';
import type { Manifest } from '../config/manifests.ts';
import { digestOf, keyedDigest } from '../plan/canonical.ts';
import { type Address, addressOf, type Resource } from '../plan/resource.ts';
import type { KubeApi } from './client.ts';
import type { KubeClients } from './clients.ts';
import { KubeRefusal } from './http.ts';
import { groupOf, isUpstream, stageOf } from './kinds.ts';
import { type KubeObject, marks, nameOfObject, type ObjectName, objectDigest, ownedFields } from './objects.ts';

/** The field manager of what addons.manifests hold: another than our own addons', so that neither takes the other's fields. */
export const manifestManager = 'slipway-manifests';

export interface ManifestProps {
  /** By key: digest of the object. Of a Secret only whether it is as in the file: plans are read by many. */
  readonly objects: Readonly<Record<string, string>>;
  /** That the cluster remembers in which kinds to look for objects once they are in no file any more. */
  readonly recorded: boolean;
  /** Observed only: keys of objects that were there before us. */
  readonly adopted?: readonly string[];
}
/** An object in the cluster that was applied from a manifest. */
export interface Applied extends ObjectName {
  readonly key: string;
  /** As in ManifestProps.objects; anything else says how it differs. */
  readonly state: string;
  readonly adopted: boolean;
}

/** Objects whose deletion deletes more than themselves: what is in a namespace, all objects of a kind, data. */
export const holds = ({ apiVersion, kind }: { readonly apiVersion: string; readonly kind: string }): boolean =>
  isUpstream(apiVersion) && ['Namespace', 'CustomResourceDefinition', 'PersistentVolume', 'PersistentVolumeClaim'].includes(kind);

/** The resources of addons.manifests: what holds others first, then the rest. Pure. */
export function manifestResources(manifests: readonly Manifest[], after: readonly Address[]): readonly Resource<ManifestProps>[] {
  const resource = (type: string, of: readonly Manifest[], below: readonly Address[]): readonly Resource<ManifestProps>[] => {
    const objects = Object.fromEntries(of.map(({ key, object }) => [key, desiredState(object)]));
    return of.length === 0
      ? []
      : [{ address: addressOf(type, 'manifests'), type, props: { objects, recorded: true }, after: below }];
  };
  const holders = resource(
    'kube.holders',
    manifests.filter(({ object }) => holds(object)),
    after,
  );
  const rest = manifests.filter(({ object }) => !holds(object));
  return [...holders, ...resource('kube.objects', rest, [...after, ...holders.map(({ address }) => address)])];
}

const asInTheFile = 'as in the file';
const desiredState = (object: ManifestObject): string => (isSecret(object) ? asInTheFile : objectDigest(object));
/** What the object's annotation says: a Secret's is worth nothing to who does not know the cluster's UID. */
export const markedDigest = (object: ManifestObject, uid: string): string =>
  isSecret(object) ? keyedDigest(uid, digestOf(object)).slice(0, 16) : objectDigest(object);

/** By label and by managedFields: controllers copy labels to what they make (an EndpointSlice has those of its Service). */
export const isApplied = ({ metadata: { labels = {}, managedFields = [] } }: KubeObject): boolean =>
  marks.manifest in labels &&
  managedFields.some(({ manager, operation }) => manager === manifestManager && operation === 'Apply');

/** In which order objects are applied, and the other way round deleted: custom kinds need what serves them, and their webhooks. */
export function orderOf({ apiVersion, kind }: { readonly apiVersion: string; readonly kind: string }): number {
  if (!isUpstream(apiVersion)) return 4;
  return kind.endsWith('WebhookConfiguration') ? 3 : stageOf(kind);
}
export const lastOrder = 4;

/** What was applied from manifests, of the kinds in the file and of those that the cluster remembers. Undefined: there is no API yet. */
export async function readApplied(
  clients: KubeClients,
  signal: AbortSignal,
): Promise<{ readonly applied: readonly Applied[]; readonly recorded: ReadonlySet<string> } | undefined> {
  if ((await clients.state()) === 'absent') return undefined;
  const api = await clients.api({ signal });
  const recorded = await readKinds(api, signal);
  const kinds = new Map([...recorded, ...kindsOf([...clients.manifests.values()].map(({ object }) => object))]);
  const lists = await Promise.all(
    [...kinds].map(async ([name, version]) => {
      const kind = name.split('.')[0] ?? '';
      const served = await servedVersion(api, version, kind, signal);
      return served === undefined ? [] : api.list(served, kind, { labelSelector: marks.manifest, metadataOnly: true, signal });
    }),
  );
  const applied = lists
    .flat()
    .filter(isApplied)
    .map((object) => toApplied(object, clients));
  return { applied, recorded: new Set(recorded.keys()) };
}

function toApplied(object: KubeObject, { manifests, uid }: KubeClients): Applied {
  const { apiVersion, kind, metadata } = object;
  const key = manifestKey(apiVersion, kind, metadata.namespace, metadata.name);
  const wanted = manifests.get(key)?.object;
  const { annotations = {}, deletionTimestamp } = metadata;
  const digest = annotations[marks.digest] ?? 'half applied';
  const whole = annotations[marks.owned] === ownedFields(metadata, manifestManager);
  const secret = (): string => (wanted && markedDigest(wanted, uid) === digest ? asInTheFile : 'other than in the file');
  const state = isSecret(object) ? secret() : digest;
  return {
    ...nameOfObject(object),
    key,
    adopted: marks.adopted in annotations,
    state: deletionTimestamp !== undefined ? 'being deleted' : whole ? state : `${state} (changed since)`,
  };
}

/** The version in which a kind is served now: a CustomResourceDefinition may serve another one than when it was recorded, or observed. */
export async function servedVersion(
  api: KubeApi,
  version: string,
  kind: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const group = groupOf(version);
  if (isUpstream(version) && (await api.kind(version, kind, signal))) return version;
  if (group === '') return undefined;
  const served = await versionsOf(api, group, signal);
  for (const candidate of new Set([version, ...served]))
    if (served.includes(candidate) && (await api.kind(candidate, kind, signal))) return candidate;
  return undefined;
}

const groupSchema = z.object({ versions: z.array(z.object({ groupVersion: z.string() })) });
async function versionsOf(api: KubeApi, group: string, signal: AbortSignal): Promise<readonly string[]> {
  try {
    const { versions } = groupSchema.parse(JSON.parse(await api.raw(`/apis/${group}`, { signal })));
    return versions.map(({ groupVersion }) => groupVersion);
  } catch (error) {
    if (error instanceof KubeRefusal && error.status === 404) return [];
    throw error;
  }
}

const record = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'kube-system', name: 'slipway-manifests' } as const;
export const recordKey = manifestKey(record.apiVersion, record.kind, record.namespace, record.name);

/** `Widget.example.com` → `example.com/v1`. */
export const kindsOf = (objects: Iterable<{ readonly apiVersion: string; readonly kind: string }>): ReadonlyMap<string, string> =>
  new Map([...objects].map(({ apiVersion, kind }) => [isCore(apiVersion) ? kind : `${kind}.${groupOf(apiVersion)}`, apiVersion]));
const isCore = (apiVersion: string): boolean => groupOf(apiVersion) === '';

async function readKinds(api: KubeApi, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
  const data = (await api.get(record, signal))?.data;
  if (typeof data !== 'object' || data === null) return new Map();
  return new Map(
    Object.entries(data).flatMap(([kind, version]) => (typeof version === 'string' && version !== '' ? [[kind, version]] : [])),
  );
}

/** Before anything is applied: what is applied then can be found whatever happens. */
export async function rememberKinds(api: KubeApi, kinds: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> {
  const { apiVersion, kind, ...metadata } = record;
  await api.apply({ apiVersion, kind, metadata }, { signal });
  await patchKinds(api, Object.fromEntries(kinds), signal);
}
/** Once nothing of these kinds is left. */
export const forgetKinds = (api: KubeApi, kinds: Iterable<string>, signal: AbortSignal): Promise<void> =>
  patchKinds(api, Object.fromEntries([...kinds].map((kind) => [kind, null])), signal);

async function patchKinds(api: KubeApi, data: Readonly<Record<string, string | null>>, signal: AbortSignal): Promise<void> {
  if (Object.keys(data).length === 0) return;
  await api.patch(record, 'application/merge-patch+json', { data }, signal).catch((error: unknown) => {
    if (!(error instanceof KubeRefusal && error.status === 404)) throw error;
  });
}
