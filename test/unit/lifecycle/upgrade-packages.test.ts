import { describe, expect, test } from 'vitest';
import type { Cluster, ClusterInput } from '../../../src/config/schema.ts';
import { exitCodes, UserError } from '../../../src/errors.ts';
import { aCluster } from '../../support/builders.ts';
import { UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

const base: Partial<ClusterInput> = { etcd: { count: 1 }, masters: { count: 2 }, pools: [{ name: 'workers', count: 2 }] };
const since = (packages: string | undefined, over: Partial<ClusterInput> = {}): Cluster =>
  aCluster({ ...base, ...over, ...(packages !== undefined && { os: { packages } }) });
async function standing(file: Cluster): Promise<UpgradableCluster> {
  const cluster = new UpgradableCluster(time);
  await cluster.up(file);
  cluster.populate();
  cluster.stands();
  return cluster;
}
const machines = ['bastion', 'etcd-a', 'master-a', 'master-b', 'workers-a-1', 'workers-b-1'];
/** Machines in the order in which their packages were upgraded. */
const upgraded = ({ acts }: UpgradableCluster): readonly string[] =>
  acts.flatMap((act) => /^(?:update|create) host\.packages\/(.+)/.exec(act)?.[1] ?? []);
const failure = async (work: Promise<unknown>): Promise<UserError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof UserError)) throw new Error(`not a UserError: ${String(error)}`);
  return error;
};

