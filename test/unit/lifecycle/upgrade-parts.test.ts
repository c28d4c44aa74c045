import { describe, expect, test } from 'vitest';
import type { Cluster, ClusterInput } from '../../../src/config/schema.ts';
import { aCluster } from '../../support/builders.ts';
import { standingAs, type UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

const at = (version: string, over: Partial<ClusterInput> = {}): Cluster =>
  aCluster({ etcd: { count: 1 }, masters: { count: 2 }, ...over, kubernetes: { ...over.kubernetes, version } });

async function goesOn(cluster: UpgradableCluster, file: Cluster): Promise<void> {
  expect((await cluster.upgrade(file)).outcome).toBe('done');
  expect(cluster.broken).toEqual([]);
  expect(await cluster.left(file)).toEqual([]);
  expect([cluster.api.cordoned(), cluster.api.tainted()]).toEqual([[], []]);
  expect((await cluster.record()).rollout).toBeUndefined();
}

describe('a way of two minor versions', () => {
  const twice = at('1.36.3');
  const standing = standingAs(at('1.34.4'), time);

  test.each(['masters', 'wave'] as const)(
    '--pause-after %s: the same command goes on each time, and comes to the end',
    async (pauseAfter) => {
      const cluster = await standing();
      const outcomes: string[] = [];
      for (let run = 1; run <= 4 && outcomes.at(-1) !== 'done'; run++) {
        const before = cluster.acts.length;
        outcomes.push((await cluster.upgrade(twice, { pauseAfter })).outcome);
        expect(cluster.world.log.length, `run ${run}`).toBeGreaterThan(0);
        expect(cluster.acts.length).toBeGreaterThan(before);
      }
      expect(outcomes).toEqual(['paused', 'paused', 'done']);
      expect(cluster.broken).toEqual([]);
    },
  );

  test('--only a pool is refused before anything begins; after the masters it goes, behind the addons', async () => {
    const cluster = await standingAs(at('1.34.4', { kubernetes: { components: { coredns: '1.14.7' } } }), time)();
    const part = { only: { what: 'pool', name: 'workers' } } as const;
    const before = cluster.acts.length;
    await expect(cluster.dryRun(twice, part)).rejects.toThrow(/masters go first, to 1\.35/);
    await expect(cluster.upgrade(twice, part)).rejects.toThrow(/--only role=masters, then this again/);
    expect(cluster.acts.length).toBe(before);
    expect((await cluster.upgrade(twice, { only: { what: 'role', name: 'masters' } })).outcome).toBe('paused');
    const result = await cluster.upgrade(twice, part);
    expect(result.outcome).toBe('done');
    expect(result.waves.map(({ name }) => name)).toEqual(['addons', 'pools']);
    expect([cluster.broken, await cluster.left(twice)]).toEqual([[], []]);
  });

  test('a master that cannot be seen any more after the first: no kubelet goes past its API server', async () => {
    const cluster = await standing();
    cluster.onAct = (act) => {
      if (act !== 'uncordon master-b') return;
      for (const type of ['host.bundle', 'host.units', 'host.packages'] as const)
        cluster.world.unreachable.set(`${type}/master-b`, 'SSH hangs');
    };
    await expect(cluster.upgrade(twice)).rejects.toMatchObject({ exitCode: 69 });
    expect(cluster.broken).toEqual([]);
    expect([...new Set(cluster.running('kubelet').values())].toSorted()).toEqual(['1.34.4', '1.35.4']);
    cluster.onAct = () => undefined;
    cluster.world.unreachable.clear();
    await goesOn(cluster, twice);
  });
});

describe('cluster.yaml edited on the way of two minor versions', () => {
  test('the first of them is far enough: everyone comes there', async () => {
    const cluster = await standingAs(at('1.34.4'), time)();
    await cluster.upgrade(at('1.36.3'), { pauseAfter: 'masters' });
    await cluster.abort(at('1.36.3'));
    await goesOn(cluster, at('1.35.4'));
    expect([...new Set(cluster.running('kubelet').values())]).toEqual(['1.35.4']);
  });

  test('masters that went with the first hop, and are wanted again after the second, are as their peer is', async () => {
    const masters = (version: string, count: number) => at(version, { masters: { count } });
    const standing = standingAs(masters('1.34.4', 3), time);
    const whole = await standing();
    await whole.upgrade(masters('1.36.3', 1));
    const cluster = await standing();
    const second = whole.acts.indexOf('evict web-workers-b-1-1');
    await cluster.killedAfter(second + 1, (over) => cluster.upgrade(masters('1.36.3', 1), {}, over));
    await cluster.up(masters('1.36.3', 3));
    expect([...new Set(cluster.running('kube-apiserver').values())]).toEqual(['1.36.3']);
    expect(cluster.broken).toEqual([]);
    await goesOn(cluster, masters('1.36.3', 3));
  });
});

test('masters that were to go, and stay after all, are taken for what they are', async () => {
  const masters = (count: number) => at('1.36.3', { masters: { count } });
  const cluster = await standingAs(at('1.33.13', { masters: { count: 3 } }), time)();
  cluster.onAct = (act) => {
    if (act === 'cordon master-b') throw new Error('no way to it');
  };
  await expect(cluster.upgrade(masters(1))).rejects.toThrow(/master-b/);
  expect(cluster.running('kube-apiserver').get('master-a')).toBe('1.34.4');
  cluster.onAct = () => undefined;
  await goesOn(cluster, masters(3));
});

test('another patch, older than the one that a first master has reached: the others still go before any kubelet', async () => {
  const cluster = await standingAs(at('1.35.4'), time)();
  cluster.onAct = (act) => {
    if (act === 'cordon master-b') throw new Error('no way to it');
  };
  await expect(cluster.upgrade(at('1.36.3'))).rejects.toThrow(/master-b/);
  expect(cluster.running('kube-apiserver').get('master-a')).toBe('1.36.3');
  cluster.onAct = () => undefined;
  await goesOn(cluster, at('1.36.2'));
  expect([...new Set(cluster.running('kube-apiserver').values())]).toEqual(['1.36.2']);
});

describe('etcd by a minor version', () => {
  const older = { kubernetes: { components: { etcd: '3.5.35' } }, etcd: { count: 3 } } as const;

  test('--only a zone: the cluster rises with the last member, and nobody waits for that before', async () => {
    const cluster = await standingAs(at('1.36.3', older), time)();
    const file = at('1.36.3', { etcd: { count: 3 } });
    const result = await cluster.upgrade(file, { only: { what: 'zone', name: 'a' } });
    expect([result.outcome, result.left.map(({ machine }) => machine)]).toEqual(['paused', ['etcd-b', 'etcd-c']]);
    await goesOn(cluster, file);
  });

  test('given up before any master has moved: Kubernetes goes back to its minor version, and etcd stays where it cannot', async () => {
    const three = { etcd: { count: 3 } };
    const cluster = await standingAs(at('1.33.13', three), time)();
    await cluster.upgrade(at('1.34.4', three), { pauseAfter: 'wave' });
    expect([...new Set(cluster.running('etcd').values())]).toEqual(['3.6.16']);
    await cluster.abort(at('1.34.4', three));
    await expect(cluster.upgrade(at('1.33.13', three))).rejects.toThrow(/etcd cannot go back[\s\S]*components.etcd: 3.6.16/);
    const back = at('1.33.13', { ...three, kubernetes: { components: { etcd: '3.6.16' } } });
    expect((await cluster.upgrade(back)).outcome).toBe('nothing to do');
    expect(await cluster.left(back)).toEqual([]);
    expect((await cluster.record()).rollout).toBeUndefined();
    expect([...new Set(cluster.running('kube-apiserver').values())]).toEqual(['1.33.13']);
  });

  test('members that are to leave hold the cluster at its version until then', async () => {
    const cluster = await standingAs(at('1.36.3', older), time)();
    const file = at('1.36.3', { etcd: { count: 1 } });
    expect((await cluster.upgrade(file)).outcome).toBe('done');
    expect(cluster.broken).toEqual([]);
    expect([...cluster.running('etcd')]).toEqual([['etcd-a', '3.6.16']]);
  });

  test('a member that is not well, and is no longer wanted, goes first; while others take turns it is in the way', async () => {
    const cluster = await standingAs(at('1.36.3', older), time)();
    cluster.world.things.delete('host.units/etcd-c');
    const [same, newer] = [older.kubernetes, {}].map((kubernetes) => at('1.36.3', { kubernetes, etcd: { count: 1 } }));
    if (!same || !newer) throw new Error('two files');
    await expect(cluster.upgrade(newer)).rejects.toThrow(/a turn takes one more member away/);
    expect((await cluster.upgrade(same)).outcome).toBe('done');
    expect(cluster.broken).toEqual([]);
    expect(cluster.acts.filter((act) => /^delete etcd.member\/main/.test(act))).toEqual([
      'delete etcd.member/main.etcd-c',
      'delete etcd.member/main.etcd-b',
    ]);
  });
});

describe('fewer machines', () => {
  const pools = (count: number) => ({ pools: [{ name: 'workers', count }] });
  const standing = standingAs(at('1.35.4'), time);

  test('a worker that is lost, and is no longer wanted, is in nobody’s way', async () => {
    const cluster = await standing();
    cluster.lose('workers-c-1');
    await goesOn(cluster, at('1.36.3', pools(2)));
    expect([...cluster.api.nodes.keys()]).not.toContain('workers-c-1');
  });

  test('a worker without a Node goes without a drain', async () => {
    const cluster = await standing();
    cluster.api.forget('workers-c-1');
    cluster.api.reschedule('workers-c-1');
    cluster.world.things.delete('kube.node/workers-c-1');
    await goesOn(cluster, at('1.36.3', pools(2)));
    expect(cluster.machines()).not.toContain('workers-c-1');
  });
});

describe('killed while a node of the second pool is drained', () => {
  const two: Partial<ClusterInput> = {
    pools: [
      { name: 'workers', count: 3 },
      { name: 'batch', count: 2 },
    ],
  };
  test('that one is finished before any other is taken away', async () => {
    const cluster = await standingAs(at('1.35.4', two), time)();
    const whole = cluster.copy();
    await whole.upgrade(at('1.36.3', two));
    const act = whole.acts.findIndex((each) => each.startsWith('evict web-batch'));
    await cluster.killedAfter(act + 1, (over) => cluster.upgrade(at('1.36.3', two), {}, over));
    const [cordoned] = cluster.api.cordoned();
    expect(cordoned).toMatch(/^batch/);
    let most = 0;
    cluster.onAct = () => {
      most = Math.max(most, cluster.api.cordoned().length);
    };
    await goesOn(cluster, at('1.36.3', two));
    expect(most).toBe(1);
  });
});
