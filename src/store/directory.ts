import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, link, mkdir, open, readdir, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { messageOf, UserError } from '../errors.ts';
import { type PutCondition, type Store, StoreConflict, type StoredObject } from './store.ts';

/** Objects up to this size are versioned by their content, larger ones by their file: nobody wants to hash a snapshot to list it. */
const hashedUpTo = 1 << 20;
/** Beside the objects, and never listed. */
const scratch = '.scratch';
const lockFile = '.lock';

/**
 * A store in a directory (files 0600, directories 0700), safe for several processes on one host. Every object appears whole or
 * not at all. A key is either always written with a condition or never: an unconditional put does not wait for a conditional one.
 */
export function directoryStore(root: string): Store {
  const pathOf = (key: string): string => join(root, checked(key));
  const lock = exclusive(join(root, lockFile));
  let swept = false;

  /** Writes the body to a scratch file, which then takes its place in one step. */
  async function put(key: string, body: Uint8Array | NodeJS.ReadableStream, condition?: PutCondition): Promise<string> {
    const path = pathOf(key);
    if (condition && 'ifMatch' in condition) await mustExist(path, key);
    await mkdir(join(root, scratch), { recursive: true, mode: 0o700 });
    const temporary = join(root, scratch, randomUUID());
    try {
      const version = await writeFile(temporary, body);
      if (!swept) {
        swept = true;
        await sweep(join(root, scratch), temporary);
      }
      if (condition === undefined) await inDirectory(path, () => rename(temporary, path));
      else if ('ifAbsent' in condition) await inDirectory(path, () => linkNew(temporary, path, key));
      else
        await lock(async () => {
          await expectVersion(path, key, condition.ifMatch);
          await rename(temporary, path);
        });
      await syncFolders(dirname(path), root);
      return version;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async function remove(key: string, condition?: { readonly ifMatch: string }): Promise<void> {
    const path = pathOf(key);
    if (condition === undefined) await unlink(path).catch(unlessAbsent);
    else {
      await mustExist(path, key);
      await lock(async () => {
        await expectVersion(path, key, condition.ifMatch);
        await unlink(path);
      });
    }
    await prune(dirname(path), root);
  }

  async function list(prefix: string): Promise<readonly string[]> {
    const below = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    const keys: string[] = [];
    const walk = async (folder: string): Promise<void> => {
      const entries = await readdir(join(root, folder), { withFileTypes: true }).catch(unlessAbsent);
      for (const entry of entries ?? []) {
        const key = folder + entry.name;
        if (key === scratch || key === lockFile) continue;
        if (entry.isDirectory()) {
          if (`${key}/`.startsWith(prefix) || prefix.startsWith(`${key}/`)) await walk(`${key}/`);
        } else if (key.startsWith(prefix)) keys.push(key);
      }
    };
    await walk(below === '' ? '' : `${checked(below.slice(0, -1))}/`);
    return keys.sort();
  }

  return {
    url: pathToFileURL(root).href,
    dearConditions: true,
    get: (key) => explained(root, () => read(pathOf(key))),
    put: (key, body, condition) => explained(root, () => put(key, body, condition)),
    list: (prefix) => explained(root, () => list(prefix)),
    delete: (key, condition) => explained(root, () => remove(key, condition)),
  };
}

/** Small objects are read at once, so that version and content belong together; large ones when they are asked for. */
async function read(path: string): Promise<StoredObject | undefined> {
  const file = await open(path, 'r').catch(unlessAbsent);
  if (!file) return undefined;
  try {
    const seen = await file.stat({ bigint: true });
    if (!seen.isFile()) return undefined;
    if (seen.size <= hashedUpTo) {
      const bytes = await file.readFile();
      return { version: hashOf(bytes), bytes: async () => bytes, stream: () => readableOf(bytes) };
    }
    const version = fileVersion(seen);
    return {
      version,
      bytes: async () => {
        const again = await open(path, 'r');
        try {
          if (fileVersion(await again.stat({ bigint: true })) !== version) throw new Error(`${path} changed while it was read`);
          return await again.readFile();
        } finally {
          await again.close();
        }
      },
      stream: () => createReadStream(path),
    };
  } finally {
    await file.close();
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
const readableOf = (bytes: Uint8Array): NodeJS.ReadableStream => Readable.from(once(bytes), { objectMode: false });

/** Writes and syncs a new file of ours; returns its version. */
async function writeFile(path: string, body: Uint8Array | NodeJS.ReadableStream): Promise<string> {
  const file = await open(path, 'wx', 0o600);
  try {
    const hash = createHash('sha256');
    const parts = body instanceof Uint8Array ? once(body) : body;
    for await (const part of parts) {
      const bytes = typeof part === 'string' ? Buffer.from(part) : part;
      hash.update(bytes);
      await writeAll(file, bytes);
    }
    await file.datasync();
    const written = await file.stat({ bigint: true });
    return written.size <= hashedUpTo ? hash.digest('hex') : fileVersion(written);
  } finally {
    await file.close();
  }
}
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const fileVersion = (seen: { ino: bigint; mtimeNs: bigint; size: bigint }): string => `${seen.ino}-${seen.mtimeNs}-${seen.size}`;

/** Before anything is written: a lock's last heartbeat must not bring back the directory of a store that was removed. */
async function mustExist(path: string, key: string): Promise<void> {
  if (!(await stat(path).catch(unlessAbsent))) throw new StoreConflict(`${key} is gone`);
}

async function expectVersion(path: string, key: string, version: string): Promise<void> {
  const found = (await read(path))?.version;
  if (found !== version) throw new StoreConflict(`${key} ${found === undefined ? 'is gone' : 'was changed by somebody else'}`);
}

async function linkNew(from: string, to: string, key: string): Promise<void> {
  await link(from, to).catch((error: unknown) => {
    throw codeOf(error) === 'EEXIST' ? new StoreConflict(`${key} exists already`) : error;
  });
}

/** Makes the object's directory; again if somebody's delete pruned it in between. */
async function inDirectory(path: string, place: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      return await place();
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || attempt === 20) throw error;
    }
  }
}

/** A new name is on the disk once its folder is: a key that machines trust already must not be gone after a power cut. */
async function syncFolders(folder: string, root: string): Promise<void> {
  for (let at = folder; at.length >= root.length; at = dirname(at)) {
    const opened = await open(at, 'r').catch(unlessAbsent);
    await opened?.sync().finally(() => opened.close());
  }
}

/** Removes empty directories from `folder` upwards, never the root. */
async function prune(folder: string, root: string): Promise<void> {
  for (let at = folder; at.length > root.length && at !== dirname(at); at = dirname(at)) {
    try {
      await rmdir(at);
    } catch {
      return;
    }
  }
}

/** What killed processes left: scratch files a day older than one just written (by the file system's clock). */
async function sweep(folder: string, fresh: string): Promise<void> {
  const { mtimeMs } = await stat(fresh);
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const old = await stat(path).catch(unlessAbsent);
    if (old && mtimeMs - old.mtimeMs > 86_400_000) await rm(path, { force: true });
  }
}

