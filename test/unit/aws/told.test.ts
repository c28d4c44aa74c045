import type { AutoScalingGroup } from '@aws-sdk/client-auto-scaling';
import type { Instance, RouteTable } from '@aws-sdk/client-ec2';
import { expect, test } from 'vitest';
import { type AwsClients, openSdk } from '../../../providers/aws/clients.ts';
import { noNonces } from '../../../providers/aws/idempotency.ts';
import { known } from '../../../providers/aws/known.ts';
import { groups, instances, networkInterfaces, templates } from '../../../providers/aws/machine-queries.ts';
import {
  addresses,
  endpoints,
  internetGateways,
  natGateways,
  routeTables,
  vpcs,
} from '../../../providers/aws/network-queries.ts';
import { seenTemplates } from '../../../providers/aws/template-versions.ts';
import {
  marks,
  reservedIn,
  seenAddresses,
  seenEndpoints,
  seenInternetGateways,
  seenNatGateways,
  seenNetworkInterfaces,
  seenVpcs,
} from '../../../providers/aws/told.ts';

const tags = [{ Key: 'slipway.dev/cluster', Value: 'demo' }];
const mark = (id: string, kind: string) => ({ id, kind, tags });
const all = [
  mark('vpc-1', 'vpc'),
  mark('igw-1', 'internet-gateway'),
  mark('nat-1', 'natgateway'),
  mark('vpce-1', 'vpc-endpoint'),
  mark('eipalloc-nat', 'elastic-ip'),
  mark('eipalloc-bastion', 'elastic-ip'),
  mark('eni-1', 'network-interface'),
  mark('scr-1', 'subnet-cidr-reservation'),
  mark('lt-1', 'launch-template'),
];
const local = { DestinationCidrBlock: '10.0.0.0/16', GatewayId: 'local', State: 'active' } as const;
const to = (target: object, State: 'active' | 'blackhole' = 'active') => ({
  DestinationCidrBlock: '0.0.0.0/0',
  State,
  ...target,
});
const tables: readonly RouteTable[] = [
  { RouteTableId: 'rtb-1', VpcId: 'vpc-1', Routes: [local, to({ GatewayId: 'igw-1' })] },
  {
    RouteTableId: 'rtb-2',
    VpcId: 'vpc-1',
    Routes: [local, to({ NatGatewayId: 'nat-1' }), { DestinationPrefixListId: 'pl-1', GatewayId: 'vpce-1', State: 'active' }],
  },
];
const bastion: Instance = {
  InstanceId: 'i-1',
  NetworkInterfaces: [
    { NetworkInterfaceId: 'eni-1', SubnetId: 'subnet-1', PrivateIpAddress: '10.0.0.10', Association: { PublicIp: '192.0.2.1' } },
  ],
};
const facts: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'nat-1': { subnet: 'subnet-9', elasticIp: 'eipalloc-nat' },
  'vpce-1': { service: 'com.amazonaws.eu-west-1.s3' },
  'eipalloc-nat': { address: '192.0.2.2' },
  'eipalloc-bastion': { address: '192.0.2.1' },
  'scr-1': { subnet: 'subnet-1', cidr: '10.0.1.0/24' },
  'lt-1': { version: '2', content: JSON.stringify(content('ami-2')) },
};
function content(image: string) {
  const metadata = { tokens: 'required', hopLimit: 1, tags: 'disabled' };
  const rest = { device: '/dev/sda1', type: 'm6i.large', profile: 'p', securityGroups: ['sg-1'], rootGb: 20, kmsKey: null };
  return { image, ...rest, metadata, boot: 'b', volumeTags: { 'slipway.dev/cluster': 'demo' } };
}
const aGroup = (over: Partial<AutoScalingGroup> = {}, version = '2'): AutoScalingGroup => ({
  AutoScalingGroupName: 'demo-workers-eu-west-1a',
  MinSize: 1,
  MaxSize: 3,
  DesiredCapacity: 1,
  DefaultCooldown: 300,
  AvailabilityZones: ['eu-west-1a'],
  HealthCheckType: 'EC2',
  CreatedTime: new Date(0),
  Instances: [
    {
      InstanceId: 'i-2',
      AvailabilityZone: 'eu-west-1a',
      LifecycleState: 'InService',
      HealthStatus: 'Healthy',
      ProtectedFromScaleIn: false,
    },
  ],
  MixedInstancesPolicy: { LaunchTemplate: { LaunchTemplateSpecification: { LaunchTemplateId: 'lt-1', Version: version } } },
  ...over,
});

/** What other answers say; whatever else is asked is noted, and answered by nothing. */
function world(
  change: Partial<{
    marks: typeof all;
    tables: typeof tables;
    running: readonly Instance[];
    facts: typeof facts;
    groups: readonly AutoScalingGroup[];
  }> = {},
) {
  const asked: unknown[] = [];
  const answers = new Map<unknown, unknown>([
    [marks, change.marks ?? all],
    [routeTables, change.tables ?? tables],
    [instances, change.running ?? [bastion]],
    [groups, change.groups ?? [aGroup()]],
    [known, { facts: change.facts ?? facts }],
  ]);
  const clients: AwsClients = {
    ...openSdk({ region: 'eu-west-1' }),
    owner: { cluster: 'demo', extra: {} },
    uid: 'u',
    account: '1',
    region: 'eu-west-1',
    bucket: 'b',
    nonces: noNonces,
    existing: { vpc: undefined, subnets: {} },
    facts: new Map(),
    store: undefined,
    windowMs: 0,
  };
  const read = async <T>(query: (of: AwsClients, signal: AbortSignal) => Promise<T>): Promise<T> => {
    if (!answers.has(query)) asked.push(query);
    return (answers.get(query) ?? []) as T;
  };
  return { clients, read, asked };
}

