import { readFile, statfs } from 'node:fs/promises';
import type Docker from 'dockerode';
import type { HostFacts } from './clients.ts';
import { askVersion } from './docker.ts';

const sysResource = 24n;

/** What containers can be given here: by Docker's word, and by what this host's first process may do. */
export async function hostFacts(docker: Docker, signal: AbortSignal): Promise<HostFacts> {
  const [info, status] = await Promise.all([askVersion(docker, signal), readText('/proc/1/status')]);
  return { cgroupVersion: await cgroupVersion(), canGiveSysResource: info.Os !== 'linux' || hasSysResource(status ?? '') };
}

/** Whether a /proc/PID/status has CAP_SYS_RESOURCE in its bounding set. Unreadable: assumed. */
export function hasSysResource(status: string): boolean {
  const [, hex] = /^CapBnd:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  return hex === undefined || ((BigInt(`0x${hex}`) >> sysResource) & 1n) === 1n;
}

const cgroup2Magic = 0x63677270;
async function cgroupVersion(): Promise<1 | 2> {
  const found = await statfs('/sys/fs/cgroup').catch(() => undefined);
  return found === undefined || found.type === cgroup2Magic ? 2 : 1;
}

/** A small file's text, trimmed; undefined where it cannot be read. */
export const readText = (path: string): Promise<string | undefined> =>
  readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
