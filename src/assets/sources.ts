import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { z } from 'zod';
import { messageOf, UserError } from '../errors.ts';
import { sha256Of } from './cache.ts';
import type { Asset } from './catalogue.ts';
import { digestFrom, NotServed, type OnBytes, type Web, wrongDigest } from './download.ts';
import { goBuild, type OnCompiled } from './go-build.ts';
import { type ImageFile, writeImageArchive } from './image-archive.ts';
import type { Environment } from './process.ts';
import type { Checksum, ImageRecipe, Recipe } from './recipes.ts';
import { pullImage } from './registry.ts';

/** Where upstream projects publish; tests name a server of their own. */
export interface Bases {
  readonly kubernetes: string;
  readonly github: string;
  readonly githubApi: string;
  readonly registry: string;
  readonly node: string;
}

export const publicBases: Bases = {
  kubernetes: 'https://dl.k8s.io',
  github: 'https://github.com',
  githubApi: 'https://api.github.com',
  registry: 'https://registry.k8s.io',
  node: 'https://nodejs.org',
};

const authorities = '/etc/ssl/certs/ca-certificates.crt';
/** Where distributions keep them; what the compiler itself has fetched modules with. */
const ownAuthorities = [authorities, '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/ca-bundle.pem', '/etc/ssl/cert.pem'];
// As upstream's images have it: root, nobody, and the user that upstream's images run as.
const passwd = [
  'root:x:0:0:root:/root',
  'nobody:x:65534:65534:nobody:/nonexistent',
  'nonroot:x:65532:65532:nonroot:/home/nonroot',
]
  .map((line) => `${line}:/sbin/nologin\n`)
  .join('');

async function archive(recipe: ImageRecipe, program: string, file: string): Promise<void> {
  const files: ImageFile[] = [
    {
      path: `/${recipe.program}`,
      content: { file: program },
      mode: 0o755,
      ...(recipe.bindsLowPorts ? { bindsLowPorts: true } : {}),
    },
  ];
  if (recipe.base) files.push({ path: '/etc/passwd', content: passwd });
  const known = ownAuthorities.find((path) => existsSync(path));
  if (recipe.base && known !== undefined) files.push({ path: authorities, content: { file: known } });
  await writeImageArchive({ name: recipe.name, entrypoint: [`/${recipe.program}`], user: recipe.user, files }, file);
}

/** Builds assets of one recipe and yields name → finished file below `work`. */
export async function fromBuild(
  recipe: Recipe,
  assets: readonly Asset[],
  work: string,
  options: { readonly env: Environment; readonly signal: AbortSignal; readonly onCompiled: OnCompiled },
): Promise<ReadonlyMap<string, string>> {
  if (!recipe.build) return own(recipe, assets, work);
  const files = await goBuild(
    recipe.build,
    assets.map(({ name }) => name),
    work,
    options,
  );
  if (!recipe.image) return files;
  const made = new Map<string, string>();
  for (const [name, program] of files) {
    const file = join(work, `${name}.tar`);
    await archive(recipe.image, program, file);
    made.set(name, file);
  }
  return made;
}

/** Copies: the cache moves what it is given. */
async function own(recipe: Recipe, assets: readonly Asset[], work: string): Promise<ReadonlyMap<string, string>> {
  const file = recipe.own?.();
  if (file === undefined)
    throw new UserError({
      what: `${recipe.group} is not on this machine`,
      why: recipe.upstream
        ? 'it could not be fetched, and the Node that runs this is another one'
        : 'it comes with a built Slipway, and this one runs from its source',
      next: recipe.upstream ? 'check the network, or name a mirror that has it' : 'npm run build',
    });
  await mkdir(work, { recursive: true });
  const made = new Map<string, string>();
  for (const { name } of assets) {
    await copyFile(file, join(work, name));
    made.set(name, join(work, name));
  }
  return made;
}

