import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { messageOf, UserError } from '../errors.ts';

export interface Written {
  readonly file: string;
  /** Where the file as it was before lies now; undefined: there was none, or nothing changed. */
  readonly backup: string | undefined;
  readonly changed: boolean;
}

/**
 * Replaces the user's kubeconfig by what `change` makes of it: a backup beside it (`config.slipway-backup-1`, ...), then one atomic
 * rename, 0600. A symbolic link stays one. Throws UserError for what the user must mend.
 */
export async function changeKubeconfig(path: string, change: (existing: string | undefined) => string): Promise<Written> {
  const file = await realpath(path).catch(() => path);
  const before = await read(file);
  const after = change(before);
  if (after === before) return { file, backup: undefined, changed: false };
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const backup = before === undefined ? undefined : await keep(file, before);
    const next = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString('hex')}`);
    await writeNew(next, after);
    // Somebody else (kubectl, another run) may have written since: theirs must not be lost.
    if ((await read(file)) !== before) {
      await rm(next, { force: true });
      throw new UserError({
        what: 'it was changed by somebody else at the same moment',
        where: file,
        next: 'run the same command again',
      });
    }
    await rename(next, file);
    return { file, backup, changed: true };
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      {
        what: 'the kubeconfig cannot be written',
        where: file,
        why: messageOf(error),
        next: 'check permissions and free space, or use cluster kubeconfig --stdout',
      },
      undefined,
      { cause: error },
    );
  }
}

async function read(file: string): Promise<string | undefined> {
  try {
    if ((await stat(file)).isDirectory()) throw new UserError({ what: 'the kubeconfig is a directory', where: file });
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    if (error instanceof UserError) throw error;
    throw new UserError({ what: 'the kubeconfig cannot be read', where: file, why: messageOf(error) }, undefined, {
      cause: error,
    });
  }
}

/** Each backup gets a number of its own; none is ever overwritten. */
async function keep(file: string, text: string): Promise<string> {
  const draft = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString('hex')}`);
  await writeNew(draft, text);
  try {
    for (let n = 1; ; n++) {
      const backup = `${file}.slipway-backup-${n}`;
      try {
        await link(draft, backup);
        return backup;
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      }
    }
  } finally {
    await rm(draft, { force: true });
  }
}

async function writeNew(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
