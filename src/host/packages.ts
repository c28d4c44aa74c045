import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes, messageOf, UnreachableError, UserError } from '../errors.ts';
import type { ExecResult, Host, Hosts } from './host.ts';
import { quote } from './quote.ts';
import { script } from './scripts.ts';

/** One package that would move; `none`: it would come new, or go. */
export interface PackageMove {
  readonly what: string;
  readonly before: string;
  readonly after: string;
}
/** What an upgrade of the operating system's packages would do on a host, by what its mirrors have now. */
export interface PackagesLook {
  readonly moves: readonly PackageMove[];
  /** Packages that somebody holds (`apt-mark hold`): they stay. */
  readonly held: readonly string[];
  /** Why the machine would be restarted, as far as that is known before: a package may ask for it when it is there. */
  readonly reboot: readonly string[];
}

const lookMs = 90_000;
/** A kernel and its initramfs on a small machine, behind a slow mirror, after somebody else's lock. */
const upgradeMs = 1_500_000;
/** Firmware and a file system check on a machine of a cloud. */
const backWithinMs = 300_000;
const askMs = 5_000;
const pollMs = 200;

/** Asks the host's mirrors, with lists of their own that go again: changes nothing. Throws UnreachableError for mirrors that do not answer. */
export async function lookAtPackages(host: Host, signal: AbortSignal): Promise<PackagesLook> {
  const result = await host.exec('sh -s look', { stdin: await script('packages'), signal, timeoutMs: lookMs });
  mustSucceed(host.name, 'what an upgrade of its packages would do could not be found out', result);
  const lines = result.stdout.split('\n').map((line) => line.split(' '));
  const rest = (word: string): readonly string[] =>
    lines.filter(([first]) => first === word).map((line) => line.slice(1).join(' '));
  return {
    moves: lines
      .filter(([first]) => first === 'package')
      .map(([, what = '', before = '', after = '']) => ({ what, before, after }))
      // apt's order is one in which they can be installed: another one on each machine.
      .sort((a, b) => (a.what < b.what ? -1 : 1)),
    held: rest('held'),
    reboot: rest('reboot'),
  };
}

export interface Upgraded {
  /** Why the host is to be restarted still. */
  readonly reboot: string | undefined;
  /** Which boot of the host this was. */
  readonly boot: string;
}

/**
 * Upgrades the packages of a host unless that was done on or after `since` (2026-11-21T00:00:00Z), in a transient unit that outlives this connection. One that
 * runs there already is waited for. Restarts nothing itself. Throws UserError with apt's and dpkg's words.
 */
export async function upgradePackages(
  host: Host,
  { since, generation }: { readonly since: string; readonly generation: number },
  signal: AbortSignal,
): Promise<Upgraded> {
  const command = [
    'umask 077',
    'mkdir -p /run/slipway',
    'file=/run/slipway/slipway-packages-$$',
    'cat >"$file"',
    `exec sh "$file" start ${quote(since)} ${generation}`,
  ].join(' && ');
  const result = await host.exec(command, { stdin: await script('packages'), signal, timeoutMs: upgradeMs });
  mustSucceed(host.name, 'its packages could not be upgraded', result);
  const said = (word: string): string | undefined =>
    result.stdout
      .split('\n')
      .find((line) => line.startsWith(`${word} `))
      ?.slice(word.length + 1);
  const boot = said('boot');
  if (boot === undefined) throw new Error(`${host.name} did not say which boot it is: ${result.stdout.slice(-500)}`);
  return { reboot: said('reboot'), boot };
}

/** Restarts a host and waits until another boot of it answers, and systemd's bus with it. Throws UnreachableError when it does not come back. */
export async function rebootHost(
  hosts: Pick<Hosts, 'get'>,
  name: string,
  boot: string,
  { now, signal }: { readonly now: () => number; readonly signal: AbortSignal },
): Promise<void> {
  const end = now() + backWithinMs;
  let last = '';
  const host = await hosts.get(name, { signal });
  // The connection may end before the answer does: what counts is the next boot.
  await host.exec('systemctl --no-block reboot', { signal, timeoutMs: askMs }).catch((error: unknown) => {
    signal.throwIfAborted();
    last = messageOf(error);
  });
  const text = `${await script('packages')}\n[ -S "$bus" ] || exit 7\nboot_of\n`;
  while (now() < end) {
    await sleep(pollMs, undefined, { signal });
    try {
      const back = await hosts.get(name, { signal, waitMs: askMs });
      const { code, stdout } = await back.exec('sh -s', { stdin: text, signal, timeoutMs: askMs });
      if (code === 0 && stdout.trim() !== '' && stdout.trim() !== boot) return;
      last = code === 0 ? 'it answers, and has not restarted yet' : 'it answers, and is still starting';
    } catch (error) {
      signal.throwIfAborted();
      // A changed host key, a refused login: no waiting mends that.
      if (error instanceof UserError && error.exitCode !== exitCodes.unreachable) throw error;
      last = messageOf(error);
    }
  }
  throw new UnreachableError({
    what: `it did not come back within ${backWithinMs / 1000} s of its restart`,
    where: name,
    why: last,
    next: "look at the machine's console; once it runs again (cluster up starts one that was stopped), run the same command again",
  });
}

function mustSucceed(host: string, what: string, { code, stdout, stderr }: ExecResult): void {
  if (code === 0) return;
  const failed = stdout.indexOf('failed ');
  const said = failed < 0 ? `${stdout}\n${stderr}`.trim().split('\n').slice(-8).join('\n') : stdout.slice(failed + 7).trim();
  const why = said || `exit code ${code}`;
  if (code === 3)
    throw new UserError(
      { what, where: host, why, next: 'another run has taken the lock over since; run the command again' },
      exitCodes.lockedOrStale,
    );
  if (code === 6)
    throw new UnreachableError({
      what: 'a mirror of its packages gives no answer that can be used',
      where: host,
      why,
      next: `mend its sources (cluster ssh ${host} -- apt-get update shows the same), or its way to them`,
    });
  throw new UserError({
    what,
    where: host,
    why,
    next: `cluster ssh ${host} -- tail -n 50 /var/log/slipway-packages.log shows more; mend it there or on the mirror, and run the same command again`,
  });
}