describe("the operating system's packages", () => {
  test('a date in the file is left to `upgrade` by `up`; each machine is drained and upgraded in its turn, the bastion last; then the plan is empty', async () => {
    const cluster = await standing(since(undefined));
    const file = since('2020-01-01');
    await cluster.up(file);
    expect(upgraded(cluster)).toEqual([]);
    expect(await cluster.left(file)).toEqual(machines.map((name) => `update host.packages/${name} since`));
    const result = await cluster.upgrade(file);
    expect(result.outcome).toBe('done');
    expect(result.waves.map(({ name }) => name)).toEqual(['etcd', 'masters', 'pools', 'bastion']);
    expect(upgraded(cluster)).toEqual(['etcd-a', 'master-a', 'master-b', 'workers-a-1', 'workers-b-1', 'bastion']);
    const acts = cluster.acts.filter((act) => act.endsWith('/workers-a-1') || act.includes('workers-a-1'));
    expect(acts.findIndex((act) => act.startsWith('evict'))).toBeLessThan(acts.indexOf('update host.packages/workers-a-1'));
    expect(await cluster.left(file)).toEqual([]);
    expect([cluster.broken, cluster.api.cordoned(), cluster.api.tainted(), cluster.made]).toEqual([[], [], [], []]);
  });

  test('a machine that may restart leaves the balancers of Services before, and its packages come before anything else on it', async () => {
    const cluster = await standing(since(undefined));
    for (const name of machines) cluster.restarting.add(name);
    const file = since('2020-01-01', { kubernetes: { extraArgs: { apiserver: { 'max-requests-inflight': '500' } } } });
    expect((await cluster.upgrade(file)).outcome).toBe('done');
    const worker = cluster.acts.filter((act) => act.endsWith('workers-a-1'));
    const at = worker.indexOf('update host.packages/workers-a-1');
    expect(worker.slice(at - 2, at + 1)).toEqual(['cordon workers-a-1', 'taint workers-a-1', 'update host.packages/workers-a-1']);
    const master = cluster.acts.filter((act) => /^update .*master-a/.test(act));
    expect(master[0]).toBe('update host.packages/master-a');
    expect(master.filter((act) => act === 'update host.packages/master-a')).toHaveLength(1);
    expect([cluster.broken, await cluster.left(file), cluster.api.tainted()]).toEqual([[], [], []]);
  });

  test('a machine that does not come back from its restart: stopped there, by its name, and nothing comes to it; once it is back the same command goes on', async () => {
    const cluster = await standing(since(undefined));
    for (const name of machines) cluster.restarting.add(name);
    cluster.late.add('workers-a-1');
    const file = since('2020-01-01');
    const { problem } = await failure(cluster.upgrade(file));
    expect(problem).toMatchObject({
      what: expect.stringMatching(/turn of workers-a-1 failed/),
      why: expect.stringMatching(/did not come back within 300 s of its restart/),
      next: expect.stringMatching(/workers-b-1, bastion/),
    });
    expect(cluster.api.cordoned()).toEqual(['workers-a-1']);
    expect((await cluster.upgrade(file)).outcome).toBe('done');
    expect(upgraded(cluster)).toEqual(['etcd-a', 'master-a', 'master-b', 'workers-a-1', 'workers-b-1', 'bastion']);
    expect([cluster.broken, await cluster.left(file), cluster.api.cordoned(), cluster.api.tainted()]).toEqual([[], [], [], []]);
  });

  test('an earlier upgrade that was late enough is as good: no turn, nothing left', async () => {
    const cluster = await standing(since('2020-01-02'));
    expect(await cluster.left(since('2020-01-02T00:00Z'))).toEqual([]);
  });

  test('a new cluster, and a new worker, are upgraded before anything of ours comes there, and nobody is drained', async () => {
    const cluster = new UpgradableCluster(time);
    await cluster.up(since('2020-01-01'));
    for (const name of machines) {
      const order = cluster.acts.filter((act) => act === `create host.packages/${name}` || act === `create host.bundle/${name}`);
      expect(order).toEqual([`create host.packages/${name}`, `create host.bundle/${name}`]);
    }
    cluster.stands();
    await cluster.up(since('2020-01-01', { pools: [{ name: 'workers', count: 3 }] }));
    expect(upgraded(cluster)).toEqual(['workers-c-1']);
    expect(cluster.acts.filter((act) => act.startsWith('evict'))).toEqual([]);
  });

  test('with the strategy replace machines are made anew, and their packages are new before they join', async () => {
    const replace = { strategy: 'replace' } as const;
    const over: Partial<ClusterInput> = {
      etcd: { count: 3, upgrade: replace },
      masters: { count: 2, upgrade: replace },
      pools: [{ name: 'workers', count: 2, upgrade: { ...replace, maxSurge: 1, maxUnavailable: 0 } }],
    };
    const cluster = await standing(since(undefined, over));
    const file = since('2020-01-01', over);
    const plan = await cluster.dryRun(file);
    const turns = plan.rollout.waves.flatMap(({ lanes }) => lanes.flatMap((lane) => lane.turns));
    expect(turns.filter(({ role }) => role !== 'bastion').map(({ how }) => how)).toEqual(Array(7).fill('replace'));
    await cluster.upgrade(file);
    expect(cluster.acts.filter((act) => /^update host.packages\//.test(act))).toEqual(['update host.packages/bastion']);
    expect([...new Set(cluster.made)].sort()).toEqual(
      ['etcd-a', 'etcd-b', 'etcd-c', 'master-a', 'master-b', 'workers-a-1', 'workers-c-1', 'workers-b-1'].sort(),
    );
    expect(await cluster.left(file)).toEqual([]);
    expect(cluster.broken).toEqual([]);
  });

  test('the dry run says which packages, what stays held, and why a machine restarts; it changes nothing', async () => {
    const cluster = await standing(since(undefined));
    const said = 'package libc6 2.36-9 2.36-10\npackage linux-image-6.1.0-40 none 6.1.140\nheld containerd\nreboot libc6\ndone\n';
    cluster.mirrors.set('workers-b-1', { code: 0, stdout: said, stderr: '' });
    const before = cluster.digest();
    const { rollout } = await cluster.dryRun(since('2020-01-01'));
    expect(rollout.settings).toEqual(['os.packages']);
    const turn = rollout.waves
      .flatMap(({ lanes }) => lanes.flatMap((lane) => lane.turns))
      .find((each) => each.machine === 'workers-b-1');
    expect(turn).toMatchObject({
      how: 'in-place',
      drain: true,
      because: ["the operating system's packages under its pods"],
      packages: {
        moves: [
          { what: 'libc6', before: '2.36-9', after: '2.36-10' },
          { what: 'linux-image-6.1.0-40', before: 'none', after: '6.1.140' },
        ],
        held: ['containerd'],
        reboot: ['libc6'],
      },
    });
    expect(cluster.digest()).toBe(before);
  });

  test('a mirror that does not answer is in the way before anybody is drained; half-configured packages are only worth knowing', async () => {
    const cluster = await standing(since(undefined));
    cluster.mirrors.set('master-b', { code: 6, stdout: 'failed E: Could not connect to mirror:80\n', stderr: '' });
    cluster.mirrors.set('etcd-a', { code: 1, stdout: 'failed E: Unmet dependencies\n', stderr: '' });
    const error = await failure(cluster.upgrade(since('2020-01-01')));
    expect(error.message).toMatch(/master-b: a mirror of its packages[\s\S]*Could not connect to mirror:80/);
    expect(error.message).not.toContain('Unmet');
    expect(cluster.acts).toEqual([]);
    cluster.mirrors.delete('master-b');
    expect((await cluster.upgrade(since('2020-01-01'))).outcome).toBe('done');
  });

  test('dates go forward, and not beyond today: both are refused by plan, up and upgrade, with the reason', async () => {
    const cluster = await standing(since(undefined));
    await cluster.upgrade(since('2020-01-02'));
    for (const command of [cluster.left.bind(cluster), cluster.up.bind(cluster), cluster.upgrade.bind(cluster)]) {
      const back = await failure(command(since('2020-01-01')));
      expect([back.exitCode, back.message]).toEqual([exitCodes.config, expect.stringContaining('cannot go back to 2020-01-01')]);
      const future = await failure(command(since('2999-01-01')));
      expect([future.exitCode, future.message]).toEqual([exitCodes.config, expect.stringContaining('has not come yet')]);
    }
    // This very second has come.
    expect(await cluster.left(since(new Date().toISOString().replace(/\.\d+Z$/, 'Z')))).not.toEqual([]);
    // Taken out, packages are left alone.
    expect(await cluster.left(since(undefined))).toEqual([]);
  });

  test('with a version that takes two hops, packages are upgraded with the first turn of each machine, and only then', async () => {
    const at = (version: string, packages?: string): Cluster => since(packages, { kubernetes: { version } });
    const cluster = await standing(at('1.33.13'));
    const file = at('1.36.3', '2020-01-01');
    const plan = await cluster.dryRun(file);
    const turns = plan.rollout.waves.flatMap(({ lanes }) => lanes.flatMap((lane) => lane.turns));
    const described = turns.filter(({ packages }) => packages).map(({ machine }) => machine);
    expect(described.toSorted()).toEqual(machines);
    await cluster.upgrade(file);
    expect(upgraded(cluster).toSorted()).toEqual(machines);
    expect(await cluster.left(file)).toEqual([]);
    expect(cluster.broken).toEqual([]);
  });

  test('killed after each act and run again: the same end, nobody cordoned, no machine upgraded twice', async () => {
    const ready = await standing(since(undefined));
    const file = since('2020-01-01');
    const whole = ready.copy();
    await whole.upgrade(file);
    // Every second one, for time.
    for (const at of [...whole.acts.keys()].filter((index) => index % 2 === 0)) {
      const cluster = ready.copy();
      await cluster.killedAfter(at + 1, (over) => cluster.upgrade(file, {}, over));
      const before = upgraded(cluster);
      await cluster.upgrade(file);
      expect(cluster.digest()).toBe(whole.digest());
      expect([cluster.broken, cluster.api.cordoned(), cluster.api.tainted()]).toEqual([[], [], []]);
      expect(upgraded(cluster).toSorted()).toEqual(machines);
      expect(upgraded(cluster).slice(0, before.length)).toEqual(before);
    }
  }, 300_000);
});
