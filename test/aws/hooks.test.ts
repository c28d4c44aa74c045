import {
  DescribeAutoScalingGroupsCommand,
  PutLifecycleHookCommand,
  SetDesiredCapacityCommand,
} from '@aws-sdk/client-auto-scaling';
import { DescribeInstancesCommand } from '@aws-sdk/client-ec2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAgentCloud } from '../../providers/aws/agent-cloud.ts';
import { openGroups } from '../../providers/aws/groups.ts';
import { withProviderDefaults } from '../../src/config/provider-defaults.ts';
import { clusterSchema } from '../../src/config/schema.ts';
import { type Infrastructure, infrastructure, wordsOf } from '../support/aws/infrastructure.ts';
import { type Moto, startMoto } from '../support/aws/moto.ts';
import { type AwsPlace, awsPlace } from '../support/aws/place.ts';

/** The agent's side of lifecycle hooks, against groups that play them as AWS does. */
const region = 'eu-west-1';
const group = `workers-${region}a`;
const name = `demo-${group}`;
const cluster = clusterSchema.parse(
  withProviderDefaults({
    apiVersion: 'slipway/v1',
    kind: 'Cluster',
    name: 'demo',
    provider: { aws: { region, image: { owner: 'amazon', name: 'amzn2-ami-hvm-2.*-x86_64-*' } } },
    zones: [`${region}a`],
    etcd: { count: 1 },
    masters: { count: 1 },
    pools: [{ name: 'workers', min: 1, max: 3 }],
  }),
);
const { signal } = new AbortController();
const onlyPools = (type: string): boolean => /^aws\.(vpc|subnet|security-group|image|role|launch-template|pool)$/.test(type);
let moto: Moto;
let place: AwsPlace;
let one: Infrastructure;
beforeAll(async () => {
  moto = await startMoto({ hooks: 0.02 });
  place = await awsPlace(moto, cluster);
  one = await infrastructure(place, onlyPools);
  await one.converge();
}, 120_000);
afterAll(async () => {
  await place.close();
  await moto.stop();
});
const states = async (): Promise<readonly string[]> => {
  const { AutoScalingGroups: [found] = [] } = await one.clients.autoscaling.send(
    new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [name] }),
  );
  return (found?.Instances ?? []).map(({ LifecycleState }) => LifecycleState ?? '').sort();
};
const running = async (): Promise<number> => {
  const Filters = [{ Name: 'instance-state-name', Values: ['pending', 'running'] }];
  const { Reservations = [] } = await one.clients.ec2.send(new DescribeInstancesCommand({ Filters }));
  return Reservations.flatMap(({ Instances = [] }) => Instances).length;
};
const agent = () =>
  openAgentCloud({
    cluster: 'demo',
    region,
    bucket: 'none',
    workerRoleId: '',
    certificates: [],
    endpoint: place.proxy.url,
    credentials: place.account.credentials,
  });
const resize = (DesiredCapacity: number) =>
  one.clients.autoscaling.send(new SetDesiredCapacityCommand({ AutoScalingGroupName: name, DesiredCapacity }));

test('a new machine waits until the agent lets it into service; one that is given up is made anew', async () => {
  expect(await states()).toEqual(['Pending:Wait']);
  const [first] = await agent().held(signal);
  await agent().release(first ?? expect.fail('none is held'), 'abandon', signal);
  expect([await states(), await running()]).toEqual([['Pending:Wait'], 1]);
  const [second] = await agent().held(signal);
  expect(second?.instance).not.toBe(first?.instance);
  await agent().release(second ?? expect.fail('none is held'), 'continue', signal);
  expect([await states(), await agent().held(signal)]).toEqual([['InService'], []]);
});
test('one that is to go runs on until the agent lets it go; asked twice, nothing happens twice', async () => {
  await resize(2);
  for (const machine of await agent().held(signal)) await agent().release(machine, 'continue', signal);
  await resize(1);
  expect([await states(), await running()]).toEqual([['InService', 'Terminating:Wait'], 2]);
  const [machine] = await agent().held(signal);
  expect(machine?.why).toBe('terminate');
  await agent().keepHolding(machine ?? expect.fail('none is held'), signal);
  // An upgrade that asks for the same machine meanwhile.
  await openGroups(one.clients).end(group, machine?.instance ?? '', { shrink: true }, signal);
  expect(await states()).toEqual(['InService', 'Terminating:Wait']);
  for (let times = 0; times < 2; times++) await agent().release(machine ?? expect.fail('none'), 'continue', signal);
  expect([await states(), await running()]).toEqual([['InService'], 1]);
});
test('one that nobody answers for goes when the hook has waited long enough', async () => {
  const hook = {
    AutoScalingGroupName: name,
    LifecycleHookName: 'slipway-terminate',
    LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
    DefaultResult: 'CONTINUE',
  };
  await one.clients.autoscaling.send(new PutLifecycleHookCommand({ ...hook, HeartbeatTimeout: 30 }));
  await resize(2);
  for (const machine of await agent().held(signal)) await agent().release(machine, 'continue', signal);
  await resize(1);
  expect(await states()).toEqual(['InService', 'Terminating:Wait']);
  await expect.poll(states, { timeout: 5_000 }).toEqual(['InService']);
  expect(await running()).toBe(1);
});

test('a group that may launch nothing for a quota says which, and what to ask for; it is not made twice', async () => {
  const full = await startMoto({ hooks: 1, groupVcpus: 1 });
  const poor = await awsPlace(full, cluster);
  try {
    const { converge, look } = await infrastructure(poor, onlyPools);
    await expect(converge()).rejects.toThrow(
      /Running On-Demand Standard[\s\S]*current vCPU limit of 1[\s\S]*--quota-code L-1216C47A/,
    );
    expect(wordsOf(await look())).toEqual([`update aws.pool/${group}: missing`]);
  } finally {
    await poor.close();
    await full.stop();
  }
}, 120_000);
