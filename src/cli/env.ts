import { homedir, hostname, userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { UserError } from '../errors.ts';

/** All that the command line takes from its surroundings, read once. Rooms get it passed, and never read process.env. */
export interface Environment {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
  /** `$XDG_STATE_HOME/slipway`: the local store, locks, reports. */
  readonly stateDir: string;
  /** `$XDG_CONFIG_HOME/slipway`: the age identity. */
  readonly configDir: string;
  /** `$XDG_CACHE_HOME/slipway`: assets; may be deleted at any time. */
  readonly cacheDir: string;
  /** Where kubectl's credentials go: the first file of `$KUBECONFIG`, else `~/.kube/config`. */
  readonly kubeconfig: string;
  /** A person is there: questions can be asked (stdin) and are seen (stderr). */
  readonly isTTY: boolean;
  readonly ci: boolean;
  readonly user: string;
  readonly hostname: string;
  /** What was typed, for the lock and the journal. */
  readonly commandLine: string;
}

interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: { readonly isTTY?: boolean };
  readonly stderr: { readonly isTTY?: boolean };
  readonly argv: readonly string[];
  cwd(): string;
}

/** @throws UserError when the current directory is gone */
export const readEnvironment = (from: Surroundings = process): Environment => {
  const variables = from.env;
  const home = variables.HOME && isAbsolute(variables.HOME) ? variables.HOME : homedir();
  // XDG Base Directory Specification: a relative path is invalid and must be ignored.
  const xdg = (name: string, fallback: string): string => {
    const value = variables[name];
    return join(value && isAbsolute(value) ? value : join(home, fallback), 'slipway');
  };
  return {
    variables,
    cwd: currentDirectory(from),
    home,
    stateDir: xdg('XDG_STATE_HOME', '.local/state'),
    configDir: xdg('XDG_CONFIG_HOME', '.config'),
    cacheDir: xdg('XDG_CACHE_HOME', '.cache'),
    kubeconfig: variables.KUBECONFIG?.split(':').find((file) => file !== '') ?? join(home, '.kube', 'config'),
    isTTY: from.stdin.isTTY === true && from.stderr.isTTY === true,
    ci: isTrue(variables.CI),
    user: userName(variables),
    hostname: hostname(),
    commandLine: ['cluster', ...from.argv.slice(2).map(quoted)].join(' ').slice(0, 500),
  };
};

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

const isTrue = (value: string | undefined): boolean => value !== undefined && !['', '0', 'false'].includes(value);

const currentDirectory = (from: Surroundings): string => {
  try {
    return from.cwd();
  } catch (cause) {
    throw new UserError({ what: 'The current directory no longer exists', next: 'cd to a directory that exists' }, 1, { cause });
  }
};

// A container may run under a user ID that no passwd entry names: then userInfo throws.
const userName = (variables: Readonly<Record<string, string | undefined>>): string => {
  try {
    return userInfo().username;
  } catch {
    return variables.USER ?? `uid ${process.getuid?.() ?? '?'}`;
  }
};
