import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import pLimit from 'p-limit';
import type { Address, Context, FieldChange, Observation, Resolved, Resource, ResourceType } from '../../plan/resource.ts';
import type { Store } from '../../store/store.ts';
import { sha256Of } from '../cache.ts';
import type { Asset } from '../catalogue.ts';
import { assetKey, storedAssets } from '../stored.ts';

/** What uploading talks through. */
export interface UploadClients {
  readonly store: Store;
  /** Where the asset cache has this path. */
  assetFile(path: string): string;
}
export interface StoredAssetsProps {
  /** Sorted. */
  readonly paths: readonly string[];
}
interface Outputs {
  /** By path. */
  readonly digests: Readonly<Record<string, string>>;
}

export const storedAssetsAddress: Address = 'store.assets/all';
/** An upload at home may be slow: 1 GB at 10 Mbit/s. */
const timeoutMs = 3_600_000;
const atOnce = 4;

/** Everything that hosts fetch, once in the store of their cluster. What older versions left there is no difference. */
export const storedAssetsType: ResourceType<StoredAssetsProps, Outputs, UploadClients> = {
  name: 'store.assets',
  timeoutMs,
  shrink: 'never',
  async observe({ clients: { store } }) {
    const digests = Object.fromEntries(await storedAssets(store));
    const paths = Object.keys(digests).sort();
    const seen: Observation<StoredAssetsProps, Outputs> = { state: 'present', props: { paths }, outputs: { digests } };
    return new Map(paths.length > 0 ? [[storedAssetsAddress, seen]] : []);
  },
  diff({ paths }, observed) {
    const there = new Set(observed.paths);
    return paths
      .filter((path) => !there.has(path))
      .map((path): FieldChange => ({ path: `paths.${path}`, before: null, after: 'uploaded', impact: 'none' }));
  },
  create: (desired, ctx) => upload(desired, {}, ctx),
  update: (desired, { digests }, ctx) => upload(desired, digests, ctx),
};

export const storedAssetsResource = (assets: readonly Asset[]): Resource<StoredAssetsProps> => ({
  address: storedAssetsAddress,
  type: 'store.assets',
  props: { paths: [...new Set(assets.map(({ path }) => path))].sort() },
  after: [],
});

async function upload(
  { paths }: Resolved<StoredAssetsProps>,
  before: Outputs['digests'],
  { clients: { store, assetFile }, signal, progress }: Context<UploadClients>,
): Promise<Outputs> {
  const missing = paths.filter((path) => before[path] === undefined);
  const sizes = new Map(await Promise.all(missing.map(async (path) => [path, (await stat(assetFile(path))).size] as const)));
  const of = megabytes([...sizes.values()].reduce((sum, size) => sum + size, 0));
  let done = 0;
  const limit = pLimit(atOnce);
  const digests = { ...before };
  await Promise.all(
    missing.map((path) =>
      limit(async () => {
        signal.throwIfAborted();
        const file = assetFile(path);
        // Of the bytes as they are now, not as the cache remembers them: the host compares with this.
        const sha256 = await sha256Of(file, signal);
        progress(`uploads ${path}`, { done: megabytes(done), of, unit: 'MB' });
        await store.put(assetKey(sha256, path), createReadStream(file, { signal }));
        done += sizes.get(path) ?? 0;
        digests[path] = sha256;
        progress(`uploaded ${path}`, { done: megabytes(done), of, unit: 'MB' });
      }),
    ),
  );
  return { digests };
}
const megabytes = (bytes: number): number => Math.round(bytes / 1e5) / 10;
