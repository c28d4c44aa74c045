import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readMachineTemplate } from '../../providers/local/template.ts';
import { directoryStore } from '../../src/store/directory.ts';
import { openSealing } from '../../src/store/sealing.ts';
import { dockerClient, type Ended, ended, leftovers, removeLeftovers, root, TestCluster } from '../support/cli.ts';
import { linkTree } from '../support/link-tree.ts';
import { inMachine, Overheard, watchArguments } from '../support/overheard.ts';
import { missingSecondDocker, SecondDocker } from '../support/second-docker.ts';

/**
 * Faults of the world, on real machines. Stories that run side by side, each on a cluster of its own: most of their time is waiting.
 * Within a story the tests follow one another.
 */
const story = { concurrent: false } as const;

const small = (
  name: string,
  range: string,
  over: { masters?: number; local?: string; more?: string } = {},
) => `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {${over.local ?? ''}} }
zones: [a, b]
network: { machines: ${range} }
etcd: { count: 1 }
masters: { count: ${over.masters ?? 1} }
pools:
  - name: workers
    zones: [a]
    count: 1
${over.more ?? ''}`;

interface Planned {
  readonly changes: readonly { address: string; action: string; reason: string; when: Record<string, unknown> }[];
}
const foreign = { 'slipway.cluster': 't-faults-foreign' };

beforeAll(async () => {
  await removeLeftovers('t-faults*');
});

