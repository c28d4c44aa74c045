import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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

const sources = fileURLToPath(new URL('testapp/', import.meta.url));

async function digestOfSources(): Promise<string> {
  const hash = createHash('sha256');
  for (const name of (await readdir(sources)).sort()) hash.update(name).update(await readFile(join(sources, name)));
  return hash.digest('hex');
}

/** Builds the image into the asset cache, from where hosts see it as `/opt/slipway/images/testapp-1.tar`; a second once, and again after a change of its source. */
export async function ensureTestapp(directory: string): Promise<string> {
  const [cached, digest] = await Promise.all([lookUp(directory, testapp), digestOfSources()]);
  const builtFrom = join(directory, `${testapp.path}.sources`);
  if (cached && (await readFile(builtFrom, 'utf8').catch(() => '')) === digest) return cached.file;
  const work = join(directory, '.work', `testapp.${process.pid}`);
  await mkdir(work, { recursive: true });
  try {
    const build = { name: 'testapp', version: '1', programs: { testapp: '.' }, variables: {} };
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
    const made = await putInto(directory, testapp, file, 'build');
    await writeFile(builtFrom, digest);
    return made.file;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
