import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const exec = promisify(execFile);

/** Why this test's own Docker daemon cannot run here, if it cannot. */
export const missingSecondDocker = ((): string | undefined => {
  if (process.getuid?.() !== 0) return 'a Docker daemon of its own needs root';
  const missing = ['dockerd', 'unshare', 'nsenter', 'ip'].filter(
    (name) =>
      !['/usr/bin', '/usr/sbin', '/bin', '/sbin', '/usr/local/bin'].some((directory) => existsSync(join(directory, name))),
  );
  return missing.length > 0 ? `${missing.join(', ')} is not installed` : undefined;
})();

/**
 * A Docker daemon of a test's own, that it may stop and start as it likes: in a network namespace, with data, socket and processes of its own, so
 * that the machine's Docker, its bridges and its firewall rules are not touched.
 */
export class SecondDocker {
  readonly directory = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
  readonly host = `unix://${this.directory}/docker.sock`;
  #namespace: ChildProcess | undefined;
  #daemon: ChildProcess | undefined;

  /** `command` with its arguments, as seen from this daemon's network: where its published ports are. */
  inside(command: string, ...args: string[]): [string, string[]] {
    return ['nsenter', [`--net=/proc/${this.#namespace?.pid}/ns/net`, command, ...args]];
  }
  async docker(...args: string[]): Promise<string> {
    return (await exec('docker', ['-H', this.host, ...args], { maxBuffer: 1 << 26 })).stdout;
  }
  async start(): Promise<void> {
    await sweep();
    const of = (name: string): string => join(this.directory, name);
    if (!this.#namespace) {
      this.#namespace = spawn(
        'unshare',
        ['--net', 'sh', '-c', `ip link set lo up && echo ready && exec tail --pid=${process.pid} -f /dev/null`],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      const { stdout } = this.#namespace;
      await new Promise((ready) => stdout?.once('data', ready));
    }
    const containerd = ['--containerd-namespace', 'slipway-test', '--containerd-plugins-namespace', 'slipway-test-plugins'];
    const places = ['--data-root', of('data'), '--exec-root', of('exec'), '--pidfile', of('pid'), '-H', this.host];
    this.#daemon = spawn(...this.inside('dockerd', ...places, '--bridge', 'none', ...containerd), {
      stdio: ['ignore', 'ignore', 'ignore'],
      detached: true,
    });
    for (let tries = 0; tries < 300; tries++) {
      if (this.#daemon.exitCode !== null) break;
      if (
        await this.docker('version').then(
          () => true,
          () => false,
        )
      )
        return;
      await sleep(100);
    }
    throw new Error('the second Docker daemon did not start');
  }
  /** As `systemctl stop docker` does: every container is stopped with it. */
  async stop(): Promise<void> {
    const daemon = this.#daemon;
    if (!daemon || daemon.exitCode !== null) return;
    const ended = new Promise((done) => daemon.once('exit', done));
    daemon.kill('SIGTERM');
    await ended;
    for (let tries = 0; tries < 100 && existsSync(join(this.directory, 'pid')); tries++) await sleep(100);
  }
  /** Copies an image from the machine's Docker. */
  async load(image: string): Promise<void> {
    const save = spawn('docker', ['save', image], { stdio: ['ignore', 'pipe', 'inherit'] });
    const load = spawn('docker', ['-H', this.host, 'load'], { stdio: [save.stdout, 'ignore', 'inherit'] });
    const code = await new Promise((done) => load.on('exit', done));
    if (code !== 0) throw new Error(`docker load of ${image} ended with ${code}`);
  }
  async remove(): Promise<void> {
    if (this.#daemon && this.#daemon.exitCode === null) {
      const ids = (await this.docker('ps', '-aq')).split('\n').filter(Boolean);
      if (ids.length > 0) await this.docker('rm', '-fv', ...ids);
      await this.stop();
    }
    this.#namespace?.kill();
    await removeDirectory(this.directory);
  }
}

/** And then the process that it is of. */
const prefix = 'slipway-docker-';

async function removeDirectory(directory: string): Promise<void> {
  // What is still mounted below (a crashed daemon's) keeps rmSync from working: that is to be seen.
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, path = ''] = line.split(' ');
    if (path.startsWith(`${directory}/`)) await exec('umount', ['-l', path]);
  }
  rmSync(directory, { recursive: true, force: true });
}

/** Daemons of test runs that were killed, with all that runs in their containers: each names its directory among its words. */
async function sweep(): Promise<void> {
  const left = readdirSync(tmpdir()).filter((name) => name.startsWith(prefix) && !isAlive(Number(name.split('-')[2])));
  for (const directory of left.map((name) => join(tmpdir(), name))) {
    const theirs = new Set(processes().flatMap(({ pid, words }) => (words.includes(`${directory}/`) ? [pid] : [])));
    // Whose parents are looked for again, until there are no more: a machine in a container is a tree of them.
    for (let before = -1; before !== theirs.size; ) {
      before = theirs.size;
      for (const { pid, parent } of processes()) if (theirs.has(parent)) theirs.add(pid);
    }
    for (const pid of theirs) killed(pid);
    await sleep(500);
    await removeDirectory(directory);
  }
}
const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`);
function killed(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
function processes(): readonly { readonly pid: number; readonly parent: number; readonly words: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const [, parent = '0'] = /\) \S (\d+)/.exec(readFileSync(`/proc/${name}/stat`, 'utf8')) ?? [];
      return [{ pid: Number(name), parent: Number(parent), words: readFileSync(`/proc/${name}/cmdline`, 'utf8') }];
    } catch {
      return [];
    }
  });
}
