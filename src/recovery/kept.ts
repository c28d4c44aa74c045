import pLimit from 'p-limit';
import type { Store } from '../store/store.ts';
import { folderOf, idOf, manifestKey, parsePoint, type RecoveryPoint, recoveryPrefix } from './point.ts';

/** What the store has of recovery points. */
export interface Kept {
  /** Newest first. Each is whole: its manifest can be read, and all that it names is there. */
  readonly points: readonly RecoveryPoint[];
  /** IDs of those of which something is missing, or which this version cannot read. */
  readonly damaged: readonly string[];
  /** IDs under which a run that was cut has left objects: never a point. */
  readonly leftovers: readonly string[];
}

const readsAtOnce = 8;

export async function readKept(store: Store): Promise<Kept> {
  const found = await look(store);
  const limit = pLimit(readsAtOnce);
  const read = await Promise.all(
    found.finished.map((id) => limit(async () => ({ id, point: await readWhole(store, id, found.keys) }))),
  );
  return {
    points: read.flatMap(({ point }) => (point ? [point] : [])),
    damaged: read.flatMap(({ id, point }) => (point ? [] : [id])),
    leftovers: found.leftovers,
  };
}

/** The newest that is whole; reads no more than it must. */
export async function newestPoint(store: Store): Promise<RecoveryPoint | undefined> {
  const { finished, keys } = await look(store);
  for (const id of finished) {
    const point = await readWhole(store, id, keys);
    if (point) return point;
  }
  return undefined;
}

interface Found {
  readonly keys: ReadonlySet<string>;
  /** With a manifest, newest first. */
  readonly finished: readonly string[];
  readonly leftovers: readonly string[];
}
async function look(store: Store): Promise<Found> {
  const keys = new Set(await store.list(recoveryPrefix));
  const ids = [...new Set([...keys].map(idOf))].sort().reverse();
  return {
    keys,
    finished: ids.filter((id) => keys.has(manifestKey(id))),
    leftovers: ids.filter((id) => !keys.has(manifestKey(id))),
  };
}

async function readWhole(store: Store, id: string, keys: ReadonlySet<string>): Promise<RecoveryPoint | undefined> {
  const object = await store.get(manifestKey(id));
  const point = object && parsePoint(await object.bytes());
  return point?.id === id && point.snapshots.every(({ key }) => keys.has(key)) ? point : undefined;
}

/** Under the lock: removes what runs that were cut have left. */
export async function sweepLeftovers(store: Store): Promise<readonly string[]> {
  const { leftovers } = await look(store);
  for (const id of leftovers) await removeObjects(store, id);
  return leftovers;
}

/** Under the lock: of the whole ones the newest `keep` stay. What is damaged is left for a person to look at. */
export async function prunePoints(store: Store, keep: number): Promise<readonly string[]> {
  const { points } = await readKept(store);
  const old = points.slice(keep);
  for (const { id } of old) {
    // The manifest goes first: cut in between, the rest is a leftover and no point.
    await store.delete(manifestKey(id));
    await removeObjects(store, id);
  }
  return old.map(({ id }) => id);
}

/** All that lies under this ID. */
export const removeObjects = async (store: Store, id: string): Promise<void> => removeAll(store, await store.list(folderOf(id)));

async function removeAll(store: Store, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  if (store.deleteAll) await store.deleteAll(keys);
  else await Promise.all(keys.map((key) => store.delete(key)));
}
