import { describe, expect, test } from 'vitest';
import type { Cluster, ClusterInput } from '../../../src/config/schema.ts';
import type { Event } from '../../../src/run/events.ts';
import { listRuns, readRun } from '../../../src/run/journal.ts';
import { aCluster } from '../../support/builders.ts';
import { standingAs } from '../../support/memory-upgrade.ts';
import { snapshotAnswer, snapshotFile } from '../../support/snapshot.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';
import { memoryStore } from '../run/memoryStore.ts';

const time = new VirtualTimers();
time.install();

const at = (version: string, over: Partial<ClusterInput> = {}): Cluster =>
  aCluster({ etcd: { count: 1 }, masters: { count: 1 }, ...over, kubernetes: { ...over.kubernetes, version } });
const [before, after] = [at('1.35.4'), at('1.36.3')];

const standing = standingAs(before, time);
const manifest = 'write recovery-point.json';

describe('before an upgrade touches etcd or a master', () => {
  test('a recovery point is taken, of both etcd clusters, and the dry run says so', async () => {
    const cluster = await standing();
    expect((await cluster.dryRun(after)).rollout.recoveryPoint).toEqual({ what: 'take', newest: null });
    await cluster.upgrade(after);
    const [point, ...others] = cluster.points();
    expect(others).toEqual([]);
    expect(point).toMatchObject({ command: 'upgrade', versions: { kubernetes: '1.35.4' }, uid: (await cluster.record()).uid });
    expect(point?.snapshots.map(({ cluster: etcd, revision }) => [etcd, revision])).toEqual([
      ['main', 9],
      ['events', 9],
    ]);
    const touching = cluster.acts.findIndex((act) => /^(cordon|evict|update host|delete)/.test(act));
    expect(cluster.acts.indexOf(manifest)).toBeGreaterThanOrEqual(0);
    expect(cluster.acts.indexOf(manifest)).toBeLessThan(touching);
    const [run] = await listRuns(memoryStore(cluster.objects));
    const events = (await readRun(memoryStore(cluster.objects), run?.runId ?? ''))?.events ?? [];
    expect(events.filter(({ task }: Event) => task === 'recovery point').map(({ type }) => type)).toEqual([
      'started',
      'progress',
      'progress',
      'done',
    ]);
  });

  test('one that cannot be taken stops it, with nothing touched; and whoever has backups of their own may skip it', async () => {
    const cluster = await standing();
    const [world, record] = [cluster.digest(), await cluster.record()];
    cluster.snapshot = () => snapshotAnswer(snapshotFile('x')).subarray(0, 90);
    await expect(cluster.upgrade(after)).rejects.toThrow('the snapshot was cut');
    expect(cluster.points()).toEqual([]);
    expect(cluster.digest()).toBe(world);
    expect(await cluster.record()).toEqual(record);
    expect(cluster.acts.filter((act) => !act.startsWith('write'))).toEqual([]);
    const skipped = await cluster.upgrade(after, { skipRecoveryPoint: true });
    expect(skipped.outcome).toBe('done');
    expect(cluster.points()).toEqual([]);
  });

  test('killed after it was taken: the run that goes on takes no other, hours later', async () => {
    const cluster = await standing();
    const whole = cluster.copy();
    await whole.upgrade(after);
    for (const act of ['cordon master-a', 'cordon workers-a-1']) {
      const own = cluster.copy();
      await own.killedAfter(whole.acts.indexOf(act) + 1, (over) => own.upgrade(after, {}, over));
      expect([own.acts.at(-1), own.points().length]).toEqual([act, 1]);
      const later = { now: () => Date.now() + 3 * 3_600_000 };
      expect((await own.upgrade(after, {}, later)).outcome).toBe('done');
      expect(own.points()).toHaveLength(1);
    }
  });

  test('killed while it is taken: what was left is no point, and the run that goes on takes one', async () => {
    const cluster = await standing();
    await cluster.killedAfter(1, (over) => cluster.upgrade(after, {}, over));
    expect(cluster.acts).toContain('write etcd-main.db.age');
    expect(cluster.acts).not.toContain(manifest);
    expect(cluster.points()).toEqual([]);
    expect((await cluster.upgrade(after)).outcome).toBe('done');
    const [point, ...others] = cluster.points();
    expect(others).toEqual([]);
    const left = [...cluster.objects.keys()].filter((key) => key.startsWith('recovery/') && !key.includes(point?.id ?? '-'));
    expect(left).toEqual([]);
  });

  test('a young one spares it: backup.maxAge', async () => {
    const cluster = await standing();
    await cluster.upgrade(after);
    const more = at('1.36.3', { kubernetes: { extraArgs: { apiserver: { 'max-requests-inflight': '500' } } } });
    expect((await cluster.dryRun(more)).rollout.recoveryPoint?.what).toBe('have');
    const always = { ...more, backup: { ...more.backup, maxAge: '0s' } };
    expect((await cluster.dryRun(always)).rollout.recoveryPoint?.what).toBe('take');
    await cluster.upgrade(more);
    expect(cluster.points()).toHaveLength(1);
  });

  test('an upgrade of workers alone needs none', async () => {
    const cluster = await standing();
    await cluster.upgrade(after, { only: { what: 'role', name: 'masters' } });
    expect(cluster.points()).toHaveLength(1);
    const labelled = at('1.36.3', { pools: [{ name: 'workers', count: 2 }] });
    expect((await cluster.dryRun(labelled)).rollout.recoveryPoint).toBeUndefined();
    cluster.snapshot = () => {
      throw new Error('nobody asks for one');
    };
    expect((await cluster.upgrade(labelled)).outcome).toBe('done');
  });
});
