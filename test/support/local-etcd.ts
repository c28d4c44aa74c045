import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Bundle } from '../../src/components/bundle.ts';
import { UnreachableError } from '../../src/errors.ts';
import type { Seen } from '../../src/host/facts.ts';
import type { ExecResult, Host, HostFacts, HostsClients } from '../../src/host/host.ts';

export const assetCache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'slipway/assets');
export const etcdBinary = join(assetCache, 'etcd/3.6.16/etcd');
/** Why tests with real etcd cannot run here, if they cannot. */
export const missingEtcd = existsSync(etcdBinary) ? undefined : `no etcd at ${etcdBinary} (cluster assets fetch)`;

/** Small stand-ins for what a host has and this process must not use. */
const shims = {
  mountpoint: 'shift; [ -d "$1" ]',
  journalctl: 'tail -n 1000 "$ROOT/$2.log" 2>/dev/null; true',
  sync: 'true',
  systemctl: `
act=$1; shift; [ "$act" != show ] || { for unit; do :; done; cat "$ROOT/$unit.pid"; exit; }; [ "$1" != --no-block ] || shift; unit=$1; pid=$ROOT/$unit.pid
alive() { [ -s "$pid" ] && kill -0 "$(cat "$pid")" 2>/dev/null && [ "$(cut -d ' ' -f 3 "/proc/$(cat "$pid")/stat")" != Z ]; }
case "$act" in
  start) alive && exit 0
    case $unit in etcd.service) c=main p=2379 q=2380;; *) c=events p=2381 q=2382;; esac
    home=$ROOT/var/lib/etcd-$c; [ -e "$home/.slipway-member" ] || exit 0
    set -a; . "$home/bootstrap.env"; set +a; pki=$ROOT/etc/slipway/pki
    setsid "$ETCD" --name "$NODE_NAME" --data-dir "$home/data" --listen-client-urls "https://$NODE_IP:$p" --advertise-client-urls "https://$NODE_IP:$p" \\
      --listen-peer-urls "https://$NODE_IP:$q" --initial-advertise-peer-urls "https://$NODE_IP:$q" --client-cert-auth --trusted-ca-file "$pki/etcd.ca.pem" \\
      --cert-file "$pki/etcd-server.pem" --key-file "$pki/etcd-server-key.pem" --peer-client-cert-auth --peer-trusted-ca-file "$pki/etcd.ca.pem" \\
      --peer-cert-file "$pki/etcd-server.pem" --peer-key-file "$pki/etcd-server-key.pem" --unsafe-no-fsync --log-level warn \\
      --quota-backend-bytes \${QUOTA:-67108864} >"$ROOT/$unit.log" 2>&1 </dev/null & echo $! >"$pid";;
  stop) alive && kill -9 "$(cat "$pid")"; while alive; do sleep 0.02; done; rm -f "$pid";;
esac`,
} as const;

const bundle: Bundle = {
  name: 'etcd',
  files: [],
  units: [],
  assets: [],
  probes: [{ name: 'etcd-main', command: '' }],
  certificates: [
    {
      name: 'etcd-server',
      authority: 'etcd',
      subject: { cn: '${NODE_NAME}' },
      sans: { dns: [], ip: ['${NODE_IP}'] },
      usages: ['server', 'client'],
      lifetimeDays: 1,
      files: { cert: '/etc/slipway/pki/etcd-server.pem', key: '/etc/slipway/pki/etcd-server-key.pem' },
    },
  ],
};

/** Etcd hosts on loopback addresses: the Hosts port with real etcd below it, run in a directory instead of on a machine. */
export class LocalEtcd {
  readonly root = mkdtempSync(join(tmpdir(), 'slipway-etcd-'));
  readonly names: string[] = [];
  /** Machines that are there and no longer designed. */
  readonly former = new Set<string>();
  /** Hosts that give no answer. */
  readonly cut = new Set<string>();
  readonly records = new Map<string, string>();
  /** Called before each command: a test's place to kill a run. */
  before: (host: string, command: string) => void = () => {};
  execs = 0;
  readonly #subnet: number;
  readonly #widow: ChildProcess;

