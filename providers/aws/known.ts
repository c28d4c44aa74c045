import { z } from 'zod';
import { UserError } from '../../src/errors.ts';
import { parseJson } from '../../src/plan/canonical.ts';
import { changeRecord, lastRecordText, parseRecord } from '../../src/store/record.ts';
import { recordKey, type Store } from '../../src/store/store.ts';
import type { AwsClients } from './clients.ts';

/**
 * What the store remembers so that AWS need not be searched for it: a part of the cluster's record, which every command reads anyway. What is
 * damaged of it and can be had from AWS again is not there; which image machines were made from cannot.
 */
const schema = z.object({
  /** The machine image, found once. */
  image: z.object({ owner: z.string(), name: z.string(), id: z.string(), device: z.string() }).optional(),
  /** ID of the private zone: Route 53 finds zones by name only by a search. */
  zone: z.string().optional().catch(undefined),
  /** What never changes of a thing, by its ID: see facts.ts. */
  facts: z.record(z.string(), z.record(z.string(), z.string())).optional().catch(undefined),
});
export type Known = z.infer<typeof schema>;

/** Where it lay before it became a part of the record: read until something is written. */
const formerKey = 'aws/known.json';

export async function known({ store }: Pick<AwsClients, 'store'>): Promise<Known> {
  return store ? knownIn(store, await lastRecordText(store)) : {};
}

async function knownIn(store: Store, record: string | undefined): Promise<Known> {
  const own = record === undefined ? undefined : parseRecord(store, record).provider;
  if (own !== undefined) return checked(own, `provider in ${store.url}/${recordKey}`, 'take `provider` out of it');
  const former = await store.get(formerKey);
  if (!former) return {};
  const where = `${store.url}/${formerKey}`;
  return checked(parseJson(new TextDecoder().decode(await former.bytes())), where, 'delete it');
}
function checked(found: unknown, where: string, next: string): Known {
  const parsed = schema.safeParse(found);
  if (parsed.success) return parsed.data;
  throw new UserError({
    what: 'what Slipway has found on AWS for this cluster cannot be read',
    where,
    why: z.prettifyError(parsed.error),
    next: `bring back an earlier version of it (the bucket keeps them), or ${next}: all of it is looked up anew, and the image may then be a newer one`,
  });
}

/** Adds to it, or (undefined, and a fact without fields) takes away. Steps of one run may do so at once: see record.ts. */
export function remember(
  { store }: Pick<AwsClients, 'store'>,
  patch: { [K in keyof Known]?: Known[K] | undefined } = {},
): Promise<void> {
  if (!store) throw new Error('what is known is kept in the store, and there is none');
  const change = async (text: string | undefined): Promise<string> => {
    if (text === undefined) throw new Error('what is known is kept in the record of the cluster, and there is none');
    const [record, before] = [parseRecord(store, text), await knownIn(store, text)];
    const facts = Object.entries({ ...before.facts, ...patch.facts }).filter(([, fact]) => Object.keys(fact).length > 0);
    const provider = { ...before, ...patch, ...(facts.length > 0 && { facts: Object.fromEntries(facts) }) };
    return JSON.stringify({ ...record, provider }, null, 2);
  };
  return changeRecord(store, change, { fresh: false });
}
