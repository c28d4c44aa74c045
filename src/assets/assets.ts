import { constants } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import pLimit from 'p-limit';
import { UserError } from '../errors.ts';
import type { Emit } from '../run/events.ts';
import { type Cached, forget, lookUp, putInto, type Source, sha256Of, sweep } from './cache.ts';
import type { Asset } from './catalogue.ts';
import { NotServed, type OnBytes, openWeb, type Patience } from './download.ts';
import { type Http, openHttp } from './http.ts';
import { withLock } from './lock.ts';
import { fromSource } from './own.ts';
import type { Environment } from './process.ts';
import { type Recipe, recipeFor } from './recipes.ts';
import { type Bases, fromBuild, fromUpstream, openMirror, publicBases } from './sources.ts';

export type { Cached } from './cache.ts';

export interface AssetOptions {
  /** The cache: `$XDG_CACHE_HOME/slipway/assets`. */
  readonly directory: string;
  /** A directory or URL that has the cache's layout and a SHA256SUMS. */
  readonly mirror?: string;
  readonly emit: Emit;
  readonly http?: Http;
  /** For the compiler (PATH, HOME, GOPROXY) and for downloads (HTTPS_PROXY, NO_PROXY). */
  readonly env?: Environment;
  readonly bases?: Partial<Bases>;
  readonly patience?: Partial<Patience>;
}

export interface Assets {
  readonly directory: string;
  /** Sees to it that the assets lie in the cache: cache, mirror, upstream, build, in this order. `verify` reads all bytes of what lies there. Throws UserError. */
  readonly ensure: (
    assets: readonly Asset[],
    signal: AbortSignal,
    options?: { readonly verify?: boolean },
  ) => Promise<ReadonlyMap<string, Cached>>;
  /** What of these assets the cache has. `verify` reads all bytes; else size and time of change decide. */
  readonly list: (
    assets: readonly Asset[],
    options?: { readonly verify?: boolean; readonly signal?: AbortSignal },
  ) => Promise<readonly { readonly asset: Asset; readonly cached: Cached | undefined }[]>;
  /** Builds the assets from source, also those that the cache has. */
  readonly build: (assets: readonly Asset[], signal: AbortSignal) => Promise<ReadonlyMap<string, Cached>>;
  /** Copies assets (fetched first where need be) to a directory that can then serve as a mirror. Yields the copies. */
  readonly mirror: (destination: string, assets: readonly Asset[], signal: AbortSignal) => Promise<ReadonlyMap<string, Cached>>;
}

interface Task {
  readonly recipe: Recipe;
  readonly assets: readonly Asset[];
}

const megabytes = (bytes: number): number => Math.round(bytes / 1e5) / 10;

function tasksOf(assets: readonly Asset[]): readonly Task[] {
  const tasks = new Map<string, { recipe: Recipe; assets: Asset[] }>();
  for (const asset of assets) {
    const recipe = recipeFor(asset);
    const task = tasks.get(recipe.group) ?? { recipe, assets: [] };
    task.assets.push(asset);
    tasks.set(recipe.group, task);
  }
  return [...tasks.values()];
}

