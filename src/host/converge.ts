import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import { exitCodes, UserError } from '../errors.ts';
import { sha256 } from '../plan/canonical.ts';
import type { Amount } from '../plan/resource.ts';
import type { ExecResult, Host } from './host.ts';
import { filesOf, hostEnvPath, type ManifestInput, renderHostEnv, renderManifest, unitDirectory } from './manifest.ts';
import { quote } from './quote.ts';
import { script } from './scripts.ts';

export interface Application extends Omit<ManifestInput, 'digests'> {
  /** Content of every file of `filesOf(bundle)`, by path. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
  /** Paths and units that must stay as they are on the host. */
  readonly held: readonly string[];
  readonly generation: number;
}
export interface Applied {
  readonly restarted: readonly string[];
  readonly wrote: readonly string[];
}
export class AssetsMissing extends Error {
  readonly paths: readonly string[];
  constructor(paths: readonly string[]) {
    super(`assets are missing: ${paths.join(', ')}`);
    this.paths = paths;
  }
}

/**
 * Brings the host to the bundle, as one transient unit that outlives this connection; waits for its end. Starts no unit; restarts
 * those that run and read at start what changed. Throws AssetsMissing before it writes anything.
 */
export async function applyBundle(host: Host, application: Application, signal?: AbortSignal): Promise<Applied> {
  const stdin = await bundleTar(application);
  // Staged under /run: secrets among the files never touch a disk twice, and a reboot clears what a crash left.
  const command = [
    'umask 077',
    'd=/run/slipway/incoming-$$',
    'mkdir -p "$d"',
    'umask 022',
    'tar -xf - -C "$d"',
    'exec sh "$d/converge" apply "$d"',
  ].join(' && ');
  const result = await host.exec(command, { stdin, timeoutMs: 110_000, ...(signal && { signal }) });
  const said = wordsOf(result);
  if (result.code === 4) throw new AssetsMissing(said('missing'));
  mustSucceed(host.name, 'the bundle could not be applied', result);
  return { restarted: said('restarts'), wrote: said('wrote') };
}

async function bundleTar(application: Application): Promise<Buffer> {
  return packed(await bundleEntries(application));
}

export interface TarEntry {
  readonly name: string;
  readonly mode: string;
  readonly content: string | Uint8Array;
}
/** The same entries make the same bytes. */
export function packed(entries: readonly TarEntry[]): Promise<Buffer> {
  const tar = pack();
  for (const { name, mode, content } of entries)
    tar.entry(
      { name, mode: Number.parseInt(mode, 8), uid: 0, gid: 0, mtime: new Date(0) },
      typeof content === 'string' ? content : Buffer.from(content),
    );
  tar.finalize();
  return buffer(tar);
}

/** What `converge commit` wants in its directory. */
export async function bundleEntries({ bundle, identity, contents, held, generation }: Application): Promise<readonly TarEntry[]> {
  const digests = new Map([...contents].map(([path, content]) => [path, sha256(content)]));
  const contentOf = (path: string): Uint8Array => {
    const content = contents.get(path);
    if (!content) throw new Error(`no content of ${path}`);
    return content;
  };
  return [
    { name: 'converge', mode: '0600', content: await script('converge') },
    { name: 'manifest', mode: '0600', content: renderManifest({ bundle, identity, digests }) },
    { name: 'settings', mode: '0600', content: `generation=${generation}\nheld=${quote(held.join(' '))}\n` },
    ...filesOf(bundle).map(({ path, mode }) => ({ name: `root${path}`, mode, content: contentOf(path) })),
    ...bundle.units.map(({ name, text }) => ({ name: `root${unitDirectory}/${name}`, mode: '0644', content: text })),
    ...(identity ? [{ name: `root${hostEnvPath}`, mode: '0644', content: renderHostEnv(identity) }] : []),
  ];
}

