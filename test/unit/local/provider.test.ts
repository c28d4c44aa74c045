import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backendsIn, diffBalancer, renderConfig } from '../../../providers/local/balancer.ts';
import { machineContainer } from '../../../providers/local/container.ts';
import { design } from '../../../providers/local/design.ts';
import { call, callMaybe, explain, openDocker } from '../../../providers/local/docker.ts';
import { hasSysResource } from '../../../providers/local/host.ts';
import { makeHostKey } from '../../../providers/local/host-key.ts';
import { choosePort } from '../../../providers/local/ports.ts';
import { openLocal } from '../../../providers/local/provider.ts';
import { automaticRange, boundsOf, overlaps, toNumber } from '../../../providers/local/range.ts';
import { readMachineTemplate } from '../../../providers/local/template.ts';
import { routesIn } from '../../../providers/local/verify.ts';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import type { ClusterInput } from '../../../src/config/schema.ts';
import { UserError } from '../../../src/errors.ts';
import { ObservedMap } from '../../../src/plan/observed.ts';
import { aCluster } from '../../support/builders.ts';

const topologyOf = (over: Partial<ClusterInput> = {}) => designTopology(aCluster(over), noIdentity, versionsFor('1.36.3'));
const designOf = (over: Partial<ClusterInput> = {}) => design(topologyOf(over), { image: 'slipway/machine:x', assets: '/cache' });
const present = (props: object, outputs: object) => ({ state: 'present', props, outputs }) as const;

describe('the design', () => {
  test('of the default cluster is an image, a network, 6 volumes, 10 machines and a balancer', () => {
    const counts = Object.entries(Object.groupBy(designOf(), ({ type }) => type)).map(([type, of]) => `${of?.length} ${type}`);
    expect(counts).toEqual(['1 local.image', '1 local.network', '6 local.volume', '10 local.machine', '1 local.balancer']);
  });
  test('publishes SSH of the bastion and of nothing else', () => {
    const published = designOf().filter(({ props }) => 'sshPort' in props && props.sshPort !== null);
    expect(published.map(({ address }) => address)).toEqual(['local.machine/bastion']);
  });
  test('gives no machine, nor the balancer, an address that Docker hands out by itself', () => {
    for (const machines of ['172.30.0.0/16', '10.0.0.0/12', '10.64.0.0/10', '192.168.0.0/18']) {
      const automatic = automaticRange(machines);
      if (automatic === undefined) continue;
      expect(overlaps(automatic, machines)).toBe(true);
      const { first, last } = boundsOf(automatic);
      const topology = topologyOf({
        network: { machines },
        masters: { count: 7 },
        etcd: { count: 7 },
        pools: [{ name: 'w', count: 12 }],
      });
      for (const { address } of [...topology.machines, topology.api]) {
        expect(toNumber(address) < first || toNumber(address) > last, `${address} in ${automatic}`).toBe(true);
      }
    }
  });
});

describe('a machine’s container', () => {
  const bastion = {
    image: 'i',
    network: 'n',
    address: '10.0.0.3',
    role: 'bastion',
    zone: 'a',
    volumes: {},
    hosts: [],
    assets: '/c',
    sshPort: 0,
  } as const;
  const spec = (canGiveSysResource: boolean) =>
    machineContainer({
      name: 'm',
      container: 'c-m',
      props: bastion,
      labels: {},
      port: 22_022,
      host: { cgroupVersion: 2, canGiveSysResource },
    });
  test('is never privileged, and does without CAP_SYS_RESOURCE only where the host cannot give it', () => {
    expect(spec(true).HostConfig?.Privileged).toBeUndefined();
    expect(spec(true).HostConfig?.CapDrop).toBeUndefined();
    expect(spec(false).HostConfig?.CapDrop).toEqual(['SYS_RESOURCE']);
  });
  test('publishes on loopback only', () => {
    expect(spec(true).HostConfig?.PortBindings).toEqual({ '22/tcp': [{ HostIp: '127.0.0.1', HostPort: '22022' }] });
  });
  test('sees the asset cache, and cannot write to it', () => {
    expect(spec(true).HostConfig?.Mounts).toContainEqual({ Type: 'bind', Source: '/c', Target: '/opt/slipway', ReadOnly: true });
  });
});

