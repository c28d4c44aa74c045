import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Cluster, ClusterInput } from '../../../src/config/schema.ts';
import { lockTimes } from '../../../src/run/lock.ts';
import { lockKey, readLock, writeLock } from '../../../src/run/lockRecord.ts';
import { aCluster } from '../../support/builders.ts';
import { standingAs, UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';
import { memoryStore } from '../run/memoryStore.ts';

const time = new VirtualTimers();
time.install();

const at = (version: string, over: Partial<ClusterInput> = {}): Cluster =>
  aCluster({ etcd: { count: 1 }, masters: { count: 2 }, ...over, kubernetes: { ...over.kubernetes, version } });
const [before, after] = [at('1.35.4'), at('1.36.3')];

const standing = standingAs(before, time);
const kubelets = (cluster: UpgradableCluster): readonly string[] =>
  [...cluster.running('kubelet')].filter(([, version]) => version === '1.36.3').map(([name]) => name);
async function goesOn(cluster: UpgradableCluster, file = after): Promise<void> {
  expect((await cluster.upgrade(file)).outcome).toBe('done');
  expect(cluster.broken).toEqual([]);
  expect(await cluster.left(file)).toEqual([]);
  expect([cluster.api.cordoned(), cluster.api.tainted()]).toEqual([[], []]);
  expect((await cluster.record()).rollout).toBeUndefined();
}
const when = (cluster: UpgradableCluster, act: string, then: () => void | Promise<void>): void => {
  cluster.onAct = (done) => (done === act ? then() : undefined);
};

describe('an upgrade that stops', () => {
  test('a dry run changes nothing, in the world and in the store', async () => {
    const cluster = await standing();
    const all = () =>
      JSON.stringify([
        [...cluster.world.things],
        [...cluster.api.nodes],
        [...cluster.api.pods],
        [...cluster.objects].map(String),
      ]);
    const then = all();
    const { rollout } = await cluster.dryRun(after);
    expect(rollout.waves.map(({ name }) => name)).toEqual(['masters', 'pools']);
    expect(rollout.obstacles).toEqual([]);
    expect(rollout.pods).toBe(6);
    expect(all()).toBe(then);
    expect(cluster.acts).toEqual([]);
  });

  test('a plan that was made with --to says so where the file is still the old one', async () => {
    const cluster = await standing();
    const saved = await cluster.dryRun(after);
    await expect(cluster.upgrade(before, { saved })).rejects.toMatchObject({
      exitCode: 75,
      problem: { what: expect.stringContaining('1.36.3'), next: expect.stringContaining('--to 1.36.3 --plan') },
    });
  });

  test('two at once: the second is refused with 75, and the first goes on', async () => {
    const cluster = await standing();
    const [begun, refused] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    when(cluster, 'cordon master-a', () => {
      begun.resolve();
      return refused.promise;
    });
    const first = cluster.upgrading(after);
    await cluster.until(begun.promise);
    await expect(cluster.upgrade(after)).rejects.toMatchObject({ exitCode: 75 });
    await expect(cluster.up(after)).rejects.toMatchObject({ exitCode: 75 });
    refused.resolve();
    expect((await cluster.until(first)).outcome).toBe('done');
    expect(cluster.broken).toEqual([]);
  });

  test('a lock that somebody else has taken meanwhile: exit 75, who has it, and no other machine has its turn', async () => {
    const cluster = await standing();
    const store = memoryStore(cluster.objects);
    when(cluster, 'evict web-workers-a-1-1', async () => {
      const held = await readLock(store);
      // After `cluster unlock`.
      if (held) await writeLock(store, { ...held.record, id: 'other', holder: 'bob', host: 'laptop' }, held.version);
      // The next heartbeat.
      await sleep(lockTimes.heartbeat + 1000);
    });
    await expect(cluster.upgrade(after)).rejects.toMatchObject({
      exitCode: 75,
      problem: { what: 'the lock was lost', why: expect.stringContaining('bob on laptop') },
    });
    expect(cluster.acts.filter((act) => act.startsWith('cordon workers'))).toEqual(['cordon workers-a-1']);
    cluster.objects.delete(lockKey);
    cluster.onAct = () => undefined;
    await goesOn(cluster);
  });

  test('a node that is Ready, and on which no pod starts: stopped at the canary, which takes no pods; mended, the same command goes on', async () => {
    const cluster = await standing();
    cluster.api.barren.add('workers-a-1');
    await expect(cluster.upgrade(after)).rejects.toMatchObject({
      problem: {
        where: 'workers-a-1',
        why: expect.stringMatching(/no pod starts on it/),
        next: expect.stringMatching(/workers-b-1/),
      },
    });
    expect(kubelets(cluster)).toEqual(['master-a', 'master-b', 'workers-a-1']);
    expect(cluster.api.cordoned()).toEqual(['workers-a-1']);
    expect([...cluster.api.pods.keys()].filter((name) => name.startsWith('slipway'))).toEqual([]);
    // The same command does not pass over it: all that its turn would change is done.
    await expect(cluster.upgrade(after)).rejects.toMatchObject({ problem: { where: 'node workers-a-1' } });
    expect(kubelets(cluster)).toEqual(['master-a', 'master-b', 'workers-a-1']);
    expect(cluster.api.cordoned()).toEqual(['workers-a-1']);
    cluster.api.barren.clear();
    await goesOn(cluster);
  });

  test('the same on a worker after the first, and on a master whose machine is new: each turn ends with a pod that starts', async () => {
    const cluster = await standing();
    cluster.api.barren.add('workers-b-1');
    await expect(cluster.upgrade(after)).rejects.toThrow(/turn of workers-b-1 failed[\s\S]*no pod starts on it/);
    expect(kubelets(cluster)).toEqual(['master-a', 'master-b', 'workers-a-1', 'workers-b-1']);
    expect(cluster.api.cordoned()).toEqual(['workers-b-1']);
    cluster.api.barren.clear();
    await goesOn(cluster);
    const anew = at('1.36.3', {
      masters: { count: 2, upgrade: { strategy: 'replace' } },
      kubernetes: { version: '1.36.3', maxPods: 90 },
    });
    cluster.api.barren.add('master-a');
    await expect(cluster.upgrade(anew)).rejects.toThrow(/turn of master-a failed[\s\S]*no pod starts on it/);
    cluster.api.barren.clear();
    await goesOn(cluster, anew);
  });

  test('a kubelet that restarts under its pods, with no drain: a pod is tried there, too; where only an API server restarts, none is', async () => {
    const cluster = await standing();
    const limits = at('1.35.4', { kubernetes: { version: '1.35.4', maxPods: 90 } });
    cluster.api.barren.add('workers-c-1');
    await expect(cluster.upgrade(limits)).rejects.toThrow(/turn of workers-c-1 failed[\s\S]*no pod starts on it/);
    expect([cluster.api.cordoned(), cluster.api.moved.size]).toEqual([['workers-c-1'], 0]);
    await expect(cluster.upgrade(limits)).rejects.toThrow(/no pod starts on it/);
    cluster.api.barren.clear();
    await cluster.upgrade(limits);
    expect([cluster.api.cordoned(), await cluster.left(limits)]).toEqual([[], []]);
    cluster.acts.length = 0;
    const api = { 'max-requests-inflight': '500' };
    await goesOn(cluster, at('1.35.4', { kubernetes: { version: '1.35.4', maxPods: 90, extraArgs: { apiserver: api } } }));
    expect(cluster.acts.filter((act) => act.startsWith('create pod'))).toEqual([]);
  });

  test('an etcd member lost while another one has its turn: nobody else has one, nor by the same command; `up` brings it back, and it goes on', async () => {
    const pools = [{ name: 'workers', count: 1 }];
    const three = (over: Partial<ClusterInput['etcd']>) =>
      at('1.35.4', { etcd: { count: 3, ...over }, masters: { count: 1 }, pools });
    const cluster = new UpgradableCluster(time);
    await cluster.up(three({}));
    cluster.stands();
    const file = three({ quotaMb: 1100 });
    const turned: string[] = [];
    cluster.onAct = (act) => {
      const machine = /^update host.bundle\/(etcd-\w)/.exec(act)?.[1];
      if (machine !== undefined && turned.push(machine) === 1) cluster.lose(machine === 'etcd-b' ? 'etcd-c' : 'etcd-b');
    };
    await expect(cluster.upgrade(file)).rejects.toThrow(/etcd-[bc]/);
    await expect(cluster.upgrade(file)).rejects.toThrow(/etcd-[bc]/);
    expect(turned).toHaveLength(1);
    await cluster.up(file);
    await goesOn(cluster, file);
    expect(new Set(turned).size).toBe(3);
  });

  test('programs of a master that run and are not well stop it there, with their words', async () => {
    const cluster = await standing();
    cluster.ailing.set('master-a', 'kube-scheduler.service is not well\nno API server at 127.0.0.1');
    await expect(cluster.upgrade(after)).rejects.toThrow(/gate of master-a failed[\s\S]*kube-scheduler.service is not well/);
    expect(kubelets(cluster)).toEqual(['master-a']);
    cluster.ailing.clear();
    await goesOn(cluster);
  });

  test('where admission takes no such pod nothing is known against the node, and the upgrade goes on', async () => {
    const cluster = await standing();
    cluster.api.deniesPods = true;
    await goesOn(cluster);
  });

  test('Ctrl-C finishes the machine at hand, and the same command goes on', async () => {
    const cluster = await standing();
    const stop = new AbortController();
    when(cluster, 'evict web-workers-a-1-1', () => stop.abort(new Error('Ctrl-C')));
    const result = await cluster.upgrade(after, { stopping: stop.signal });
    expect(result.outcome).toBe('stopped');
    expect(result.left.map(({ machine }) => machine)).toEqual(['workers-b-1', 'workers-c-1']);
    expect(kubelets(cluster)).toEqual(['master-a', 'master-b', 'workers-a-1']);
    expect([cluster.api.cordoned(), cluster.api.tainted()]).toEqual([[], []]);
    await goesOn(cluster);
  });

  test('a window that closes lets the machine at hand end, and says what is left; in the next one the same command goes on', async () => {
    const cluster = await standing();
    const nightly = at('1.36.3', { upgrade: { windows: [{ cron: '0 2 * * *', duration: '1h' }] } });
    const night = Date.UTC(2030, 0, 1, 2, 30);
    let now = night;
    when(cluster, 'evict web-workers-a-1-1', () => {
      now = night + 3_600_000;
    });
    const result = await cluster.upgrade(nightly, {}, { now: () => now });
    expect([result.outcome, result.because]).toEqual(['stopped', 'the maintenance window has closed']);
    expect(result.left.map(({ machine }) => machine)).toEqual(['workers-b-1', 'workers-c-1']);
    expect([cluster.api.cordoned(), cluster.api.tainted()]).toEqual([[], []]);
    await expect(cluster.upgrade(nightly, {}, { now: () => now })).rejects.toMatchObject({ exitCode: 1 });
    const { rollout } = await cluster.dryRun(nightly, {}, { now: () => now });
    expect(rollout.obstacles.map(({ where, what }) => [where, what])).toContainEqual([
      'upgrade.windows',
      'no maintenance window is open: the next one opens at 2030-01-02T02:00:00.000Z',
    ]);
    cluster.onAct = () => undefined;
    now = night + 24 * 3_600_000;
    expect((await cluster.upgrade(nightly, {}, { now: () => now })).outcome).toBe('done');
    expect(await cluster.left(after)).toEqual([]);
  });

  test('a second Ctrl-C ends it at once, and the same command goes on', async () => {
    const cluster = await standing();
    const [stop, end] = [new AbortController(), new AbortController()];
    when(cluster, 'evict web-workers-a-1-1', () => {
      stop.abort(new Error('Ctrl-C'));
      end.abort(new Error('Ctrl-C again'));
    });
    await expect(cluster.upgrade(after, { stopping: stop.signal }, { signal: end.signal })).rejects.toThrow();
    expect(cluster.world.log.at(-1)).toMatch(/^evict/);
    expect(cluster.api.cordoned()).toEqual(['workers-a-1']);
    cluster.onAct = () => undefined;
    await goesOn(cluster);
  });

  test('--pause-after masters, then --pause-after wave, then the rest', async () => {
    const cluster = await standing();
    const paused = await cluster.upgrade(after, { pauseAfter: 'masters' });
    expect([paused.outcome, paused.left.length]).toEqual(['paused', 3]);
    expect(kubelets(cluster)).toEqual(['master-a', 'master-b']);
    expect([cluster.api.cordoned(), cluster.api.tainted()]).toEqual([[], []]);
    expect((await cluster.up(after)).outcome).toBe('nothing to do');
    await goesOn(cluster);
  });

  test('--only: pools not before masters; then one zone alone', async () => {
    const cluster = await standing();
    const pool = { what: 'pool', name: 'workers' } as const;
    await expect(cluster.upgrade(after, { only: pool })).rejects.toThrow(/API server of master-a runs 1.35.4/);
    await expect(cluster.upgrade(after, { only: { what: 'zone', name: 'a' } })).rejects.toThrow(
      /API server of master-b runs 1.35.4/,
    );
    // Refused before anybody is asked, in the dry run too: nothing was written.
    let asked = false;
    const confirm = async () => (asked = true);
    await expect(cluster.upgrade(after, { only: pool, confirm })).rejects.toThrow(/never be newer/);
    await expect(cluster.dryRun(after, { only: pool })).rejects.toThrow(/never be newer/);
    expect([asked, cluster.world.log]).toEqual([false, []]);
    const { rollout, changes } = await cluster.dryRun(after, { only: { what: 'role', name: 'masters' } });
    expect(rollout.waves.map(({ name }) => name)).toEqual(['masters']);
    expect(rollout.only).toEqual({ part: 'role=masters', leftOut: ['workers-a-1', 'workers-b-1', 'workers-c-1'] });
    expect(changes.filter(({ address }) => address.includes('workers'))).toEqual([]);
    expect((await cluster.upgrade(after, { only: { what: 'role', name: 'masters' } })).outcome).toBe('paused');
    expect(kubelets(cluster)).toEqual(['master-a', 'master-b']);
    expect((await cluster.upgrade(after, { only: { what: 'zone', name: 'b' } })).left.map(({ machine }) => machine)).toEqual([
      'workers-a-1',
      'workers-c-1',
    ]);
    expect(kubelets(cluster)).toEqual(['master-a', 'master-b', 'workers-b-1']);
    await goesOn(cluster);
  });

  test('--abort uncordons what a killed run has left, leaves versions where they are, and a later upgrade goes on', async () => {
    const whole = await standing();
    await whole.upgrade(after);
    const cluster = await standing();
    await cluster.killedAfter(whole.acts.indexOf('evict web-workers-b-1-1') + 1, (signal) => cluster.upgrade(after, {}, signal));
    expect(cluster.api.cordoned()).not.toEqual([]);
    const moved = kubelets(cluster);
    const { outcome, because } = await cluster.abort(after);
    expect(outcome).toBe('aborted');
    expect(because).toMatch(/^uncordoned: /);
    expect([cluster.api.cordoned(), cluster.api.tainted()]).toEqual([[], []]);
    expect(kubelets(cluster)).toEqual(moved);
    await goesOn(cluster);
  });

  test('--abort with a file that was taken back already', async () => {
    const cluster = await standing();
    await cluster.killedAfter(22, (signal) => cluster.upgrade(after, {}, signal));
    const moved = kubelets(cluster);
    const { outcome, kubernetes } = await cluster.abort(before);
    expect([outcome, kubernetes]).toEqual(['aborted', '1.36.3']);
    expect([cluster.api.cordoned(), cluster.api.tainted(), kubelets(cluster)]).toEqual([[], [], moved]);
    await goesOn(cluster);
  });

  test('--abort where no upgrade is under way gives nothing up', async () => {
    const cluster = await standing();
    const { outcome, kubernetes, left } = await cluster.abort(after);
    expect([outcome, kubernetes, left]).toEqual(['nothing to abort', '1.35.4', []]);
    expect(cluster.acts).toEqual([]);
  });

  test('a gate that fails rolls nothing on', async () => {
    const cluster = await standing();
    when(cluster, 'uncordon workers-a-1', () => void cluster.api.unwell.add('workers-a-1'));
    await expect(cluster.upgrade(after)).rejects.toThrow(/gate of workers-a-1 failed[\s\S]*does not stay Ready/);
    expect(kubelets(cluster)).toEqual(['master-a', 'master-b', 'workers-a-1']);
    expect(cluster.api.tainted()).toEqual([]);
    cluster.onAct = () => undefined;
    await expect(cluster.upgrade(after)).rejects.toThrow(/workers-a-1/);
    cluster.api.unwell.clear();
    await goesOn(cluster);
  });

  test('a drain that fails stops there, with the pod and its budget by name, and the same command goes on', async () => {
    const cluster = await standing();
    cluster.api.refuses = ({ name }) => (name === 'web-workers-b-1-1' ? 'budget web allows none' : undefined);
    await expect(cluster.upgrade(after)).rejects.toThrow(/web-workers-b-1-1[\s\S]*budget web allows none/);
    expect(kubelets(cluster)).toEqual(['master-a', 'master-b', 'workers-a-1']);
    cluster.api.refuses = () => undefined;
    await goesOn(cluster);
  });

  // A kubelet's flag is in force as soon as the file has it; an API server's is, once every master has it.
  test.each([
    ['kubelet', { v: '3' }],
    ['kubelet', {}],
    ['apiserver', {}],
  ] as const)(
    'a flag that the %s of the only master does not know: with %o instead, the same command goes on',
    async (program, flags) => {
      const one = (args: Readonly<Record<string, string>>) =>
        at('1.36.3', { masters: { count: 1 }, kubernetes: { extraArgs: { [program]: args } } });
      const cluster = await standingAs(one({}), time)();
      cluster.poison.add('no-such-flag');
      await expect(cluster.upgrade(one({ 'no-such-flag': '1' }))).rejects.toThrow(/master-a/);
      cluster.broken.length = 0;
      const { rollout } = await cluster.dryRun(one(flags));
      expect(rollout.obstacles.filter(({ severity }) => severity === 'error')).toEqual([]);
      await goesOn(cluster, one(flags));
    },
  );

  test.each([1, 2])(
    'back by a minor version is refused from the middle of a first master’s turn, once its API server has moved (act %i of it)',
    async (nth) => {
      const whole = await standing();
      await whole.upgrade(after);
      const acts = [...whole.acts.keys()].filter((index) => whole.acts[index] === 'update host.bundle/master-a');
      const cluster = await standing();
      await cluster.killedAfter((acts[nth - 1] ?? 0) + 1, (over) => cluster.upgrade(after, {}, over));
      expect(cluster.running('kube-apiserver').get('master-a')).toBe('1.36.3');
      await expect(cluster.upgrade(before)).rejects.toThrow(/master-a: its API server is at 1.36.3, or on its way there/);
      expect(cluster.running('kube-apiserver').get('master-a')).toBe('1.36.3');
      await goesOn(cluster);
    },
  );

  test('a turn that was cut before that may be taken back', async () => {
    const cluster = await standing();
    when(cluster, 'cordon master-a', () => {
      throw new Error('no way to it');
    });
    await expect(cluster.upgrade(after)).rejects.toThrow(/master-a/);
    cluster.onAct = () => undefined;
    expect((await cluster.upgrade(before)).outcome).toBe('nothing to do');
    expect(await cluster.left(before)).toEqual([]);
    expect([cluster.api.cordoned(), (await cluster.record()).rollout]).toEqual([[], undefined]);
  });

  test('back to an older minor version is refused: only a recovery point goes there', async () => {
    const cluster = await standing();
    await cluster.upgrade(after);
    cluster.stands();
    await expect(cluster.upgrade(before)).rejects.toMatchObject({ exitCode: 65 });
    expect(cluster.acts).toEqual([]);
  });
});

describe('cluster.yaml edited while an upgrade is under way', () => {
  const pools = (count: number) => ({ pools: [{ name: 'workers', count }] });
  const edits: readonly (readonly [string, Partial<ClusterInput>])[] = [
    ['a master less', { masters: { count: 1 } }],
    ['a master more', { masters: { count: 3 } }],
    ['workers more', pools(5)],
    ['a worker less', pools(2)],
    [
      'a pool more',
      {
        pools: [
          { name: 'workers', count: 3 },
          { name: 'gpu', count: 1 },
        ],
      },
    ],
    ['a setting', { kubernetes: { extraArgs: { apiserver: { 'max-requests-inflight': '500' } } } }],
    ['another strategy', { pools: [{ name: 'workers', count: 3, upgrade: { strategy: 'replace', maxSurge: 1 } }] }],
  ];
  const kills = [12, 20];
  test.each(edits)('%s: never a kubelet newer than an API server, and all arrive', async (_, over) => {
    for (const acts of kills) {
      const cluster = await standing();
      await cluster.killedAfter(acts, (signal) => cluster.upgrade(after, {}, signal));
      const edited = at('1.36.3', over);
      await cluster.up(edited);
      expect(cluster.broken, `killed after ${acts}, then up`).toEqual([]);
      await goesOn(cluster, edited);
    }
  });

  test('a machine that is lost meanwhile is made at the version that it had reached', async () => {
    for (const lost of ['master-a', 'master-b', 'workers-a-1', 'workers-b-1']) {
      const cluster = await standing();
      await cluster.killedAfter(20, (signal) => cluster.upgrade(after, {}, signal));
      cluster.lose(lost);
      await cluster.up(after);
      await goesOn(cluster);
    }
  });

  test('another version on top of one that was stopped', async () => {
    const cluster = await standingAs(at('1.34.4'), time)();
    cluster.stands();
    await cluster.killedAfter(20, (signal) => cluster.upgrade(at('1.35.4'), {}, signal));
    await goesOn(cluster, after);
  });
});
