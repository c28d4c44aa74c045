import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Decrypter } from 'age-encryption';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EtcdCluster } from '../../../src/components/etcd.ts';
import { newestPoint, readKept } from '../../../src/recovery/kept.ts';
import { manifestKey, snapshotKey } from '../../../src/recovery/point.ts';
import { type Taking, takeRecoveryPoint } from '../../../src/recovery/take.ts';
import { directoryStore } from '../../../src/store/directory.ts';
import { openSealing, type Sealing } from '../../../src/store/sealing.ts';
import { recordKey, type Store } from '../../../src/store/store.ts';

let root: string;
let store: Store;
let sealing: Sealing;
const key = new TextEncoder().encode('-----BEGIN PRIVATE KEY-----\nvery-secret\n');
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'slipway-recovery-'));
  store = directoryStore(join(root, 'store'));
  sealing = openSealing({ store, recipients: [], identityFile: join(root, 'identity.txt') });
  await store.put(recordKey, bytes('{"uid":"u"}'));
  await sealing.seal('ssh', key, { kind: 'ssh-key', digest: 'd', created: '2026-11-21T03:00:00.000Z' });
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function* chunksOf(data: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}
const content = (cluster: EtcdCluster): Uint8Array => bytes(`hedgehog of ${cluster} `.repeat(10_000));
interface Over extends Partial<Omit<Taking, 'about'>> {
  readonly chunks?: (cluster: EtcdCluster) => AsyncIterable<Uint8Array>;
}
function taking(id: string, { chunks = (cluster) => chunksOf(content(cluster)), ...over }: Over = {}): Taking {
  return {
    store,
    lock: { check: async () => undefined },
    clusters: ['main', 'events'],
    snapshot: async (cluster) => ({
      head: { cluster, member: 'etcd-a', etcd: '3.6.16', revision: 7, hash: 1, keys: 2, size: content(cluster).length },
      bytes: chunks(cluster),
      close: () => undefined,
    }),
    seal: (material) => sealing.sealStream(material),
    about: {
      id,
      cluster: 'demo',
      uid: 'u',
      command: 'backup',
      by: 'anna',
      tool: 'test',
      versions: { kubernetes: '1.36.3' },
      file: 'name: demo\n',
    },
    keep: 14,
    signal: new AbortController().signal,
    now: () => 1000,
    progress: () => undefined,
    ...over,
  };
}
const take = (id: string, over?: Over) => takeRecoveryPoint(taking(id, over));
const ids = async (): Promise<readonly string[]> => (await readKept(store)).points.map((point) => point.id);

