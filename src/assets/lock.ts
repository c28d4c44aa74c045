import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';

const holderSchema = z.object({ pid: z.int(), start: z.string() });
export type Holder = z.infer<typeof holderSchema>;

/** When a process started, in ticks since boot: a process id alone may have been given to another process. Undefined: no such process. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The name in parentheses may hold spaces; start time is field 22.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

const read = (file: string): Promise<string | undefined> => readFile(file, 'utf8').catch(() => undefined);

function parse(text: string): Holder | undefined {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function breakStale(file: string, seen: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  await rename(file, aside).catch(() => undefined);
  // Another process may have broken it and locked anew in between: then what was moved aside is a living lock, and goes back.
  const moved = await read(aside);
  if (moved !== undefined && moved !== seen) await link(aside, file).catch(() => undefined);
  await rm(aside, { force: true });
}

/**
 * Runs `work` while no other process of this machine does so under the same file. Waits for a living holder (`onWait` is told once which),
 * takes the place of one that has died.
 */
export async function withLock<T>(
  file: string,
  signal: AbortSignal,
  onWait: (holder: Holder) => void,
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(dirname(file), { recursive: true });
  const mine = JSON.stringify({ pid: process.pid, start: (await startOf(process.pid)) ?? '', key: randomUUID() });
  const draft = `${file}.${randomUUID()}`;
  let told = false;
  try {
    await writeFile(draft, mine);
    for (;;) {
      signal.throwIfAborted();
      // A link fails where the name is taken, and the file is whole from its first moment on.
      const locked = await link(draft, file).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'EEXIST') return false;
          throw error;
        },
      );
      if (locked) break;
      const seen = await read(file);
      if (seen === undefined) continue;
      const holder = parse(seen);
      if (!holder || (await startOf(holder.pid)) !== holder.start) {
        await breakStale(file, seen);
        continue;
      }
      if (!told) onWait(holder);
      told = true;
      await sleep(100, undefined, { signal });
    }
  } finally {
    await rm(draft, { force: true });
  }
  try {
    return await work();
  } finally {
    if ((await read(file)) === mine) await rm(file, { force: true });
  }
}
