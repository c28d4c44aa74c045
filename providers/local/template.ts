import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { sha256 } from '../../src/plan/canonical.ts';
import type { TarFile } from './tar.ts';

/** templates/machine as read: the context of the image's build, and the tags that follow from its content. */
export interface MachineTemplate {
  readonly files: readonly TarFile[];
  readonly packages: readonly string[];
  /** `slipway/machine:<digest>`: another template makes another image. */
  readonly tag: string;
  /** `slipway/base:<digest of the packages>`: what mmdebstrap makes where Docker Hub cannot be reached. */
  readonly baseTag: string;
}

const executables = new Set(['entrypoint', 'prepare']);
const debian = 'bookworm';

export async function readMachineTemplate(): Promise<MachineTemplate> {
  // A file, not the directory: what `imports` maps must exist as a module would.
  const root = fileURLToPath(new URL('.', import.meta.resolve('#templates/machine/Dockerfile')));
  const paths = (await readdir(root, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(root.length).replace(/^\/+/, ''))
    .sort();
  // Modes are fixed here: those of a checkout depend on the umask of whoever made it.
  const files = await Promise.all(
    paths.map(async (path) => ({
      path,
      content: await readFile(`${root}/${path}`),
      mode: executables.has(path) ? 0o755 : 0o644,
    })),
  );
  const packages = String(files.find((file) => file.path === 'packages')?.content ?? '')
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter(Boolean);
  const short = (text: string): string => sha256(text).slice(0, 12);
  return {
    files,
    packages,
    tag: `slipway/machine:${short(files.map((file) => `${file.path} ${file.mode} ${sha256(file.content)}\n`).join(''))}`,
    baseTag: `slipway/base:${short(`${debian} ${packages.join(' ')}`)}`,
  };
}
export { debian };