test('a network that works is told by its routes, its machines and what never changes, and nothing more is asked', async () => {
  const look = world();
  expect(await seenVpcs(look)).toMatchObject([{ VpcId: 'vpc-1', CidrBlock: '10.0.0.0/16' }]);
  expect(await seenInternetGateways(look)).toMatchObject([{ InternetGatewayId: 'igw-1', Attachments: [{ VpcId: 'vpc-1' }] }]);
  expect(await seenNatGateways(look)).toMatchObject([
    { NatGatewayId: 'nat-1', SubnetId: 'subnet-9', NatGatewayAddresses: [{ AllocationId: 'eipalloc-nat' }] },
  ]);
  expect(await seenEndpoints(look)).toMatchObject([{ VpcEndpointId: 'vpce-1', VpcId: 'vpc-1', RouteTableIds: ['rtb-2'] }]);
  expect(await seenAddresses(look)).toMatchObject([
    { AllocationId: 'eipalloc-nat' },
    { AllocationId: 'eipalloc-bastion', PublicIp: '192.0.2.1', NetworkInterfaceId: 'eni-1' },
  ]);
  expect(await seenNetworkInterfaces(look)).toMatchObject([{ NetworkInterfaceId: 'eni-1', PrivateIpAddress: '10.0.0.10' }]);
  expect(await reservedIn(look, 'subnet-1')).toEqual(['10.0.1.0/24']);
  expect(await seenTemplates(look)).toMatchObject([{ id: 'lt-1', version: '2', content: { image: 'ami-2' }, tags }]);
  expect(look.asked).toEqual([]);
});

const blackHoles = tables.map((table) => ({
  ...table,
  Routes: table.Routes?.map((route) => (route.GatewayId === 'local' ? route : { ...route, State: 'blackhole' as const })),
}));
const without = (id: string) => all.filter((one) => one.id !== id);
test.each([
  ['routes are black holes', { tables: blackHoles }, [internetGateways, natGateways, endpoints, addresses]],
  ['there are no routes', { tables: [] }, [vpcs, internetGateways, natGateways, endpoints, addresses]],
  ['facts are lost', { facts: {} }, [natGateways, endpoints, addresses]],
  ['the machine is gone', { running: [] }, [addresses, networkInterfaces]],
  ['a gateway is used and carries no tag', { marks: without('igw-1') }, [internetGateways]],
  ['a NAT gateway is used and carries no tag', { marks: without('nat-1') }, [natGateways]],
  ['an endpoint is used and carries no tag', { marks: without('vpce-1') }, [endpoints]],
  ['an address is used and carries no tag', { marks: without('eipalloc-bastion') }, [addresses]],
  ["a NAT gateway's address carries no tag", { marks: without('eipalloc-nat') }, [addresses]],
  ['an interface is used and carries no tag', { marks: without('eni-1') }, [networkInterfaces]],
  ['an address that nobody uses is ours', { marks: [...all, mark('eipalloc-left', 'elastic-ip')] }, [addresses]],
  [
    'a second range is in the VPC',
    {
      tables: tables.map((one) => ({
        ...one,
        Routes: [...(one.Routes ?? []), { ...local, DestinationCidrBlock: '10.1.0.0/16' }],
      })),
    },
    [vpcs],
  ],
])('where %s, the kind itself is asked for', async (_, change, expected) => {
  const look = world(change);
  await seenVpcs(look);
  await seenInternetGateways(look);
  await seenNatGateways(look);
  await seenEndpoints(look);
  await seenAddresses(look);
  await seenNetworkInterfaces(look);
  for (const query of expected) expect(look.asked).toContain(query);
});

test('a reservation whose tags are gone, or whose range is not known, is asked for', async () => {
  expect(await reservedIn(world({ marks: without('scr-1') }), 'subnet-1')).toBeUndefined();
  expect(await reservedIn(world({ facts: {} }), 'subnet-1')).toBeUndefined();
});

const short = { ...facts, 'lt-1': { version: '2', content: '{"image":"ami-2"}' } };
test.each([
  ['a group launches another version', { groups: [aGroup(), aGroup({}, '3')] }],
  ['a group launches what is the default or the latest', { groups: [aGroup({}, '$Default')] }],
  [
    'a group has fewer members than it wants: there may be no such version any more',
    { groups: [aGroup({ DesiredCapacity: 2 })] },
  ],
  ['no group launches it', { groups: [] }],
  ['nothing is known of it', { facts: {} }],
  ['an older Slipway kept less of it', { facts: short }],
  ['it carries no tag, and groups launch it', { marks: without('lt-1') }],
  ['it carries no tag, and no group launches it', { marks: without('lt-1'), groups: [] }],
])('versions of launch templates are asked for where %s', async (_, change) => {
  // Nothing answers: where one version is asked for, it is not there.
  const look = world(change);
  look.clients.ec2.middlewareStack.add(() => async () => ({ output: { $metadata: {} }, response: {} }), { step: 'initialize' });
  await seenTemplates(look);
  expect(look.asked).toContain(templates);
});
