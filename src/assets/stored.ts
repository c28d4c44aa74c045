import type { Store } from '../store/store.ts';

/**
 * Assets in the cluster's store, for hosts that fetch them: `assets/SHA256/PATH`. With the content in the key one list tells all that is
 * there, whoever uploads at the same time writes the same bytes, and a host knows what it must get.
 */
const prefix = 'assets/';
export const assetKey = (sha256: string, path: string): string => `${prefix}${sha256}/${path}`;

/** Digest by path. Builds of one version may differ byte by byte (another toolchain): the first in order is the one that counts. */
export async function storedAssets(store: Store): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const key of await store.list(prefix)) {
    const [, sha256, path] = /^assets\/([0-9a-f]{64})\/(.+)$/.exec(key) ?? [];
    if (sha256 !== undefined && path !== undefined && !found.has(path)) found.set(path, sha256);
  }
  return found;
}
