import type { Store } from '../store/store.ts';
import { type OpenInput, openCluster } from './open.ts';

/** A cluster's name and store, for commands that only read records. undefined: there is no store yet. */
export const openRecords = async (input: OpenInput): Promise<{ readonly cluster: string; readonly store: Store | undefined }> => {
  const { cluster, provider, signal } = await openCluster(input);
  return { cluster: cluster.name, store: await provider.store(cluster, { create: false }, signal) };
};
