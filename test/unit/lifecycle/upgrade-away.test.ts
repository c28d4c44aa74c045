import { expect, test } from 'vitest';
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
