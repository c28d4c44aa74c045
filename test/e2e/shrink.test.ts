import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dockerClient, ended, eventsIn, type RunEvent, removeLeftovers, TestCluster } from '../support/cli.ts';
import { explained, failuresOf, type Load, openLoad, summary } from '../support/load/load.ts';
import { assetCache } from '../support/local-etcd.ts';
import { ensureTestapp } from '../support/testapp.ts';

/**
 * From three of everything to one of everything, under load, killed on the way: who goes is drained, leaves the balancer and etcd, and nobody notices.
 * Then grown again on the volumes that stayed. Tests follow one another on one cluster.
 */
const machines = '10.223.0.0/16';
const counts = (masters: number, etcd: number, workers: number): string => `masters: { count: ${masters} }
etcd: { count: ${etcd} }
pools:
  - name: workers
    count: ${workers}
`;
const file = (name: string, rest: string): string => `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [a, b, c]
network: { machines: ${machines} }
${rest}`;
const cluster = new TestCluster('shrink', (name) => file(name, counts(3, 3, 3)));
const become = (masters: number, etcd: number, workers: number): void =>
  cluster.write(file(cluster.name, counts(masters, etcd, workers)));
let load: Load;

beforeAll(async () => {
  await Promise.all([removeLeftovers(cluster.name), ensureTestapp(assetCache)]);
  await cluster.must('up', '--yes');
  load = await openLoad(cluster, {
    version: '1.36.3',
    machines,
    zones: ['a', 'b', 'c'],
    pool: 'workers',
    workers: 3,
    perZone: 1,
  });
});
afterAll(async () => {
  await load?.remove();
  await cluster.remove();
});

interface PlanJson {
  readonly changes: readonly { readonly address: string; readonly action: string; readonly when: { readonly left?: string } }[];
}
/** What `plan` shows: `left: action address`, sorted. */
const planned = async (): Promise<readonly string[]> => {
  const { changes }: PlanJson = JSON.parse((await cluster.must('plan', '-o', 'json')).stdout);
  return changes.map(({ action, address, when }) => `${when.left ?? 'now'}: ${action} ${address}`).sort();
};
const there = async (type: string): Promise<readonly string[]> =>
  (await dockerClient.listContainers({ all: true, filters: { label: [`slipway.cluster=${cluster.name}`] } }))
    .flatMap(({ Labels }) => Labels['slipway.resource'] ?? [])
    .filter((resource) => resource.startsWith(`${type}/`))
    .map((resource) => resource.slice(type.length + 1))
    .sort();
const volumes = ['b', 'c'].flatMap((zone) => ['events', 'main'].map((etcd) => `local.volume/etcd-${zone}.${etcd}`));
/** The masters that haproxy knows. */
async function backends(): Promise<readonly string[]> {
  const exec = await dockerClient
    .getContainer(`${cluster.name}-balancer`)
    .exec({ Cmd: ['cat', '/etc/haproxy/haproxy.cfg'], AttachStdout: true, Tty: true });
  const config = await text(await exec.start({ Tty: true }));
  return [...config.matchAll(/^ +server (\S+) /gm)].map(([, name = '']) => name);
}
const etcdMembers = async (): Promise<readonly string[]> => {
  const command = (port: number): string =>
    `curl -sS --cacert /etc/slipway/pki/etcd.ca.pem --cert /etc/slipway/pki/etcd-server.pem --key /etc/slipway/pki/etcd-server-key.pem -d '{}' https://127.0.0.1:${port}/v3/cluster/member/list`;
  const lists = await Promise.all([2379, 2381].map((port) => cluster.ssh('etcd-a', command(port))));
  return lists.map((list) =>
    JSON.parse(list)
      .members.map(({ name, isLearner }: { name: string; isLearner?: boolean }) => (isLearner ? `${name} learns` : name))
      .sort()
      .join(' '),
  );
};

