import { describe, expect, test } from 'vitest';
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
  expect((await cluster.record()).versions.kubernetes).toBe(file.kubernetes.version);
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
