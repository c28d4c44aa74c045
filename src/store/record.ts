import { UserError } from '../errors.ts';
import { parseJson } from '../plan/canonical.ts';
import { type PutCondition, recordKey, type Store, StoreConflict } from './store.ts';

/**
 * The record of the cluster is one object with several writers: what a command has reached, and what a provider's steps have found, at once and
 * in one process. So everybody writes by changing what lies there, and nobody's change is lost: those of one process wait for each other, and of
 * several processes S3 or the directory lets one win, and the other begins again with what that one wrote.
 */
interface Seen {
  /** Undefined: there is none. */
  readonly text: string | undefined;
  readonly version: string | undefined;
}
const last = new WeakMap<Store, Seen>();

async function read(store: Store): Promise<Seen> {
  const found = await store.get(recordKey);
  const seen: Seen = { text: found && new TextDecoder().decode(await found.bytes()), version: found?.version };
  last.set(store, seen);
  return seen;
}

/** As it lies there now. */
export const recordText = async (store: Store): Promise<string | undefined> => (await read(store)).text;

/** As this process has last read or written it: for what nobody else changes while this cluster is locked, or what may be a moment old. */
export const lastRecordText = async (store: Store): Promise<string | undefined> => (last.get(store) ?? (await read(store))).text;

const writes = new WeakMap<Store, Promise<unknown>>();
const attempts = 8;
/**
 * Changes it: `change` is given what lies there and says what is to (undefined: nothing is to be written), and is asked again where somebody else
 * was faster. Throws StoreConflict where that goes on.
 */
export function changeRecord(
  store: Store,
  change: (before: string | undefined) => string | undefined | Promise<string | undefined>,
  { fresh }: { /** Look first, also where this process knows what it has seen. */ readonly fresh: boolean },
): Promise<void> {
  const write = async (): Promise<void> => {
    for (let attempt = 1; ; attempt++) {
      const before = (fresh || attempt > 1 ? undefined : last.get(store)) ?? (await read(store));
      const text = await change(before.text);
      if (text === undefined || text === before.text) return;
      try {
        last.set(store, {
          text,
          version: await store.put(recordKey, new TextEncoder().encode(text), conditionOf(store, before)),
        });
        return;
      } catch (error) {
        last.delete(store);
        if (!(error instanceof StoreConflict) || attempt === attempts) throw error;
      }
    }
  };
  const mine = (writes.get(store) ?? Promise.resolve()).then(write);
  writes.set(
    store,
    mine.catch(() => undefined),
  );
  return mine;
}

const conditionOf = ({ dearConditions }: Store, { version }: Seen): PutCondition | undefined =>
  dearConditions ? undefined : version === undefined ? { ifAbsent: true } : { ifMatch: version };

/** Throws UserError where it is no JSON object. */
export function parseRecord(store: Store, text: string): Readonly<Record<string, unknown>> {
  const parsed = parseJson(text);
  if (isObject(parsed)) return parsed;
  throw notReadable(store, 'it is no JSON object');
}
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const notReadable = (store: Store, why: string): UserError =>
  new UserError({
    what: 'the record of this cluster cannot be read',
    where: `${store.url}/${recordKey}`,
    why,
    next: 'use the Slipway version that wrote it, or restore the store from a backup',
  });
