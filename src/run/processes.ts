import { readFile, readlink } from 'node:fs/promises';
import { z } from 'zod';

/** Names one process for good: a PID alone comes back, after a reboot or when the numbers have gone round. */
export const processSchema = z.object({
  bootId: z.string(),
  /** The PID namespace: the same number in another container is another process. */
  namespace: z.string(),
  pid: z.number(),
  /** In clock ticks after boot. */
  startTime: z.string(),
});
export type ProcessIdentity = z.infer<typeof processSchema>;

export interface Processes {
  /** Undefined where the system does not tell: then only time shows that a holder is dead. */
  self(): Promise<ProcessIdentity | undefined>;
  /** True only if it ran on this very host and is certainly gone. */
  isGone(process: ProcessIdentity): Promise<boolean>;
}

/** What is known of a process: `elsewhere` is another host, another container or another boot, of which nothing can be said. */
export async function whereabouts(
  process: ProcessIdentity,
  processes: Processes = systemProcesses,
): Promise<'lives' | 'gone' | 'elsewhere'> {
  if (await processes.isGone(process)) return 'gone';
  const self = await processes.self();
  return self?.bootId === process.bootId && self.namespace === process.namespace ? 'lives' : 'elsewhere';
}

/** Asks /proc (Linux). */
export const systemProcesses: Processes = {
  self: async () => {
    const [here, startTime] = await Promise.all([host(), startTimeOf(process.pid)]);
    return here && startTime !== undefined ? { ...here, pid: process.pid, startTime } : undefined;
  },
  isGone: async ({ bootId, namespace, pid, startTime }) => {
    const here = await host();
    if (here?.bootId !== bootId || here.namespace !== namespace) return false;
    return (await startTimeOf(pid)) !== startTime;
  },
};

async function host(): Promise<{ bootId: string; namespace: string } | undefined> {
  try {
    const [bootId, namespace] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readlink('/proc/self/ns/pid'),
    ]);
    return { bootId: bootId.trim(), namespace };
  } catch {
    return undefined;
  }
}

/** Field 22 of /proc/PID/stat; undefined when there is no such process, or only its zombie. */
async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses, and may hold anything, also parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    // Cannot be asked: say that it lives.
    return 'unknown';
  }
}
