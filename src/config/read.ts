import { constants, type FileHandle, open } from 'node:fs/promises';
import { exitCodes, messageOf, type Problem, UserError } from '../errors.ts';

const limit = 1024 * 1024;

/** The text of a file in UTF-8, at most 1 MiB. Throws UserError (config) for whatever else it is. */
export async function readText(file: string): Promise<string> {
  const fail = (problem: Omit<Problem, 'where'>): UserError => new UserError({ where: file, ...problem }, exitCodes.config);
  let handle: FileHandle | undefined;
  try {
    // Not to wait for a writer, where the name is that of a pipe.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = await handle.stat();
    if (stat.isDirectory())
      throw fail({
        what: 'This is a directory, not a file',
        next: `Name the file in it: -f ${file.replace(/\/+$/, '')}/cluster.yaml`,
      });
    if (!stat.isFile()) throw fail({ what: 'This is not a regular file', next: 'Write it to a file, and name that with -f' });
    if (stat.size > limit)
      throw fail({
        what: `The file has ${stat.size} bytes; a cluster.yaml has at most ${limit}`,
        next: 'Name your cluster.yaml with -f',
      });
    const bytes = await handle.readFile();
    if (bytes.length > limit)
      throw fail({ what: `The file has more than ${limit} bytes`, next: 'Name your cluster.yaml with -f' });
    return decode(bytes, fail);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw fail(explainReadError(error));
  } finally {
    await handle?.close();
  }
}

function decode(bytes: Uint8Array, fail: (problem: Omit<Problem, 'where'>) => UserError): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    throw fail({ what: 'The file is UTF-16 text', next: 'Save it as UTF-8' });
  const zero = bytes.indexOf(0);
  if (zero !== -1)
    throw fail({ what: 'This is a binary file', why: `byte ${zero + 1} is 0`, next: 'Name your cluster.yaml with -f' });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw fail({ what: 'The file is not UTF-8 text', next: 'Save it as UTF-8' });
  }
}

/** Why a file could not be read, and what to do. */
export function explainReadError(error: unknown): Problem {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return { what: 'There is no such file', next: 'Make one with `cluster init`, or name another with -f' };
    case 'EACCES':
    case 'EPERM':
      return { what: 'This user may not read the file', next: 'Give yourself the permission (chmod u+r), or run as its owner' };
    case 'EISDIR':
      return { what: 'This is a directory, not a file', next: 'Name the file in it with -f' };
    case 'ELOOP':
      return { what: 'This symbolic link leads back to itself', next: 'Make it point to your cluster.yaml' };
    case 'ENXIO':
      return { what: 'This is not a regular file', next: 'Write it to a file, and name that with -f' };
    default:
      return { what: `The file cannot be read: ${messageOf(error)}`, next: 'Check the path' };
  }
}
