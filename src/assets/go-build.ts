import { cp, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../errors.ts';
import { type Environment, runProgram } from './process.ts';
import type { GoBuild } from './recipes.ts';
import { checkC, goEnvironment } from './toolchain.ts';

/** `of` is unknown until the packages have been counted. */
export type OnCompiled = (packages: { readonly done: number; readonly of: number }) => void;

const templates = () => fileURLToPath(import.meta.resolve('#templates/build'));

/** Where the pins of a build are kept. */
export const pinsOf = (build: GoBuild): string => join(templates(), build.name, build.version);

async function copySources(from: string, to: string): Promise<void> {
  const entries = await readdir(from, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (entry.isFile()) await cp(join(from, entry.name), join(to, entry.name));
  }
}

async function borrowMain(build: GoBuild, work: string, env: Environment, signal?: AbortSignal): Promise<void> {
  if (!build.borrowedMain) return;
  const { module, without } = build.borrowedMain;
  const found = await runProgram('go', ['mod', 'download', '-json', module], { cwd: work, env, signal });
  const directory = /"Dir": "(.*)"/.exec(found.stdout)?.[1];
  if (found.code !== 0 || !directory) throw goFailed(build, found.stderr.length > 0 ? found.stderr : [found.stdout]);
  let source = await readFile(join(directory, 'main.go'), 'utf8');
  for (const path of without) {
    const line = new RegExp(`^\\s*_ "${path}"\\n`, 'm');
    if (!line.test(source)) throw new Error(`main.go of ${module} does not import ${path}`);
    source = source.replace(line, '');
  }
  await writeFile(join(work, 'main.go'), source);
}

const goFailed = (build: GoBuild, log: readonly string[]): UserError =>
  new UserError({
    what: `Building ${build.name} ${build.version} failed`,
    why: log.slice(-20).join('\n'),
    next: 'If a module could not be fetched, check the network or set GOPROXY. A mirror saves building: `cluster assets mirror` on a machine that has the assets',
  });

/** Lays the sources of a build into `work`: pins, our own main packages, a borrowed main.go. */
export async function layOut(
  build: GoBuild,
  work: string,
  env: Environment,
  signal?: AbortSignal,
  sources?: string,
): Promise<void> {
  await mkdir(work, { recursive: true });
  await copySources(sources ?? join(templates(), build.name), work);
  if (!sources) await copySources(pinsOf(build), work);
  await borrowMain(build, work, env, signal);
}

const packageArguments = (build: GoBuild, names: readonly string[]): string[] =>
  names.map((name) => {
    const path = build.programs[name];
    if (!path) throw new Error(`${name} is not a program of the build ${build.name}`);
    return path;
  });

// `go build` names a program after the last part of its package that is not a major version.
const outputName = (path: string, name: string): string => (path === '.' ? name : posix.basename(path.replace(/\/v\d+$/, '')));

/**
 * Compiles programs for linux/amd64 out of Go modules, statically linked, and yields name → file below `work`. The sums in the pins are enforced;
 * the same toolchain yields the same bytes. `sources`: a directory with a whole main module, in place of our pins.
 */
export async function goBuild(
  build: GoBuild,
  names: readonly string[],
  work: string,
  options: {
    readonly env: Environment;
    readonly signal?: AbortSignal;
    readonly onCompiled?: OnCompiled;
    readonly sources?: string;
  },
): Promise<ReadonlyMap<string, string>> {
  const { signal, onCompiled } = options;
  const base = await goEnvironment(options.env, signal);
  if (build.cgo) await checkC(build.cgo.header, build.cgo.packages, base, signal);
  const env = { ...base, CGO_ENABLED: build.cgo ? '1' : '0' };
  await layOut(build, work, env, signal, options.sources);
  const output = join(work, 'out');
  await mkdir(output, { recursive: true });
  const paths = packageArguments(build, names);
  const flags = ['-mod=readonly', '-buildvcs=false', '-trimpath', ...(build.cgo ? ['-tags', build.cgo.tags] : [])];
  const settings = Object.entries(build.variables).map(([variable, value]) => `-X ${variable}=${value}`);
  const ldflags = ['-s -w', ...(build.cgo ? ['-extldflags -static'] : []), ...settings].join(' ');

  const listed = await runProgram('go', ['list', ...flags.slice(0, 1), ...flags.slice(3), '-deps', ...paths], {
    cwd: work,
    env,
    signal,
  });
  if (listed.code !== 0) throw goFailed(build, listed.stderr);
  const of = listed.stdout.trim().split('\n').length;
  let done = 0;
  onCompiled?.({ done, of });
  const onLine = (line: string) => {
    if (!line.startsWith('#') && !line.includes(' ')) onCompiled?.({ done: Math.min(++done, of), of });
  };
  const single = paths.length === 1 && paths[0] === '.' ? join(output, names[0] ?? '') : `${output}/`;
  const built = await runProgram('go', ['build', '-v', ...flags, '-ldflags', ldflags, '-o', single, ...paths], {
    cwd: work,
    env,
    signal,
    onLine,
  });
  if (built.code !== 0) throw goFailed(build, built.stderr);
  const files = new Map<string, string>();
  for (const [index, name] of names.entries()) {
    const made = join(output, outputName(paths[index] ?? '', name));
    await rename(made, join(output, name));
    files.set(name, join(output, name));
  }
  return files;
}