/**
 * Runs one function at a time, over all processes. The kernel holds the lock (flock(2)) with our open file, so a killed process
 * leaves none behind: Node has no call for it, but flock(1) locks a file that it inherits, and the lock stays when it exits.
 */
function exclusive(path: string): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  const locked = async <T>(work: () => Promise<T>): Promise<T> => {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(path, 'a', 0o600);
    try {
      await flock(file, path);
      return await work();
    } finally {
      await file.close();
    }
  };
  return (work) => {
    const mine = last.then(() => locked(work));
    last = mine.catch(() => undefined);
    return mine;
  };
}
const flock = (file: FileHandle, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn('flock', ['--exclusive', '--wait', '10', '3'], { stdio: ['ignore', 'ignore', 'ignore', file.fd] });
    child.once('error', (error) =>
      reject(new UserError({ what: 'flock cannot be run', why: error.message, next: 'install util-linux' })),
    );
    child.once('exit', (code) =>
      code === 0
        ? resolve()
        : reject(new UserError({ what: 'another process has kept the store locked for 10 s', where: path, next: 'try again' })),
    );
  });

/** Keys come from our own code, but some carry names that people chose. */
function checked(key: string): string {
  const parts = key.split('/');
  const bad = parts.some((part) => part === '' || part === '.' || part === '..' || part.includes('\0') || part.includes('\\'));
  if (bad || parts[0] === scratch || key === lockFile) throw new Error(`not a store key: ${JSON.stringify(key)}`);
  return key;
}

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
function unlessAbsent(error: unknown): undefined {
  if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
  throw error;
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  EEXIST: 'a file is in the place of a directory',
  ENOTDIR: 'a file is in the place of a directory',
};
async function explained<T>(root: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const why = reasons[codeOf(error) ?? ''];
    if (why === undefined) throw error;
    throw new UserError(
      {
        what: `the store cannot be used: ${why}`,
        where: root,
        why: messageOf(error),
        next: 'mend that and run the same command again',
      },
      undefined,
      { cause: error },
    );
  }
}
