import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { Manifest } from '../../config/manifests.ts';
import { messageOf, UserError } from '../../errors.ts';
import {
  type Address,
  addressOf,
  type Context,
  type FieldChange,
  type Observation,
  type Resolved,
  type ResourceType,
} from '../../plan/resource.ts';
import { applyManifest, waitUntilEstablished, whyItStays } from '../apply-manifest.ts';
import type { KubeApi } from '../client.ts';
import type { KubeClients } from '../clients.ts';
import { patienceMs } from '../connect.ts';
import { deleteOwned } from '../delete-owned.ts';
import { KubeRefusal } from '../http.ts';
import {
  type Applied,
  forgetKinds,
  holds,
  isApplied,
  kindsOf,
  lastOrder,
  type ManifestProps,
  orderOf,
  readApplied,
  rememberKinds,
  servedVersion,
} from '../manifests.ts';
import { marks } from '../objects.ts';

interface Outputs {
  readonly applied: readonly Applied[];
}
type Type = ResourceType<ManifestProps, Outputs, KubeClients>;
type Seen = Observation<ManifestProps, Outputs>;

const atOnce = 16;
const goneWithinMs = 90_000;

/**
 * Namespaces, CustomResourceDefinitions and volumes out of addons.manifests: deleting one deletes what others have put there, so that
 * `up` leaves it to `--allow-data-loss`.
 */
export const kubeHolders: Type = manifestType({ name: 'kube.holders', shrink: 'data-loss', holders: true });
/** Everything else out of addons.manifests. What is in no file any more is deleted, if it is ours. */
export const kubeObjects: Type = {
  ...manifestType({ name: 'kube.objects', shrink: 'now', holders: false }),
  dependsOn: ['kube.holders'],
};

interface Options {
  readonly name: string;
  readonly shrink: 'now' | 'data-loss';
  readonly holders: boolean;
}
function manifestType({ name, shrink, holders }: Options): Type {
  return {
    name,
    shrink,
    timeoutMs: 420_000,
    async observe(world) {
      try {
        const read = await world.read(readApplied);
        const own = read?.applied.filter((object) => holds(object) === holders) ?? [];
        return own.length === 0 || !read
          ? new Map()
          : new Map<Address, Seen>([[addressOf(name, 'manifests'), seen(own, read.recorded)]]);
      } catch (error) {
        // A webhook that converts objects is down: they are there all the same.
        if (!(error instanceof KubeRefusal && error.status >= 500)) throw error;
        return new Map<Address, Seen>([[`${name}/*`, { state: 'unknown', why: error.message }]]);
      }
    },
    diff: (desired, observed) => differences(desired, observed, holders),
    create: (desired, ctx) => converge(desired, [], ctx),
    update: (desired, { applied }, ctx) => converge(desired, applied, ctx),
    async delete({ applied }, ctx) {
      await remove(await connected(ctx), applied, ctx);
    },
  };
}

const seen = (applied: readonly Applied[], recorded: ReadonlySet<string>): Seen => ({
  state: 'present',
  props: {
    objects: Object.fromEntries(applied.map(({ key, state }) => [key, state])),
    recorded: [...kindsOf(applied).keys()].every((kind) => recorded.has(kind)),
    adopted: applied.filter(({ adopted }) => adopted).map(({ key }) => key),
  },
  outputs: { applied },
});

function differences(
  desired: Resolved<ManifestProps>,
  observed: Resolved<ManifestProps>,
  holders: boolean,
): readonly FieldChange[] {
  const changes: FieldChange[] = [];
  for (const [key, after] of Object.entries(desired.objects)) {
    const before = observed.objects[key] ?? null;
    if (before !== after) changes.push({ path: pathOf(key), before, after, impact: 'none' });
  }
  for (const [key, before] of Object.entries(observed.objects)) {
    if (key in desired.objects) continue;
    const letGo = observed.adopted?.includes(key) === true;
    const impact = holders && !letGo ? 'data-loss' : 'none';
    const note = letGo ? 'was there before it was in a manifest: let go, not deleted' : 'deletes it';
    changes.push({ path: pathOf(key), before, after: null, impact, note });
  }
  if (!observed.recorded) changes.push({ path: 'recorded', before: false, after: true, impact: 'none' });
  return changes;
}
const pathOf = (key: string): string => `objects.${key}`;

