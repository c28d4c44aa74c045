import { messageOf, UserError } from '../errors.ts';
import { type Environment, runProgram } from './process.ts';

/** The compiler that all builds are made with; an older Go (1.21 or later) fetches it by itself. */
export const goToolchain = 'go1.26.8';
const oldestLocal: readonly [number, number] = [1, 26];
const oldestSwitching: readonly [number, number] = [1, 21];

const atLeast = (version: string, [major, minor]: readonly [number, number]): boolean => {
  const found = /^go(\d+)\.(\d+)/.exec(version);
  return !!found && (Number(found[1]) > major || (Number(found[1]) === major && Number(found[2]) >= minor));
};

/** The environment in which `go` compiles for the hosts. Throws UserError where there is no Go, or one too old to fetch its successor. */
export async function goEnvironment(env: Environment, signal?: AbortSignal): Promise<Environment> {
  const next =
    'Install Go 1.21 or later (Debian: apt-get install golang), or fetch assets from a mirror: `cluster assets fetch --mirror URL`';
  const asked = await runProgram('go', ['env', 'GOVERSION'], { env: { ...env, GOTOOLCHAIN: 'local' }, cwd: '/', signal }).catch(
    (error: unknown) => {
      signal?.throwIfAborted();
      throw new UserError({
        what: 'Assets have to be built here, and there is no Go to build them with',
        why: messageOf(error),
        next,
      });
    },
  );
  const version = asked.stdout.trim();
  const settled = { ...env, GOOS: 'linux', GOARCH: 'amd64', GOWORK: 'off', GO111MODULE: 'on', CGO_ENABLED: '0' };
  if (atLeast(version, oldestLocal)) return { ...settled, GOTOOLCHAIN: 'local' };
  if (atLeast(version, oldestSwitching)) return { ...settled, GOTOOLCHAIN: goToolchain };
  throw new UserError({
    what: `Go is too old to build assets with: ${version || 'of unknown version'}`,
    why: asked.stderr.join('\n'),
    next,
  });
}

/** Throws UserError where a C compiler or a C header is missing. */
export async function checkC(header: string, packages: string, env: Environment, signal?: AbortSignal): Promise<void> {
  const compiler = env.CC ?? 'gcc';
  const next = `Install what is missing (Debian: apt-get install ${packages})`;
  const tried = await runProgram(compiler, ['-E', '-include', header, '-x', 'c', '/dev/null', '-o', '/dev/null'], {
    env,
    signal,
  }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw new UserError({ what: 'runc has to be built here, and there is no C compiler', why: messageOf(error), next });
  });
  if (tried.code !== 0) {
    throw new UserError({
      what: `runc has to be built here, and the C header ${header} is missing`,
      why: tried.stderr.join('\n'),
      next,
    });
  }
}
