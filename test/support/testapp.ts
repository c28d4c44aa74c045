import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lookUp, putInto } from '../../src/assets/cache.ts';
import type { Asset } from '../../src/assets/catalogue.ts';
import { goBuild } from '../../src/assets/go-build.ts';
import { writeImageArchive } from '../../src/assets/image-archive.ts';

/** What end-to-end tests run as pods, since a registry is not always to be had: see testapp/main.go for its subcommands. */
export const testapp = {
  name: 'testapp',
  version: '1',
  path: 'images/testapp-1.tar',
  image: 'registry.slipway.test/testapp:1',
} as const satisfies Asset & { image: string };

/** Builds the image into the asset cache, from where hosts see it as `/opt/slipway/images/testapp-1.tar`; a second once, nothing after. `rebuild` after a change of its source. */
export async function ensureTestapp(directory: string, { rebuild = false } = {}): Promise<string> {
  const cached = rebuild ? undefined : await lookUp(directory, testapp);
  if (cached) return cached.file;
  const work = join(directory, '.work', `testapp.${process.pid}`);
  await mkdir(work, { recursive: true });
  try {
    const build = { name: 'testapp', version: '1', programs: { testapp: '.' }, variables: {} };
    const sources = fileURLToPath(new URL('testapp/', import.meta.url));
    const programs = await goBuild(build, ['testapp'], work, { env: process.env, sources });
    const file = join(work, 'testapp.tar');
    await writeImageArchive(
      {
        name: testapp.image,
        entrypoint: ['/testapp'],
        user: '65532:65532',
        files: [{ path: '/testapp', content: { file: programs.get('testapp') ?? '' }, mode: 0o755 }],
      },
      file,
    );
    return (await putInto(directory, testapp, file, 'build')).file;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