async function converge(
  { objects }: Resolved<ManifestProps>,
  before: readonly Applied[],
  ctx: Context<KubeClients>,
): Promise<Outputs> {
  const { clients, signal, progress, hold } = ctx;
  const api = await connected(ctx);
  const wanted = Object.keys(objects).flatMap((key) => clients.manifests.get(key) ?? []);
  await rememberKinds(api, kindsOf([...before, ...wanted.map(({ object }) => object)]), signal);
  const known = new Map(before.map((object) => [object.key, object]));
  const open = wanted.filter(({ key }) => known.get(key)?.state !== objects[key]);
  const apply = async (manifest: Manifest): Promise<void> => {
    await applyManifest(api, manifest, known.get(manifest.key), { uid: clients.uid, signal, progress });
    if (manifest.object.kind === 'CustomResourceDefinition') await waitUntilEstablished(api, manifest, signal);
  };
  for (let order = 0; order <= lastOrder; order++)
    await all(
      open.filter(({ object }) => orderOf(object) === order),
      apply,
      'objects could not be applied',
    );
  progress(`${open.length} objects applied`);
  const gone = before.filter(({ key }) => !(key in objects) && !hold.includes(pathOf(key)));
  await remove(api, gone, ctx);
  return { applied: before.filter((object) => !gone.includes(object)) };
}

/** In the other order than they were applied: what has finalizers goes while that which serves them still runs. */
async function remove(
  api: KubeApi,
  applied: readonly Applied[],
  { clients, signal, progress }: Context<KubeClients>,
): Promise<void> {
  if (applied.length === 0) return;
  for (let order = lastOrder; order >= 0; order--)
    await all(
      applied.filter((object) => orderOf(object) === order),
      async (object) => {
        // Its definition may have changed since it was observed, by this very run.
        const apiVersion = await servedVersion(api, object.apiVersion, object.kind, signal);
        if (apiVersion !== undefined) await (object.adopted ? letGo : removeOne)(api, { ...object, apiVersion }, signal);
      },
      'objects could not be deleted',
    );
  progress(`${applied.length} objects removed`);
  const wanted = kindsOf([...clients.manifests.values()].map(({ object }) => object));
  const read = await readApplied(clients, signal);
  const left = kindsOf(read?.applied ?? []);
  const unused = [...kindsOf(applied).keys()].filter((kind) => !wanted.has(kind) && !left.has(kind));
  await forgetKinds(api, unused, signal);
}

/** It stays as it is; only our marks go. Those that an addon has put there since are the addon's. */
async function letGo(api: KubeApi, name: Applied, signal: AbortSignal): Promise<void> {
  const labels = (await api.get(name, signal))?.metadata.labels;
  if (!labels || !(marks.manifest in labels)) return;
  const annotations = [marks.adopted, ...(marks.addon in labels ? [] : [marks.digest, marks.owned])];
  const metadata = { labels: { [marks.manifest]: null }, annotations: Object.fromEntries(annotations.map((key) => [key, null])) };
  await api.patch(name, 'application/merge-patch+json', { metadata }, signal);
}

/** Waits until it is gone: what is still on its way out would be a difference again. */
async function removeOne(api: KubeApi, name: Applied, signal: AbortSignal): Promise<void> {
  const uid = await deleteOwned(
    api,
    name,
    (object) => isApplied(object) && !(marks.addon in (object.metadata.labels ?? {})),
    signal,
  );
  if (uid === undefined) return letGo(api, name, signal);
  const end = performance.now() + goneWithinMs;
  for (let pause = 50; ; pause = Math.min(500, pause * 2)) {
    const found = await api.get(name, signal);
    if (found?.metadata.uid !== uid) return;
    if (performance.now() > end)
      throw new UserError({
        what: `${name.key} was not gone within ${goneWithinMs / 1000} s`,
        why: whyItStays(found),
        next: `cluster kubectl -- describe ${name.kind} ${name.name}${name.namespace ? ` -n ${name.namespace}` : ''}`,
      });
    await sleep(pause, undefined, { signal });
  }
}

/** Tries each, whatever becomes of the others; then throws what failed, all at once. */
async function all<T>(items: readonly T[], act: (item: T) => Promise<void>, what: string): Promise<void> {
  const limit = pLimit(atOnce);
  const results = await Promise.allSettled(items.map((item) => limit(() => act(item))));
  const errors = results.flatMap((result): readonly unknown[] => (result.status === 'rejected' ? [result.reason] : []));
  const [first] = errors;
  if (errors.length === 0) return;
  if (errors.length === 1 || errors.some((error) => !(error instanceof UserError))) throw first;
  throw new UserError(
    { what: `${errors.length} ${what}`, why: errors.map(messageOf).join('\n') },
    first instanceof UserError ? first.exitCode : undefined,
  );
}

const connected = ({ clients, signal }: Context<KubeClients>): Promise<KubeApi> => clients.api({ waitMs: patienceMs, signal });
