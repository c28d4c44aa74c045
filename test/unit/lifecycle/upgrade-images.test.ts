import { describe, expect, test } from 'vitest';
import type { Cluster, ClusterInput } from '../../../src/config/schema.ts';
import { aCluster } from '../../support/builders.ts';
import { standingAs, type UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

type Upgrade = NonNullable<ClusterInput['etcd']>['upgrade'];
const at = (version: string, upgrade: NonNullable<ClusterInput['pools']>[number]['upgrade'], control: Upgrade = {}): Cluster =>
  aCluster({
    kubernetes: { version },
    masters: { count: 2, upgrade: control },
    etcd: { count: 3, upgrade: control },
    pools: [{ name: 'workers', count: 2, upgrade }],
    upgrade: { stableFor: '0s' },
  });
const surge = { strategy: 'replace', maxSurge: 1, maxUnavailable: 0 } as const;
const removeFirst = { strategy: 'replace', maxSurge: 0, maxUnavailable: 1 } as const;
const standing = standingAs(at('1.33.13', surge), time);

/** The words that an upgrade stops with. */
const stopped = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'it went well',
    (error: unknown) => String(error instanceof Error ? error.message : error),
  );
async function goesOn(cluster: UpgradableCluster, file: Cluster, machines: readonly string[]): Promise<void> {
  cluster.image = 'good';
  expect((await cluster.upgrade(file)).outcome).toBe('done');
  expect(cluster.broken).toEqual([]);
  expect(await cluster.left(file)).toEqual([]);
  expect(cluster.machines()).toEqual(machines);
  expect([cluster.api.cordoned(), cluster.api.tainted(), cluster.api.pods.size]).toEqual([[], [], 4]);
  expect([...new Set(cluster.running('kubelet').values())]).toEqual([file.kubernetes.version]);
}

const images = [
  ['does not boot', /no SSH connection within 120 s/],
  ['does not join', /the node gave no sign of life within 120 s[\s\S]*no route to the API/],
] as const;
const mends = {
  'mended where it stands': (cluster: UpgradableCluster, machine: string) => {
    cluster.stuck.delete(machine);
    cluster.api.register(machine, {});
  },
  'deleted by hand': (cluster: UpgradableCluster, machine: string) => cluster.lose(machine),
};
const cases = images.flatMap(([image, why]) => Object.entries(mends).map(([mend, mends]) => ({ image, why, mend, mends })));

describe.each(cases)('a new machine that $image, and is $mend', ({ image, why, mends }) => {
  test('made besides: no old machine goes, and none is made twice', async () => {
    const cluster = await standing();
    const machines = cluster.machines();
    const file = at('1.34.4', surge);
    cluster.image = image;
    const said = await stopped(cluster.upgrade(file));
    const [spare = ''] = cluster.made;
    expect(said).toContain(`turn of ${spare} failed; the upgrade stopped there`);
    expect(said).toMatch(why);
    const stands = () => {
      expect([cluster.made, cluster.broken]).toEqual([[spare], []]);
      expect(cluster.machines()).toEqual([...machines, spare].toSorted());
      for (const old of ['workers-a-1', 'workers-b-1']) expect(cluster.running('kubelet').get(old)).toBe('1.33.13');
      expect(cluster.api.podsOn('workers-a-1').length + cluster.api.podsOn('workers-b-1').length).toBe(4);
      expect(cluster.api.cordoned().filter((name) => name !== spare)).toEqual([]);
    };
    stands();
    // The same command again, before anything is mended.
    expect(await stopped(cluster.upgrade(file))).toContain(spare);
    stands();
    mends(cluster, spare);
    await goesOn(cluster, file, machines);
    expect(cluster.made.filter((name) => name === 'workers-a-1')).toHaveLength(1);
  });

  test.each([
    ['a worker', at('1.34.4', removeFirst), 'workers-'],
    ['a master', at('1.34.4', removeFirst, { strategy: 'replace' }), 'master-'],
  ])('in the place of %s that went first: nobody else goes', async (_, file, kind) => {
    const cluster = await standing();
    const machines = cluster.machines();
    cluster.onAct = (act) => {
      if (act.startsWith(`delete local.machine/${kind}`)) cluster.image = image;
    };
    const said = await stopped(cluster.upgrade(file));
    const bad = cluster.made.at(-1) ?? '';
    expect(bad).toContain(kind);
    expect(said).toContain(`turn of ${bad} failed; the upgrade stopped there`);
    expect(said).toMatch(why);
    const made = [...cluster.made];
    expect(await stopped(cluster.upgrade(file))).toContain(bad);
    expect([cluster.made, cluster.machines(), cluster.broken]).toEqual([made, machines, []]);
    cluster.onAct = () => undefined;
    mends(cluster, bad);
    await goesOn(cluster, file, machines);
  });
});
