import { constants, type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { messageOf } from '../errors.ts';

export interface ManifestFile {
  /** For messages: relative to where cluster.yaml was named from. */
  readonly name: string;
  readonly text: string;
}
/** Why an entry of addons.manifests cannot be read. */
export interface Unreadable {
  readonly what: string;
  readonly why?: string;
  readonly next?: string;
}

/** Of one file: the CustomResourceDefinitions of a large project in one file have 4 MiB. */
const limit = 8 * 1024 * 1024;
const manifestName = /^[^.].*\.(ya?ml|json)$/i;

/** The texts behind one entry of addons.manifests: a file, or each *.yaml, *.yml and *.json of a directory, by name. Throws nothing. */
export async function readManifestFiles(
  clusterFile: string,
  entry: string,
): Promise<{ readonly files: readonly ManifestFile[]; readonly problems: readonly Unreadable[] }> {
  const path = resolve(dirname(clusterFile), entry);
  const shown = join(dirname(clusterFile), entry);
  try {
    if (!(await stat(path)).isDirectory()) return await readOne(path, shown, entry);
    const names = (await readdir(path)).filter((name) => manifestName.test(name)).sort();
    if (names.length === 0)
      return failed({
        what: `The directory ${entry} has no *.yaml, *.yml or *.json`,
        why: `looked in ${path}`,
        next: 'directories below it are not looked into: name each',
      });
    const read = await Promise.all(names.map((name) => readOne(join(path, name), join(shown, name), join(entry, name))));
    return { files: read.flatMap(({ files }) => files), problems: read.flatMap(({ problems }) => problems) };
  } catch (error) {
    return failed({
      what: `The manifest ${entry} is not there, or cannot be read`,
      why: `looked for ${path}: ${codeOf(error)}`,
      next: 'paths are relative to cluster.yaml',
    });
  }
}

const failed = (problem: Unreadable) => ({ files: [], problems: [problem] });
const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : messageOf(error));

async function readOne(path: string, name: string, entry: string) {
  let handle: FileHandle | undefined;
  try {
    // Not to wait for a writer, where the name is that of a pipe.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { size } = await handle.stat();
    if (!(await handle.stat()).isFile()) return failed({ what: `The manifest ${entry} is not a regular file` });
    const bytes = size > limit ? undefined : await handle.readFile();
    if (!bytes || bytes.length > limit)
      return failed({
        what: `The manifest ${entry} is too large: it has ${size} bytes, and a manifest has at most ${limit}`,
        next: 'split it into several files',
      });
    return { files: [{ name, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }], problems: [] };
  } catch (error) {
    if (error instanceof TypeError) return failed({ what: `The manifest ${entry} is not UTF-8 text`, next: 'save it as UTF-8' });
    return failed({
      what: `The manifest ${entry} is not there, or cannot be read`,
      why: `looked for ${path}: ${codeOf(error)}`,
      next: 'paths are relative to cluster.yaml',
    });
  } finally {
    await handle?.close();
  }
}
