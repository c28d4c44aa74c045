import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const prefix = 'slipway-tests-';

/** Before the tests of a project: a directory for all that they write, removed after them; and what a run left that was killed goes, too. */
export default function setup(): () => void {
  const above = tmpdir();
  for (const name of readdirSync(above))
    if (name.startsWith(prefix) && !isRunning(Number(name.slice(prefix.length).split('-')[0]))) remove(join(above, name));
  const directory = mkdtempSync(join(above, `${prefix}${process.pid}-`));
  process.env.TMPDIR = directory;
  return () => {
    process.env.TMPDIR = above;
    remove(directory);
  };
}

const remove = (directory: string): void => rmSync(directory, { recursive: true, force: true, maxRetries: 3 });

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