export interface Started {
  readonly restarted: readonly string[];
  /** Units that were not started, with the certificate that they wait for. */
  readonly waiting: readonly string[];
}
/** Starts, without waiting, every unit whose certificates are there and fit; restarts those of `stale` that still run old content. */
export async function startUnits(
  host: Host,
  { generation, stale }: { readonly generation: number; readonly stale: readonly string[] },
  signal?: AbortSignal,
): Promise<Started> {
  const stdin = `${await script('converge')}\nconverge_start ${[String(generation), ...stale].map(quote).join(' ')}\n`;
  const result = await host.exec('sh -s', { stdin, timeoutMs: 30_000, ...(signal && { signal }) });
  mustSucceed(host.name, 'its units could not be started', result);
  const said = wordsOf(result);
  return { restarted: said('restarts'), waiting: said('waiting') };
}

/**
 * Stops units, each after those that are ordered behind it, and waits until they have ended what they had begun; or for so many seconds: they go on stopping
 * by themselves.
 */
export async function stopUnits(
  host: Host,
  { generation, units, seconds }: { readonly generation: number; readonly units: readonly string[]; readonly seconds?: number },
  signal?: AbortSignal,
): Promise<void> {
  if (units.length === 0) return;
  const newer = '"failed lock generation $generation is older than $seen, which was here before"';
  const stdin = [
    `generation=${generation} seen=0 state=/var/lib/slipway`,
    '[ ! -e "$state/generation" ] || read -r seen <"$state/generation"',
    `[ "$generation" -ge "$seen" ] || { echo ${newer}; exit 3; }`,
    `${seconds === undefined ? 'exec' : `timeout ${seconds}`} systemctl stop -- ${units.map(quote).join(' ')}`,
    // What timeout(1) ends with when the time is up.
    ...(seconds === undefined ? [] : ['code=$?; [ $code = 124 ] || exit $code']),
    '',
  ].join('\n');
  const result = await host.exec('sh -s', { stdin, timeoutMs: 110_000, ...(signal && { signal }) });
  mustSucceed(host.name, 'its units could not be stopped', result);
}

/** Sends one file of the asset cache, and puts it in place only when its checksum is right there too. */
export async function pushAsset(
  host: Host,
  path: string,
  file: string,
  options: { readonly signal?: AbortSignal; readonly progress?: (message: string, amount?: Amount) => void } = {},
): Promise<void> {
  options.progress?.(`sends ${path}`);
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash, options);
  const target = `/opt/slipway/${path}`;
  const temporary = quote(`${target}.slipway-new`);
  const command = [
    `mkdir -p ${quote(target.slice(0, target.lastIndexOf('/')))}`,
    `cat >${temporary}`,
    `echo ${quote(`${hash.digest('hex')}  ${target}.slipway-new`)} | sha256sum --status -c`,
    `chmod 0755 ${temporary}`,
    `mv -f ${temporary} ${quote(target)}`,
  ].join(' && ');
  const result = await host.exec(command, {
    stdin: createReadStream(file),
    timeoutMs: 600_000,
    ...(options.signal && { signal: options.signal }),
  });
  mustSucceed(host.name, `${path} could not be put in place`, result);
}

const wordsOf =
  ({ stdout }: ExecResult) =>
  (word: string): readonly string[] =>
    stdout
      .split('\n')
      .filter((line) => line.startsWith(`${word} `))
      .map((line) => line.slice(word.length + 1));

/** What a script of ours said when it failed, as an error of that host. */
export function mustSucceed(host: string, what: string, result: ExecResult): void {
  if (result.code === 0) return;
  const reasons = wordsOf(result)('failed');
  const last = `${result.stdout}\n${result.stderr}`.trim().split('\n').slice(-8).join('\n');
  const why =
    reasons.length > 0 ? `${reasons.join('; ')}\n${result.stderr.trim().split('\n').slice(-4).join('\n')}`.trim() : last;
  if (result.code === 3) {
    throw new UserError(
      { what, where: host, why, next: 'another run has taken the lock over since; run the command again' },
      exitCodes.lockedOrStale,
    );
  }
  throw new UserError({ what, where: host, why: why || `exit code ${result.code}` });
}