describe('to one of each', () => {
  const events: RunEvent[] = [];
  let traffic: Awaited<ReturnType<Load['start']>>;

  test('up leaves it to upgrade, and says so', async () => {
    become(1, 1, 1);
    await cluster.must('up', '--yes');
    const left = await planned();
    for (const name of ['etcd-b', 'master-c', 'workers-b-1']) expect(left).toContain(`upgrade: delete local.machine/${name}`);
    for (const node of ['master-b', 'workers-c-1']) expect(left).toContain(`upgrade: delete kube.node/${node}`);
    expect(left).toContain('upgrade: delete etcd.member/events.etcd-c');
    expect(left.filter((line) => line.startsWith('now:'))).toEqual([]);
  });

  test('a dry run names who goes, and changes nothing', async () => {
    const dry = (await cluster.must('upgrade', '--dry-run')).stdout;
    for (const name of ['etcd-b', 'etcd-c', 'master-b', 'master-c', 'workers-b-1', 'workers-c-1']) expect(dry).toContain(name);
    expect(await there('local.machine')).toHaveLength(10);
  });

  test('killed while a master goes, the same command goes on to the end', async () => {
    traffic = await load.start();
    const child = cluster.start('upgrade', '--yes', '-o', 'json');
    let killed = '';
    child.stdout?.on('data', (data) => {
      const event = eventsIn(String(data)).find(
        ({ type, task }) => type === 'started' && task.includes('delete local.machine/master-'),
      );
      if (!event || killed !== '') return;
      killed = event.task;
      child.kill('SIGKILL');
    });
    const first = await ended(child);
    events.push(...eventsIn(first.stdout));
    expect({ killed, stderr: killed === '' ? first.stderr.slice(-3000) : '' }).toEqual({
      killed: expect.stringContaining('master-'),
      stderr: '',
    });
    const second = await cluster.run('upgrade', '--yes', '-o', 'json');
    events.push(...eventsIn(second.stdout));
    expect({ code: second.code, stderr: second.code === 0 ? '' : second.stderr.slice(-5000) }).toEqual({ code: 0, stderr: '' });
  });

  test('who went is gone from everywhere at once', async () => {
    expect(await there('local.machine')).toEqual(['bastion', 'etcd-a', 'master-a', 'workers-a-1']);
    expect((await cluster.kubectl('get', 'nodes', '-o', 'name')).trim().split('\n').sort()).toEqual([
      'node/master-a',
      'node/workers-a-1',
    ]);
    expect(await backends()).toEqual(['master-a']);
    expect(await etcdMembers()).toEqual(['etcd-a', 'etcd-a']);
    const endpoints = JSON.parse(await cluster.kubectl('get', 'endpointslices', 'kubernetes', '-o', 'json'));
    expect(endpoints.endpoints.flatMap(({ addresses }: { addresses: string[] }) => addresses)).toHaveLength(1);
  });

  test('nobody noticed any of it: no request to the API and none to the application has failed', async () => {
    const result = await traffic.stop();
    console.log(summary(result));
    expect(explained(failuresOf(result), events)).toEqual([]);
    expect(result.api.requests).toBeGreaterThan(300);
    expect(result.app.requests).toBeGreaterThan(500);
  });

  test('only the data of the members that left is still there, until its loss is allowed', async () => {
    expect(await planned()).toEqual(volumes.map((volume) => `allow-data-loss: delete ${volume}`));
  });
});

describe('and back', () => {
  test('members that come back on the volumes that stayed join anew', async () => {
    become(1, 3, 1);
    await cluster.must('up', '--yes');
    expect(await etcdMembers()).toEqual(['etcd-a etcd-b etcd-c', 'etcd-a etcd-b etcd-c']);
    expect(await cluster.ssh('etcd-b', 'ls /var/lib/etcd-main')).toContain('removed-member');
  });

  test('and leave again with their data, where that is allowed, also the one whose machine is lost: then nothing differs', async () => {
    await dockerClient.getContainer(`${cluster.name}-etcd-b`).remove({ force: true });
    become(1, 1, 1);
    await cluster.must('upgrade', '--yes', '--allow-data-loss');
    expect(await etcdMembers()).toEqual(['etcd-a', 'etcd-a']);
    const plan = await cluster.run('plan', '--detailed-exitcode');
    expect({ code: plan.code, out: plan.code === 0 ? '' : plan.stdout }).toEqual({ code: 0, out: '' });
  });
});
