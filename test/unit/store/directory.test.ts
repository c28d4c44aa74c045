import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { directoryStore } from '../../../src/store/directory.ts';
import { StoreConflict } from '../../../src/store/store.ts';
import { storeContract } from '../../contract/store.ts';

const made: string[] = [];
const temporary = async (): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'slipway-store-'));
  made.push(path);
  return path;
};
afterAll(() => Promise.all(made.map((path) => rm(path, { recursive: true, force: true }))));

storeContract('a directory', async () => {
  const root = join(await temporary(), 'store');
  return { store: directoryStore(root), again: () => directoryStore(root) };
});

/** A process of its own that adds one to a counter, `times` times, by ifMatch. */
const incrementer = (root: string, times: number) => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'incrementer.ts'), root, `${times}`], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return { child, exit: new Promise<number | null>((resolve) => child.once('exit', resolve)) };
};

describe('a store in a directory', () => {
  it('keeps files 0600 and directories 0700, whatever the umask', async () => {
    const root = join(await temporary(), 'store');
    const store = directoryStore(root);
    const umask = process.umask(0);
    try {
      await store.put('a/b/c', new Uint8Array([1]));
      const version = await store.put('k', new Uint8Array([1]), { ifAbsent: true });
      await store.put('k', new Uint8Array([2]), { ifMatch: version });
    } finally {
      process.umask(umask);
    }
    for (const [path, mode] of [
      ['', 0o700],
      ['a', 0o700],
      ['a/b', 0o700],
      ['a/b/c', 0o600],
      ['k', 0o600],
    ] as const)
      expect((await stat(join(root, path))).mode & 0o777, path).toBe(mode);
  });

  it('prunes the directories that a delete empties', async () => {
    const root = await temporary();
    const store = directoryStore(root);
    await store.put('a/b/c', new Uint8Array([1]));
    await store.put('a/d', new Uint8Array([1]));
    await store.delete('a/b/c');
    expect(await readdir(join(root, 'a'))).toEqual(['d']);
    await store.delete('a/d');
    expect((await readdir(root)).includes('a')).toBe(false);
  });

  it('loses no update of several processes, also when one of them is killed', async () => {
    const root = await temporary();
    const store = directoryStore(root);
    await store.put('counter', new TextEncoder().encode('0'));
    const victim = incrementer(root, 100_000);
    const others = Array.from({ length: 3 }, () => incrementer(root, 15));
    setTimeout(() => victim.child.kill('SIGKILL'), 700);
    expect(await Promise.all(others.map((o) => o.exit))).toEqual([0, 0, 0]);
    victim.child.kill('SIGKILL');
    await victim.exit;
    const object = await store.get('counter');
    const log = await store.list('log/');
    // The victim may have been killed between its increment and its entry in the log.
    const counted = Number(new TextDecoder().decode(await object?.bytes()));
    expect(counted - log.length).toBeGreaterThanOrEqual(0);
    expect(counted - log.length).toBeLessThanOrEqual(1);
    expect(log.length).toBeGreaterThanOrEqual(45);
  });

  it('that was removed is not brought back by conditional writes', async () => {
    const root = join(await temporary(), 'store');
    const store = directoryStore(root);
    const version = await store.put('lock', new Uint8Array([1]));
    await rm(root, { recursive: true });
    await expect(store.put('lock', new Uint8Array([2]), { ifMatch: version })).rejects.toBeInstanceOf(StoreConflict);
    await expect(store.delete('lock', { ifMatch: version })).rejects.toBeInstanceOf(StoreConflict);
    expect(await store.list('')).toEqual([]);
    await expect(stat(root)).rejects.toThrow('ENOENT');
  });

  it('says what is wrong with its directory', async () => {
    const root = await temporary();
    await directoryStore(root).put('file', new Uint8Array([1]));
    const error = await directoryStore(join(root, 'file'))
      .put('k', new Uint8Array([1]))
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(String(error)).toContain('a file is in the place of a directory');
  });
});
