import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { exitCodes, messageOf, UserError } from '../errors.ts';
import { type InitAnswers, renderInit } from './init.ts';
import { ConfigError, readCluster } from './load.ts';

export interface InitFile {
  /** Where it goes, as the user says it. */
  readonly file: string;
  /** What `file` is relative to. */
  readonly cwd: string;
  /** Replace a file that is there. */
  readonly force: boolean;
  /** The JSON Schema of this version of Slipway. */
  readonly schema: string;
  /** The directory of Slipway itself: within one tree the schema is named where it lies, elsewhere a copy goes beside the file. */
  readonly packageRoot: string;
}

/** Renders, checks and writes a cluster.yaml. Throws UserError (usage) for answers that make no cluster, and rather than overwrite a file. */
export async function writeInit(answers: InitAnswers, to: InitFile): Promise<{ readonly file: string; readonly text: string }> {
  const target = resolve(to.cwd, to.file);
  const beside = schemaBeside(target, to);
  const copy = '.slipway/cluster.schema.json';
  const text = renderInit({ ...answers, schema: beside ?? copy });
  check(text, to.file);
  try {
    await put(target, text, to.force);
    if (beside === undefined) {
      await mkdir(join(dirname(target), '.slipway'), { recursive: true });
      await copyFile(to.schema, join(dirname(target), copy));
    }
  } catch (error) {
    throw writeError(error, to.file);
  }
  return { file: to.file, text };
}

/** The schema's path as seen from the file, where both move together: in a clone, or with Slipway in node_modules. */
function schemaBeside(target: string, { packageRoot, schema }: InitFile): string | undefined {
  const directory = dirname(target);
  const inClone = !relative(packageRoot, directory).startsWith('..');
  if (!inClone && !relative(directory, packageRoot).startsWith('node_modules')) return undefined;
  const path = relative(directory, schema);
  return path.startsWith('.') ? path : `./${path}`;
}

function check(text: string, file: string): void {
  try {
    readCluster(text, file);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const errors = error.findings.filter(({ severity }) => severity === 'error');
    throw new UserError(
      {
        what: 'These answers make no valid cluster',
        why: errors.map(({ what, next }) => (next === undefined ? what : `${what}; ${next}`)).join('\n'),
        next: 'Change the flags; nothing was written',
      },
      exitCodes.usage,
    );
  }
}

async function put(target: string, text: string, force: boolean): Promise<void> {
  if (!force) return writeFile(target, text, { flag: 'wx' });
  const temporary = `${target}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, text);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function writeError(error: unknown, file: string): UserError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EEXIST')
    return new UserError(
      { what: 'The file is there already', where: file, next: 'Name another with -f, or replace it with --force' },
      exitCodes.usage,
    );
  if (code === 'ENOENT')
    return new UserError({ what: 'The directory is not there', where: file, next: `mkdir -p ${dirname(file)}` }, exitCodes.usage);
  return new UserError({
    what: `The file cannot be written: ${messageOf(error)}`,
    where: file,
    next: 'Name another place with -f',
  });
}
