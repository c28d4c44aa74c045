import { Readable } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Store, StoreConflict } from '../../src/store/store.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const textOf = async (store: Store, key: string): Promise<string | undefined> => {
  const bytes = await (await store.get(key))?.bytes();
  return bytes && new TextDecoder().decode(bytes);
};
const collect = async (stream: NodeJS.ReadableStream): Promise<Buffer> => {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
};
const outcomes = async (attempts: readonly Promise<unknown>[]): Promise<{ won: number; conflicts: number }> => {
  const settled = await Promise.allSettled(attempts);
  const other = settled.filter((s) => s.status === 'rejected' && !(s.reason instanceof StoreConflict));
  expect(other).toEqual([]);
  const won = settled.filter((s) => s.status === 'fulfilled').length;
  return { won, conflicts: settled.length - won };
};

/**
 * What every store must do. `factory` makes an empty store of its own for each test; `again` opens the same one anew, as another
 * process would.
 */
export function storeContract(name: string, factory: () => Promise<{ store: Store; again: () => Store }>): void {
  describe(`${name} keeps the contract of a store:`, () => {
    let store: Store;
    let again: () => Store;
    beforeEach(async () => {
      ({ store, again } = await factory());
    });

    it('what is not there reads as undefined, lists as nothing, and deletes in silence', async () => {
      expect(await store.get('a/b')).toBeUndefined();
      expect(await store.list('')).toEqual([]);
      await store.delete('a/b');
    });

    it('tells versions in a listing, if at all, as they are told by reading and writing', async () => {
      const written = await store.put('v/one', text('one'));
      await store.put('w/other', text('other'));
      const versions = (await store.versions?.('v/')) ?? new Map([['v/one', written]]);
      expect([...versions]).toEqual([['v/one', written]]);
      expect((await store.get('v/one'))?.version).toBe(written);
    });

    it('deletes many in one call, if at all, also where some are not there', async () => {
      for (const key of ['m/a', 'm/b', 'm/c']) await store.put(key, text(key));
      await (store.deleteAll?.(['m/a', 'm/none', 'm/c']) ?? Promise.all(['m/a', 'm/c'].map((key) => store.delete(key))));
      expect(await store.list('m/')).toEqual(['m/b']);
    });

    it('what was put is read back, with the version that put returned', async () => {
      const version = await store.put('a/b', text('one'));
      const object = await again().get('a/b');
      expect(object?.version).toBe(version);
      expect(await textOf(store, 'a/b')).toBe('one');
      await store.put('a/b', text('two'));
      expect(await textOf(store, 'a/b')).toBe('two');
      expect((await store.get('a/b'))?.version).not.toBe(version);
    });

    it('an empty object is an object', async () => {
      await store.put('empty', text(''));
      expect(await textOf(store, 'empty')).toBe('');
      expect(await collect((await store.get('empty'))?.stream() ?? Readable.from([]))).toHaveLength(0);
    });

    it('large objects stream in and out', async () => {
      const chunk = Buffer.alloc(1 << 16, 7);
      const version = await store.put('large', Readable.from(Array.from({ length: 80 }, () => chunk)));
      const object = await store.get('large');
      expect(object?.version).toBe(version);
      const read = await collect(object?.stream() ?? Readable.from([]));
      expect(read.length).toBe(80 << 16);
      expect(read.every((byte) => byte === 7)).toBe(true);
      await expect(store.put('large', text('x'), { ifMatch: 'other' })).rejects.toBeInstanceOf(StoreConflict);
      await store.put('large', text('x'), { ifMatch: version });
    });

    it('a stream that fails leaves no object', async () => {
      const broken = Readable.from(
        (async function* () {
          yield text('half');
          throw new Error('cut');
        })(),
      );
      await expect(store.put('half', broken)).rejects.toThrow('cut');
      expect(await store.get('half')).toBeUndefined();
      expect(await store.list('')).toEqual([]);
    });

    it('ifAbsent refuses what exists, ifMatch what has changed or is gone', async () => {
      const first = await store.put('k', text('1'), { ifAbsent: true });
      await expect(store.put('k', text('2'), { ifAbsent: true })).rejects.toBeInstanceOf(StoreConflict);
      const second = await store.put('k', text('2'), { ifMatch: first });
      await expect(store.put('k', text('3'), { ifMatch: first })).rejects.toBeInstanceOf(StoreConflict);
      await expect(store.delete('k', { ifMatch: first })).rejects.toBeInstanceOf(StoreConflict);
      expect(await textOf(store, 'k')).toBe('2');
      await store.delete('k', { ifMatch: second });
      await expect(store.put('k', text('4'), { ifMatch: second })).rejects.toBeInstanceOf(StoreConflict);
      expect(await store.get('k')).toBeUndefined();
    });

    it('list gives the keys with that prefix, sorted', async () => {
      for (const key of ['runs/b/plan', 'runs/a/plan', 'runs/a/events-1', 'runsome', 'lock']) await store.put(key, text(key));
      expect(await store.list('')).toEqual(['lock', 'runs/a/events-1', 'runs/a/plan', 'runs/b/plan', 'runsome']);
      expect(await store.list('runs/')).toEqual(['runs/a/events-1', 'runs/a/plan', 'runs/b/plan']);
      expect(await store.list('runs/a/e')).toEqual(['runs/a/events-1']);
      expect(await store.list('run')).toHaveLength(4);
      expect(await store.list('nothing/')).toEqual([]);
    });

    it('keys that lead out of the store are refused', async () => {
      for (const key of ['../x', 'a/../../x', '/etc/x', '', 'a//b', './a'])
        await expect(store.put(key, text('x'))).rejects.toThrow('not a store key');
    });

    it('of thirty that create one object, one wins', async () => {
      const stores = Array.from({ length: 30 }, again);
      expect(await outcomes(stores.map((s, i) => s.put('race', text(`${i}`), { ifAbsent: true })))).toEqual({
        won: 1,
        conflicts: 29,
      });
    });

    it('of thirty that replace one version, one wins', async () => {
      const version = await store.put('race', text('start'));
      const stores = Array.from({ length: 30 }, again);
      expect(await outcomes(stores.map((s, i) => s.put('race', text(`${i}`), { ifMatch: version })))).toEqual({
        won: 1,
        conflicts: 29,
      });
    });

    it('writers beside deleters of the same directory never fail', async () => {
      const work = Array.from({ length: 20 }, async (_, i) => {
        const mine = again();
        await mine.put(`d/e/${i}`, text('x'));
        await mine.delete(`d/e/${i}`);
      });
      await Promise.all(work);
      expect(await store.list('')).toEqual([]);
    });
  });
}