/** Opens the cache of assets. Nothing is read or fetched yet. Several processes may use one cache at a time. */
export function openAssets(options: AssetOptions): Assets {
  const { directory, emit, env = {} } = options;
  const web = openWeb(options.http ?? openHttp(env), options.patience);
  const bases = { ...publicBases, ...options.bases };
  const mirror = options.mirror === undefined ? undefined : openMirror(options.mirror, web);
  const downloads = pLimit(4);
  // Compilers use all cores by themselves.
  const builds = pLimit(1);
  const workRoot = join(directory, '.work');

  async function make(task: Task, sources: readonly Source[], signal: AbortSignal): Promise<void> {
    const { recipe } = task;
    const id = `assets/${recipe.group}`;
    const work = join(workRoot, `${recipe.group.replaceAll('/', '-')}.${process.pid}`);
    const parts = join(directory, '.parts', recipe.group.replaceAll('/', '-'));
    const progress = (message: string, amount?: { done: number; of: number; unit: string }) =>
      emit({ type: 'progress', task: id, message, ...(amount ? { amount } : {}) });
    // One event a hundredth, not one a chunk.
    const onBytes = (name: string): OnBytes => {
      let said = -1;
      return ({ done, of }) => {
        const now = of > 0 ? Math.floor((100 * done) / of) : Math.floor(done / 1e6);
        if (now === said) return;
        said = now;
        progress(`fetching ${name}`, { done: megabytes(done), of: megabytes(of || done), unit: 'MB' });
      };
    };
    const reasons: string[] = [];
    let missing = task.assets;
    const made = new Set<string>();
    const take = async (files: ReadonlyMap<string, string>, source: Source) => {
      for (const asset of missing) {
        const file = files.get(asset.name);
        if (!file) continue;
        await putInto(directory, asset, file, source);
        made.add(asset.path);
      }
      missing = missing.filter(({ path }) => !made.has(path));
    };
    const attempt = async (source: Source): Promise<void> => {
      if (source === 'build') {
        const onCompiled = ({ done, of }: { done: number; of: number }) =>
          progress('building from source', { done, of, unit: 'packages' });
        progress('waiting for the compiler');
        await builds(async () => take(await fromBuild(recipe, missing, work, { env, signal, onCompiled }), source));
      } else if (source === 'upstream') {
        await downloads(async () =>
          take(await fromUpstream(recipe, missing, work, { web, bases, parts, signal, onBytes }), source),
        );
      } else if (mirror) {
        for (const asset of missing) {
          const file = join(work, asset.name);
          await downloads(() => mirror.fetch(asset, file, signal, onBytes(asset.name)));
          await take(new Map([[asset.name, file]]), source);
        }
      }
    };
    try {
      for (const source of sources) {
        if (missing.length === 0) break;
        try {
          await attempt(source);
        } catch (error) {
          signal.throwIfAborted();
          if (error instanceof NotServed) reasons.push(`${source}: ${error.message}`);
          else if (error instanceof UserError && source === 'build' && reasons.length > 0) throw withReasons(error, reasons);
          else throw error;
        }
      }
    } finally {
      await rm(work, { recursive: true, force: true });
    }
    if (missing.length > 0) {
      throw new UserError({
        what: `No source has ${missing.map(({ path }) => path).join(', ')}`,
        why: reasons.join('\n'),
        next: 'Check the network, or name a mirror that has them',
      });
    }
    await rm(parts, { recursive: true, force: true });
  }

  async function bring(task: Task, sources: readonly Source[], anew: boolean, signal: AbortSignal): Promise<void> {
    const id = `assets/${task.recipe.group}`;
    const lock = join(directory, '.locks', task.recipe.group.replaceAll('/', '-'));
    emit({ type: 'started', task: id, title: `${task.recipe.group}: ${task.assets.map(({ name }) => name).join(', ')}` });
    try {
      await withLock(
        lock,
        signal,
        ({ pid }) => emit({ type: 'progress', task: id, message: `waiting for process ${pid}, which is fetching it` }),
        async () => {
          const found = await Promise.all(task.assets.map((asset) => (anew ? undefined : lookUp(directory, asset))));
          const missing = task.assets.filter((_, index) => !found[index]);
          if (missing.length > 0) await make({ ...task, assets: missing }, sources, signal);
        },
      );
      emit({ type: 'done', task: id });
    } catch (error) {
      if (signal.aborted) emit({ type: 'cut', task: id, because: 'interrupted' });
      else {
        const problem = error instanceof UserError ? error.problem : undefined;
        emit({ type: 'failed', task: id, what: problem?.what ?? String(error), log: problem?.why?.split('\n') ?? [] });
      }
      throw error;
    }
  }

  /** All tasks at once; the first failure ends the others. */
  async function bringAll(tasks: readonly Task[], sources: readonly Source[], anew: boolean, signal: AbortSignal): Promise<void> {
    if (tasks.length === 0) return;
    await sweep(workRoot);
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const results = await Promise.allSettled(
      tasks.map((task) =>
        bring(task, sources, anew, either).catch((error: unknown) => {
          stop.abort(error);
          throw error;
        }),
      ),
    );
    signal.throwIfAborted();
    if (stop.signal.aborted) throw stop.signal.reason;
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  const list: Assets['list'] = (assets, { verify = false, signal } = {}) =>
    Promise.all(assets.map(async (asset) => ({ asset, cached: await lookUp(directory, asset, verify, signal) })));

  async function collected(assets: readonly Asset[]): Promise<ReadonlyMap<string, Cached>> {
    const found = new Map<string, Cached>();
    for (const { asset, cached } of await list(assets)) {
      if (!cached) throw new Error(`${asset.path} was put into the cache and is not there`);
      found.set(asset.path, cached);
    }
    return found;
  }

  const ensure: Assets['ensure'] = async (assets, signal, { verify = false } = {}) => {
    const found = await list(assets, { verify, signal });
    // What is made of a source that changes is made anew.
    const missing = found.filter(({ asset, cached }) => !cached || asset.version === fromSource).map(({ asset }) => asset);
    for (const asset of missing) if (asset.version === fromSource) await forget(directory, asset);
    // What has the size and time that it should, and other bytes, would be found again.
    if (verify) for (const asset of missing) await forget(directory, asset);
    await bringAll(tasksOf(missing), ['mirror', 'upstream', 'build'], false, signal);
    return collected(assets);
  };

  return {
    directory,
    list,
    ensure,
    async build(assets, signal) {
      await bringAll(tasksOf(assets), ['build'], true, signal);
      return collected(assets);
    },
    async mirror(destination, assets, signal) {
      const cached = await ensure(assets, signal);
      await writeMirror(destination, cached, signal);
      return new Map([...cached].map(([path, each]) => [path, { ...each, file: join(destination, path) }]));
    },
  };
}

const withReasons = ({ problem, exitCode }: UserError, reasons: readonly string[]): UserError =>
  new UserError({ ...problem, why: [...reasons, problem.why].filter(Boolean).join('\n') }, exitCode);

async function writeMirror(destination: string, cached: ReadonlyMap<string, Cached>, signal: AbortSignal): Promise<void> {
  const sumsFile = join(destination, 'SHA256SUMS');
  await mkdir(destination, { recursive: true });
  const sums = new Map<string, string>();
  for (const line of (await readFile(sumsFile, 'utf8').catch(() => '')).split('\n')) {
    const [, sha256, path] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
    if (sha256 && path) sums.set(path, sha256);
  }
  for (const [path, { file, sha256 }] of cached) {
    signal.throwIfAborted();
    const target = join(destination, path);
    const there = sums.get(path) === sha256 && (await sha256Of(target, signal).catch(() => undefined)) === sha256;
    if (!there) {
      await mkdir(dirname(target), { recursive: true });
      const draft = `${target}.${process.pid}`;
      await copyFile(file, draft, constants.COPYFILE_FICLONE);
      await rename(draft, target);
    }
    sums.set(path, sha256);
  }
  const lines = [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([path, sha256]) => `${sha256}  ${path}\n`);
  const draft = `${sumsFile}.${process.pid}`;
  await writeFile(draft, lines.join(''));
  await rename(draft, sumsFile);
}