describe('a recovery point', () => {
  it('holds snapshots that its recipients can open, the sealed secrets, the record and the file', async () => {
    const { point } = await take('1');
    expect(point).toMatchObject({ record: '{"uid":"u"}', file: 'name: demo\n', versions: { kubernetes: '1.36.3' } });
    expect(point.recipients).toEqual((await sealing.recipients()).sealedTo);
    const decrypter = new Decrypter();
    for (const line of (await readFile(join(root, 'identity.txt'), 'utf8')).split('\n'))
      if (line.startsWith('AGE-')) decrypter.addIdentity(line);
    for (const { cluster, key: at, sha256, sealedSha256, sealedSize } of point.snapshots) {
      const sealed = (await (await store.get(at))?.bytes()) ?? new Uint8Array();
      expect([sealed.length, sha(sealed)]).toEqual([sealedSize, sealedSha256]);
      const opened = await decrypter.decrypt(sealed);
      expect(Buffer.from(opened).equals(content(cluster))).toBe(true);
      expect(sha(opened)).toBe(sha256);
    }
    expect(await decrypter.decrypt(Buffer.from(point.secrets.ssh?.sealed ?? '', 'base64'))).toEqual(key);
    expect(await ids()).toEqual(['1']);
  });
  it('has nothing of it in the open', async () => {
    await take('1');
    for (const entry of await readdir(join(root, 'store'), { recursive: true, withFileTypes: true }))
      if (entry.isFile()) {
        const text = await readFile(join(entry.parentPath, entry.name), 'latin1');
        expect(text).not.toMatch(/hedgehog|very-secret/);
      }
  });
  it('is none when a stream breaks, and leaves nothing', async () => {
    const broken = async function* (cluster: EtcdCluster): AsyncGenerator<Uint8Array> {
      yield* chunksOf(content(cluster).subarray(0, 90_000));
      if (cluster === 'events') throw new Error('the snapshot was cut');
    };
    await expect(take('1', { chunks: broken })).rejects.toThrow('the snapshot was cut');
    expect(await store.list('recovery/')).toEqual([]);
    expect(await readdir(join(root, 'store/.scratch'))).toEqual([]);
  });
  it('ends the other snapshot when one fails', async () => {
    let ended = false;
    await expect(
      take('1', {
        snapshot: async (cluster, signal) => {
          if (cluster === 'events') throw new Error('no member answers');
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          ended = true;
          throw signal.reason;
        },
      }),
    ).rejects.toThrow('no member answers');
    expect(ended).toBe(true);
  });
  it('is none without the lock, and when the process is killed before the last object: nobody lists it, and the next removes what it left', async () => {
    const killed: Store = {
      ...store,
      delete: async () => never(),
      put: async (at, body, condition) => (at === manifestKey('1') ? never() : store.put(at, body, condition)),
    };
    const over = { store: killed };
    void take('1', over).catch(() => undefined);
    await until(async () => (await store.list('recovery/1/')).length === 2);
    expect(await readKept(store)).toEqual({ points: [], damaged: [], leftovers: ['1'] });
    expect(await newestPoint(store)).toBeUndefined();
    const said: string[] = [];
    await take('2', { progress: (message) => said.push(message) });
    expect(said[0]).toContain('removed what a run that was cut has left: 1');
    expect(await store.list('recovery/1/')).toEqual([]);
    const lost = { check: async () => Promise.reject(new Error('the lock was lost')) };
    await expect(take('3', { lock: lost })).rejects.toThrow('the lock was lost');
    expect(await ids()).toEqual(['2']);
  });
  it('of which an object is missing is named, not listed, and never the newest', async () => {
    await take('1');
    await take('2');
    await store.delete(snapshotKey('2', 'events'));
    expect(await readKept(store)).toMatchObject({ points: [{ id: '1' }], damaged: ['2'] });
    expect((await newestPoint(store))?.id).toBe('1');
    await take('3', { keep: 2 });
    expect(await ids()).toEqual(['3', '1']);
  });
  it('makes way for newer ones: as many stay as are to be kept', async () => {
    for (const id of ['1', '2', '3']) await take(id);
    const { pruned } = await take('4', { keep: 2 });
    expect(pruned).toEqual(['2', '1']);
    expect(await ids()).toEqual(['4', '3']);
    expect(await store.list('recovery/1/')).toEqual([]);
    expect((await take('5', { keep: 1 })).pruned).toEqual(['4', '3']);
    expect(await ids()).toEqual(['5']);
  });
  it('is not taken of a store that has lost its secrets', async () => {
    await store.delete('secrets/ssh.age');
    await expect(take('1')).rejects.toThrow('there are no secrets');
    expect(await store.list('recovery/')).toEqual([]);
  });
  it('is never held in memory: what comes waits for what the store has taken', async () => {
    let [came, stored, most] = [0, 0, 0];
    const large = async function* (): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 256; i++) {
        const chunk = randomBytes(32 * 1024);
        came += chunk.length;
        most = Math.max(most, came - stored);
        yield chunk;
      }
    };
    const slow: Store = {
      ...store,
      put: async (at, body) => {
        if (body instanceof Uint8Array) return store.put(at, body);
        for await (const chunk of body) {
          await new Promise((resolve) => setImmediate(resolve));
          stored += chunk.length;
        }
        return 'version';
      },
    };
    await take('1', { store: slow, clusters: ['main'], chunks: large });
    expect(came).toBe(8 << 20);
    expect(stored).toBeGreaterThan(came);
    expect(most).toBeLessThan(1 << 20);
  });
});

const sha = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const never = (): Promise<never> => new Promise(() => undefined);
async function until(is: () => Promise<boolean>): Promise<void> {
  while (!(await is())) await new Promise((resolve) => setTimeout(resolve, 5));
}