describe.concurrent('Docker, as it may be found', () => {
  describe('', story, () => {
    const directory = mkdtempSync(join(tmpdir(), 'slipway-faults-'));
    const servers: Server[] = [];
    const clusters: TestCluster[] = [];
    const listen = async (name: string, server: Server): Promise<string> => {
      const path = join(directory, name);
      servers.push(server);
      await new Promise<void>((ready) => server.listen(path, ready));
      return `unix://${path}`;
    };
    const at = (dockerHost: string, over: NodeJS.ProcessEnv = {}): TestCluster => {
      const cluster = new TestCluster('faults-docker', (name) => small(name, '10.216.240.0/20'));
      Object.assign(cluster.environment, { DOCKER_HOST: dockerHost, ...over });
      clusters.push(cluster);
      return cluster;
    };
    afterAll(() => {
      for (const server of servers) server.close();
      for (const cluster of clusters) rmSync(cluster.directory, { recursive: true, force: true });
      rmSync(directory, { recursive: true, force: true });
    });

    /** `plan` and `up` both end with that code and say all of that, within a few seconds. */
    const expectSaid = async (cluster: TestCluster, code: number, ...texts: (string | RegExp)[]): Promise<void> => {
      for (const command of [['plan'], ['up', '--yes']]) {
        const began = Date.now();
        const result = await cluster.run(...command);
        expect({ code: result.code, stderr: result.code === code ? '' : result.stderr }).toEqual({ code, stderr: '' });
        for (const text of texts) expect(result.stderr).toMatch(text);
        expect(result.stderr).not.toContain('at Object.');
        expect(Date.now() - began).toBeLessThan(30_000);
      }
    };

    test('not running: 69, and how to start it', async () => {
      await expectSaid(at(`unix://${directory}/none.sock`), 69, /daemon is not running/, /start/);
    });

    test('gone, with its socket still there: 69', async () => {
      const path = join(directory, 'stale.sock');
      // A socket file outlives a process that is killed.
      spawnSync(process.execPath, [
        '-e',
        `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
      ]);
      expect(existsSync(path)).toBe(true);
      await expectSaid(at(`unix://${path}`), 69, /daemon is not running/);
    });

    test('somebody else listens there: said in its words, not as a bug', async () => {
      const web = createHttpServer((_request, response) => {
        response.writeHead(404, { 'content-type': 'text/html' }).end('<html>no such page</html>');
      });
      await expectSaid(at(await listen('web.sock', web)), 69, /does not answer as Docker/);
      const noise = createServer((socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n'));
      await expectSaid(at(await listen('noise.sock', noise)), 69, /does not answer as Docker/);
    });

    test('it takes the connection and never answers: 69, after a bounded time', async () => {
      const silent = createServer(() => {});
      await expectSaid(at(await listen('silent.sock', silent)), 69, /no answer/);
    });

    test.runIf(process.getuid?.() !== 0 || readableForOthers())(
      'no permission on its socket: 77, and which group to join',
      async () => {
        const host = await listen(
          'closed.sock',
          createServer(() => {}),
        );
        chmodSync(join(directory, 'closed.sock'), 0o600);
        chmodSync(directory, 0o755);
        const cluster = at(host);
        await expectSaid(asSomebodyElse(cluster), 77, /no permission/, /usermod -aG docker/);
      },
    );

    test('a DOCKER_HOST that is no address: said as such', async () => {
      await expectSaid(at('over there'), 65, /DOCKER_HOST/);
    });

    test('a store that cannot be written: where, and why', async () => {
      const cluster = at('');
      delete cluster.environment.DOCKER_HOST;
      writeFileSync(join(cluster.directory, 'file'), '');
      cluster.environment.XDG_STATE_HOME = join(cluster.directory, 'file');
      const up = await cluster.run('up', '--yes');
      expect(up.code).toBe(1);
      expect(up.stderr).toContain(join(cluster.directory, 'file'));
      expect(up.stderr).toMatch(/not a directory|in the place of a directory/i);
      expect(await leftovers(cluster.name)).toEqual([]);
    });

    test.runIf(process.getuid?.() === 0)(
      'the disk of the store is full: said as such, and with space again the next command goes on',
      async () => {
        const cluster = at('');
        delete cluster.environment.DOCKER_HOST;
        const state = join(cluster.directory, 'state');
        mkdirSync(state);
        const mount = (...words: string[]) =>
          expect(spawnSync(words[0] ?? '', words.slice(1), { encoding: 'utf8' }).stderr).toBe('');
        mount('mount', '-t', 'tmpfs', '-o', 'size=48k', 'slipway-test', state);
        try {
          const up = await cluster.run('up', '--yes');
          expect(up.code).toBe(1);
          expect(up.stderr).toMatch(/the store cannot be used: no space left on the device/);
          expect(up.stderr).toContain(state);
          mount('mount', '-o', 'remount,size=8m', state);
          await cluster.must('down', '--yes', '--allow-data-loss');
          expect(await leftovers(cluster.name)).toEqual([]);
        } finally {
          mount('umount', '-l', state);
        }
      },
    );

    test('an identity that cannot be written: where, and no machine is made', async () => {
      const cluster = at('');
      delete cluster.environment.DOCKER_HOST;
      writeFileSync(join(cluster.directory, 'file'), '');
      cluster.environment.XDG_CONFIG_HOME = join(cluster.directory, 'file');
      const up = await cluster.run('up', '--yes');
      expect(up.code).toBe(1);
      expect(up.stderr).toMatch(/identity/);
      expect(up.stderr).toContain(join(cluster.directory, 'file'));
      expect(await leftovers(cluster.name)).not.toContain(`container /${cluster.name}-bastion`);
      await cluster.run('down', '--yes', '--allow-data-loss');
      await removeLeftovers(cluster.name);
    });
  });
});

/** Whether another user could run the CLI at all: a checkout under a home directory is often closed. */
function readableForOthers(): boolean {
  for (let path = join(root, 'bin/cluster.js'); path !== dirname(path); path = dirname(path))
    if ((statSync(path).mode & 0o005) !== 0o005 && path !== join(root, 'bin/cluster.js')) return false;
  return true;
}
function asSomebodyElse(cluster: TestCluster): TestCluster {
  if (process.getuid?.() !== 0) return cluster;
  chmodSync(cluster.directory, 0o777);
  Object.assign(cluster.environment, { HOME: cluster.directory });
  return Object.assign(cluster, { user: 65_534 });
}

describe.concurrent('one cluster and what happens to it', () => {
  describe('', story, () => {
    const cluster = new Overheard('faults', (name) => small(name, '10.216.0.0/18', { masters: 2 }));
    const container = (machine: string) => dockerClient.getContainer(`${cluster.name}-${machine}`);
    const plan = async (): Promise<Planned> => JSON.parse((await cluster.must('plan', '-o', 'json')).stdout);
    const isWhole = async (): Promise<void> => {
      const result = await cluster.run('plan', '--detailed-exitcode');
      expect({ code: result.code, out: result.code === 0 ? '' : result.stdout }).toEqual({ code: 0, out: '' });
    };
    /** Its end, and how long it took. */
    const timed = async (...args: string[]): Promise<Ended & { readonly ms: number }> => {
      const began = Date.now();
      const result = await cluster.run(...args);
      return { ...result, ms: Date.now() - began };
    };
    let heard: { stop(): readonly string[] } = { stop: () => [] };
    let processArguments: readonly string[] = [];
    afterAll(async () => {
      heard.stop();
      await cluster.remove();
      await removeLeftovers('t-faults-foreign');
    });

    test('the address range is taken by a foreign network: which, and nothing is made', async () => {
      const network = await dockerClient.createNetwork({
        Name: 't-faults-foreign',
        IPAM: { Config: [{ Subnet: '10.216.1.0/24' }] },
        Labels: foreign,
      });
      const up = await cluster.run('up', '--yes');
      await network.remove();
      expect(up.code).toBe(1);
      expect(up.stderr).toMatch(/10\.216\.0\.0\/18 is taken/);
      expect(up.stderr).toContain('t-faults-foreign');
      expect(up.stderr).toContain('network.machines');
      expect((await leftovers(cluster.name)).filter((thing) => !thing.startsWith('volume'))).toEqual([]);
    });

    test('a port that cluster.yaml wants is taken: which, and what to do', async () => {
      const taken = createServer();
      await new Promise<void>((ready) => taken.listen(0, '127.0.0.1', ready));
      const address = taken.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      const before = readFileSync(cluster.file, 'utf8');
      cluster.edit((yaml) => yaml.replace('{ local: {} }', `{ local: { apiPort: ${port} } }`));
      const up = await cluster.run('up', '--yes');
      cluster.write(before);
      taken.close();
      expect(up.code).toBe(1);
      expect(up.stderr).toContain(`port ${port} on 127.0.0.1 is taken`);
      expect(up.stderr).toContain('provider.local.apiPort');
    });

    test("a foreign container has a machine's name: it is left alone; the rest is made, and healed by running again", async () => {
      const { tag } = await readMachineTemplate();
      await imageThere(tag);
      const other = await dockerClient.createContainer({ name: `${cluster.name}-workers-a-1`, Image: tag, Labels: foreign });
      heard = watchArguments();
      const up = await cluster.run('up', '--yes');
      expect(up.code).toBe(1);
      expect(up.stderr).toContain(`a container ${cluster.name}-workers-a-1 exists, and it is not this cluster's`);
      expect(up.stderr).toContain(`docker rm -f ${cluster.name}-workers-a-1`);
      expect((await other.inspect()).State.Status).toBe('created');
      await other.remove();
      await cluster.must('up', '--yes');
      processArguments = heard.stop();
      await isWhole();
    });

    test('SSH to a machine hangs: plan and up end soon, say which machine is unknown, and create nothing', async () => {
      await inMachine(container('workers-a-1'), 'systemctl kill --signal=STOP ssh');
      try {
        const result = await timed('plan', '-o', 'json', '--detailed-exitcode');
        expect(result.ms).toBeLessThan(40_000);
        expect(result.code).toBe(69);
        const { changes } = JSON.parse(result.stdout) as Planned;
        expect(changes.filter((c) => c.action === 'create')).toEqual([]);
        expect(changes.find((c) => c.address === 'host.bundle/workers-a-1')).toMatchObject({
          action: 'unknown',
          reason: expect.stringContaining('workers-a-1: no SSH connection'),
        });
        const up = await timed('up', '--yes');
        expect(up.ms).toBeLessThan(60_000);
        expect(up.code).toBe(69);
        expect(up.stderr).toContain('workers-a-1: no SSH connection');
      } finally {
        await inMachine(container('workers-a-1'), 'systemctl kill --signal=CONT ssh');
      }
      await cluster.must('up', '--yes');
    });

    test('SSH hangs while a command runs: noticed, and said', async () => {
      try {
        const result = await timed('ssh', 'workers-a-1', '--', 'systemctl kill --signal=STOP ssh; sleep 300');
        expect(result.code).toBe(69);
        expect(result.ms).toBeLessThan(60_000);
        expect(result.stderr).toContain('workers-a-1: the SSH session was cut');
      } finally {
        await inMachine(container('workers-a-1'), 'systemctl kill --signal=CONT ssh');
      }
    });

    test('a machine that is paused is woken up', async () => {
      await container('workers-a-1').pause();
      const result = await cluster.run('plan', '-o', 'json', '--detailed-exitcode');
      const { changes } = JSON.parse(result.stdout) as Planned;
      expect(result.code).toBe(69);
      expect(changes.filter((c) => c.action === 'create')).toEqual([]);
      await cluster.must('up', '--yes');
      await isWhole();
    });

    test('the SSH host key of a machine has changed: everything stops, with both fingerprints', async () => {
      const key = '/etc/ssh/ssh_host_ed25519_key';
      const print = (file: string) => inMachine(container('workers-a-1'), `ssh-keygen -lf ${file} | cut -d' ' -f2`);
      const pinned = await print(`${key}`);
      await inMachine(
        container('workers-a-1'),
        `mv ${key} ${key}.kept && ssh-keygen -q -t ed25519 -N '' -f ${key} && systemctl restart ssh`,
      );
      try {
        const found = await print(key);
        expect(found).not.toBe(pinned);
        for (const command of [['plan'], ['up', '--yes'], ['ssh', 'workers-a-1', '--', 'true']]) {
          const result = await cluster.run(...command);
          expect(result.code).toBe(1);
          expect(result.stderr).toContain(pinned.trim());
          expect(result.stderr).toContain(found.trim());
          expect(result.stderr).toContain('workers-a-1');
        }
      } finally {
        await inMachine(container('workers-a-1'), `mv -f ${key}.kept ${key} && systemctl restart ssh`);
      }
      await cluster.must('up', '--yes');
    });

    test('a full disk on a machine: which file could not be written, and healed once there is space', async () => {
      await inMachine(container('workers-a-1'), 'mount -t tmpfs -o size=4k slipway-test /etc/kubernetes');
      try {
        const up = await timed('up', '--yes');
        expect(up.ms).toBeLessThan(60_000);
        expect(up.code).toBe(1);
        expect(up.stderr).toMatch(/workers-a-1: the bundle could not be applied/);
        expect(up.stderr).toMatch(/No space left on device/);
      } finally {
        await inMachine(container('workers-a-1'), 'umount -l /etc/kubernetes');
      }
      await cluster.must('up', '--yes');
      await isWhole();
    });

    test('one master lost with its machine: up brings it back, and the API has answered all the time', async () => {
      await container('master-b').remove({ force: true, v: true });
      expect(await cluster.kubectl('get', '--raw', '/readyz')).toBe('ok');
      const { changes } = await plan();
      const now = changes.filter((c) => 'now' in c.when).map((c) => c.address);
      expect(now).toContain('local.machine/master-b');
      expect(now.filter((address) => !address.includes('master-b'))).toEqual([]);
      await cluster.must('up', '--yes');
      await isWhole();
      await cluster.kubectl('wait', 'node/master-b', '--for=condition=Ready', '--timeout=10s');
    });

    test('no generated secret is in what was printed, planned, journalled, logged or started; files are 0600, directories 0700', async () => {
      await cluster.must('plan', '--out', join(cluster.directory, 'plan.json'));
      for (const args of [['status', '-o', 'json'], ['history'], ['history', 'show', '-o', 'json'], ['logs', '--since', '1h']])
        await cluster.run(...args);
      const secrets = await secretsOf(cluster);
      expect([...secrets.keys()]).toEqual(
        expect.arrayContaining([
          'age identity',
          'ssh',
          'service-account',
          'encryption-config',
          'authority.kubernetes',
          'authority.etcd',
        ]),
      );
      expect(secrets.size).toBeGreaterThan(25);
      expect([...secrets].filter(([, needles]) => needles.length === 0)).toEqual([]);
      const state = cluster.files().filter(({ path }) => !path.endsWith('/identity.txt'));
      expect(state.some(({ path }) => path.includes('/runs/'))).toBe(true);
      const journals = await Promise.all(
        ['bastion', 'etcd-a', 'master-a', 'workers-a-1'].map((name) =>
          inMachine(container(name), "journalctl --no-pager -q -o cat; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
        ),
      );
      const places: readonly (readonly [string, string])[] = [
        ['what commands printed', cluster.said.join('\n')],
        ['process arguments', processArguments.join('\n')],
        ...state.map(({ path, content }) => [path, content] as const),
        ...journals.map((text, index) => [`journal ${index}`, text] as const),
      ];
      expect(cluster.said.length).toBeGreaterThan(20);
      expect(processArguments.some((text) => text.includes('kube-apiserver'))).toBe(true);
      const leaks = places.flatMap(([place, text]) =>
        [...secrets]
          .filter(([, needles]) => needles.some((needle) => text.includes(needle)))
          .map(([name]) => `${name} in ${place}`),
      );
      expect(leaks).toEqual([]);
      expect(openToOthers(join(cluster.directory, 'state'))).toEqual([]);
      expect(openToOthers(join(cluster.directory, 'config/slipway'))).toEqual([]);
    });
  });
});

/** Waits for the machine image, which another story may be building. */
async function imageThere(tag: string): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    const found = await dockerClient
      .getImage(tag)
      .inspect()
      .then(
        () => true,
        () => false,
      );
    if (found) return;
    await sleep(500);
  }
  throw new Error(`no image ${tag}`);
}

/** Everything below that others than its owner could read, or that is executable. */
function openToOthers(directory: string): readonly string[] {
  const of = (path: string): string => `${(statSync(path).mode & 0o777).toString(8)} ${path}`;
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return [
    ...(of(directory).startsWith('700') ? [] : [of(directory)]),
    ...entries
      .map((entry) => [entry, of(join(entry.parentPath, entry.name))] as const)
      .filter(([entry, text]) => !text.startsWith(entry.isDirectory() ? '700 ' : '600 '))
      .map(([, text]) => text),
  ];
}

/** Name → texts that give it away: every secret in the store, the identity, and every key on the hosts. */
async function secretsOf(cluster: TestCluster): Promise<ReadonlyMap<string, readonly string[]>> {
  const identityFile = join(cluster.directory, 'config/slipway/identity.txt');
  const store = directoryStore(join(cluster.directory, 'state/slipway/clusters', cluster.name));
  const sealing = openSealing({ store, recipients: [], identityFile });
  const found = new Map<string, readonly string[]>();
  found.set(
    'age identity',
    readFileSync(identityFile, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('AGE-SECRET-KEY')),
  );
  for (const name of await sealing.list()) found.set(name, needlesOf(new TextDecoder().decode(await sealing.reveal(name))));
  const keys = `for f in /etc/slipway/pki/*-key.pem /etc/ssh/ssh_host_ed25519_key /var/lib/kubelet/pki/*.pem; do
    [ ! -f "$f" ] || { echo "file $f"; sed -n '/PRIVATE KEY/,/PRIVATE KEY/p' "$f"; }; done`;
  for (const machine of ['bastion', 'etcd-a', 'master-a', 'master-b', 'workers-a-1']) {
    const text = await inMachine(dockerClient.getContainer(`${cluster.name}-${machine}`), keys);
    for (const part of text.split(/^file /m).slice(1)) {
      const needles = needlesOf(part);
      if (needles.length > 0) found.set(`${machine}:${part.slice(0, part.indexOf('\n'))}`, needles);
    }
  }
  return found;
}
/** What of a key's text is secret: the lines of a PEM but for what every key of its kind begins with, or the key of an encryption configuration. */
function needlesOf(text: string): readonly string[] {
  const [, secret] = /secret: (\S+)/.exec(text) ?? [];
  if (secret) return [secret];
  const body = /-----BEGIN [A-Z ]*PRIVATE KEY-----\n([\s\S]+?)\n-----END/.exec(text)?.[1]?.split('\n') ?? [];
  // PKCS#8, SEC 1 and OpenSSH: algorithm and headers come first; the public key, at the end, is no secret.
  const openssh = text.includes('OPENSSH');
  return (openssh ? body.slice(2, -1) : [body[0]?.slice(48) ?? '', body[1] ?? '']).filter((line) => line.length >= 12);
}

describe.concurrent('a damaged cache, a holder of the lock that hangs, an API server that never gets ready', () => {
  describe('', story, () => {
    const cacheHome = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
    // Beside the shared cache, so that hard links serve; nothing is written through them.
    mkdirSync(cacheHome, { recursive: true });
    const own = mkdtempSync(join(cacheHome, 'slipway-t-faults-'));
    const mirror = join(own, 'mirror');
    const assets = join(own, 'slipway/assets');
    const cluster = new TestCluster('faults-lock', (name) =>
      small(name, '10.216.64.0/18', { more: `assets: { mirror: ${mirror} }\n` }),
    );
    cluster.environment.XDG_CACHE_HOME = own;
    const damaged = ['cni/1.9.1/loopback', 'cni/1.9.1/portmap', 'cni/1.9.1/host-local'] as const;
    const [cut, changed, rotten] = damaged;
    const sha256 = (path: string): string =>
      createHash('sha256')
        .update(readFileSync(join(assets, path)))
        .digest('hex');
    const replace = (path: string, content: Buffer, times?: { atime: Date; mtime: Date }): void => {
      const draft = join(own, 'draft');
      writeFileSync(draft, content, { mode: 0o755 });
      if (times) utimesSync(draft, times.atime, times.mtime);
      renameSync(draft, join(assets, path));
    };
    let sums: ReadonlyMap<string, string> = new Map();
    let first: ReturnType<TestCluster['start']> | undefined;
    let firstEnd: Promise<Ended> | undefined;
    let [outBefore, out] = ['', ''];
    const containers = async (): Promise<readonly string[]> =>
      (await dockerClient.listContainers({ all: true, filters: { label: [`slipway.cluster=${cluster.name}`] } }))
        .map((c) => `${c.Names[0]} ${c.Id}`)
        .sort();

    beforeAll(async () => {
      linkTree(join(cacheHome, 'slipway/assets'), assets);
      for (const path of damaged) {
        mkdirSync(dirname(join(mirror, path)), { recursive: true });
        copyFileSync(join(assets, path), join(mirror, path));
      }
      sums = new Map(damaged.map((path) => [path, sha256(path)]));
      writeFileSync(join(mirror, 'SHA256SUMS'), [...sums].map(([path, sum]) => `${sum}  ${path}\n`).join(''));
    });
    afterAll(async () => {
      first?.kill('SIGKILL');
      await cluster.remove();
      rmSync(own, { recursive: true, force: true });
    });

    test('files of the asset cache that are cut, changed or rotten are detected, and fetched again', async () => {
      const flipped = (path: string): Buffer => {
        const content = readFileSync(join(assets, path));
        content[1000] = (content[1000] ?? 0) ^ 0xff;
        return content;
      };
      replace(cut, readFileSync(join(assets, cut)).subarray(0, 1000));
      replace(changed, flipped(changed));
      const { atime, mtime } = statSync(join(assets, rotten));
      replace(rotten, flipped(rotten), { atime, mtime });
      const listed = JSON.parse((await cluster.must('assets', 'list', '--verify', '-o', 'json')).stdout) as {
        assets: { path: string; cached?: object }[];
      };
      expect(
        listed.assets
          .filter((a) => !a.cached)
          .map((a) => a.path)
          .sort(),
      ).toEqual([...damaged].sort());
      // Same size and same time: only reading all of it tells.
      await cluster.must('assets', 'fetch', '--verify', 'host-local');
      expect(sha256(rotten)).toBe(sums.get(rotten));
    });

    test('up fetches what is missing; stopped in the middle it is not taken over at once, as it could still be alive', async () => {
      first = cluster.start('up', '--yes', '-o', 'json');
      firstEnd = ended(first);
      await new Promise<void>((reached, failed) => {
        void firstEnd?.then((end) => failed(new Error(`it ended before: ${end.stderr}`)));
        first?.stdout?.on('data', (data) => {
          out += String(data);
          if (
            !outBefore &&
            /"type":"started","title":"create host\.bundle|"task":"create host\.bundle[^"]*","type":"started"|create host\.bundle/.test(
              out,
            )
          ) {
            first?.kill('SIGSTOP');
            outBefore = out;
            reached();
          }
        });
      });
      for (const path of damaged) expect(sha256(path)).toBe(sums.get(path));
      const second = await cluster.run('up', '--yes');
      expect(second.code).toBe(75);
      expect(second.stderr).toContain(`process ${first?.pid}`);
      expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(2);
    });

    test('after 60 s without a sign of life somebody else takes over, and ends the work', async () => {
      const began = Date.now();
      const third = await cluster.must('up', '--yes', '--lock-wait', '120');
      expect(Date.now() - began).toBeGreaterThan(40_000);
      expect(third.stderr).toContain('took the lock over');
      expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(0);
    });

    test('the stopped one, continued, does nothing more and says that it lost the lock', async () => {
      const before = await containers();
      outBefore = out;
      const began = Date.now();
      first?.kill('SIGCONT');
      const result = await firstEnd;
      expect(Date.now() - began).toBeLessThan(60_000);
      expect(result?.code).toBe(75);
      expect(result?.stderr).toContain('lock was lost');
      // A call that was under way may have ended meanwhile. The step after it is announced, asks for the lock first, and so does nothing.
      const eventsOf = (type: string): readonly string[] =>
        [...out.slice(outBefore.length).matchAll(/^\{.*\}$/gm)]
          .map(([line]): { type: string; task: string } => JSON.parse(line))
          .filter((event) => event.type === type)
          .map((event) => event.task);
      const begun = new Set(eventsOf('started'));
      expect(eventsOf('done').filter((task) => begun.has(task))).toEqual([]);
      expect(await containers()).toEqual(before);
      expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(0);
    });

    test('an API server that never gets ready: up ends, with the last log lines of the unit, and heals it once the cause is gone', async () => {
      const master = dockerClient.getContainer(`${cluster.name}-master-a`);
      const rule = 'OUTPUT -p tcp --dport 2379:2381 -j REJECT --reject-with tcp-reset';
      // It starts and fails, again and again: nothing of this is in a file that up manages.
      await inMachine(master, `iptables -I ${rule} && systemctl restart --no-block kube-apiserver`);
      try {
        await sleep(500);
        const began = Date.now();
        const up = await cluster.run('up', '--yes');
        expect(Date.now() - began).toBeLessThan(150_000);
        expect(up.code).toBe(1);
        expect(up.stderr).toMatch(/master-a: its API server did not get ready within 90 s/);
        expect(up.stderr).toMatch(/kube-apiserver\.service is activating/);
        expect(up.stderr).toMatch(/dial tcp [\d.]+:2379: connect: connection refused/);
      } finally {
        await inMachine(master, `iptables -D ${rule}`);
      }
      await cluster.must('up', '--yes');
      expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(0);
    });
  });
});

describe.concurrent('Docker is restarted while up runs', () => {
  describe.skipIf(missingSecondDocker)(missingSecondDocker ? `skipped: ${missingSecondDocker}` : '', story, () => {
    const docker = missingSecondDocker === undefined ? new SecondDocker() : undefined;
    class Elsewhere extends TestCluster {
      protected override commandOf(command: string, args: readonly string[]): [string, string[]] {
        return docker ? docker.inside(command, ...args) : super.commandOf(command, args);
      }
    }
    const cluster = new Elsewhere('faults-restart', (name) => small(name, '10.216.128.0/18'));
    beforeAll(async () => {
      const { tag } = await readMachineTemplate();
      await imageThere(tag);
      await docker?.start();
      await docker?.load(tag);
      cluster.environment.DOCKER_HOST = docker?.host ?? '';
    });
    afterAll(async () => {
      await docker?.remove();
      rmSync(cluster.directory, { recursive: true, force: true });
    });

    test('the run goes on by itself or says what failed; running it again ends in a whole cluster', async () => {
      const first = cluster.start('up', '--yes', '-o', 'json');
      const firstEnd = ended(first);
      let seen = '';
      await new Promise<void>((reached) => {
        void firstEnd.then(() => reached());
        first.stdout?.on('data', (data) => {
          seen += String(data);
          // Machines are there, and their files are being written.
          if (/create host\.bundle/.test(seen)) reached();
        });
      });
      await docker?.stop();
      await sleep(1000);
      await docker?.start();
      const result = await firstEnd;
      console.log(`up, with Docker restarted under it, ended with ${result.code}\n${result.stderr.slice(-1500)}`);
      expect([0, 1, 69]).toContain(result.code);
      if (result.code !== 0) {
        expect(result.stderr).toMatch(/run the same command again/);
        await cluster.must('up', '--yes');
      }
      expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(0);
      expect(await cluster.kubectl('get', 'nodes', '-o', 'name')).toContain('workers-a-1');
      const names = (await docker?.docker('ps', '-a', '--format', '{{.Names}}'))?.trim().split('\n').sort();
      expect(names).toEqual(
        ['balancer', 'bastion', 'etcd-a', 'master-a', 'workers-a-1'].map((name) => `${cluster.name}-${name}`),
      );
    });
  });
});
