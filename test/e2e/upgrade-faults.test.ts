import { createHash } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dockerClient, type Ended, ended, type RunEvent, removeLeftovers, TestCluster } from '../support/cli.ts';
import { linkTree } from '../support/link-tree.ts';
import { assetCache } from '../support/local-etcd.ts';
import { inMachine } from '../support/overheard.ts';
import { nodesNow, upgradeAnd as upgradeBeside } from '../support/upgrading.ts';
import { type Kubectl, openKubectl } from '../support/workloads.ts';

/**
 * What goes wrong around one upgrade, one fault after the other, on one small cluster: each stops it with what and where, leaves everybody else as they
 * were, and once mended the same command goes on to the end.
 */
const [before, after] = ['1.35.4', '1.36.3'] as const;
const kubelet = `kubernetes/${after}/kubelet`;
/** Its own cache, of hard links, so that one file of it can be damaged; and a mirror, lest that one be built from source. */
const cache = mkdtempSync(join(dirname(dirname(assetCache)), 'slipway-upgrade-faults-'));
const assets = join(cache, 'slipway/assets');
const mirror = join(cache, 'mirror');

interface Wanted {
  readonly version: string;
  readonly workers?: number;
  /** Of the pool's kubelets, as YAML. */
  readonly kubelet?: string;
}
const yaml = (name: string, { version, workers = 2, kubelet: flags = '{}' }: Wanted): string => `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [a, b]
network: { machines: 10.219.0.0/16 }
assets: { mirror: ${mirror} }
kubernetes: { version: ${version} }
etcd: { count: 1 }
masters: { count: 1 }
pools:
  - name: workers
    count: ${workers}
    kubelet: { extraArgs: ${flags} }
    upgrade: { drain: { timeout: 60s } }
`;
const cluster = new TestCluster('upgrade-faults', (name) => yaml(name, { version: before }));
Object.assign(cluster.environment, { XDG_CACHE_HOME: cache });
const want = (wanted: Wanted): void => cluster.write(yaml(cluster.name, wanted));
const container = (machine: string) => dockerClient.getContainer(`${cluster.name}-${machine}`);
const inside = (machine: string, command: string): Promise<string> => inMachine(container(machine), command);
const ready = '.status.conditions[?(@.type=="Ready")].status';
let kubectl: Kubectl;

beforeAll(async () => {
  await removeLeftovers(cluster.name);
  linkTree(assetCache, assets);
  mkdirSync(dirname(join(mirror, kubelet)), { recursive: true });
  const digest = createHash('sha256')
    .update(readFileSync(join(assets, kubelet)))
    .digest('hex');
  writeFileSync(join(mirror, 'SHA256SUMS'), `${digest}  ${kubelet}\n`);
  await cluster.must('up', '--yes');
  kubectl = await openKubectl(cluster, before, 'default');
});
afterAll(async () => {
  await cluster.remove();
  rmSync(cache, { recursive: true, force: true });
});

const versions = async () => (await nodesNow(kubectl)).versions;
const cordoned = async () => (await nodesNow(kubectl)).cordoned;
const emptyPlan = async (): Promise<void> => {
  const { code, stdout } = await cluster.run('plan', '--detailed-exitcode');
  expect({ code, stdout: code === 0 ? '' : stdout }).toEqual({ code: 0, stdout: '' });
};

const files = (directory: string): readonly string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** With `act` beside it, as soon as an event is that; fails the test if none ever is. */
async function upgradeAnd(
  when: (event: RunEvent) => boolean,
  act: (kill: () => void) => Promise<unknown>,
  ...args: readonly string[]
): Promise<Ended> {
  const run = await upgradeBeside(cluster, args, when, act);
  if (!run.acted) throw new Error(`that was never so\n${run.stderr.slice(-3000)}`);
  return run;
}

