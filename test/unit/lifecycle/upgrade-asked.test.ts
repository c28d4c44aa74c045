import { describe, expect, test } from 'vitest';
import type { Cluster, ClusterInput } from '../../../src/config/schema.ts';
import type { DryRunOptions } from '../../../src/lifecycle/upgrade/plan.ts';
import { exitCodeOfDryRun } from '../../../src/rollout/result.ts';
import type { UpgradePlan } from '../../../src/rollout/upgrade-plan.ts';
import { rolloutView } from '../../../src/ui/rollout-view.ts';
import { plainLook } from '../../../src/ui/style.ts';
import { aCluster } from '../../support/builders.ts';
import { standingAs, type UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

const at = (version: string, over: Partial<ClusterInput> = {}): Cluster =>
  aCluster({ masters: { count: 2 }, ...over, kubernetes: { version } });
const volumes = (cluster: UpgradableCluster): readonly string[] =>
  [...cluster.world.things.keys()].filter((address) => address.startsWith('local.volume/')).toSorted();
const lost = ({ changes }: Pick<UpgradePlan, 'changes'>): readonly string[] =>
  changes.flatMap(({ address, impact, when }) => (impact === 'data-loss' && 'now' in when ? [address] : []));

describe('what destroys data', () => {
  const standing = standingAs(at('1.36.3'), time);
  const smaller = at('1.36.3', { etcd: { count: 1 } });
  const shrunk = async (): Promise<UpgradableCluster> => {
    const cluster = await standing();
    expect((await cluster.upgrade(smaller)).outcome).toBe('done');
    return cluster;
  };
  const stayed = ['etcd-b.events', 'etcd-b.main', 'etcd-c.events', 'etcd-c.main'].map((name) => `local.volume/${name}`);

  test('is asked about, also where nothing else is to be done', async () => {
    const cluster = await shrunk();
    const before = volumes(cluster);
    const asked: UpgradePlan[] = [];
    const confirm = (answer: boolean) => async (plan: UpgradePlan) => {
      asked.push(plan);
      return answer;
    };
    expect((await cluster.upgrade(smaller, { allowDataLoss: true, confirm: confirm(false) })).outcome).toBe('declined');
    expect(volumes(cluster)).toEqual(before);
    expect((await cluster.upgrade(smaller, { allowDataLoss: true, confirm: confirm(true) })).outcome).toBe('done');
    expect(asked.map((plan) => lost(plan).toSorted())).toEqual([stayed, stayed]);
    expect(volumes(cluster)).toEqual(before.filter((address) => !stayed.includes(address)));
    expect(await cluster.left(smaller)).toEqual([]);
  });

  test('is in the dry run where it is allowed, and promised by it', async () => {
    const cluster = await standing();
    const before = volumes(cluster);
    expect(lost(await cluster.dryRun(smaller))).toEqual([]);
    const saved = await cluster.dryRun(smaller, { allowDataLoss: true });
    expect(lost(saved).toSorted()).toEqual(stayed);
    for (const address of stayed) {
      expect(rolloutView.human(saved, plainLook)).toContain(`- ${address}  `);
      expect(rolloutView.markdown?.(saved)).toContain(`delete \`${address}\``);
    }
    await expect(cluster.upgrade(smaller, { saved })).rejects.toMatchObject({
      exitCode: 75,
      problem: { next: expect.stringContaining('--allow-data-loss') },
    });
    // Cut in the middle: the rest is still what was promised.
    await cluster.killedAfter(4, (over) => cluster.upgrade(smaller, { saved, allowDataLoss: true }, over));
    expect((await cluster.upgrade(smaller, { saved, allowDataLoss: true })).outcome).toBe('done');
    expect(volumes(cluster)).toEqual(before.filter((address) => !stayed.includes(address)));
  });

  test('and is listed as left where it is not, also when nothing else is to be done', async () => {
    const cluster = await shrunk();
    const text = rolloutView.human(await cluster.dryRun(smaller), plainLook);
    expect(text).toContain('nothing to upgrade');
    for (const address of stayed) expect(text).toContain(address);
  });
});

const [before, after] = [at('1.35.4', { etcd: { count: 1 } }), at('1.36.3', { etcd: { count: 1 } })];

test('a dry run of a part is carried out as that part', async () => {
  const cluster = await standingAs(before, time)();
  const saved = await cluster.dryRun(after, { only: { what: 'role', name: 'masters' } });
  const { outcome, left } = await cluster.upgrade(after, { saved });
  expect(outcome).toBe('paused');
  expect([...new Set(cluster.running('kubelet').values())].toSorted()).toEqual(['1.35.4', '1.36.3']);
  expect(left.map(({ machine }) => machine)).toEqual(['workers-a-1', 'workers-b-1', 'workers-c-1']);
  expect((await cluster.upgrade(after, { saved })).outcome).toBe('paused');
});

describe('a dry run with --force-after', () => {
  const standing = standingAs(before, time);
  const forceAfterMs = 600_000;

  test('says so, and is carried out with it', async () => {
    const cluster = await standing();
    const saved = await cluster.dryRun(after, { forceAfterMs });
    expect(saved.rollout.forceAfterSeconds).toBe(600);
    for (const text of [rolloutView.human(saved, plainLook), rolloutView.markdown?.(saved)])
      expect(text).toMatch(/would not leave are deleted after 10 min/);
    const asked: UpgradePlan[] = [];
    const confirm = async (plan: UpgradePlan) => asked.push(plan) > 0;
    expect((await cluster.upgrade(after, { saved, confirm })).outcome).toBe('done');
    expect(asked.map(({ rollout }) => rollout.forceAfterSeconds)).toEqual([600]);
  });

  test.each([
    ['another time than the plan promises', forceAfterMs, 'with --force-after 600s'],
    ['a time, where it promises none', undefined, 'without --force-after'],
  ])('%s is refused', async (_, promised, made) => {
    const cluster = await standing();
    const saved = await cluster.dryRun(after, { ...(promised !== undefined && { forceAfterMs: promised }) });
    await expect(cluster.upgrade(after, { saved, forceAfterMs: 1000 })).rejects.toMatchObject({
      exitCode: 64,
      problem: { what: `the saved plan was made ${made}, and does not promise 1s` },
    });
    expect(cluster.acts).toEqual([]);
  });
});

describe('who set it off is told when it is agreed on', () => {
  const standing = standingAs(after, time);
  const agreed = async (file: Cluster, confirm: boolean) => {
    const cluster = await standing();
    const acts: string[] = [];
    const { outcome } = await cluster.upgrade(file, {
      confirm: async () => confirm,
      agreed: async () => void acts.push(`agreed after ${cluster.acts.length} acts`),
    });
    return [outcome, ...acts];
  };
  test.each([
    ['before anything is done', at('1.36.2', { etcd: { count: 1 } }), true, ['done', 'agreed after 0 acts']],
    ['also where nothing is to be done', after, true, ['nothing to do', 'agreed after 0 acts']],
    ['and not where it is declined', at('1.36.2', { etcd: { count: 1 } }), false, ['declined']],
  ])('%s', async (_, file, confirm, all) => expect(await agreed(file, confirm)).toEqual(all));
});

describe('upgrade --dry-run --detailed-exitcode', () => {
  const code = async (cluster: UpgradableCluster, file: Cluster, options: DryRunOptions = {}) =>
    exitCodeOfDryRun(await cluster.dryRun(file, options));
  test('0: nothing to do; 2: something; 1: something is in the way', async () => {
    const cluster = await standingAs(before, time)();
    expect([await code(cluster, before), await code(cluster, after)]).toEqual([0, 2]);
    expect(await code(cluster, after, { only: { what: 'role', name: 'masters' } })).toBe(2);
    cluster.lose('workers-a-1');
    expect(await code(cluster, after)).toBe(1);
  });
  test('69: something could not be seen', async () => {
    const cluster = await standingAs(before, time)();
    cluster.world.unreachable.set('host.bundle/workers-a-1', 'SSH hangs');
    await expect(code(cluster, after)).rejects.toMatchObject({ exitCode: 69 });
    const plan = await (await standingAs(before, time)()).dryRun(after);
    const [change] = plan.changes;
    if (!change) throw new Error('a change');
    const unseen = { ...change, when: { left: 'unseen' as const, because: 'SSH hangs' } };
    expect(exitCodeOfDryRun({ ...plan, changes: [unseen] })).toBe(69);
  });
});

test('outside of the maintenance windows nobody is asked, and nothing is agreed on', async () => {
  const cluster = await standingAs(before, time)();
  const never = { ...after, upgrade: { ...after.upgrade, windows: [{ cron: '0 3 29 2 *', duration: '1m', timezone: 'UTC' }] } };
  const asked: string[] = [];
  const upgrading = cluster.upgrade(never, {
    confirm: async () => asked.push('confirm') > 0,
    agreed: async () => asked.push('agreed'),
  });
  await expect(upgrading).rejects.toMatchObject({ exitCode: 1, problem: { where: 'upgrade.windows' } });
  expect([asked, cluster.acts]).toEqual([[], []]);
});

test('what is said of a machine that goes through several minor versions is said once', async () => {
  const alone = (version: string): Cluster => at(version, { masters: { count: 1 }, etcd: { count: 1 } });
  const cluster = await standingAs(alone('1.34.4'), time)();
  const { waves, obstacles } = (await cluster.dryRun(alone('1.36.3'))).rollout;
  expect(waves.filter(({ name }) => name === 'masters')).toHaveLength(2);
  expect(obstacles.map(({ where, what }) => `${where}: ${what}`)).toEqual([
    'master-a: the API does not answer while it restarts: it is the only master',
  ]);
});
