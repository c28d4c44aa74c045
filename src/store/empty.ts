import type { Store } from './store.ts';

/** What a cluster without a store reads as, so that `plan` need not make one. Writing to it is a bug. */
export const emptyStore: Store = {
  url: 'no store yet',
  get: async () => undefined,
  list: async () => [],
  put: async (key) => {
    throw new Error(`${key} was written before the store was made`);
  },
  delete: async () => undefined,
};
