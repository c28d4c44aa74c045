import { createHash } from 'node:crypto';
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Asset } from './catalogue.ts';

const sourceSchema = z.enum(['mirror', 'upstream', 'build']);
export type Source = z.infer<typeof sourceSchema>;
const manifestSchema = z.object({ sha256: z.string(), size: z.number(), mtimeMs: z.number(), source: sourceSchema });
type Manifest = z.infer<typeof manifestSchema>;

/** An asset as it lies in the cache. */
export interface Cached {
  readonly file: string;
  readonly sha256: string;
  readonly size: number;
  readonly source: Source;
}

export const fileOf = (directory: string, asset: Asset): string => join(directory, asset.path);
const manifestOf = (file: string): string => `${file}.json`;

const chunkBytes = 1 << 20;

/** The SHA-256 of a file, in hex. One buffer for all of it: streams of hundreds of megabytes cost as much again in garbage. */
export async function sha256Of(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const handle = await open(file, 'r');
  try {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

async function readManifest(file: string): Promise<Manifest | undefined> {
  try {
    return manifestSchema.parse(JSON.parse(await readFile(manifestOf(file), 'utf8')));
  } catch {
    return undefined;
  }
}

/** An asset of the cache, or undefined where it is absent, has no manifest, or has changed since it was put there. `verify` reads all its bytes; else size and mtime decide. */
export async function lookUp(directory: string, asset: Asset, verify = false, signal?: AbortSignal): Promise<Cached | undefined> {
  const file = fileOf(directory, asset);
  const [manifest, found] = await Promise.all([readManifest(file), stat(file).catch(() => undefined)]);
  if (!manifest || !found?.isFile() || found.size !== manifest.size || found.mtimeMs !== manifest.mtimeMs) return undefined;
  if (verify && (await sha256Of(file, signal)) !== manifest.sha256) return undefined;
  return { file, sha256: manifest.sha256, size: manifest.size, source: manifest.source };
}

/** From now on the asset counts as absent. */
export const forget = (directory: string, asset: Asset): Promise<void> =>
  rm(manifestOf(fileOf(directory, asset)), { force: true });

async function sync(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** Moves a finished file (on the same filesystem) into the cache. The manifest comes last: a crash in between leaves an asset that is fetched again. */
export async function putInto(directory: string, asset: Asset, made: string, source: Source): Promise<Cached> {
  const file = fileOf(directory, asset);
  await mkdir(dirname(file), { recursive: true });
  await chmod(made, asset.path.startsWith('images/') ? 0o644 : 0o755);
  const sha256 = await sha256Of(made);
  await sync(made);
  const { size, mtimeMs } = await stat(made);
  await rm(manifestOf(file), { force: true });
  await rename(made, file);
  const draft = `${manifestOf(file)}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify({ sha256, size, mtimeMs, source } satisfies Manifest)}\n`);
  await rename(draft, manifestOf(file));
  return { file, sha256, size, source };
}

/** Removes directories of unfinished work whose process has ended. */
export async function sweep(workRoot: string): Promise<void> {
  for (const name of await readdir(workRoot).catch(() => [])) {
    const pid = Number(/\.(\d+)$/.exec(name)?.[1]);
    if (!pid || pid === process.pid) continue;
    const alive = await stat(`/proc/${pid}`).catch(() => undefined);
    if (!alive) await rm(join(workRoot, name), { recursive: true, force: true });
  }
}
