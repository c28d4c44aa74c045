import { describe, expect, test } from 'vitest';
import type { Cluster, ClusterInput } from '../../../src/config/schema.ts';
import type { UpgradePlan } from '../../../src/rollout/upgrade-plan.ts';
import { lockTimes } from '../../../src/run/lock.ts';
import { readLock, writeLock } from '../../../src/run/lockRecord.ts';
import { aCluster } from '../../support/builders.ts';
import { standingAs, type UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';
import { memoryStore } from '../run/memoryStore.ts';

const time = new VirtualTimers();
time.install();

const at = (version: string, upgrade: ClusterInput['upgrade'] = {}): Cluster =>
  aCluster({ etcd: { count: 1 }, masters: { count: 2 }, kubernetes: { version }, upgrade });
/** Open for the first half of every hour. */
const hourly = (version: string, outside: 'wait' | 'refuse' = 'wait') =>
  at(version, { windows: [{ cron: '0 * * * *', duration: '30m' }], outside });
const hour = 3_600_000;
/** A clock that goes with the virtual one, and can be set on. */
function clockAt(minute: number) {
  const zero = Date.UTC(2030, 0, 1, 1, minute) - time.now;
  let ahead = 0;
  return {
    now: () => zero + ahead + time.now,
    pass: (minutes: number) => {
      ahead += minutes * 60_000;
    },
  };
}
const isOpen = (now: number): boolean => now % hour < hour / 2;
const standing = standingAs(at('1.35.4'), time);
const lost = 'kube.addon/coredns';
const confirming = () => {
  const asked: UpgradePlan[] = [];
  return { asked, confirm: async (plan: UpgradePlan) => asked.push(plan) > 0 };
};
/** Acts that began outside of a window. */
function watched(cluster: UpgradableCluster, now: () => number, then: (act: string) => void = () => undefined): string[] {
  const outside: string[] = [];
  cluster.onAct = (act) => {
    if (!isOpen(now()) && act !== 'write record') outside.push(act);
    then(act);
  };
  return outside;
}

describe('an upgrade that waits for its window', () => {
  test('and finds the cluster as it was goes on unasked', async () => {
    const cluster = await standing();
    const { now } = clockAt(40);
    const { asked, confirm } = confirming();
    const outside = watched(cluster, now);
    expect((await cluster.upgrade(hourly('1.36.3'), { confirm, asks: false }, { now })).outcome).toBe('done');
    expect([asked.length, outside]).toEqual([1, []]);
  });

  const loseOneWhileWaiting = async () => {
    const cluster = await standing();
    const { now } = clockAt(40);
    const { asked, confirm } = confirming();
    const opened = {
      now: () => {
        if (asked.length === 1 && now() % hour > 0.75 * hour) cluster.world.things.delete(lost);
        return now();
      },
    };
    return { cluster, asked, confirm, opened };
  };

  test('and finds something else to do asks again', async () => {
    const { cluster, asked, confirm, opened } = await loseOneWhileWaiting();
    expect((await cluster.upgrade(hourly('1.36.3'), { confirm }, opened)).outcome).toBe('done');
    expect(asked.map(({ rollout }) => rollout.waves.map(({ name }) => name))).toEqual([
      ['masters', 'pools'],
      ['masters', 'addons', 'pools'],
    ]);
  });

  test('is declined then', async () => {
    const { cluster, asked, confirm, opened } = await loseOneWhileWaiting();
    const once = async (plan: UpgradePlan) => (await confirm(plan)) && asked.length === 1;
    expect((await cluster.upgrade(hourly('1.36.3'), { confirm: once }, opened)).outcome).toBe('declined');
    expect(cluster.acts).toEqual([]);
  });

  test('is refused then where nobody can be asked, and with a saved plan', async () => {
    const unasked = await loseOneWhileWaiting();
    const { confirm } = unasked;
    await expect(unasked.cluster.upgrade(hourly('1.36.3'), { confirm, asks: false }, unasked.opened)).rejects.toMatchObject({
      exitCode: 75,
      problem: { what: expect.stringContaining('nobody to ask') },
    });
    const reviewed = await loseOneWhileWaiting();
    const saved = await reviewed.cluster.dryRun(hourly('1.36.3'));
    await expect(
      reviewed.cluster.upgrade(hourly('1.36.3'), { confirm: reviewed.confirm, saved }, reviewed.opened),
    ).rejects.toMatchObject({ exitCode: 75, problem: { what: expect.stringContaining('the saved plan is stale') } });
    expect([unasked.cluster.acts, reviewed.cluster.acts]).toEqual([[], []]);
  });

  test('ends with Ctrl-C, and says what is left', async () => {
    const cluster = await standing();
    const stop = new AbortController();
    const { now } = clockAt(40);
    const opened = {
      now: () => {
        if (now() % hour > 0.75 * hour) stop.abort(new Error('Ctrl-C'));
        return now();
      },
    };
    const result = await cluster.upgrade(hourly('1.36.3'), { stopping: stop.signal }, opened);
    expect([result.outcome, result.because]).toEqual(['stopped', 'interrupted while it waited for the maintenance window']);
    expect(result.left).toHaveLength(5);
    expect(cluster.acts).toEqual([]);
  });
});

describe('a window that closes', () => {
  test('on the way of two minor versions: the rest goes in the next ones, and nothing begins in between', async () => {
    const cluster = await standingAs(at('1.34.4'), time)();
    const { now, pass } = clockAt(0);
    const { asked, confirm } = confirming();
    const closing = ['uncordon master-b', 'uncordon workers-a-1'];
    const outside = watched(cluster, now, (act) => {
      // The machine at hand comes to its end.
      if (act === closing[0]) {
        closing.shift();
        pass(30);
      }
    });
    expect((await cluster.upgrade(hourly('1.36.3'), { confirm, asks: false }, { now })).outcome).toBe('done');
    expect([closing, asked.length, cluster.broken]).toEqual([[], 1, []]);
    expect(outside.filter((act) => /^(cordon|update|delete|create local)/.test(act))).toEqual([]);
  });

  const loseOneOnTheWay = async () => {
    const cluster = await standing();
    const { now, pass } = clockAt(0);
    cluster.onAct = (act) => {
      if (act !== 'uncordon master-b') return;
      pass(30);
      cluster.world.things.delete(lost);
    };
    return { cluster, now };
  };

  test('and the rest is declined in the next one: stopped, with what is done and what is left', async () => {
    const { cluster, now } = await loseOneOnTheWay();
    const { asked, confirm } = confirming();
    const once = async (plan: UpgradePlan) => (await confirm(plan)) && asked.length === 1;
    const result = await cluster.upgrade(hourly('1.36.3'), { confirm: once }, { now });
    expect([asked.length, result.outcome, result.because]).toEqual([2, 'stopped', 'what is left was declined']);
    expect(result.waves.flatMap(({ machines }) => machines)).toEqual(['master-a', 'master-b']);
    expect(result.left.map(({ machine }) => machine)).toEqual(['workers-a-1', 'workers-b-1', 'workers-c-1']);
    expect(cluster.acts.filter((act) => act.startsWith('cordon workers'))).toEqual([]);
  });

  test('and somebody else has the lock when the rest is agreed on: nothing more begins', async () => {
    const { cluster, now } = await loseOneOnTheWay();
    const { asked, confirm } = confirming();
    let acts = 0;
    const slow = async (plan: UpgradePlan) => {
      await confirm(plan);
      if (asked.length === 1) return true;
      const store = memoryStore(cluster.objects);
      const held = await readLock(store);
      if (held) await writeLock(store, { ...held.record, id: 'other', holder: 'bob', host: 'laptop' }, held.version);
      // The laptop slept, and no heartbeat has come yet.
      time.now += lockTimes.renewBefore + 1000;
      acts = cluster.acts.length;
      return true;
    };
    await expect(cluster.upgrade(hourly('1.36.3'), { confirm: slow }, { now })).rejects.toMatchObject({
      exitCode: 75,
      problem: { what: 'the lock was lost' },
    });
    expect([asked.length, cluster.acts.slice(acts)]).toEqual([2, []]);
  });

  test('before what is healed first: that waits, too', async () => {
    const cluster = await standing();
    const due = 'pki.certificate/workers-a-1.kube-proxy';
    const thing = cluster.world.things.get(due);
    if (!thing) throw new Error(`there is no ${due}`);
    cluster.world.things.set(due, { ...thing, props: { ...thing.props, state: 'due' } });
    const { now, pass } = clockAt(29);
    let begun = false;
    // Under way, and nothing is healed yet.
    const outside = watched(cluster, now, (act) => {
      if (!begun && act === 'write record') pass(5);
      begun = true;
    });
    expect((await cluster.upgrade(hourly('1.36.3'), {}, { now })).outcome).toBe('done');
    expect(outside).toEqual([]);
    expect(cluster.world.log.filter((act) => act.includes(due))).toHaveLength(1);
  });

  test.each(['wait', 'refuse'] as const)('after what is healed has begun (%s): all of it is healed first', async (outside) => {
    const cluster = await standing();
    const { now, pass } = clockAt(0);
    cluster.lose('etcd-a');
    const due = 'pki.certificate/workers-a-1.kube-proxy';
    let open: boolean | undefined;
    const acts = watched(cluster, now, (act) => {
      if (act.includes(due)) open = isOpen(now());
      if (act !== 'create local.machine/etcd-a') return;
      pass(30);
      // For a round of its own.
      const thing = cluster.world.things.get(due);
      if (!thing) throw new Error(`there is no ${due}`);
      cluster.world.things.set(due, { ...thing, props: { ...thing.props, state: 'due' } });
    });
    const { outcome } = await cluster.upgrade(hourly('1.36.3', outside), {}, { now });
    expect([outcome, open]).toEqual([outside === 'wait' ? 'done' : 'stopped', false]);
    expect(acts.filter((act) => /^(cordon|delete local)/.test(act))).toEqual([]);
    expect(cluster.serves('etcd-a')).toBe(true);
  });

  test('where nothing is waited for: it stops between two hops, and says what is left', async () => {
    const cluster = await standingAs(at('1.34.4'), time)();
    const { now, pass } = clockAt(0);
    cluster.onAct = (act) => {
      if (act === 'uncordon master-b') pass(30);
    };
    const result = await cluster.upgrade(hourly('1.36.3', 'refuse'), {}, { now });
    expect([result.outcome, result.because]).toEqual(['stopped', 'the maintenance window has closed']);
    expect([...new Set(cluster.running('kube-apiserver').values())]).toEqual(['1.35.4']);
    expect(result.left.map(({ machine }) => machine)).toEqual([
      'master-a',
      'master-b',
      'workers-a-1',
      'workers-b-1',
      'workers-c-1',
    ]);
  });
});
