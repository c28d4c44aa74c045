import { expect, test } from 'vitest';
import { compareVersions } from '../../../src/assets/version-order.ts';
import { withProviderDefaults } from '../../../src/config/provider-defaults.ts';
import { type Cluster, clusterSchema } from '../../../src/config/schema.ts';
import { UserError } from '../../../src/errors.ts';
import type { ObjectName } from '../../../src/kube/objects.ts';
import type { Opened } from '../../../src/lifecycle/opened.ts';
import { digestOf } from '../../../src/plan/canonical.ts';
import { MemoryGroups } from '../../support/memory-groups.ts';
import { UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

const zones = ['eu-west-1a', 'eu-west-1b'];
const at = (version: string, upgrade: Readonly<Record<string, unknown>> = {}): Cluster =>
  clusterSchema.parse(
    withProviderDefaults({
      apiVersion: 'slipway/v1',
      kind: 'Cluster',
      name: 'demo',
      provider: { aws: { region: 'eu-west-1' } },
      zones,
      kubernetes: { version },
      etcd: { count: 1 },
      masters: { count: 1 },
      pools: [{ name: 'workers', count: 3, upgrade }],
    }),
  );
const bundle = 'pool.bundle/workers';

/** A cluster in memory whose workers a cloud's groups make: two in the first zone, one in the second. */
async function standing(file: Cluster) {
  const cluster = new UpgradableCluster(time);
  const groups = new MemoryGroups();
  groups.types.splice(0, 2, bundle.slice(0, bundle.indexOf('/')));
  const { api } = cluster;
  const versions = new Map<string, string>();
  const broken: string[] = [];
  const published = () => cluster.world.things.get(bundle)?.props ?? {};
  groups.current = () => digestOf(published());
  groups.onMade = (machine) => {
    const [, version = ''] = /kubernetes\/(\d[\d.]*\d)\/kubelet/.exec(JSON.stringify(published())) ?? [];
    const [server = ''] = [...cluster.running('kube-apiserver').values()].toSorted(compareVersions);
    if (compareVersions(version, server) > 0) broken.push(`${machine} has kubelet ${version}, the API server is ${server}`);
    versions.set(machine, version);
    api.register(machine, { 'slipway.dev/pool': 'workers' });
  };
  groups.onEnded = (machine) => versions.delete(machine);
  const node = api.node.bind(api);
  api.node = (name) => {
    const found = node(name);
    const version = versions.get(name);
    if (!found || version === undefined) return found;
    return { ...found, status: { conditions: [{ type: 'Ready', status: 'True' }], nodeInfo: { kubeletVersion: `v${version}` } } };
  };
  const remove = api.delete.bind(api);
  Object.assign(api, {
    delete: async (object: ObjectName) => (object.kind === 'Node' ? api.forget(object.name) : remove(object)),
  });
  const over = (of: Cluster): Partial<Opened> => {
    const { provider } = cluster.opened(of);
    return { provider: { ...provider, groups: () => groups } };
  };
  await cluster.up(file, over(file));
  groups.add(`workers-${zones[0]}`, 2);
  groups.add(`workers-${zones[1]}`, 1);
  cluster.stands();
  return { cluster, groups, versions, over, broken };
}

test('masters first, then what groups make machines by, then member by member; the plan is empty then', async () => {
  const { cluster, groups, versions, over, broken } = await standing(at('1.35.4'));
  const file = at('1.36.3');
  const plan = await cluster.until(
    import('../../../src/lifecycle/upgrade.ts').then(({ planUpgrade }) => planUpgrade(cluster.opened(file, over(file)))),
  );
  const pools = plan.rollout.waves.find(({ name }) => name === 'pools');
  expect(pools?.changes).toEqual([bundle]);
  expect(pools?.lanes[0]?.turns.map(({ machine, how }) => `${how} ${machine}`)).toEqual([
    'replace i-01',
    'replace i-02',
    'replace i-03',
  ]);
  expect(pools?.lanes[0]?.turns[0]?.versions.find(({ what }) => what === 'kubelet')).toMatchObject({
    before: '1.35.4',
    after: '1.36.3',
  });
  const result = await cluster.upgrade(file, {}, over(file));
  expect(result.waves.map(({ name }) => name)).toEqual(
    ['etcd', 'masters', 'addons', 'pools'].filter((name) => result.waves.some((wave) => wave.name === name)),
  );
  expect({ outcome: result.outcome, broken, violations: cluster.broken }).toEqual({
    outcome: 'done',
    broken: [],
    violations: [],
  });
  expect([...versions.values()]).toEqual(['1.36.3', '1.36.3', '1.36.3']);
  expect([...groups.held.values()].map(({ desired, before }) => ({ desired, before }))).toEqual([
    { desired: 2, before: undefined },
    { desired: 1, before: undefined },
  ]);
  expect((await cluster.record()).rollout).toBeUndefined();
  expect(await cluster.left(file)).toEqual([]);
  expect(cluster.api.cordoned()).toEqual([]);
});

test('a strategy that groups cannot follow is refused before anything starts', async () => {
  const { cluster, over } = await standing(at('1.35.4', { strategy: 'in-place' }));
  const file = at('1.36.3', { strategy: 'in-place' });
  const refused = await cluster.upgrade(file, {}, over(file)).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(UserError);
  expect(String(refused)).toMatch(/pools\[0\]\.upgrade\.strategy/);
  expect(cluster.world.log).toEqual([]);
});

test('killed after any act of the upgrade, the same command comes to the same end', async () => {
  const file = at('1.36.3');
  // Others each time; `npm run test:all` kills after each of them.
  const every = process.env.SLIPWAY_E2E_LONG === undefined ? 3 : 1;
  const seed = Number(process.env.SLIPWAY_TEST_SEED ?? Math.floor(Math.random() * 1000));
  for (let act = 1 + (seed % every); act < 100; act += every) {
    const { cluster, groups, versions, over, broken } = await standing(at('1.35.4'));
    let last = true;
    groups.onAct = () => {
      if (cluster.dead) throw new Error('killed');
    };
    await cluster.killedAfter(act, (more) => {
      return cluster.upgrade(file, {}, { ...over(file), ...more }).then(() => {
        last = false;
      });
    });
    await cluster.upgrade(file, {}, over(file));
    expect({ seed, act, broken, versions: [...versions.values()], left: await cluster.left(file) }).toEqual({
      seed,
      act,
      broken: [],
      versions: ['1.36.3', '1.36.3', '1.36.3'],
      left: [],
    });
    expect([...groups.held.values()].map(({ desired, before }) => [desired, before])).toEqual([
      [2, undefined],
      [1, undefined],
    ]);
    if (!last) break;
  }
}, 300_000);
