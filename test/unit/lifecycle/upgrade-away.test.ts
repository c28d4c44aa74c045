import { describe, expect, test } from 'vitest';
import type { Cluster } from '../../../src/config/schema.ts';
import { UnreachableError } from '../../../src/errors.ts';
import type { KubeClients } from '../../../src/kube/clients.ts';
import { amendRecord, readRecord } from '../../../src/lifecycle/identity.ts';
import type { Opened } from '../../../src/lifecycle/opened.ts';
import { recordKey } from '../../../src/store/store.ts';
import { aCluster } from '../../support/builders.ts';
import { UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';
import { memoryStore } from '../run/memoryStore.ts';

const time = new VirtualTimers();
time.install();

const at = (version: string): Cluster =>
  aCluster({
    kubernetes: { version },
    masters: { count: 1 },
    etcd: { count: 1 },
    upgrade: { stableFor: '0s' },
    pools: [{ name: 'workers', count: 2 }],
  });
const standing = async (): Promise<UpgradableCluster> => {
  const cluster = new UpgradableCluster(time);
  await cluster.up(at('1.35.4'));
  cluster.stands();
  return cluster;
};

/** The Nodes cannot be seen each other time that somebody asks. */
const wavering = (kube: KubeClients): KubeClients => {
  let asked = 0;
  return {
    ...kube,
    nodes: {
      next: async (signal) => {
        if (asked++ % 2 === 0) throw new UnreachableError({ what: 'the nodes are not seen' });
        return kube.nodes.next(signal);
      },
    },
  };
};

test('an API that gives no answer for a moment, while a gate waits for a node that stays Ready, is asked again', async () => {
  const cluster = await standing();
  const base = cluster.opened(at('1.36.3'));
  const layers: Opened['layers'] = async (input) => {
    const { reach, ...made } = await base.layers(input);
    const kube = wavering(reach.kube());
    return { ...made, reach: { ...reach, kube: () => kube } };
  };
  const result = await cluster.upgrade(at('1.36.3'), {}, { layers });
  expect([result.outcome, cluster.broken]).toEqual(['done', []]);
});

test('the record is what lies in the store, also when somebody else has written it since', async () => {
  const cluster = await standing();
  const store = memoryStore(cluster.objects);
  const lock = { check: async () => undefined };
  const ours = await amendRecord({ store, lock }, { keys: ['secret/ssh'] });
  expect(await readRecord(store)).toEqual(ours);
  await store.put(recordKey, new TextEncoder().encode(JSON.stringify({ ...ours, uid: 'another' })));
  expect(await readRecord(store)).toEqual({ ...ours, uid: 'another' });
  expect(await amendRecord({ store, lock }, { keys: ['secret/ssh'] })).toMatchObject({ uid: 'another' });
});

describe('a worker that is lost while others have their turns', () => {
  const three = (version: string): Cluster =>
    aCluster({
      kubernetes: { version },
      masters: { count: 1 },
      etcd: { count: 1 },
      upgrade: { stableFor: '0s' },
      pools: [{ name: 'workers', count: 4, zones: ['a'], upgrade: { maxUnavailable: 1 } }],
    });
  const turned = ({ acts }: UpgradableCluster) => acts.filter((act) => act.startsWith('cordon workers'));

  test.each(['is not Ready', 'is gone'])(
    'and %s: no other is away beside it, the upgrade stops, and goes on when it is back',
    async (how) => {
      const cluster = new UpgradableCluster(time);
      await cluster.up(three('1.35.4'));
      cluster.populate();
      cluster.stands();
      cluster.onAct = (act) => {
        if (act !== 'cordon workers-a-2') return;
        if (how === 'is gone') cluster.lose('workers-a-1');
        else cluster.api.unwell.add('workers-a-1');
      };
      const began = time.now;
      await expect(cluster.upgrade(three('1.36.3'))).rejects.toMatchObject({
        problem: {
          what: 'the upgrade was stopped',
          why: expect.stringMatching(/^a worker is lost, .*: workers-a-1\n.*\nNext: cluster up brings machines back/),
          next: expect.stringContaining('not begun, and as before: workers-a-3, workers-a-4'),
        },
      });
      expect(turned(cluster)).toEqual(['cordon workers-a-1', 'cordon workers-a-2']);
      expect(time.now - began).toBeGreaterThan(120_000);
      expect([cluster.broken, cluster.api.cordoned()]).toEqual([[], []]);
      cluster.onAct = () => undefined;
      if (how === 'is gone') await cluster.up(three('1.36.3'));
      else cluster.api.unwell.clear();
      expect((await cluster.upgrade(three('1.36.3'))).outcome).toBe('done');
      expect(turned(cluster).slice(2)).toEqual(['cordon workers-a-3', 'cordon workers-a-4']);
      expect([cluster.broken, await cluster.left(three('1.36.3'))]).toEqual([[], []]);
    },
  );

  test('within maxUnavailable the others go on', async () => {
    const cluster = new UpgradableCluster(time);
    const file = (version: string): Cluster => ({
      ...three(version),
      upgrade: { ...three(version).upgrade, maxDrains: 2 },
      pools: three(version).pools.map((pool) => ({ ...pool, upgrade: { ...pool.upgrade, maxUnavailable: 2 } })),
    });
    await cluster.up(file('1.35.4'));
    cluster.stands();
    cluster.onAct = (act) => {
      if (act === 'cordon workers-a-2') cluster.api.unwell.add('workers-a-1');
      if (act === 'cordon workers-a-4') cluster.api.unwell.clear();
    };
    const began = time.now;
    expect((await cluster.upgrade(file('1.36.3'))).outcome).toBe('done');
    expect(time.now - began).toBeLessThan(120_000);
    expect(new Set(turned(cluster)).size).toBe(4);
  });
});
