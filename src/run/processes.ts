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

/** What the system tells of a PID: both throw as Node does. */
export interface ProcessTable {
  /** /proc/PID/stat */
  stat(pid: number): Promise<string>;
  /** Signal 0: ESRCH where there is none, EPERM where it is somebody else's. */
  probe(pid: number): void;
}

/** Asks /proc (Linux). */
export const processesBy = (table: ProcessTable): Processes => ({
  self: async () => {
    const [here, startTime] = await Promise.all([host(), startTimeOf(process.pid, table)]);
    return here && startTime !== undefined && startTime !== unknown ? { ...here, pid: process.pid, startTime } : undefined;
  },
  isGone: async ({ bootId, namespace, pid, startTime }) => {
    const here = await host();
    if (here?.bootId !== bootId || here.namespace !== namespace) return false;
    const found = await startTimeOf(pid, table);
    return found !== unknown && found !== startTime;
  },
});
export const systemProcesses = processesBy({
  stat: (pid) => readFile(`/proc/${pid}/stat`, 'utf8'),
  probe: (pid) => process.kill(pid, 0),
});

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

/** It is there, or may be, and cannot be asked. */
const unknown = 'unknown';

/** Field 22 of /proc/PID/stat; undefined when there is no such process, or only its zombie. */
async function startTimeOf(pid: number, { stat: read, probe }: ProcessTable): Promise<string | undefined> {
  try {
    const stat = await read(pid);
    // The second field is the program's name in parentheses, and may hold anything, also parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch (error) {
    // proc(5), hidepid: processes of others are not shown, and are there all the same.
    return isMissing(error) && !answers(pid, probe) ? undefined : unknown;
  }
}
function answers(pid: number, probe: ProcessTable['probe']): boolean {
  try {
    probe(pid);
    return true;
  } catch (error) {
    return !isMissing(error);
  }
}
const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH');
