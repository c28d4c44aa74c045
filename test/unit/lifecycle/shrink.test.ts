import { cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Cluster } from '../../../src/config/schema.ts';
import { planCluster } from '../../../src/lifecycle/plan.ts';
import { runPlan } from '../../../src/lifecycle/round.ts';
import { lookSession, planFrom, withLockedSession } from '../../../src/lifecycle/session.ts';
import { up } from '../../../src/lifecycle/up.ts';
import type { Address } from '../../../src/plan/resource.ts';
import { planRemovals, removalPart } from '../../../src/rollout/removals.ts';
import { aCluster } from '../../support/builders.ts';
import { MemoryWorld, worldDigest } from '../../support/memory.ts';
import { memoryOpened } from '../../support/memory-cluster.ts';

const large = aCluster();
const freshStore = (): string => mkdtempSync(join(tmpdir(), 'slipway-shrink-'));
const standing = async (cluster: Cluster = large) => {
  const [world, store] = [new MemoryWorld(), freshStore()];
  await up(memoryOpened(cluster, world, { store }), { allowDataLoss: false, lockWaitMs: 0, confirm: async () => true });
  world.log.length = 0;
  return { world, store };
};

/** What `upgrade` does of it: what changes in place first, then one machine after the other, then the rest. */
async function shrink(cluster: Cluster, world: MemoryWorld, store: string, allowDataLoss = false, signal?: AbortSignal) {
  const opened = memoryOpened(cluster, world, { store, ...(signal && { signal }) });
  await withLockedSession(opened, { command: 'upgrade', waitMs: 0 }, async (session) => {
    const policy = { command: 'upgrade', allowDataLoss: false } as const;
    const { plan } = await lookSession(session, policy);
    const { machineAddress } = opened.provider;
    const { seen, design } = session;
    await runPlan(
      {
        ...plan,
        steps: plan.steps.filter(({ params }) => params.action !== 'delete' && !params.address.startsWith('local.balancer')),
      },
      session,
    );
    for (const { machine } of planRemovals({ plan, seen, topology: design.topology, facts: new Map(), machineAddress }).turns)
      await runPlan(removalPart(planFrom(session, policy), machine, { seen, machineAddress }), session);
    const last = await lookSession(session, { command: 'upgrade', allowDataLoss });
    await runPlan(last.plan, session);
  });
}
const left = async (cluster: Cluster, world: MemoryWorld, store: string) =>
  (await planCluster(memoryOpened(cluster, world, { store }))).changes.map(
    ({ address, action, when }) => `${'left' in when ? when.left : 'now'}: ${action} ${address}`,
  );
const machinesIn = (world: MemoryWorld): readonly string[] =>
  [...world.things.keys()]
    .filter((address) => address.startsWith('local.machine/'))
    .map((address) => address.slice('local.machine/'.length))
    .sort();

const small = aCluster({ masters: { count: 1 }, etcd: { count: 1 }, pools: [{ name: 'workers', count: 1 }] });