describe('a host key', () => {
  test('is one that OpenSSH reads, with that public key', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'host-key-'));
    try {
      for (const comment of ['', 'x', 'demo-workers-a-1']) {
        const { publicKey, privateKey } = await makeHostKey(comment);
        writeFileSync(join(directory, 'key'), privateKey, { mode: 0o600 });
        const read = execFileSync('ssh-keygen', ['-y', '-f', join(directory, 'key')], { encoding: 'utf8' });
        expect(read.trim().split(' ').slice(0, 2).join(' ')).toBe(publicKey);
        rmSync(join(directory, 'key'));
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

test('the balancer takes a new master in at once, and lets one go only with its machine', () => {
  const props = { image: 'i', network: 'n', address: 'a', port: 6443, publish: 0, running: true };
  const observed = { ...props, backends: { 'master-a': '172.30.0.1', 'master-b': '172.30.1.1' } };
  const desired = { ...props, backends: { 'master-a': '172.30.0.1', 'master-c': '172.30.2.1' } };
  expect(diffBalancer(desired, observed)).toEqual([
    {
      path: 'backends.master-b',
      before: '172.30.1.1',
      after: null,
      impact: 'restart',
      note: 'it serves until its machine goes',
    },
    { path: 'backends.master-c', before: null, after: '172.30.2.1', impact: 'none' },
  ]);
  expect(diffBalancer(desired, desired)).toEqual([]);
});

describe('the balancer’s config', () => {
  test('is observed as it was rendered', async () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
    await fc.assert(
      fc.asyncProperty(fc.dictionary(name, fc.ipV4(), { noNullPrototype: true }), async (backends) => {
        expect(backendsIn(await renderConfig({ port: 6443, backends }))).toEqual(backends);
      }),
      { numRuns: 20 },
    );
  });
  test('takes a master out after one failed /readyz, asked twice a second', async () => {
    const config = await renderConfig({ port: 6443, backends: { 'master-a': '10.0.0.1' } });
    expect(config).toMatch(/GET \/readyz/);
    expect(config).toMatch(/check-ssl .*inter 500ms .*fall 1 rise 1/);
    expect(config).not.toContain('{{');
  });
});

describe('access', () => {
  const topology = topologyOf();
  const machine = (over: object) =>
    present(
      {},
      {
        id: 'i',
        container: 'demo-x',
        state: 'running',
        address: '172.30.0.64',
        role: 'etcd',
        hostKey: 'ssh-ed25519 A',
        sshPort: null,
        ...over,
      },
    );
  const open = () => openLocal({ cluster: 'demo', stateDirectory: '/nowhere', assetDirectory: '/nowhere' });
  test('goes through the bastion’s published port, with every host key pinned', async () => {
    const seen = new ObservedMap();
    seen.set('local.machine/bastion', machine({ role: 'bastion', sshPort: 22_022 }));
    seen.set('local.machine/etcd-a', machine({}));
    seen.set(
      'local.balancer/api',
      present({}, { id: 'i', container: 'c', state: 'running', address: '172.30.0.2', publishedPort: 26_443 }),
    );
    const { bastion, hosts, api } = (await open()).access(topology, seen);
    expect(bastion).toEqual({ address: '127.0.0.1', port: 22_022, user: 'root', hostKey: 'ssh-ed25519 A' });
    expect(hosts.get('etcd-a')).toMatchObject({ state: 'reachable', endpoint: { address: '172.30.0.64', port: 22 } });
    expect(api).toEqual({ server: 'https://127.0.0.1:26443', tlsServerName: 'api.demo.internal', via: 'direct' });
  });
  test('on a machine that was created and never started nothing lies: whoever was killed there makes it again', async () => {
    const seen = new ObservedMap();
    seen.set('local.machine/bastion', machine({ role: 'bastion', sshPort: 22_022 }));
    seen.set('local.machine/etcd-a', machine({ state: 'created' }));
    seen.set('local.machine/etcd-b', machine({ state: 'exited' }));
    const { hosts } = (await open()).access(topology, seen);
    expect([...hosts.keys()]).toEqual(['bastion', 'etcd-b']);
    expect(hosts.get('etcd-b')).toMatchObject({ state: 'unreachable' });
  });
  test('says why nothing can be reached while the bastion is stopped', async () => {
    const seen = new ObservedMap();
    seen.set('local.machine/bastion', machine({ role: 'bastion', sshPort: 22_022, state: 'exited' }));
    seen.set('local.machine/etcd-a', machine({}));
    const { bastion, hosts } = (await open()).access(topology, seen);
    expect(bastion).toBeUndefined();
    expect(hosts.get('etcd-a')).toMatchObject({ state: 'unreachable', why: expect.stringContaining('bastion is not running') });
  });
});

describe('Docker’s errors', () => {
  const withCode = (code: string) => Object.assign(new Error(`connect ${code}`), { code });
  const withStatus = (statusCode: number, text: string) =>
    Object.assign(new Error(`(HTTP code ${statusCode}) server error - ${text} `), { statusCode });
  test.each([
    [withCode('ECONNREFUSED'), /daemon is not running/, 69],
    [withCode('EACCES'), /no permission/, 77],
    [withStatus(500, 'write /var/lib/docker/x: no space left on device'), /disk .* is full/, 1],
    [
      withStatus(
        500,
        'driver failed programming external connectivity: Bind for 127.0.0.1:26443 failed: port is already allocated',
      ),
      /port .* is taken/,
      1,
    ],
    [withStatus(500, 'OCI runtime create failed: unable to apply caps: operation not permitted'), /capabilities/, 1],
  ])('%s becomes one that can be mended', (error, text, exitCode) => {
    const explained = explain(error);
    expect(explained).toBeInstanceOf(UserError);
    expect(explained).toMatchObject({ message: expect.stringMatching(text), exitCode, problem: { next: expect.any(String) } });
  });

  test('a daemon that comes back within the patience is not an error', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'docker-')), 'd.sock');
    const docker = openDocker(`unix://${path}`);
    const server = createServer((socket) =>
      socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK')),
    );
    setTimeout(() => server.listen(path), 300);
    try {
      expect(String(await call(() => docker.ping(), { patienceMs: 5000 }))).toBe('OK');
    } finally {
      server.close();
    }
  });
  test('a daemon that stays away is one, and says so', async () => {
    const docker = openDocker('unix:///nowhere/docker.sock');
    await expect(call(() => docker.ping(), { patienceMs: 100 })).rejects.toMatchObject({ exitCode: 69 });
  });
  test('waiting for it ends with the signal', async () => {
    const docker = openDocker('unix:///nowhere/docker.sock');
    await expect(call(() => docker.ping(), { signal: AbortSignal.timeout(50), patienceMs: 60_000 })).rejects.toThrow();
  });
  test('what is not there is undefined', async () => {
    expect(await callMaybe(() => Promise.reject(withStatus(404, 'no such volume')))).toBeUndefined();
  });
});

