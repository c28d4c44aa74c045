import { chmod, chown, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { exitCodes, messageOf, UserError } from '../errors.ts';
import { setVersion } from './edit.ts';
import { explainReadError } from './read.ts';

/**
 * Sets kubernetes.version in a cluster.yaml: all at once or not at all, with the mode and owner that it has; a symbolic link stays one. Throws UserError
 * for what cannot be edited or written.
 */
export async function writeVersion(file: string, version: string): Promise<{ readonly changed: boolean }> {
  const target = await realpath(file).catch((error: unknown) => {
    throw new UserError({ where: file, ...explainReadError(error) }, exitCodes.config);
  });
  const before = await readAsItIs(target, file);
  const after = setVersion(before, version, file);
  if (after === before) return { changed: false };
  await replace(target, after, file);
  return { changed: true };
}

/** With the mark at its beginning, where it has one: readText leaves it out. */
async function readAsItIs(target: string, file: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(target));
  } catch (error) {
    if (error instanceof TypeError) throw new UserError({ where: file, what: 'The file is not UTF-8 text' }, exitCodes.config);
    throw new UserError({ where: file, ...explainReadError(error) }, exitCodes.config);
  }
}

async function replace(target: string, text: string, file: string): Promise<void> {
  const { mode, uid, gid } = await stat(target);
  // A new file could take its place: but who made it read-only meant it.
  if ((mode & 0o222) === 0)
    throw new UserError(
      { where: file, what: 'The file is read-only', next: `Make it writable: chmod u+w ${file}` },
      exitCodes.usage,
    );
  const temporary = join(dirname(target), `.${basename(target)}.${process.pid}.tmp`);
  try {
    const handle = await open(temporary, 'wx', mode & 0o777);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // The umask takes bits away, and root writes files of others.
    await chmod(temporary, mode & 0o7777);
    await chown(temporary, uid, gid).catch(() => undefined);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new UserError(
      {
        where: file,
        what: `The file cannot be written: ${messageOf(error)}`,
        next: `Set kubernetes.version in it by hand, or make ${dirname(file)} writable`,
      },
      exitCodes.usage,
    );
  }
}
