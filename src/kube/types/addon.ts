import { messageOf, UserError } from '../../errors.ts';
import {
  type Address,
  addressOf,
  type Context,
  type FieldChange,
  nameOf,
  type Observation,
  type Resolved,
  type ResourceType,
} from '../../plan/resource.ts';
import type { KubeApi } from '../client.ts';
import type { KubeClients } from '../clients.ts';
import { patienceMs } from '../connect.ts';
import { deleteOwned } from '../delete-owned.ts';
import { knownKinds, stageOf } from '../kinds.ts';
import {
  fieldManager,
  type KubeObject,
  keyOf,
  kubeObjectSchema,
  marks,
  nameOfObject,
  type ObjectName,
  objectDigest,
  ownedFields,
} from '../objects.ts';
import { applyWithAddress } from '../service-address.ts';

export interface KubeAddonProps {
  /** By `kind/namespace/name`: the object itself where designed, `{ digest }` of what was applied where observed. */
  readonly objects: Readonly<Record<string, object>>;
}
export interface KubeAddonOutputs {
  readonly objects: readonly ObjectName[];
}
type Seen = Observation<KubeAddonProps, KubeAddonOutputs>;

/**
 * The objects of an addon, by server-side apply: applied as soon as there is an API, long before a node could run them. Whether they
 * get ready is `kube.ready`'s. What carries the addon's label and is not designed is pruned.
 */
export const kubeAddon: ResourceType<KubeAddonProps, KubeAddonOutputs, KubeClients> = {
  name: 'kube.addon',
  shrink: 'now',
  async observe({ clients, signal }) {
    if ((await clients.state()) === 'absent') return new Map();
    const api = await clients.api({ signal });
    const kinds = new Set([...addonKinds, ...clients.addonKinds]);
    const lists = await Promise.all(
      [...kinds].map((kind) => {
        const slash = kind.lastIndexOf('/');
        return api.list(kind.slice(0, slash), kind.slice(slash + 1), { labelSelector: marks.addon, metadataOnly: true, signal });
      }),
    );
    const byAddon = Map.groupBy(lists.flat(), (object) => object.metadata.labels?.[marks.addon] ?? '');
    return new Map([...byAddon].map(([name, objects]): [Address, Seen] => [addressOf('kube.addon', name), observed(objects)]));
  },
  diff(desired, { objects: before }) {
    const changes: FieldChange[] = [];
    const add = (key: string, from: string | null, to: string | null): void =>
      void changes.push({ path: `objects.${key}`, before: from, after: to, impact: 'none' });
    for (const [key, object] of Object.entries(desired.objects)) {
      const [from, to] = [digestIn(before[key]), digestIn(object) ?? objectDigest(object)];
      if (from !== to) add(key, from ?? null, to);
    }
    for (const [key, object] of Object.entries(before)) if (!(key in desired.objects)) add(key, digestIn(object) ?? null, null);
    return changes;
  },
  create: (desired, ctx) => apply(desired, [], ctx),
  update: (desired, { objects }, ctx) => apply(desired, objects, ctx),
  async delete({ objects }, ctx) {
    await prune(await connected(ctx), nameOf(ctx.address), objects, ctx.signal);
  },
};

/** Kinds among which leftovers are looked for, whatever the design says now. Pods and Nodes are nobody's manifest. */
const addonKinds = [...knownKinds.keys()].filter((kind) => !['v1/Pod', 'v1/Node', 'v1/Secret', 'batch/v1/Job'].includes(kind));

const observed = (objects: readonly KubeObject[]): Seen => ({
  state: 'present',
  props: {
    objects: Object.fromEntries(objects.map((object) => [keyOf(nameOfObject(object)), { digest: appliedDigest(object) }])),
  },
  outputs: { objects: objects.map(nameOfObject) },
});

/**
 * What was applied, or that it was changed since: whoever changes a field of ours takes it from us in managedFields, so that our set
 * of fields is no longer the one that was there after our apply. Fields that others add are theirs.
 */
function appliedDigest({ metadata }: KubeObject): string {
  const owned = metadata.annotations?.[marks.owned];
  const digest = metadata.annotations?.[marks.digest] ?? '';
  return owned === ownedFields(metadata) ? digest : `${digest} (changed since)`;
}
const digestIn = (value: object | undefined): string | undefined =>
  value && 'digest' in value && typeof value.digest === 'string' && Object.keys(value).length === 1 ? value.digest : undefined;

async function apply(
  desired: Resolved<KubeAddonProps>,
  before: readonly ObjectName[],
  ctx: Context<KubeClients>,
): Promise<KubeAddonOutputs> {
  const { signal, progress } = ctx;
  const api = await connected(ctx);
  const addon = nameOf(ctx.address);
  const objects = Object.values(desired.objects).map((object) => kubeObjectSchema.parse(object));
  for (const stage of [0, 1, 2])
    await Promise.all(objects.filter(({ kind }) => stageOf(kind) === stage).map((object) => applyOne(api, addon, object, ctx)));
  progress(`${objects.length} objects applied`);
  const names = objects.map(nameOfObject);
  const keep = new Set(names.map(keyOf));
  await prune(
    api,
    addon,
    before.filter((name) => !keep.has(keyOf(name))),
    signal,
  );
  return { objects: names };
}

/** The marks are written after the object, by another manager: a kill in between is seen as a difference, and our fields are the design's alone. */
async function applyOne(api: KubeApi, addon: string, object: KubeObject, ctx: Context<KubeClients>): Promise<void> {
  const name = nameOfObject(object);
  const labelled = { ...object, metadata: { ...object.metadata, labels: { ...object.metadata.labels, [marks.addon]: addon } } };
  try {
    const applied = await applyWithAddress(api, labelled, ctx);
    const annotations = { [marks.digest]: objectDigest(object), [marks.owned]: ownedFields(applied.metadata) };
    await api.apply(
      {
        apiVersion: object.apiVersion,
        kind: object.kind,
        metadata: { name: name.name, ...(name.namespace && { namespace: name.namespace }), annotations },
      },
      { manager: `${fieldManager}-marks`, signal: ctx.signal },
    );
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      { what: `the object could not be applied`, where: `addon ${addon}, ${keyOf(name)}`, why: messageOf(error) },
      error.exitCode,
      { cause: error },
    );
  }
}

async function prune(api: KubeApi, addon: string, names: readonly ObjectName[], signal: AbortSignal): Promise<void> {
  const last = names.toSorted((a, b) => stageOf(b.kind) - stageOf(a.kind));
  const labelled = ({ metadata: { labels = {} } }: KubeObject): boolean => labels[marks.addon] === addon;
  // A manifest of the user's may have taken it over in the meantime: then only our label goes.
  const isOurs = (object: KubeObject): boolean => labelled(object) && !(marks.manifest in (object.metadata.labels ?? {}));
  for (const name of last) {
    if ((await deleteOwned(api, name, isOurs, signal)) !== undefined) continue;
    const found = await api.get(name, signal);
    const metadata = { labels: { [marks.addon]: null } };
    if (found && labelled(found)) await api.patch(name, 'application/merge-patch+json', { metadata }, signal);
  }
}

const connected = ({ clients, signal }: Context<KubeClients>): Promise<KubeApi> => clients.api({ waitMs: patienceMs, signal });
