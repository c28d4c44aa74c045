import { z } from 'zod';
import { exitCodes, messageOf, UserError } from '../errors.ts';
import { type Store, StoreConflict } from '../store/store.ts';
import { processSchema } from './processes.ts';

export const lockKey = 'lock';

/** What lies in the store. After a release it stays, as a tombstone: the generation only grows. */
const lockSchema = z.object({
  state: z.enum(['held', 'released']),
  generation: z.int().positive(),
  /** Names this acquisition, so that a put whose answer was lost is recognised. */
  id: z.string(),
  /** Who: a person or a pipeline. */
  holder: z.string(),
  host: z.string(),
  process: processSchema.optional(),
  /** Why: `cluster up`, and the run's ID. */
  purpose: z.string(),
  command: z.string(),
  acquiredAt: z.iso.datetime(),
  heartbeatAt: z.iso.datetime(),
  /** Counts heartbeats: what an observer watches, since clocks differ. */
  beat: z.int(),
});
export type LockRecord = z.infer<typeof lockSchema>;
export interface SeenLock {
  readonly record: LockRecord;
  readonly version: string;
}

/** The lock as it lies in the store; undefined before the first run. */
export async function readLock(store: Store): Promise<SeenLock | undefined> {
  const object = await store.get(lockKey);
  if (!object) return undefined;
  try {
    return { record: lockSchema.parse(JSON.parse(new TextDecoder().decode(await object.bytes()))), version: object.version };
  } catch (error) {
    throw new UserError(
      {
        what: 'the lock cannot be read',
        where: `${store.url}, key ${lockKey}`,
        why: messageOf(error),
        next: 'make sure that nobody works on this cluster, and use a version of slipway that is not older than the one that wrote it',
      },
      exitCodes.lockedOrStale,
    );
  }
}

/** Puts a record in the place of the version seen (undefined: of nothing). Throws StoreConflict when somebody else was first. */
export async function writeLock(store: Store, record: LockRecord, seen: string | undefined): Promise<string> {
  const body = new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`);
  return store.put(lockKey, body, seen === undefined ? { ifAbsent: true } : { ifMatch: seen });
}

/** For `unlock`: releases exactly the lock that was shown. Its holder notices at its next heartbeat, and stops. */
export async function breakLock(store: Store, expected: SeenLock): Promise<void> {
  if (expected.record.state === 'released') return;
  try {
    await writeLock(store, { ...expected.record, state: 'released' }, expected.version);
  } catch (error) {
    if (!(error instanceof StoreConflict)) throw error;
    const now = await readLock(store);
    if (now === undefined || now.record.state === 'released') return;
    throw new UserError(
      {
        what: `the lock changed in the meantime: ${describeLock(now.record)}`,
        where: store.url,
        why: now.record.id === expected.record.id ? 'its holder is alive: it has just renewed it' : 'somebody else took it',
        next: 'stop the holder first, then run `cluster unlock` again',
      },
      exitCodes.lockedOrStale,
    );
  }
}

/** One sentence for people: who, where, why, since when, last sign of life. */
export const describeLock = (record: LockRecord): string =>
  `${record.holder} on ${record.host}${record.process ? ` (process ${record.process.pid})` : ''} holds it for ${record.purpose} since ${record.acquiredAt}, last heartbeat ${record.heartbeatAt}`;
