import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { EtcdCluster } from '../components/etcd.ts';
import { UserError } from '../errors.ts';
import type { Snapshot } from '../etcd/snapshot.ts';
import type { Lock } from '../run/lock.ts';
import type { SealStream } from '../store/sealing.ts';
import { recordKey, type Store } from '../store/store.ts';
import { prunePoints, removeObjects, sweepLeftovers } from './kept.ts';
import { manifestKey, type RecoveryPoint, type StoredSnapshot, snapshotKey } from './point.ts';

export interface Taking {
  readonly store: Store;
  /** A recovery point is taken under the cluster's lock. */
  readonly lock: Pick<Lock, 'check'>;
  readonly clusters: readonly EtcdCluster[];
  snapshot(cluster: EtcdCluster, signal: AbortSignal): Promise<Snapshot>;
  readonly seal: SealStream;
  /** What is known beforehand. */
  readonly about: Pick<RecoveryPoint, 'id' | 'cluster' | 'uid' | 'command' | 'rollout' | 'by' | 'tool' | 'versions' | 'file'>;
  /** Recovery points that are kept, this one among them. */
  readonly keep: number;
  readonly signal: AbortSignal;
  now(): number;
  progress(message: string): void;
}
export interface Taken {
  readonly point: RecoveryPoint;
  /** IDs of those that `keep` has no room for any more. */
  readonly pruned: readonly string[];
}

/**
 * Takes a recovery point: snapshots go into the store as they come, sealed, and the object that makes them one is written last. A run that is cut leaves no
 * point; what it leaves the next one removes. Throws UserError, and UnreachableError.
 */
export async function takeRecoveryPoint(taking: Taking): Promise<Taken> {
  const { store, lock, about, signal, now, progress } = taking;
  const at = now();
  const left = await sweepLeftovers(store);
  if (left.length > 0) progress(`removed what a run that was cut has left: ${left.join(', ')}`);
  const kept = await keptBesides(store);
  const snapshots = await storeAll(taking).catch(async (error: unknown) => {
    // Whoever comes next would do it, too; but it may be large, and next week.
    await removeObjects(store, about.id).catch(() => undefined);
    throw error;
  });
  const point: RecoveryPoint = {
    formatVersion: 1,
    ...about,
    at,
    seconds: (now() - at) / 1000,
    snapshots: snapshots.map(({ stored }) => stored),
    recipients: [...new Set(snapshots.flatMap(({ recipients }) => recipients))],
    ...kept,
  };
  // Whoever has the lock by now may have removed what lies here.
  await lock.check();
  signal.throwIfAborted();
  await store.put(manifestKey(about.id), new TextEncoder().encode(`${JSON.stringify(point, null, 2)}\n`), { ifAbsent: true });
  return { point, pruned: await prunePoints(store, taking.keep) };
}

interface Sent {
  readonly stored: StoredSnapshot;
  readonly recipients: readonly string[];
}

/** All at once; one that fails ends the others. */
async function storeAll(taking: Taking): Promise<readonly Sent[]> {
  const ending = new AbortController();
  const signal = AbortSignal.any([taking.signal, ending.signal]);
  let first: unknown;
  const all = await Promise.all(
    taking.clusters.map((cluster) =>
      storeOne(taking, cluster, signal).catch((error: unknown) => {
        first ??= error;
        ending.abort(error);
        return undefined;
      }),
    ),
  );
  if (first !== undefined) throw first;
  return all.filter((sent) => sent !== undefined);
}

async function storeOne(taking: Taking, cluster: EtcdCluster, signal: AbortSignal): Promise<Sent> {
  const { store, about, seal, progress } = taking;
  const key = snapshotKey(about.id, cluster);
  const { head, bytes, close } = await taking.snapshot(cluster, signal);
  try {
    const plain = createHash('sha256');
    const sealing = await seal(counted(bytes, (chunk) => plain.update(chunk)));
    const outer = createHash('sha256');
    let sealedSize = 0;
    const body = counted(sealing.sealed, (chunk) => {
      outer.update(chunk);
      sealedSize += chunk.length;
    });
    // A stream that fails leaves no object: what was cut or damaged on its way throws here.
    await store.put(key, Readable.from(body, { objectMode: false }), { ifAbsent: true });
    progress(`etcd ${cluster}: ${head.keys} keys, ${(head.size / 1e6).toFixed(1)} MB, of ${head.member}`);
    return {
      stored: { ...head, key, sha256: plain.digest('hex'), sealedSize, sealedSha256: outer.digest('hex') },
      recipients: sealing.recipients,
    };
  } finally {
    close();
  }
}

async function* counted(chunks: AsyncIterable<Uint8Array>, on: (chunk: Uint8Array) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    on(chunk);
    yield chunk;
  }
}

/** The cluster's sealed secrets and its record, as they lie in the store. */
async function keptBesides(store: Store): Promise<Pick<RecoveryPoint, 'secrets' | 'record'>> {
  const read = async (key: string): Promise<Uint8Array | undefined> => (await store.get(key))?.bytes();
  const [record, keys] = await Promise.all([read(recordKey), store.list('secrets/')]);
  const names = keys.filter((key) => key.endsWith('.age')).map((key) => key.slice('secrets/'.length, -'.age'.length));
  if (!record || names.length === 0)
    throw new UserError({
      what: 'the records of this cluster are not whole, so no recovery point can be taken',
      where: store.url,
      why: record ? 'there are no secrets' : 'cluster.json is not there',
      next: 'bring the store back from a backup of it',
    });
  const secrets = await Promise.all(
    names.map(async (name): Promise<[string, RecoveryPoint['secrets'][string]][]> => {
      const [sealed, open] = await Promise.all([read(`secrets/${name}.age`), read(`secrets/${name}.json`)]);
      if (!sealed) return [];
      return [[name, { sealed: Buffer.from(sealed).toString('base64'), ...(open && { open: new TextDecoder().decode(open) }) }]];
    }),
  );
  return { secrets: Object.fromEntries(secrets.flat()), record: new TextDecoder().decode(record) };
}