  /** `subnet`: second byte of the loopback addresses, one a test file. */
  constructor(count: number, subnet: number) {
    this.#subnet = subnet;
    // Members are nobody's children, as on a machine: where this process is killed, they end all the same.
    const whenGone = `tail --pid=${process.pid} -f /dev/null; for p in "$0"/*/*.pid; do kill -9 "$(cat "$p")"; done; rm -rf "$0"`;
    this.#widow = spawn('sh', ['-c', whenGone, this.root], { detached: true, stdio: 'ignore' });
    this.#widow.unref();
    mkdirSync(join(this.root, 'bin'));
    for (const [name, text] of Object.entries(shims))
      writeFileSync(join(this.root, 'bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    this.#makeCertificate();
    for (let i = 0; i < count; i++) this.grow();
  }
  /** The process in it: two runs of the tests at once do not meet, nor one with the rest of one that was killed. */
  #address = (name: string): string => this.#addressOf(this.names.indexOf(name) + 1);
  #addressOf = (n: number): string => `127.${this.#subnet}.${process.pid % 250}.${n}`;
  address = (name: string): string => this.#address(name);

  grow(): string {
    const name = `etcd-${'abcdefg'[this.names.length]}`;
    this.names.push(name);
    const home = join(this.root, name);
    mkdirSync(join(home, 'var/lib/etcd-main'), { recursive: true });
    mkdirSync(join(home, 'etc/slipway/pki'), { recursive: true });
    for (const file of ['etcd.ca.pem', 'etcd-server.pem', 'etcd-server-key.pem'])
      writeFileSync(join(home, 'etc/slipway/pki', file), readFileSync(join(this.root, file)));
    return name;
  }
  volume = (name: string): string => join(this.root, name, 'var/lib/etcd-main');
  stop(name: string): void {
    execFileSync(join(this.root, 'bin/systemctl'), ['stop', 'etcd.service'], { env: this.#environment(name) });
  }
  start(name: string): void {
    execFileSync(join(this.root, 'bin/systemctl'), ['start', 'etcd.service'], { env: this.#environment(name), stdio: 'ignore' });
  }
  loseVolume(name: string): void {
    this.stop(name);
    for (const entry of readdirSync(this.volume(name))) rmSync(join(this.volume(name), entry), { recursive: true });
  }
  close(): void {
    if (this.#widow.pid !== undefined && this.#widow.exitCode === null && !this.#widow.killed) {
      process.kill(-this.#widow.pid, 'SIGKILL');
      this.#widow.kill();
    }
    for (const name of this.names) this.stop(name);
    rmSync(this.root, { recursive: true, force: true });
  }
  clients(): HostsClients {
    const records = this.records;
    return {
      hosts: {
        access: () => ({
          bastion: undefined,
          hosts: new Map(
            this.names.map((name) => [
              name,
              { state: 'reachable', endpoint: { address: this.#address(name), port: 22, user: 'root', hostKey: '' } },
            ]),
          ),
          api: undefined,
        }),
        get: async (name) => this.#host(name),
        tunnel: () => {
          throw new Error('no tunnels here');
        },
        close: async () => {},
      },
      machines: new Map(
        this.names
          .filter((name) => !this.former.has(name))
          .map((name) => [name, { bundle, identity: { NODE_NAME: name, NODE_IP: this.#address(name) } }]),
      ),
      uid: 'uid-1',
      generation: 1,
      records: {
        get: async (key) => records.get(key),
        put: async (key, value) => {
          this.before('store', `put ${key}`);
          records.set(key, value);
        },
      },
      delivery: 'mounted',
      storedAssets: async () => new Map(),
      assetFile: (path) => path,
      now: () => 0,
    };
  }
  /** What the hosts' observing would say. */
  readFacts = async (): Promise<ReadonlyMap<string, Seen>> =>
    new Map(await Promise.all(this.names.map(async (name): Promise<[string, Seen]> => [name, await this.#seen(name)])));

  async #seen(name: string): Promise<Seen> {
    if (this.cut.has(name)) return { state: 'unknown', why: 'no route to host' };
    const probe = readFileSync(new URL('../../templates/config/etcd-probe.sh', import.meta.url), 'utf8')
      .replaceAll('{{ca}}', '/etc/slipway/pki/etcd.ca.pem')
      .replaceAll('{{cert}}', '/etc/slipway/pki/etcd-server.pem')
      .replaceAll('{{key}}', '/etc/slipway/pki/etcd-server-key.pem')
      .replaceAll('127.0.0.1', this.#address(name));
    const { code, stdout } = await this.#run(name, `set -- 2379; ${probe}`);
    const facts: HostFacts = {
      bootId: '',
      clockMs: 0,
      generation: 0,
      bundle: undefined,
      identity: {},
      files: new Map(),
      units: new Map(),
      assets: new Set(),
      certificates: new Map(),
      probes: new Map([['etcd-main', { code, stdout }]]),
    };
    return { state: 'present', facts, asked: { from: 0, to: 0 } };
  }
  #host = (name: string): Host => ({
    name,
    exec: async (command, options) => {
      if (this.cut.has(name)) throw new UnreachableError({ what: 'no route to host', where: name });
      this.before(name, command);
      this.execs++;
      const stdin = options?.stdin;
      if (typeof stdin === 'object' && !(stdin instanceof Uint8Array)) throw new Error('no streams here');
      return this.#run(name, command, stdin);
    },
    stream: async (command, signal) => {
      this.before(name, command);
      const child = spawn('sh', ['-c', this.#rooted(name, command)], {
        env: this.#environment(name),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      // As sshd does: what the command writes from then on reaches nobody.
      signal.addEventListener('abort', () => child.stdout.destroy(), { once: true });
      return child.stdout;
    },
    interactive: async () => {
      throw new Error('not needed');
    },
  });
  #environment = (name: string): NodeJS.ProcessEnv => ({
    PATH: `${join(this.root, 'bin')}:${process.env.PATH}`,
    ROOT: join(this.root, name),
    ETCD: etcdBinary,
    NODE_NAME: name,
    NODE_IP: this.#address(name),
    ...(process.env.ETCD_QUOTA ? { QUOTA: process.env.ETCD_QUOTA } : {}),
  });
  #rooted = (name: string, command: string): string =>
    command.replaceAll(/\/(var\/lib|etc\/slipway)\//g, `${join(this.root, name)}/$1/`);
  #run(name: string, command: string, stdin?: Uint8Array | string | Readable): Promise<ExecResult> {
    return new Promise((resolve, reject) => {
      const child = spawn('sh', ['-c', this.#rooted(name, command)], {
        env: this.#environment(name),
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      const out = { stdout: '', stderr: '' };
      child.stdout.on('data', (chunk: Buffer) => {
        out.stdout += chunk.toString();
      });
      child.stderr.on('data', (chunk: Buffer) => {
        out.stderr += chunk.toString();
      });
      child.on('error', reject);
      child.on('close', (code) => resolve({ code: code ?? 255, ...out }));
      child.stdin.on('error', () => {});
      if (stdin instanceof Readable) stdin.pipe(child.stdin);
      else child.stdin.end(stdin ?? '');
    });
  }
  #makeCertificate(): void {
    const at = (file: string): string => join(this.root, file);
    const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' });
    const p256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    openssl('req', '-x509', ...p256, '-keyout', at('ca.key'), '-out', at('etcd.ca.pem'), '-subj', '/CN=etcd', '-days', '1');
    openssl('req', ...p256, '-keyout', at('etcd-server-key.pem'), '-out', at('csr'), '-subj', '/CN=etcd');
    // Whatever address a member listens on, its own connections come from 127.0.0.1.
    const ips = ['IP:127.0.0.1', ...Array.from({ length: 7 }, (_, i) => `IP:${this.#addressOf(i + 1)}`)].join(',');
    writeFileSync(at('ext'), `subjectAltName=${ips}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    openssl(
      ...['x509', '-req', '-in', at('csr'), '-CA', at('etcd.ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '1'],
      ...['-extfile', at('ext'), '-out', at('etcd-server.pem')],
    );
  }
}
