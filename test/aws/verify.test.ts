import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import actions from '../../providers/aws/actions.json' with { type: 'json' };
import { operatorPolicy } from '../../providers/aws/policies/operator.ts';
import { openAws } from '../../providers/aws/provider.ts';
import { actionsOfCall } from '../../scripts/aws-actions.ts';
import { forProvider, versionsFor } from '../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../src/cluster/design.ts';
import type { Finding } from '../../src/config/finding.ts';
import type { Cluster } from '../../src/config/schema.ts';
import { refuse } from '../support/aws/answers.ts';
import { infrastructure } from '../support/aws/infrastructure.ts';
import { type Moto, startMoto } from '../support/aws/moto.ts';
import { type AwsPlace, awsPlace } from '../support/aws/place.ts';
import { textsOf } from '../support/aws/xml.ts';
import { aCluster } from '../support/builders.ts';

let moto: Moto;
let place: AwsPlace | undefined;
beforeAll(async () => {
  moto = await startMoto();
});
afterAll(() => moto.stop());
afterEach(async () => {
  place?.check();
  await place?.close();
});

type Over = Parameters<typeof aCluster>[0];
const region = 'eu-west-1';
const image = { owner: 'amazon', name: 'amzn2-ami-hvm-*-x86_64-*' };
const clusterOf = (over: Over = {}): Cluster =>
  aCluster({
    provider: { aws: { region, image } },
    zones: ['eu-west-1a', 'eu-west-1b', 'eu-west-1c'],
    bastion: { allowedCidrs: ['203.0.113.0/24'], machine: { type: 't3.micro' } },
    etcd: { machine: { type: 't3.medium' } },
    masters: { machine: { type: 't3.large' } },
    pools: [{ name: 'workers', min: 3, max: 6, machine: { type: 'm5.large' } }],
    ...over,
  });

async function at(cluster: Cluster): Promise<AwsPlace> {
  place = await awsPlace(moto, cluster);
  place.proxy.weather.permissions = { caller: `arn:aws:iam::${place.account.id}:user/op` };
  return place;
}
const topologyOf = (cluster: Cluster) =>
  designTopology(cluster, noIdentity, forProvider(versionsFor(cluster.kubernetes.version), cluster.provider));
async function findings(of: AwsPlace): Promise<readonly Finding[]> {
  const { cluster } = of;
  const topology = topologyOf(cluster);
  const provider = await of.open();
  return Array.fromAsync(provider.verify(topology, new AbortController().signal));
}
const problems = (found: readonly Finding[]) => found.filter(({ severity }) => severity !== 'ok');
const ask = (of: AwsPlace, action: string, params: Record<string, string>) =>
  of.proxy.ask(of.account.id, 'ec2', action, params, region);

test('an account with room for the cluster: everything was looked at, nothing was changed, in few calls', async () => {
  const here = await at(clusterOf());
  const found = await findings(here);
  expect(problems(found)).toEqual([]);
  expect(found.map(({ check }) => check)).toEqual([
    'aws.account',
    'aws.permissions',
    'aws.zones',
    'aws.machine-types',
    'aws.image',
    'aws.network',
    'aws.names',
    'aws.quotas',
  ]);
  expect(here.proxy.calls.filter(({ committed }) => committed)).toEqual([]);
  expect(here.proxy.calls.length).toBeLessThanOrEqual(55);
});

test('everything that is wrong is found at once', async () => {
  const here = await at(
    clusterOf({
      zones: ['eu-west-1a', 'eu-west-1b', 'eu-west-1x'],
      pools: [{ name: 'workers', min: 3, max: 900, machine: { type: 'm6g.large' } }],
      provider: { aws: { region, image: { owner: 'amazon', name: 'nothing-of-that-name' } } },
    }),
  );
  const { id } = here.account;
  here.proxy.weather.permissions = {
    caller: `arn:aws:sts::${id}:assumed-role/Ops/me`,
    denied: ['ec2:CreateVpc', 'iam:PassRole'],
  };
  here.proxy.weather.quotas = { vpcs: 1, addresses: 3, vcpus: 40 };
  await here.proxy.ask(id, 'iam', 'CreateRole', { RoleName: `demo-${region}-etcd`, AssumeRolePolicyDocument: '{}' });
  const found = problems(await findings(here));
  const errors = found.filter(({ severity }) => severity === 'error').map(({ check, where = '' }) => `${check} ${where}`);
  expect(errors.sort()).toEqual([
    'aws.image provider.aws.image',
    'aws.machine-types pools.workers.machine.type',
    `aws.names arn:aws:iam::${id}:role/demo-${region}-etcd`,
    `aws.permissions arn:aws:iam::${id}:role/Ops`,
    `aws.permissions arn:aws:iam::${id}:role/Ops`,
    'aws.quotas ec2 L-0263D0A3',
    'aws.quotas vpc L-F678F1CE',
    'aws.zones zones',
  ]);
  expect(found.find(({ severity, where }) => severity === 'warning' && where === 'ec2 L-1216C47A')?.next).toMatch(
    /^aws service-quotas request-service-quota-increase --region eu-west-1 --service-code ec2 --quota-code L-1216C47A --desired-value \d+$/,
  );
  expect(found.find(({ what }) => what.includes('ec2:CreateVpc'))?.next).toContain('"Sid":"MakeTagged"');
});

