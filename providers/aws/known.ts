import { z } from 'zod';
import type { Store } from '../../src/store/store.ts';
import type { AwsClients } from './clients.ts';

/** What the store remembers so that AWS need not be searched for it: one object for all. */
const schema = z.object({
  /** The machine image, found once. */
  image: z.object({ owner: z.string(), name: z.string(), id: z.string(), device: z.string() }).optional(),
  /** ID of the private zone: Route 53 finds zones by name only by a search. */
  zone: z.string().optional(),
  /** What never changes of a thing, by its ID: see facts.ts. */
  facts: z.record(z.string(), z.record(z.string(), z.string())).optional(),
});
export type Known = z.infer<typeof schema>;
const key = 'aws/known.json';

export async function known({ store }: Pick<AwsClients, 'store'>): Promise<Known> {
  const found = await store?.get(key);
  return found ? schema.parse(JSON.parse(new TextDecoder().decode(await found.bytes()))) : {};
}

const writes = new WeakMap<Store, Promise<unknown>>();
/** Steps of one run that remember at once wait for each other; runs are kept apart by the lock. */
export function remember(
  clients: Pick<AwsClients, 'store'>,
  patch: { [K in keyof Known]?: Known[K] | undefined },
): Promise<void> {
  const { store } = clients;
  if (!store) throw new Error('what is known is kept in the store, and there is none');
  const write = async (): Promise<void> => {
    const before = await known(clients);
    const facts = patch.facts && { ...before.facts, ...patch.facts };
    const after = { ...before, ...patch, ...(facts && { facts }) };
    if (JSON.stringify(after) !== JSON.stringify(before)) await store.put(key, new TextEncoder().encode(JSON.stringify(after)));
  };
  const mine = (writes.get(store) ?? Promise.resolve()).then(write);
  writes.set(
    store,
    mine.catch(() => undefined),
  );
  return mine;
}
