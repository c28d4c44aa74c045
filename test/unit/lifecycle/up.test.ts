import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { down } from '../../../src/lifecycle/down.ts';
import type { Opened } from '../../../src/lifecycle/opened.ts';
import { planCluster } from '../../../src/lifecycle/plan.ts';
import { type UpOptions, up } from '../../../src/lifecycle/up.ts';
import { aCluster } from '../../support/builders.ts';
import { MemoryWorld, worldDigest } from '../../support/memory.ts';
import { memoryOpened } from '../../support/memory-cluster.ts';

const cluster = aCluster();
const yes: UpOptions = { allowDataLoss: false, lockWaitMs: 0, confirm: async () => true };
const go = (opened: Opened, over: Partial<UpOptions> = {}) => up(opened, { ...yes, ...over });
const freshStore = (): string => mkdtempSync(join(tmpdir(), 'slipway-up-'));

describe('up', () => {
  test('from nothing makes the whole highly available cluster, and a new plan is empty', async () => {
    const world = new MemoryWorld();
    const opened = memoryOpened(cluster, world);
    const result = await go(opened);
    expect(result.outcome).toBe('done');
    expect([...world.things.keys()].filter((a) => a.startsWith('local.machine/'))).toHaveLength(10);
    expect((await planCluster(opened)).changes).toEqual([]);
    expect((await go(opened)).outcome).toBe('nothing to do');
  });

  test('killed after every one of its steps and run again, it ends in the same world and makes nothing twice', async () => {
    const whole = new MemoryWorld();
    await go(memoryOpened(cluster, whole));
    const steps = whole.log.length;
    expect(steps).toBeGreaterThan(100);
    for (let kill = 1; kill <= steps; kill++) {
      const world = new MemoryWorld();
      const store = freshStore();
      const killer = new AbortController();
      let acts = 0;
      world.onAct = () => {
        if (++acts >= kill) killer.abort(new Error('killed'));
        if (killer.signal.aborted) throw new Error('killed');
      };
      await go(memoryOpened(cluster, world, { store, signal: killer.signal })).catch(() => undefined);
      world.onAct = () => undefined;
      await go(memoryOpened(cluster, world, { store }));
      expect(worldDigest(world), `killed after ${kill} acts`).toBe(worldDigest(whole));
    }
  }, 300_000);

  test('grows: workers, a pool, a zone, masters, etcd members; the rest stays untouched', async () => {
    const world = new MemoryWorld();
    const store = freshStore();
    await go(memoryOpened(cluster, world, { store }));
    const before = new Map(world.things);
    world.log.length = 0;
    const larger = aCluster({
      zones: ['a', 'b', 'c', 'd'],
      masters: { count: 5 },
      etcd: { count: 5 },
      pools: [
        { name: 'workers', count: 6 },
        { name: 'gpu', count: 1 },
      ],
    });
    await go(memoryOpened(larger, world, { store }));
    expect((await planCluster(memoryOpened(larger, world, { store }))).changes.filter((c) => 'now' in c.when)).toEqual([]);
    for (const name of ['master-a', 'etcd-b', 'workers-c-1'])
      expect(world.things.get(`local.machine/${name}`)).toEqual(before.get(`local.machine/${name}`));
    for (const name of ['master-d', 'etcd-a-2', 'workers-d-1', 'gpu-a-1'])
      expect(world.things.has(`local.machine/${name}`)).toBe(true);
  });

  test('a new master starts only when the etcd members that join beside it are voters', async () => {
    const world = new MemoryWorld();
    const store = freshStore();
    const of = (count: number) => memoryOpened(aCluster({ masters: { count }, etcd: { count } }), world, { store });
    await go(of(1));
    world.log.length = 0;
    await go(of(3));
    const at = (act: string) => world.log.indexOf(act);
    expect(at('create etcd.member/main.etcd-c')).toBeGreaterThan(-1);
    for (const member of ['main.etcd-b', 'main.etcd-c', 'events.etcd-b', 'events.etcd-c'])
      expect(at('create host.units/master-b')).toBeGreaterThan(at(`create etcd.member/${member}`));
  });

  test('a shrunken file deletes nothing: it is left to upgrade', async () => {
    const world = new MemoryWorld();
    const store = freshStore();
    await go(memoryOpened(cluster, world, { store }));
    const count = world.things.size;
    const result = await go(memoryOpened(aCluster({ pools: [{ name: 'workers', count: 1 }] }), world, { store }));
    expect(world.things.size).toBe(count);
    expect(
      result.left.some((c) => c.address === 'local.machine/workers-c-1' && 'left' in c.when && c.when.left === 'upgrade'),
    ).toBe(true);
  });

  test('what cannot be seen is neither made nor called fine: exit 69', async () => {
    const world = new MemoryWorld();
    const store = freshStore();
    await go(memoryOpened(cluster, world, { store }));
    world.things.delete('host.bundle/master-b');
    world.unreachable.set('host.bundle/master-b', 'SSH does not answer');
    world.log.length = 0;
    await expect(go(memoryOpened(cluster, world, { store }))).rejects.toMatchObject({ exitCode: 69 });
    expect(world.log).toEqual([]);
  });

  test('a saved plan is carried out as it is, and refused with 75 once the file has changed', async () => {
    const world = new MemoryWorld();
    const store = freshStore();
    const saved = await planCluster(memoryOpened(cluster, world, { store }));
    await expect(
      go(memoryOpened(aCluster({ pools: [{ name: 'workers', count: 5 }] }), world, { store }), { saved }),
    ).rejects.toMatchObject({ exitCode: 75 });
    expect(world.log).toEqual([]);
    expect((await go(memoryOpened(cluster, world, { store }), { saved })).outcome).toBe('done');
  });

  test('a saved plan may need a second round for what it promised, and for nothing else', async () => {
    const world = new MemoryWorld();
    const store = freshStore();
    await go(memoryOpened(cluster, world, { store }));
    const lose = (...addresses: Parameters<typeof world.things.delete>[0][]) => {
      for (const address of addresses) world.things.delete(address);
    };
    const opened = memoryOpened(cluster, world, { store });
    lose('host.units/master-a', 'kube.api/master-b');
    const saved = await planCluster(opened);
    let once = 1;
    world.onAct = (act) => {
      if (act === 'create kube.api/master-b' && once-- > 0) lose('host.units/master-a');
    };
    expect((await go(opened, { saved })).outcome).toBe('done');
    lose('host.units/master-a', 'kube.api/master-b');
    once = 1;
    world.onAct = (act) => {
      if (act === 'create kube.api/master-b' && once-- > 0) lose('host.units/etcd-a');
    };
    await expect(go(opened, { saved })).rejects.toThrow(/what it could not see needs more changes/);
  });

  test('machines whose records are gone are refused, not given a new identity', async () => {
    const world = new MemoryWorld();
    await go(memoryOpened(cluster, world));
    await expect(go(memoryOpened(cluster, world))).rejects.toThrow(/records are not/);
  });

  test.each(['pki.authority/etcd', 'secret/encryption-config'] as const)(
    'a %s that is lost is not made anew: nothing would trust it, or open with it',
    async (lost) => {
      const world = new MemoryWorld();
      const store = freshStore();
      const opened = memoryOpened(cluster, world, { store });
      await go(opened);
      world.things.delete(lost);
      world.log.length = 0;
      for (const act of [planCluster, go])
        await expect(act(opened)).rejects.toThrow(new RegExp(`keys of this cluster are lost: ${lost}`));
      expect(world.log).toEqual([]);
    },
  );

  test('the refusal writes a record, and the next `up` is refused all the same', async () => {
    const world = new MemoryWorld();
    const store = freshStore();
    await go(memoryOpened(cluster, world));
    for (const address of world.things.keys()) if (/^(secret|pki.authority)\//.test(address)) world.things.delete(address);
    const acts = world.log.length;
    for (let attempt = 1; attempt <= 2; attempt++)
      await expect(go(memoryOpened(cluster, world, { store }))).rejects.toThrow(/records are not/);
    expect(world.log).toHaveLength(acts);
  });

  test('two at once: the second is refused with 75 and told who holds the lock', async () => {
    const world = new MemoryWorld();
    const store = freshStore();
    const [begun, refused] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    world.onAct = () => {
      begun.resolve();
      return refused.promise;
    };
    const first = go(memoryOpened(cluster, world, { store }));
    await begun.promise;
    await expect(go(memoryOpened(cluster, world, { store }))).rejects.toMatchObject({
      exitCode: 75,
      message: expect.stringContaining('test'),
    });
    refused.resolve();
    await first;
  });

  test('the version in force is the recorded one, whatever the file says now', async () => {
    const world = new MemoryWorld();
    const store = freshStore();
    await go(memoryOpened(aCluster({ kubernetes: { version: '1.35.4' } }), world, { store }));
    world.log.length = 0;
    const result = await go(memoryOpened(aCluster({ kubernetes: { version: '1.36.3' } }), world, { store }));
    expect(world.log).toEqual([]);
    expect(result.left.some((c) => JSON.stringify(c).includes('1.36.3'))).toBe(true);
  });
});

describe('edits of a cluster that stands', () => {
  const standing = async (over: Parameters<typeof aCluster>[0] = {}) => {
    const world = new MemoryWorld();
    const store = freshStore();
    await go(memoryOpened(aCluster(over), world, { store }));
    world.log.length = 0;
    const file = (input: Parameters<typeof aCluster>[0]) => memoryOpened(aCluster({ ...over, ...input }), world, { store });
    return { world, store, file };
  };

  test.each([
    ['network.machines', { network: { machines: '172.29.0.0/16' } }],
    ['network.pods', { network: { pods: '10.240.0.0/16' } }],
    ['network.services', { network: { services: '10.97.0.0/16' } }],
    ['network.plugin', { network: { plugin: 'none' as const } }],
  ])('%s is refused by plan and up, with the value to put back, and nothing is done', async (path, over) => {
    const { world, file } = await standing();
    for (const act of [planCluster, go])
      await expect(act(file(over))).rejects.toMatchObject({
        exitCode: 65,
        message: expect.stringMatching(
          new RegExp(`${path} cannot change[\\s\\S]*${path} is .* in the cluster, and .* in the file`),
        ),
      });
    expect(world.log).toEqual([]);
    expect((await down(file(over), { allowDataLoss: false, lockWaitMs: 0, confirm: async () => true })).outcome).toBe('done');
  });

  test('a range may still be changed when the first `up` made nothing, and not once it made something', async () => {
    const world = new MemoryWorld();
    const store = freshStore();
    const of = (machines: string) => memoryOpened(aCluster({ network: { machines } }), world, { store });
    const taken = of('172.30.0.0/16');
    const provider = {
      ...taken.provider,
      async *verify() {
        yield { severity: 'error', check: 'network.taken', what: 'the range is taken' } as const;
      },
    };
    await expect(go({ ...taken, provider })).rejects.toThrow('the range is taken');
    expect(world.log).toEqual([]);
    world.onAct = (act) => {
      if (act.startsWith('create local.machine/etcd')) throw new Error('no room');
    };
    await expect(go(of('172.29.0.0/16'))).rejects.toThrow('no room');
    await expect(go(of('172.30.0.0/16'))).rejects.toThrow(/network.machines is 172.29.0.0\/16 in the cluster/);
  });

  test('a slot of a zone cannot change, nor be given to another zone', async () => {
    const { file, world } = await standing({ zones: ['a', 'b', 'c'] });
    await expect(go(file({ network: { zoneSlots: { b: 5 } } }))).rejects.toMatchObject({ exitCode: 65 });
    await expect(planCluster(file({ zones: ['a', 'b', 'c', 'd'], network: { zoneSlots: { d: 1 } } }))).rejects.toThrow(
      /zone d cannot have slot 1[\s\S]*zone b has it/,
    );
    expect((await planCluster(file({ network: { zoneSlots: { a: 0, b: 1, c: 2 } } }))).changes).toEqual([]);
    expect(world.log).toEqual([]);
  });

  test('the order of zones means nothing, and a zone put in front moves no machine', async () => {
    const { file } = await standing();
    expect((await planCluster(file({ zones: ['c', 'b', 'a'] }))).changes).toEqual([]);
    const { changes } = await planCluster(file({ zones: ['d', 'a', 'b', 'c'] }));
    expect(changes.filter(({ address }) => /^(local.machine|host.bundle|etcd)/.test(address))).toEqual([]);
  });

  const gate = { kubernetes: { featureGates: { SomeGate: true } } };
  test('a setting that would restart API servers is left to upgrade, also for new and healed masters and for every kubelet', async () => {
    const { world, file } = await standing({ masters: { count: 1 } });
    const edits = { ...gate, masters: { count: 3 } };
    const { left } = await go(file(edits));
    expect(left.map(({ address, fields }) => [address, fields.map(({ path }) => path)])).toEqual([
      ['rollout/settings', ['kubernetes.featureGates']],
    ]);
    // Growth alone gives the same machines.
    const alone = new MemoryWorld();
    await go(memoryOpened(aCluster({ masters: { count: 3 } }), alone));
    const texts = (of: MemoryWorld, name: string) => {
      const props = of.things.get(`host.bundle/${name}`)?.props ?? {};
      return JSON.stringify('units' in props && 'files' in props && [props.units, props.files]);
    };
    for (const name of ['master-c', 'workers-a-1']) {
      expect(texts(world, name)).toContain('kubelet.service');
      expect(texts(world, name)).toBe(texts(alone, name));
    }
    expect((await planCluster(file(edits))).changes.filter((change) => 'now' in change.when)).toEqual([]);
    // Taken back, nothing is left.
    expect((await planCluster(file({ masters: { count: 3 } }))).changes).toEqual([]);
  });

  test('a setting that restarts nothing that serves follows the file at once', async () => {
    const { world, file } = await standing();
    const result = await go(file({ kubernetes: { maxPods: 60, extraArgs: { kubelet: { v: '3' } } } }));
    expect(result.left).toEqual([]);
    expect(world.log.filter((act) => act === 'update host.bundle/master-a')).toHaveLength(1);
  });

  test('a flag that comes with another version waits for it', async () => {
    const { world, file } = await standing({ kubernetes: { version: '1.35.4' } });
    const { left } = await go(
      file({ kubernetes: { version: '1.36.3', maxPods: 60, extraArgs: { kubelet: { 'new-in-1-36': 'true' } } } }),
    );
    expect(left.map(({ address, fields }) => [address, fields.map(({ path }) => path)])).toEqual([
      ['rollout/kubernetes', ['version', 'pause']],
      ['rollout/settings', ['kubernetes.extraArgs.kubelet']],
    ]);
    expect(world.log.filter((act) => act.startsWith('update host.bundle/workers'))).toHaveLength(3);
  });

  test('the events cluster is neither dropped nor added by up', async () => {
    for (const events of [true, false]) {
      const { world, file } = await standing({ etcd: { events } });
      const result = await go(file({ etcd: { events: !events, quotaMb: 4096 } }));
      expect(result.left.flatMap(({ fields }) => fields.map(({ path }) => path))).toEqual(['etcd.events', 'etcd.quotaMb']);
      expect(world.log).toEqual([]);
    }
  });

  test('before the first `up` has come to its end, settings and (until etcd has run) the version follow the file', async () => {
    const world = new MemoryWorld();
    const store = freshStore();
    const at = (version: string, over: Parameters<typeof aCluster>[0] = {}) =>
      memoryOpened(aCluster({ ...over, kubernetes: { ...over.kubernetes, version } }), world, { store });
    world.onAct = (act) => {
      if (act.startsWith('create host.units/master')) throw new Error('the API server does not know SomeGate');
    };
    await expect(go(at('1.35.4', gate))).rejects.toThrow('SomeGate');
    world.onAct = () => undefined;
    const { left } = await go(at('1.36.3'));
    expect(left).toEqual([]);
  });

  test('after `down` the settings of the file are taken, since no machine has others', async () => {
    const { file } = await standing();
    await down(file({}), { allowDataLoss: false, lockWaitMs: 0, confirm: async () => true });
    expect((await planCluster(file(gate))).changes.filter(({ address }) => address.startsWith('rollout/'))).toEqual([]);
  });
});

describe('down', () => {
  const options = { allowDataLoss: false, lockWaitMs: 0, confirm: async () => true };
  test('takes the machines and keeps the volumes', async () => {
    const world = new MemoryWorld();
    const opened = memoryOpened(cluster, world);
    await go(opened);
    const result = await down(opened, options);
    expect([...world.things.keys()].filter((a) => a.startsWith('local.')).every((a) => a.startsWith('local.volume'))).toBe(true);
    expect(result.kept.filter((k) => k.startsWith('local.volume'))).toHaveLength(6);
  });
  test('deletes nothing while something cannot be seen: it would be forgotten with the store', async () => {
    const world = new MemoryWorld();
    const opened = memoryOpened(cluster, world);
    await go(opened);
    world.log.length = 0;
    let removed = false;
    const provider = {
      ...opened.provider,
      async removeStore() {
        removed = true;
      },
    };
    for (const address of ['local.machine/master-a', 'local.volume/*'] as const) {
      world.unreachable.set(address, 'no answer within 10 s');
      await expect(down({ ...opened, provider }, { ...options, allowDataLoss: true })).rejects.toMatchObject({
        exitCode: 69,
        message: expect.stringContaining(`${address}: no answer`),
      });
      world.unreachable.clear();
    }
    expect(world.log).toEqual([]);
    expect(removed).toBe(false);
  });
  test('of a cluster that was never there leaves no store behind, and says of none that it is kept', async () => {
    const opened = memoryOpened(cluster, new MemoryWorld());
    let stores = 0;
    const provider = {
      ...opened.provider,
      store: async (...[of, how, signal]: Parameters<typeof opened.provider.store>) => {
        if (!how.create && stores === 0) return undefined;
        stores = 1;
        return opened.provider.store(of, how, signal);
      },
      async removeStore() {
        stores = 0;
      },
    };
    expect(await down({ ...opened, provider }, options)).toMatchObject({ outcome: 'nothing to do', kept: [] });
    expect(stores).toBe(0);
  });
  test('keeps the records of a cluster that somebody else made while the lock was waited for', async () => {
    const opened = memoryOpened(cluster, new MemoryWorld());
    let removed = false;
    const provider = {
      ...opened.provider,
      store: async (...[of, how, signal]: Parameters<typeof opened.provider.store>) => {
        if (how.create) return opened.provider.store(of, how, signal);
        await go(opened);
        return undefined;
      },
      async removeStore() {
        removed = true;
      },
    };
    const { kept } = await down({ ...opened, provider }, options);
    expect(kept).toContainEqual(expect.stringContaining("the cluster's records and secrets in"));
    expect(removed).toBe(false);
  });
  test('with --allow-data-loss takes everything, from a half-made cluster too', async () => {
    const world = new MemoryWorld();
    const opened = memoryOpened(cluster, world);
    const killer = new AbortController();
    world.onAct = (act) => {
      if (act === 'create local.machine/master-a') killer.abort(new Error('killed'));
    };
    await go({ ...opened, signal: killer.signal }).catch(() => undefined);
    world.onAct = () => undefined;
    await down(opened, { ...options, allowDataLoss: true });
    expect([...world.things.keys()].filter((a) => a.startsWith('local.'))).toEqual([]);
  });
});
