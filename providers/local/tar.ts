import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';

export interface TarFile {
  /** Relative to the archive's root. */
  readonly path: string;
  readonly content: string | Uint8Array;
  readonly mode: number;
}

/** A tar archive whose bytes depend on nothing but the files: owner root, time 0. */
export async function tarOf(files: readonly TarFile[]): Promise<Buffer> {
  const archive = pack();
  for (const { path, content, mode } of files) {
    archive.entry({ name: path, mode, mtime: new Date(0), uid: 0, gid: 0 }, Buffer.from(content));
  }
  archive.finalize();
  return buffer(archive);
}