test('a recovery point is whole or none: killed in the middle, the next one clears up, and nothing of a Secret is in the open', async () => {
  await kubectl('create', 'secret', 'generic', 'spines', '--from-literal=word=hedgehog-4711');
  const etcdctl = `$(readlink /proc/$(systemctl show -p MainPID --value etcd.service)/exe)ctl --endpoints https://127.0.0.1:2379 --cacert /etc/slipway/pki/etcd.ca.pem --cert /etc/slipway/pki/etcd-server.pem --key /etc/slipway/pki/etcd-server-key.pem`;
  // Enough to be killed in the middle of.
  await inside('etcd-a', `for i in $(seq 25); do head -c 1000000 /dev/urandom | base64 -w 0 | ${etcdctl} put /padding/$i; done`);
  const store = join(cluster.directory, 'state/slipway/clusters', cluster.name);
  const scratch = (): readonly string[] => files(join(store, '.scratch'));
  const child = cluster.start('backup');
  const cut = ended(child);
  while (!scratch().some((path) => (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 1_000_000)) {
    if (child.exitCode !== null) throw new Error(`the backup ended before it was killed: ${JSON.stringify(await cut)}`);
    await sleep(5);
  }
  child.kill('SIGKILL');
  expect((await cut).signal).toBe('SIGKILL');
  expect(JSON.parse((await cluster.must('backup', 'list', '-o', 'json')).stdout)).toMatchObject({ points: [], damaged: [] });

  const { point } = JSON.parse((await cluster.must('backup', '-o', 'json')).stdout);
  const listed = JSON.parse((await cluster.must('backup', 'list', '-o', 'json')).stdout);
  expect(listed).toMatchObject({ points: [{ id: point.id, command: 'backup' }], damaged: [], unfinished: [] });
  expect(point.snapshots.map((snapshot: { cluster: string }) => snapshot.cluster)).toEqual(['main', 'events']);
  expect(point.snapshots[0].size).toBeGreaterThan(25_000_000);
  for (const { key, sealedSha256 } of point.snapshots)
    expect(
      createHash('sha256')
        .update(readFileSync(join(store, key)))
        .digest('hex'),
    ).toBe(sealedSha256);
  for (const path of files(join(store, 'recovery'))) {
    const text = readFileSync(path, 'latin1');
    expect(text).not.toContain('hedgehog');
    expect(text).not.toContain('PRIVATE KEY');
    expect(text).not.toContain('/registry/');
  }
  expect(await inside('etcd-a', 'ls -A /var/lib/slipway/snapshot')).toBe('');
  // What follows need not carry it.
  await inside(
    'etcd-a',
    `${etcdctl} del --prefix /padding/; ${etcdctl} compact ${point.snapshots[0].revision}; ${etcdctl} defrag`,
  );
  const { rollout } = JSON.parse((await cluster.must('upgrade', '--to', after, '--dry-run', '-o', 'json')).stdout);
  expect(rollout.recoveryPoint).toMatchObject({ what: 'have', newest: { id: point.id } });
});

test('a damaged program in the cache, and again in the mirror, stops it before anything is touched', async () => {
  copyFileSync(join(assets, kubelet), join(cache, 'whole'));
  // The copy takes the link's place: the cache that others share keeps its own.
  rmSync(join(assets, kubelet));
  copyFileSync(join(cache, 'whole'), join(assets, kubelet));
  truncateSync(join(assets, kubelet), 1_000_000);
  copyFileSync(join(assets, kubelet), join(mirror, kubelet));
  want({ version: after });
  const stopped = await cluster.run('upgrade', '--yes');
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toMatch(/kubernetes\/1\.36\.3\/kubelet: .*checksum/);
  expect(await versions()).toEqual({ 'master-a': before, 'workers-a-1': before, 'workers-b-1': before });
  expect(await cordoned()).toEqual([]);
  copyFileSync(join(cache, 'whole'), join(mirror, kubelet));
});

test('a machine whose SSH hangs: 69 with its name, in bounded time, and nothing begins', async () => {
  const rule = 'INPUT -p tcp --dport 22 -j DROP';
  await inside('workers-b-1', `iptables -I ${rule}`);
  try {
    const began = Date.now();
    const refused = await cluster.run('upgrade', '--yes');
    expect(refused.code).toBe(69);
    expect(refused.stderr).toContain('workers-b-1');
    expect(Date.now() - began).toBeLessThan(60_000);
    expect((await versions())['master-a']).toBe(before);
  } finally {
    await inside('workers-b-1', `iptables -D ${rule}`);
  }
});

test('a worker that is away while the masters move: the next run names it and begins nothing; `up` brings it back at its own version', async () => {
  want({ version: after });
  const paused = await upgradeAnd(
    ({ type, task }) => type === 'started' && task === 'restart kube-apiserver.service on master-a',
    () => container('workers-b-1').kill(),
    '--pause-after',
    'masters',
  );
  expect({ code: paused.code, stderr: paused.code === 0 ? '' : paused.stderr }).toEqual({ code: 0, stderr: '' });
  const now = { 'master-a': after, 'workers-a-1': before, 'workers-b-1': before };
  expect(await versions()).toEqual(now);
  const refused = await cluster.run('upgrade', '--yes');
  expect([1, 69]).toContain(refused.code);
  expect(refused.stderr).toContain('workers-b-1');
  expect(refused.stderr).toContain('cluster up');
  expect(await cordoned()).toEqual([]);
  await cluster.must('up', '--yes');
  expect(await versions()).toEqual(now);
  expect(await kubectl.read('node/workers-b-1', ready)).toBe('True');
});

test('a flag that the kubelet does not know stops at the first worker, with unit and words; the next one is not touched', async () => {
  want({ version: after, kubelet: '{ no-such-flag: "1" }' });
  const stopped = await cluster.run('upgrade', '--yes');
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toMatch(/turn of workers-a-1 failed/);
  expect(stopped.stderr).toMatch(/kubelet\.service/);
  expect(stopped.stderr).toMatch(/unknown flag: --no-such-flag/);
  expect(await versions()).toEqual({ 'master-a': after, 'workers-a-1': before, 'workers-b-1': before });
  expect(await cordoned()).toEqual(['workers-a-1']);
});

test('`up` in the middle heals at the versions reached: the stopped worker, one that was deleted, and one that was added', async () => {
  await container('workers-b-1').remove({ force: true, v: true });
  want({ version: after, workers: 3, kubelet: '{ no-such-flag: "1" }' });
  await cluster.must('up', '--yes');
  const old = { 'workers-a-1': before, 'workers-a-2': before, 'workers-b-1': before };
  expect(await versions()).toEqual({ 'master-a': after, ...old });
  for (const worker of Object.keys(old)) expect(await kubectl.read(`node/${worker}`, ready)).toBe('True');
});
test('two at once: 75 and who it is; killed in a drain, the same command ends with no node cordoned but the one that was', async () => {
  want({ version: after, workers: 3 });
  await kubectl('cordon', 'workers-b-1');
  const killed = await upgradeAnd(
    ({ type, task }) => type === 'started' && task === 'drain workers-a-1',
    async (kill) => {
      const [upgrade, up] = await Promise.all([cluster.run('upgrade', '--yes'), cluster.run('up', '--yes')]);
      kill();
      for (const { code, stderr } of [upgrade, up]) {
        expect({ code, stderr: code === 75 ? '' : stderr }).toEqual({ code: 75, stderr: '' });
        expect(stderr).toContain('cluster upgrade');
      }
    },
  );
  expect(killed.signal).toBe('SIGKILL');
  await cluster.must('upgrade', '--yes');
  expect(await versions()).toEqual(
    Object.fromEntries(['master-a', 'workers-a-1', 'workers-a-2', 'workers-b-1'].map((name) => [name, after])),
  );
  expect(await cordoned()).toEqual(['workers-b-1']);
  await kubectl('uncordon', 'workers-b-1');
  await emptyPlan();
});
