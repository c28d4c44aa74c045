import { DescribeAutoScalingGroupsCommand, SetDesiredCapacityCommand } from '@aws-sdk/client-auto-scaling';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openGroups } from '../../providers/aws/groups.ts';
import { withProviderDefaults } from '../../src/config/provider-defaults.ts';
import { type Cluster, type ClusterInput, clusterSchema } from '../../src/config/schema.ts';
import { type Infrastructure, infrastructure, wordsOf } from '../support/aws/infrastructure.ts';
import { type Moto, startMoto } from '../support/aws/moto.ts';
import { type AwsPlace, awsPlace } from '../support/aws/place.ts';

const region = 'eu-west-1';
const zone = `${region}a`;
const group = `workers-${zone}`;
const signal = new AbortController().signal;
const clusterOf = (pool: Partial<NonNullable<ClusterInput['pools']>[number]> = {}): Cluster =>
  clusterSchema.parse(
    withProviderDefaults({
      apiVersion: 'slipway/v1',
      kind: 'Cluster',
      name: 'demo',
      provider: { aws: { region, image: { owner: 'amazon', name: 'amzn2-ami-hvm-2.*-x86_64-*' } } },
      zones: [zone],
      etcd: { count: 1 },
      masters: { count: 1 },
      pools: [{ name: 'workers', count: 2, ...pool }],
    }),
  );
const larger = clusterOf({ machine: { type: 'm6i.large' } });
const onlyPools = (type: string): boolean => /^aws\.(vpc|subnet|security-group|image|role|launch-template|pool)$/.test(type);

let moto: Moto;
beforeAll(async () => {
  moto = await startMoto();
});
afterAll(() => moto.stop());
const places: AwsPlace[] = [];
afterEach(async () => {
  for (const place of places.splice(0)) {
    try {
      place.check();
    } finally {
      await place.close();
    }
  }
});

/** A pool of two machines, whose template has moved on: both are old. */
async function moved(): Promise<{ place: AwsPlace; one: Infrastructure }> {
  const place = await awsPlace(moto, clusterOf());
  places.push(place);
  const one = await infrastructure(place, onlyPools);
  await one.converge();
  const plan = await one.look('upgrade', larger);
  expect(wordsOf(plan)).toContain('update aws.launch-template/workers: type');
  // As the wave publishes: what says how members are is not carried out.
  await one.publish(larger);
  return { place, one };
}
const port = ({ clients }: Infrastructure) => openGroups(clients);
const now = async (one: Infrastructure) => {
  const found = (await port(one).read(signal)).get(group);
  return found ?? expect.fail('no group');
};
const boundsOf = async (one: Infrastructure) => {
  const { AutoScalingGroups: [found] = [] } = await one.clients.autoscaling.send(
    new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [`demo-${group}`] }),
  );
  return { min: found?.MinSize, max: found?.MaxSize, desired: found?.DesiredCapacity };
};
const oldOf = async (one: Infrastructure) => (await now(one)).members.filter(({ old }) => old).map(({ machine }) => machine);

/** As an upgrade does it: a spare machine first, for each old one. */
async function roll(one: Infrastructure): Promise<void> {
  for (;;) {
    const { desired, before, members } = await now(one);
    const [old] = members.filter((member) => member.old && !member.going);
    if (!old) return port(one).settle(group, before, signal);
    if (desired === (before ?? desired)) await port(one).raise(group, desired + 1, signal);
    await port(one).end(group, old.machine, { shrink: true }, signal);
  }
}

test('members made from an earlier template are old, and the plan counts them', async () => {
  const { one } = await moved();
  expect((await now(one)).members.map(({ old, going }) => ({ old, going }))).toEqual(Array(2).fill({ old: true, going: false }));
  expect(wordsOf(await one.look('up', larger))).toEqual([`update aws.pool/${group}: outdated (left to upgrade)`]);
  await one.clients.autoscaling.send(
    new SetDesiredCapacityCommand({ AutoScalingGroupName: `demo-${group}`, DesiredCapacity: 2 }),
  );
});

test('a spare machine comes first, beyond the bounds, an old one goes with its place, and in the end all is as it was', async () => {
  const { one } = await moved();
  const [first = ''] = await oldOf(one);
  await port(one).raise(group, 3, signal);
  expect(await now(one)).toMatchObject({ desired: 3, before: 2 });
  expect(await boundsOf(one)).toEqual({ min: 2, max: 3, desired: 3 });
  await port(one).end(group, first, { shrink: true }, signal);
  await port(one).end(group, first, { shrink: true }, signal);
  expect(await now(one)).toMatchObject({ desired: 2, before: 2 });
  await roll(one);
  expect(await oldOf(one)).toEqual([]);
  expect(await boundsOf(one)).toEqual({ min: 2, max: 2, desired: 2 });
  expect(wordsOf(await one.look('upgrade', larger))).toEqual([]);
});

test('without a spare machine the group makes another in its place', async () => {
  const { one } = await moved();
  const [first = ''] = await oldOf(one);
  await port(one).end(group, first, { shrink: false }, signal);
  const { desired, before, members } = await now(one);
  expect({ desired, before, old: members.map(({ old }) => old).sort() }).toEqual({
    desired: 2,
    before: undefined,
    old: [false, true],
  });
});

test('a size that a killed run has raised is told as drift, stays for `up`, and `upgrade` takes it back', async () => {
  const { one } = await moved();
  await port(one).raise(group, 3, signal);
  expect(wordsOf(await one.look('up', larger))).toEqual([`update aws.pool/${group}: outdated, raised (left to upgrade)`]);
  await one.converge('up', larger);
  expect(await boundsOf(one)).toEqual({ min: 2, max: 3, desired: 3 });
  for (const old of await oldOf(one)) await port(one).end(group, old, { shrink: false }, signal);
  expect(wordsOf(await one.look('upgrade', larger))).toEqual([`update aws.pool/${group}: raised`]);
  await one.converge('upgrade', larger);
  expect(await boundsOf(one)).toEqual({ min: 2, max: 2, desired: 2 });
});

describe('killed at any call, the next run comes to the same end', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('change %d', async (change) => {
    const { one, place } = await moved();
    place.killAfter(change, () => undefined);
    await roll(one).catch(() => undefined);
    const killed = place.revive();
    const next = await infrastructure(place, onlyPools);
    const { members } = await now(next);
    expect(members.length).toBeLessThanOrEqual(3);
    await roll(next);
    expect({ killed, bounds: await boundsOf(next), old: await oldOf(next) }).toEqual({
      killed: change <= 7,
      bounds: { min: 2, max: 2, desired: 2 },
      old: [],
    });
    expect(wordsOf(await next.look('upgrade', larger))).toEqual([]);
  });
});

test('in a storm, the group ends with the size that it had', async () => {
  const { one, place } = await moved();
  place.storm(11);
  for (let attempt = 0; attempt < 3; attempt++) await roll(one).catch(() => undefined);
  place.storm(undefined);
  await roll(one);
  expect(await boundsOf(one)).toEqual({ min: 2, max: 2, desired: 2 });
  expect(await oldOf(one)).toEqual([]);
});