describe('a cluster that shrinks', () => {
  test.each([
    ['fewer workers', aCluster({ pools: [{ name: 'workers', count: 1 }] }), ['workers-b-1', 'workers-c-1'], []],
    ['a pool less', aCluster({ pools: [] }), ['workers-a-1', 'workers-b-1', 'workers-c-1'], []],
    ['3 → 1 masters', aCluster({ masters: { count: 1 } }), ['master-b', 'master-c'], []],
    ['3 → 1 etcd members', aCluster({ etcd: { count: 1 } }), ['etcd-b', 'etcd-c'], ['etcd-b', 'etcd-c']],
    ['one of each', small, ['etcd-b', 'etcd-c', 'master-b', 'master-c', 'workers-b-1', 'workers-c-1'], ['etcd-b', 'etcd-c']],
  ])('%s: only what holds data is left, and goes where that is allowed', async (_, smaller, gone, holding) => {
    const { world, store } = await standing();
    const before = machinesIn(world);
    await shrink(smaller, world, store);
    expect(machinesIn(world)).toEqual(before.filter((name) => !gone.includes(name)));
    for (const name of gone)
      expect(
        [...world.things.keys()].filter((address) => address.split(/[/.]/).includes(name) && !address.startsWith('local.volume')),
      ).toEqual([]);
    const volumes = holding.flatMap((name) => ['main', 'events'].map((etcd) => `delete local.volume/${name}.${etcd}`));
    expect((await left(smaller, world, store)).sort()).toEqual(volumes.map((each) => `allow-data-loss: ${each}`).sort());
    await shrink(smaller, world, store, true);
    expect(await left(smaller, world, store)).toEqual([]);
  });

  test('5 → 3 etcd members, a zone less', async () => {
    const { world, store } = await standing(aCluster({ zones: ['a', 'b', 'c', 'd', 'e'], etcd: { count: 5 } }));
    const smaller = aCluster({ etcd: { count: 3 } });
    await shrink(smaller, world, store, true);
    expect(await left(smaller, world, store)).toEqual([]);
    expect(machinesIn(world).filter((name) => name.startsWith('etcd'))).toEqual(['etcd-a', 'etcd-b', 'etcd-c']);
  });

  test('each machine goes after all that says so to others, and before its Node', async () => {
    const { world, store } = await standing();
    await shrink(small, world, store);
    const at = (act: string): number => {
      const index = world.log.indexOf(act);
      expect(index, act).toBeGreaterThan(-1);
      return index;
    };
    for (const name of ['master-b', 'master-c', 'workers-b-1', 'workers-c-1', 'etcd-b', 'etcd-c']) {
      expect(at(`delete host.units/${name}`)).toBeLessThan(at(`delete local.machine/${name}`));
      if (name.startsWith('etcd'))
        for (const etcd of ['main', 'events'])
          expect(at(`delete etcd.member/${etcd}.${name}`)).toBeLessThan(at(`delete host.units/${name}`));
      else expect(at(`delete local.machine/${name}`)).toBeLessThan(at(`delete kube.node/${name}`));
    }
    // Whom an API server still asks stays until it asks nobody else.
    expect(at('update host.bundle/master-a')).toBeLessThan(at('delete etcd.member/main.etcd-b'));
  });

  test('killed after every one of its steps and run again, it ends in the same world', async () => {
    const before = await standing();
    const copy = () => {
      const [world, store] = [new MemoryWorld(), freshStore()];
      for (const [address, thing] of before.world.things) world.things.set(address, thing);
      for (const [address, below] of before.world.below) world.below.set(address, below);
      cpSync(before.store, store, { recursive: true });
      return { world, store };
    };
    const whole = copy();
    await shrink(small, whole.world, whole.store);
    const acts = whole.world.log.length;
    expect(acts).toBeGreaterThan(20);
    for (let kill = 1; kill <= acts; kill++) {
      const { world, store } = copy();
      const killer = new AbortController();
      let count = 0;
      world.onAct = () => {
        if (++count >= kill) killer.abort(new Error('killed'));
        if (killer.signal.aborted) throw new Error('killed');
      };
      await shrink(small, world, store, false, killer.signal).catch(() => undefined);
      world.onAct = () => undefined;
      await shrink(small, world, store);
      expect(worldDigest(world), `killed after ${kill} acts`).toBe(worldDigest(whole.world));
    }
  }, 300_000);

  test('a machine that cannot be seen is not taken for one that has gone', async () => {
    const { world, store } = await standing();
    const address: Address = 'local.machine/workers-c-1';
    const thing = world.things.get(address);
    world.things.delete(address);
    world.unreachable.set(address, 'Docker does not answer');
    await shrink(aCluster({ pools: [{ name: 'workers', count: 2 }] }), world, store).catch(() => undefined);
    expect(world.log.filter((act) => act.includes('local.machine'))).toEqual([]);
    expect(thing).toBeDefined();
  });
});