test('the image’s tag follows from its template, and its base from the list of packages', async () => {
  const one = await readMachineTemplate();
  expect(one).toEqual(await readMachineTemplate());
  expect(one.tag).toMatch(/^slipway\/machine:[0-9a-f]{12}$/);
  expect(one.packages).toContain('openssh-server');
  expect(one.packages.every((name) => /^[a-z0-9.+-]+$/.test(name))).toBe(true);
  expect(one.files.filter(({ mode }) => mode === 0o755).map(({ path }) => path)).toEqual(['entrypoint', 'prepare']);
});

test('a published port is the same each time, and another where that one is taken', async () => {
  const port = await choosePort(0, 'a purpose of this test');
  expect(await choosePort(0, 'a purpose of this test')).toBe(port);
  const server = createServer().listen(port, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  try {
    expect(await choosePort(0, 'a purpose of this test')).not.toBe(port);
  } finally {
    server.close();
  }
  expect(await choosePort(6443, 'x')).toBe(6443);
});

test('overlapping ranges share an address', () => {
  expect(overlaps('10.0.0.0/8', '10.200.0.0/16')).toBe(true);
  expect(overlaps('172.30.0.0/16', '172.31.0.0/16')).toBe(false);
});

test('routes are read out of the kernel’s table, without the default one', () => {
  const table = [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0',
  ].join('\n');
  expect(routesIn(table)).toEqual([{ device: 'docker0', range: '172.17.0.0/16' }]);
});

test('whether CAP_SYS_RESOURCE can be given is read out of the first process’s bounding set', () => {
  expect(hasSysResource('CapBnd:\t000001ffffffffff')).toBe(true);
  expect(hasSysResource('CapBnd:\t000001fffeffffff')).toBe(false);
});
