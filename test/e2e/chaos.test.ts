import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dockerClient, ended, leftovers, removeLeftovers, TestCluster } from '../support/cli.ts';

/** Kills and collisions on real machines, with the smallest cluster that has every role. */
const cluster = new TestCluster(
  'chaos',
  (name) => `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [a]
network: { machines: 10.212.0.0/16 }
etcd: { count: 1 }
masters: { count: 1 }
pools:
  - name: workers
    count: 1
`,
);
const container = (machine: string) => dockerClient.getContainer(`${cluster.name}-${machine}`);

/** A small generator with a printed seed: the same seed kills at the same steps. */
const seed = Number(process.env.SLIPWAY_TEST_SEED ?? Date.now() % 1_000_000);
function random(state: number): () => number {
  let s = state;
  return () => {
    s = (Math.imul(s, 1_664_525) + 1_013_904_223) >>> 0;
    return s / 2 ** 32;
  };
}

beforeAll(async () => {
  await removeLeftovers('t-chaos');
});
afterAll(async () => {
  await cluster.remove();
});

describe('killed and started again', () => {
  test(`SIGKILL after random steps of up, again and again (seed ${seed}), ends in a whole cluster without hand work`, async () => {
    const next = random(seed);
    let kills = 0;
    while (kills < 6) {
      const after = 1 + Math.floor(next() * 14);
      const child = cluster.start('up', '--yes', '-o', 'json');
      let done = 0;
      child.stdout?.on('data', (data) => {
        done += String(data).split('"type":"done"').length - 1;
        if (done >= after) child.kill('SIGKILL');
      });
      const result = await ended(child);
      if (result.signal !== 'SIGKILL') break;
      kills++;
    }
    expect(kills).toBeGreaterThan(0);
    await cluster.must('up', '--yes');
    expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(0);
    const names = (await dockerClient.listContainers({ all: true, filters: { label: [`slipway.cluster=${cluster.name}`] } })).map(
      (c) => c.Names[0],
    );
    expect(new Set(names).size).toBe(5);
    expect(names).toHaveLength(5);
  });

  test('Ctrl-C stops cleanly with 130, says how to go on, and leaves no lock', async () => {
    await container('workers-a-1').remove({ force: true, v: true });
    const child = cluster.start('up', '--yes');
    child.stderr?.on('data', (data) => {
      if (String(data).includes('local.machine')) child.kill('SIGINT');
    });
    const stopped = await ended(child);
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toContain('again');
    await cluster.must('up', '--yes');
  });
});

describe('two at once', () => {
  test('the second is refused with 75 and told who holds the lock; with --lock-wait it waits', async () => {
    await container('workers-a-1').remove({ force: true, v: true });
    const first = cluster.start('up', '--yes', '-o', 'json');
    await new Promise<void>((running) => first.stdout?.once('data', () => running()));
    const firstEnd = ended(first);
    const second = await cluster.run('up', '--yes');
    expect(second.code).toBe(75);
    expect(second.stderr).toMatch(/cluster up/);
    expect(second.stderr).toContain('unlock');
    expect((await cluster.run('up', '--yes', '--lock-wait', '120')).code).toBe(0);
    expect((await firstEnd).code).toBe(0);
  });
});

describe('what cannot be reached', () => {
  test('with the bastion gone nothing behind it reads as "to create"', async () => {
    await container('bastion').pause();
    try {
      const plan = await cluster.run('plan', '-o', 'json', '--detailed-exitcode');
      expect(plan.code).toBe(69);
      const { changes } = JSON.parse(plan.stdout) as { changes: { address: string; action: string }[] };
      expect(changes.filter((c) => c.action === 'create')).toEqual([]);
      expect(changes.some((c) => c.action === 'unknown' && c.address === 'host.bundle/etcd-a')).toBe(true);
    } finally {
      await container('bastion').unpause();
    }
  });

  test('an API server that is stopped is started again, and says so in the plan', async () => {
    await cluster.ssh('master-a', 'systemctl stop kube-apiserver');
    const plan = JSON.parse((await cluster.must('plan', '-o', 'json')).stdout) as {
      changes: { address: string; action: string }[];
    };
    expect(plan.changes.find((c) => c.address === 'host.units/master-a')?.action).toBe('update');
    expect(plan.changes.filter((c) => c.action === 'create')).toEqual([]);
    await cluster.must('up', '--yes');
    expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(0);
  });

  test('an etcd volume that did not mount never becomes an empty cluster', async () => {
    await cluster.ssh('etcd-a', 'systemctl stop etcd && mv /var/lib/etcd-main/.slipway-member /var/lib/etcd-main/.hidden');
    const up = await cluster.run('up', '--yes');
    expect(up.code).not.toBe(0);
    expect(`${up.stdout}${up.stderr}`).toMatch(/etcd/);
    await cluster.ssh('etcd-a', 'mv /var/lib/etcd-main/.hidden /var/lib/etcd-main/.slipway-member');
    await cluster.must('up', '--yes');
    expect(await cluster.kubectl('get', 'nodes', '-o', 'name')).toContain('workers-a-1');
  });
});

describe('growing by up', () => {
  test('a worker more in a pool, a new pool with taints and labels', async () => {
    cluster.edit((yaml) =>
      yaml
        .replace('count: 1\n', 'count: 1\n')
        .replace(
          /- name: workers\n {4}count: 1/,
          '- name: workers\n    count: 2\n  - name: gpu\n    count: 1\n    labels: { tier: gpu }\n    taints: [{ key: gpu, value: "yes", effect: NoSchedule }]',
        ),
    );
    await cluster.must('up', '--yes');
    const node = JSON.parse(await cluster.kubectl('get', 'node', 'gpu-a-1', '-o', 'json'));
    expect(node.metadata.labels.tier).toBe('gpu');
    expect(node.spec.taints).toEqual([{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }]);
    expect(await cluster.kubectl('get', 'nodes', '-o', 'name')).toContain('workers-a-2');
    expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(0);
  });

  test('one etcd member and master to three, as learners, while the API serves', async () => {
    cluster.edit((yaml) =>
      yaml
        .replace('zones: [a]', 'zones: [a, b, c]')
        .replace('etcd: { count: 1 }', 'etcd: { count: 3 }')
        .replace('masters: { count: 1 }', 'masters: { count: 3 }'),
    );
    await cluster.must('up', '--yes');
    const status = JSON.parse((await cluster.must('status', '-o', 'json')).stdout) as {
      etcd: { cluster: string; healthy: boolean; learner: boolean }[];
    };
    expect(status.etcd.filter((m) => m.cluster === 'main').map((m) => [m.healthy, m.learner])).toEqual([
      [true, false],
      [true, false],
      [true, false],
    ]);
  });
});

describe('cluster down', () => {
  test('without --allow-data-loss keeps the volumes and the records, and up brings the data back', async () => {
    await cluster.kubectl('create', 'configmap', 'kept', '--from-literal=a=b');
    await cluster.must('down', '--yes');
    expect((await leftovers(cluster.name)).every((thing) => thing.startsWith('volume'))).toBe(true);
    await cluster.must('up', '--yes');
    expect(await cluster.kubectl('get', 'configmap', 'kept', '-o', 'jsonpath={.data.a}')).toBe('b');
  });

  test('works on a half-made cluster and leaves nothing', async () => {
    await container('master-a').remove({ force: true, v: true });
    await container('bastion').remove({ force: true, v: true });
    await cluster.must('down', '--yes', '--allow-data-loss');
    expect(await leftovers(cluster.name)).toEqual([]);
  });
});