/** Unpacks some members of a gzipped tar. A member's name may begin with `./`. */
async function unpack(file: string, members: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> {
  const found = new Set<string>();
  const tar = extract();
  const reading = (async () => {
    for await (const entry of tar) {
      const name = entry.header.name.replace(/^\.\//, '');
      const target = members.get(name);
      if (target) {
        await pipeline(entry, createWriteStream(target), { signal });
        found.add(name);
      }
      entry.resume();
    }
  })();
  const feeding = (async () => {
    for await (const chunk of createReadStream(file).pipe(createGunzip())) {
      if (!tar.write(chunk)) await new Promise((resolve) => tar.once('drain', () => resolve(undefined)));
    }
    tar.end(undefined);
  })();
  await Promise.all([feeding, reading]);
  for (const name of members.keys()) if (!found.has(name)) throw new NotServed(`${file} has no member ${name}`);
}

const releaseSchema = z.object({ assets: z.array(z.object({ name: z.string(), digest: z.string().nullish() })) });

async function checksum(web: Web, bases: Bases, kind: Checksum, url: string, signal: AbortSignal): Promise<string> {
  const name = url.slice(url.lastIndexOf('/') + 1);
  const found =
    kind.kind === 'sums'
      ? digestFrom(await web.text(resolve(kind.url, bases), signal), name)
      : releaseSchema
          .parse(JSON.parse(await web.text(`${bases.githubApi}/repos/${kind.repository}/releases/tags/${kind.tag}`, signal)))
          .assets.find((asset) => asset.name === name)
          ?.digest?.replace(/^sha256:/, '');
  if (!found) throw new NotServed(`no checksum of ${name} is published`);
  return found;
}

const resolve = (url: string, bases: Bases): string =>
  url.replace(/^\{(kubernetes|github|githubApi|registry|node)\}/, (_, base: keyof Bases) => bases[base]);

/** Downloads assets of one recipe from where upstream publishes them. Throws NotServed. `parts` keeps what was fetched of a file, also when a run is cut. */
export async function fromUpstream(
  recipe: Recipe,
  assets: readonly Asset[],
  work: string,
  options: {
    readonly web: Web;
    readonly bases: Bases;
    readonly parts: string;
    readonly signal: AbortSignal;
    readonly onBytes: (name: string) => OnBytes;
  },
): Promise<ReadonlyMap<string, string>> {
  const { web, bases, parts, signal, onBytes } = options;
  const made = new Map<string, string>();
  await mkdir(work, { recursive: true });
  for (const { name } of assets) {
    if (made.has(name)) continue;
    const upstream = recipe.upstream?.(name);
    if (!upstream) throw new NotServed('it comes with Slipway');
    if (upstream.kind === 'image') {
      if (!recipe.image) throw new Error(`${recipe.group} has an image upstream, and no image`);
      const file = join(work, `${name}.tar`);
      const image = { ...upstream, registry: bases.registry, name: recipe.image.name };
      await pullImage(web, image, file, parts, signal, onBytes(name));
      made.set(name, file);
      continue;
    }
    const url = resolve(upstream.url, bases);
    const sha256 = await checksum(web, bases, upstream.checksum, url, signal);
    const file = join(parts, `${sha256}-${basename(url)}`);
    await web.file(url, sha256, file, signal, onBytes(name));
    if (upstream.kind === 'file') {
      made.set(name, file);
      continue;
    }
    const wanted = assets.flatMap((asset) => {
      const member = upstream.members[asset.name];
      return member ? [[asset.name, member] as const] : [];
    });
    await unpack(file, new Map(wanted.map(([asset, member]) => [member, join(work, asset)])), signal);
    for (const [asset] of wanted) made.set(asset, join(work, asset));
  }
  return made;
}

/** A mirror: the cache's layout with SHA256SUMS beside it, as a directory or over HTTP. */
export interface Mirror {
  readonly fetch: (asset: Asset, file: string, signal: AbortSignal, onBytes: OnBytes) => Promise<void>;
}

/** Opens a mirror by its URL or directory; its SHA256SUMS is read when first needed. */
export function openMirror(location: string, web: Web): Mirror {
  const overHttp = /^https?:\/\//.test(location);
  const root = overHttp ? location.replace(/\/+$/, '') : location.startsWith('file://') ? fileURLToPath(location) : location;
  let sums: Promise<string> | undefined;
  const readSums = (signal: AbortSignal): Promise<string> => {
    sums ??= overHttp
      ? web.text(`${root}/SHA256SUMS`, signal)
      : readFile(join(root, 'SHA256SUMS'), 'utf8').catch((error: unknown) => {
          throw new NotServed(`${root} is not a mirror: ${messageOf(error)}`);
        });
    return sums;
  };
  return {
    async fetch(asset, file, signal, onBytes) {
      const sha256 = digestFrom(await readSums(signal), asset.path);
      if (!sha256) throw new NotServed(`${root} does not have ${asset.path}`);
      if (overHttp) return web.file(`${root}/${asset.path}`, sha256, file, signal, onBytes);
      await mkdir(dirname(file), { recursive: true });
      await copyFile(join(root, asset.path), file).catch((error: unknown) => {
        throw new NotServed(`${asset.path} cannot be copied from ${root}: ${messageOf(error)}`);
      });
      const got = await sha256Of(file, signal);
      if (got !== sha256) throw wrongDigest(join(root, asset.path), sha256, got);
    },
  };
}
