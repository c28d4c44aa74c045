import { describe, expect, test } from 'vitest';
import { versionsAsked } from '../../../src/assets/catalogue.ts';
import type { Cluster, ClusterInput } from '../../../src/config/schema.ts';
import { aCluster } from '../../support/builders.ts';
import { UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

const at = (version: string, over: Partial<ClusterInput> = {}): Cluster =>
  aCluster({ ...over, kubernetes: { ...over.kubernetes, version } });

async function standing(file: Cluster): Promise<UpgradableCluster> {
  const cluster = new UpgradableCluster(time);
  await cluster.up(file);
  cluster.populate();
  cluster.stands();
  return cluster;
}
/** Everything is where the file says, and nothing else has remained. */
async function isDone(cluster: UpgradableCluster, file: Cluster, result: { readonly outcome: string }): Promise<void> {
  expect(cluster.broken).toEqual([]);
  expect(result.outcome).toBe('done');
  expect(await cluster.left(file)).toEqual([]);
  expect((await cluster.record()).rollout).toBeUndefined();
  expect((await cluster.record()).versions).toEqual(versionsAsked(file));
  expect([...new Set(cluster.running('kubelet').values())]).toEqual([file.kubernetes.version]);
  expect([...new Set(cluster.running('kube-apiserver').values())]).toEqual([file.kubernetes.version]);
  expect([cluster.api.cordoned(), cluster.api.tainted()]).toEqual([[], []]);
}

describe('upgrade in memory, from up to an empty plan, the skew policy and quorum kept after every act', () => {
  const ways = {
    'in place': { strategy: 'in-place' },
    'replace, removing first': { strategy: 'replace', maxSurge: 0, maxUnavailable: 1 },
    'replace, with a spare': { strategy: 'replace', maxSurge: 1, maxUnavailable: 0 },
  } as const;
  const matrix = [1, 2, 3, 5].flatMap((masters) => Object.entries(ways).map(([name, upgrade]) => ({ masters, name, upgrade })));
  test.each(matrix)('$masters masters, $name', async ({ masters, upgrade }) => {
    const { strategy } = upgrade;
    const over: Partial<ClusterInput> = {
      masters: { count: masters, upgrade: { strategy } },
      etcd: { count: masters === 2 ? 1 : masters, upgrade: { strategy } },
      pools: [{ name: 'workers', count: 3, upgrade }],
    };
    const cluster = await standing(at('1.35.4', over));
    const machines = cluster.machines();
    const result = await cluster.upgrade(at('1.36.3', over));
    await isDone(cluster, at('1.36.3', over), result);
    expect(cluster.machines()).toEqual(machines);
    const workers = machines.filter((name) => name.startsWith('workers'));
    const spares = cluster.made.filter((name) => !machines.includes(name));
    if (strategy === 'in-place') expect(cluster.made).toEqual([]);
    else expect(cluster.made.filter((name) => name.startsWith('workers')).sort()).toEqual([...workers, ...spares].sort());
    expect(spares).toHaveLength('maxSurge' in upgrade ? upgrade.maxSurge : 0);
    expect(cluster.api.pods.size).toBe(6);
  });

  test('no spare is made for a pool in which nobody is made anew', async () => {
    const file = at('1.36.3', { pools: [{ name: 'workers', count: 3, upgrade: ways['replace, with a spare'] }] });
    const cluster = await standing(file);
    const node = 'kube.node/workers-a-1';
    const thing = cluster.world.things.get(node);
    if (!thing) throw new Error(`there is no ${node}`);
    cluster.world.things.set(node, { ...thing, props: { ...thing.props, labels: {} } });
    cluster.world.things.delete('host.units/workers-b-1');
    const { waves } = (await cluster.dryRun(file)).rollout;
    expect(waves.flatMap(({ lanes }) => lanes)).toMatchObject([
      { maxUnavailable: 1, maxSurge: 0, first: [], turns: [{ how: 'in-place' }, { how: 'in-place' }], last: [] },
    ]);
  });

  test.each(['in-place', 'replace'] as const)('1.33.13 → 1.36.3, etcd 3.5 → 3.6 first, %s', async (strategy) => {
    const over: Partial<ClusterInput> = {
      masters: { count: 2, upgrade: { strategy } },
      etcd: { count: 3, upgrade: { strategy } },
      pools: [{ name: 'workers', count: 2, upgrade: { strategy } }],
    };
    const cluster = await standing(at('1.33.13', over));
    const result = await cluster.upgrade(at('1.36.3', over));
    await isDone(cluster, at('1.36.3', over), result);
    expect(result.waves.map(({ name, kubernetes }) => `${name} ${kubernetes}`)).toEqual([
      'etcd 1.34.4',
      'masters 1.34.4',
      'masters 1.35.4',
      'masters 1.36.3',
      'pools 1.36.3',
    ]);
    expect([...new Set(cluster.running('etcd').values())]).toEqual(['3.6.16']);
  });

  const older = { etcd: '3.5.35', containerd: '2.3.7', runc: '1.4.3', cni: '1.9.0', coredns: '1.14.7' };
  const components = (file: Cluster): readonly (readonly [string, string])[] => Object.entries(versionsAsked(file));
  test.each(['in-place', 'replace'] as const)('components alone, etcd by a minor version: %s', async (strategy) => {
    const over: Partial<ClusterInput> = {
      masters: { count: 2, upgrade: { strategy } },
      etcd: { count: 3, upgrade: { strategy } },
      pools: [{ name: 'workers', count: 2, upgrade: { strategy } }],
    };
    const before = at('1.36.3', { ...over, kubernetes: { components: older } });
    const file = at('1.36.3', over);
    const cluster = await standing(before);
    expect([...new Set(cluster.running('etcd').values())]).toEqual(['3.5.35']);
    const plan = await cluster.planned(file);
    const [left] = plan.changes.filter(({ address }) => address === 'rollout/kubernetes');
    const was = new Map(components(before));
    expect(left?.fields.map(({ path, before, after }) => [path, before, after])).toEqual(
      components(file).flatMap(([name, version]) => (was.get(name) === version ? [] : [[name, was.get(name), version]])),
    );
    const result = await cluster.upgrade(file);
    await isDone(cluster, file, result);
    expect(result.waves.map(({ name }) => name)).toEqual(['etcd', 'masters', 'addons', 'pools']);
    expect([...new Set(cluster.running('etcd').values())]).toEqual(['3.6.16']);
    expect([...new Set(cluster.running('containerd').values())]).toEqual(['2.4.2']);
  });

  test('a component that the file chooses stays through an upgrade of Kubernetes, and goes back when it says so', async () => {
    const chosen = { kubernetes: { components: { containerd: '2.4.1', coredns: '1.14.7' } } };
    const cluster = await standing(at('1.34.4', chosen));
    await isDone(cluster, at('1.36.3', chosen), await cluster.upgrade(at('1.36.3', chosen)));
    expect([...new Set(cluster.running('containerd').values())]).toEqual(['2.4.1']);
    const back = at('1.36.3', { kubernetes: { components: { containerd: '2.3.7' } } });
    await isDone(cluster, back, await cluster.upgrade(back));
    expect([...new Set(cluster.running('containerd').values())]).toEqual(['2.3.7']);
  });

  test.each(['in-place', 'replace'] as const)('back by a patch version, pools first: %s', async (strategy) => {
    const over: Partial<ClusterInput> = {
      masters: { count: 2, upgrade: { strategy } },
      etcd: { count: 1 },
      pools: [{ name: 'workers', count: 2, upgrade: { strategy } }],
    };
    const cluster = await standing(at('1.36.3', over));
    const result = await cluster.upgrade(at('1.36.2', over));
    await isDone(cluster, at('1.36.2', over), result);
    expect(result.waves.map(({ name }) => name)).toEqual(['pools', 'masters']);
    await isDone(cluster, at('1.36.3', over), await cluster.upgrade(at('1.36.3', over)));
  });

  test.each([
    ['Kubernetes', at('1.35.4'), 'Kubernetes cannot go back from 1.36.3 to 1.35.4'],
    ['etcd', at('1.36.3', { kubernetes: { components: { etcd: '3.5.35' } } }), 'etcd cannot go back from 3.6.16 to 3.5.35'],
  ])('back by a minor version of %s is refused with the way to restore, as the plan says already', async (_, file, what) => {
    const cluster = await standing(at('1.36.3'));
    const left = (await cluster.planned(file)).changes.find(({ address }) => address === 'rollout/kubernetes');
    expect(left?.when).toMatchObject({ left: 'upgrade', because: expect.stringContaining(what) });
    await expect(cluster.upgrade(file)).rejects.toMatchObject({ problem: { what, next: expect.stringContaining('restore') } });
    expect(cluster.world.log).toEqual([]);
  });

  test('certificates near their end are renewed before anybody has a turn, of masters and of workers', async () => {
    const cluster = await standing(at('1.35.4'));
    const due = ['pki.certificate/master-a.apiserver', 'pki.certificate/workers-a-1.kube-proxy'] as const;
    for (const address of due) {
      const thing = cluster.world.things.get(address);
      if (!thing) throw new Error(`there is no ${address}`);
      cluster.world.things.set(address, { ...thing, props: { ...thing.props, state: 'due' } });
    }
    const { rollout } = await cluster.dryRun(at('1.36.3'));
    expect(rollout.waves[0]).toMatchObject({ name: 'heal', changes: expect.arrayContaining([...due]) });
    expect(rollout.obstacles).toContainEqual(
      expect.objectContaining({
        severity: 'warning',
        where: 'certificate master-a.apiserver',
        why: expect.stringContaining('renewed'),
      }),
    );
    const result = await cluster.upgrade(at('1.36.3'));
    await isDone(cluster, at('1.36.3'), result);
    const of = (word: string) => cluster.world.log.flatMap((act, index) => (act.includes(word) ? [index] : []));
    const renewals = due.flatMap((address) => of(address));
    expect(renewals).toHaveLength(2);
    expect(Math.max(...renewals)).toBeLessThan(Math.min(...of('host.bundle/')));
  });

  test('what somebody has taken from the Node of a master comes back in its turn, after its API server', async () => {
    const cluster = await standing(at('1.35.4'));
    const thing = cluster.world.things.get('kube.node/master-b');
    if (!thing) throw new Error('there is no kube.node/master-b');
    cluster.world.things.set('kube.node/master-b', { ...thing, props: { ...thing.props, taints: [] } });
    await isDone(cluster, at('1.36.3'), await cluster.upgrade(at('1.36.3')));
    expect(cluster.world.things.get('kube.node/master-b')?.props).toEqual(thing.props);
  });

  test('labels of a pool, with a version', async () => {
    const file = (version: string, labels: Readonly<Record<string, string>>) =>
      at(version, { pools: [{ name: 'workers', count: 3, labels }] });
    const cluster = await standing(file('1.35.4', {}));
    const newer = file('1.36.3', { tier: 'web' });
    await isDone(cluster, newer, await cluster.upgrade(newer));
  });

  test('a setting alone: API servers one after the other, no drain, no other version', async () => {
    const cluster = await standing(at('1.36.3'));
    const file = at('1.36.3', { kubernetes: { extraArgs: { apiserver: { 'max-requests-inflight': '500' } } } });
    expect(await cluster.left(file)).not.toEqual([]);
    const result = await cluster.upgrade(file);
    await isDone(cluster, file, result);
    // Twice: the API server first, and then what else is due there.
    const masters = ['master-a', 'master-b', 'master-c'].map((name) => `update host.bundle/${name}`);
    expect(cluster.world.log).toEqual(masters.flatMap((act) => [act, act]));
  });
});