test('where IAM simulates nothing, dry runs tell', async () => {
  const here = await at(clusterOf());
  here.proxy.weather.permissions = {};
  expect((await findings(here)).find(({ check }) => check === 'aws.permissions')).toMatchObject({ severity: 'ok' });
  const dry = here.proxy.calls.filter(({ params }) => params.DryRun === true);
  expect([dry.length, [...new Set(dry.map(({ code }) => code))]]).toEqual([4, ['DryRunOperation']]);
});

test('a dry run that is refused is a missing permission, with the statements that would give it', async () => {
  const here = await at(clusterOf());
  here.proxy.weather.permissions = {};
  here.proxy.when(({ action }) => action === 'AllocateAddress', { refuse: refuse('UnauthorizedOperation', 'no', 403) });
  const [found] = problems(await findings(here));
  expect(found).toMatchObject({ severity: 'error', check: 'aws.permissions', what: 'may not: ec2:AllocateAddress' });
  expect(found?.next).toContain('"Sid":"MakeTagged"');
});

test('an image that the cluster was made from and that is there no more', async () => {
  const here = await at(clusterOf());
  const store = await (await here.open()).store(here.cluster, { create: true }, new AbortController().signal);
  const record = { image: { ...image, id: 'ami-0123456789abcdef0', device: '/dev/xvda' } };
  await store?.put('aws/known.json', new TextEncoder().encode(JSON.stringify(record)));
  const found = problems(await findings(here));
  expect(found.map(({ check, what }) => `${check} ${what}`)).toEqual([
    'aws.image the image ami-0123456789abcdef0, from which the machines of this cluster start, is not there any more',
  ]);
});

test('a service that gives no answer is a warning, not an error', async () => {
  const here = await at(clusterOf());
  here.proxy.when(({ action }) => action === 'DescribeImages', {
    refuse: refuse('UnauthorizedOperation', 'You are not authorized to perform this operation.', 403),
  });
  const found = problems(await findings(here));
  expect(found.map(({ check, severity }) => `${severity} ${check}`)).toEqual(['warning aws.image']);
});

test('a VPC that exists: its range, its subnets and their ways out', async () => {
  const first = await at(clusterOf());
  const [vpc = ''] = textsOf(await ask(first, 'CreateVpc', { CidrBlock: '172.30.0.0/20' }), 'vpcId');
  const subnetIn = async (zone: string, cidr: string) =>
    textsOf(await ask(first, 'CreateSubnet', { VpcId: vpc, CidrBlock: cidr, AvailabilityZone: zone }), 'subnetId')[0] ?? '';
  const named = await subnetIn('eu-west-1b', '172.30.0.0/24');
  const over: Over = { provider: { aws: { region, image, vpc: { id: vpc, publicSubnets: { 'eu-west-1a': named } } } } };
  const cluster = clusterOf(over);
  const open = () => openAws({ cluster, endpoint: first.proxy.url, credentials: first.account.credentials });
  const found = problems(await findings({ ...first, cluster, open })).filter(({ check }) => check === 'aws.network');
  expect(found.map(({ what }) => what.replaceAll(/(vpc|subnet)-[0-9a-f]+/g, '$1')).sort()).toEqual([
    'subnet has no route to an internet gateway',
    'subnet is in eu-west-1b, and is named for eu-west-1a',
    'the private subnet of eu-west-1a would have 172.30.0.0/21, where subnet has 172.30.0.0/24',
    'vpc has 172.30.0.0/20, and network.machines 172.30.0.0/16 is not within it',
    'vpc has enableDnsHostnames off',
    'vpc has no internet gateway, and its public subnets need one',
  ]);
});

test('the policy allows every call of the whole life of a cluster, and what it makes carries the tag that the policy asks for', async () => {
  const here = await at(clusterOf({ kubernetes: { api: { allowedCidrs: ['198.51.100.0/24'] } } }));
  const world = await infrastructure(here);
  await world.converge('up');
  await findings(here);
  // What stands costs what the design says that it costs.
  await world.look();
  const provider = await here.open();
  await provider.store(here.cluster, { create: false }, new AbortController().signal);
  const cost = await provider.cost?.(world.seen, provider.design(topologyOf(here.cluster)), new AbortController().signal);
  expect(cost?.lines.map(({ of, before }) => [of, before])).toEqual(cost?.lines.map(({ of, after }) => [of, after]));
  expect(cost?.lines.map(({ of, unknown }) => [of, ...unknown])).toEqual([
    ['bastion'],
    ['etcd'],
    ['masters'],
    ['pool workers'],
    ['network'],
  ]);
  await world.converge('down');
  await (await here.open()).removeStore(here.cluster, new AbortController().signal);
  const scope = { cluster: 'demo', account: here.account.id, region, bucket: 'b', kmsKey: undefined };
  const { Statement: statements } = operatorPolicy(actions, scope);
  const calls = here.proxy.calls.filter(({ service }) => service !== 'sts');
  const asked = calls.flatMap(({ service, action }) => actionsOfCall(service, action));
  expect([...new Set(asked)].filter((action) => !actions.includes(action))).toEqual([]);
  const made = statements
    .filter(({ Condition }) => JSON.stringify(Condition)?.includes('aws:RequestTag/'))
    .flatMap(({ Action }) => Action);
  const untagged = calls.filter(
    ({ service, action, params }) =>
      made.includes(`${service}:${action}`) && !JSON.stringify(params).includes('"Key":"slipway.dev/cluster","Value":"demo"'),
  );
  expect(untagged.map(({ action }) => action)).toEqual([]);
  expect(calls.filter(({ action }) => action.startsWith('Create')).length).toBeGreaterThan(20);
});
