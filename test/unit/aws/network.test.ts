import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { balancer } from '../../../providers/aws/balancer.ts';
import { designNetwork } from '../../../providers/aws/design-network.ts';
import { ownOf } from '../../../providers/aws/ec2.ts';
import { elasticIp } from '../../../providers/aws/elastic-ip.ts';
import { firewall } from '../../../providers/aws/firewall.ts';
import { permissionOf, rulesOf } from '../../../providers/aws/firewall-rules.ts';
import { networkTypes } from '../../../providers/aws/network-types.ts';
import { routeTable } from '../../../providers/aws/route-table.ts';
import { subnet } from '../../../providers/aws/subnet.ts';
import { vpc } from '../../../providers/aws/vpc.ts';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import type { ClusterInput } from '../../../src/config/schema.ts';
import { diff } from '../../../src/plan/diff.ts';
import { ObservedMap } from '../../../src/plan/observed.ts';
import { refsOf } from '../../../src/plan/resolve.ts';
import type { Resource } from '../../../src/plan/resource.ts';
import { aCluster } from '../../support/builders.ts';

const [a, b, c] = ['eu-west-1a', 'eu-west-1b', 'eu-west-1c'] as const;
type Aws = NonNullable<ClusterInput['provider']['aws']>;
function designOf(aws: Partial<Aws> = {}, over: Partial<ClusterInput> = {}): readonly Resource[] {
  const cluster = aCluster({ provider: { aws: { region: 'eu-west-1', ...aws } }, zones: [a, b, c], ...over });
  return designNetwork(designTopology(cluster, noIdentity, versionsFor('1.36.3')), { cluster: 'demo', extra: {} });
}
const addresses = (design: readonly Resource[], type: string) =>
  design.filter((resource) => resource.type === type).map(({ address }) => address);
const propsAt = (design: readonly Resource[], address: string) => design.find((resource) => resource.address === address)?.props;
const [vpcId, subnetId] = ['vpc-0123456789abcdef0', 'subnet-0123456789abcdef0'];

describe('the design', () => {
  test('has two subnets, a NAT gateway with its address and a route table a zone', () => {
    const counts = Object.entries(Object.groupBy(designOf(), ({ type }) => type)).map(([type, of]) => `${of?.length} ${type}`);
    expect(counts.sort()).toEqual([
      '1 aws.endpoint',
      '1 aws.internet-gateway',
      '1 aws.vpc',
      '3 aws.nat-gateway',
      '4 aws.elastic-ip',
      '4 aws.route-table',
      '5 aws.firewall',
      '5 aws.security-group',
      '6 aws.subnet',
    ]);
  });
  test('refers to nothing that it does not have, but the network interface of the bastion', () => {
    for (const nat of ['zone', 'single', 'none'] as const) {
      const design = designOf({ nat });
      const own = new Set(design.map(({ address }) => address));
      const others = design.flatMap(({ props, after }) => [...refsOf(props), ...after]).filter((address) => !own.has(address));
      expect([...new Set(others)]).toEqual(['aws.network-interface/bastion']);
    }
  });
  test('every tag of ours is on every thing, and a thing that exists already has none', () => {
    const untagged = designOf({ vpc: { id: vpcId, publicSubnets: { [a]: subnetId } } }).filter(
      ({ props }) => 'tags' in props && Object.keys(props.tags ?? {}).length === 0,
    );
    expect(untagged.map(({ address }) => address)).toEqual([
      'aws.vpc/main',
      `aws.subnet/public-${a}`,
      'aws.internet-gateway/main',
    ]);
  });
  test('a single NAT gateway stays where it is when zones are added or written in another order', () => {
    const slots = { [a]: 0, [b]: 1, [c]: 2 };
    for (const zones of [[a], [a, b], [c, b, a], [b, a]])
      expect(addresses(designOf({ nat: 'single' }, { zones, network: { zoneSlots: slots } }), 'aws.nat-gateway')).toEqual([
        `aws.nat-gateway/${a}`,
      ]);
  });
  test('without NAT nothing of the Internet is reachable from the private subnets, and S3 is', () => {
    const design = designOf({ nat: 'none' });
    expect(addresses(design, 'aws.nat-gateway')).toEqual([]);
    expect(addresses(design, 'aws.elastic-ip')).toEqual(['aws.elastic-ip/bastion']);
    expect(propsAt(design, `aws.route-table/private-${a}`)).toMatchObject({ internet: null });
    expect(addresses(design, 'aws.endpoint')).toEqual(['aws.endpoint/s3']);
  });
  test('an existing VPC with all subnets needs addresses, security groups and nothing else', () => {
    const all = { [a]: subnetId, [b]: subnetId, [c]: subnetId };
    const design = designOf({ vpc: { id: vpcId, publicSubnets: all, privateSubnets: all } });
    expect([...new Set(design.map(({ type }) => type))]).toEqual([
      'aws.vpc',
      'aws.subnet',
      'aws.elastic-ip',
      'aws.security-group',
      'aws.firewall',
    ]);
  });
  test('only the ranges that cluster.yaml names come in from outside', () => {
    const design = designOf({}, { bastion: { allowedCidrs: ['203.0.113.0/24'] } });
    const ingress = design.flatMap(({ type, props }) =>
      type === 'aws.firewall' && 'ingress' in props ? Object.keys(props.ingress ?? {}) : [],
    );
    expect(ingress.filter((rule) => /from [\d:]/.test(rule))).toEqual(['tcp 22 from 203.0.113.0/24']);
  });
});

describe('a security group’s rules', () => {
  const names = new Map([
    ['sg-1', 'master'],
    ['sg-2', 'worker'],
  ]);
  test('are read as they were written', () => {
    const port = fc.integer({ min: 1, max: 65_535 });
    const rule = fc
      .tuple(fc.constantFrom('tcp', 'udp'), port, port, fc.constantFrom('master', 'worker', '10.0.0.0/8'))
      .map(([protocol, x, y, peer]) => {
        const [first, last] = x < y ? [x, y] : [y, x];
        return `${protocol} ${first === last ? first : `${first}-${last}`} from ${peer}`;
      });
    fc.assert(
      fc.property(fc.oneof(rule, fc.constant('all from worker')), (text) => {
        const permission = permissionOf(text, 'why', { master: 'sg-1', worker: 'sg-2' });
        const { ingress } = rulesOf({ IpPermissions: [permission] }, names, new Set());
        expect(ingress.map((one) => [one.text, one.why])).toEqual([[text, 'why']]);
      }),
    );
  });
  test('of controllers are not ours: by the group that they made, or by their words', () => {
    const permissions = [
      { IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: 'sg-elb' }, { GroupId: 'sg-9' }] },
      {
        IpProtocol: 'tcp',
        FromPort: 30_001,
        ToPort: 30_001,
        IpRanges: [{ CidrIp: '0.0.0.0/0', Description: 'kubernetes.io/rule/nlb/client=x' }],
      },
    ];
    const { ingress } = rulesOf({ IpPermissions: permissions }, names, new Set(['sg-elb']));
    expect(ingress.map(({ text, foreign }) => [text, foreign])).toEqual([
      ['all from sg-elb', true],
      ['all from sg-9', false],
      ['tcp 30001 from 0.0.0.0/0', true],
    ]);
  });
  test('that differ are shown one by one', () => {
    const observed = { groups: {}, ingress: { 'tcp 22 from bastion': 'SSH', 'tcp 1 from ::/0': '' }, egress: {} };
    const desired = { groups: {}, ingress: { 'tcp 22 from bastion': 'renamed', 'tcp 6443 from worker': 'API' }, egress: {} };
    expect(firewall.diff(desired, observed)).toEqual([
      { path: 'ingress.tcp 6443 from worker', before: null, after: 'API', impact: 'none' },
      { path: 'ingress.tcp 1 from ::/0', before: 'open', after: null, impact: 'none' },
    ]);
  });
});

describe('what differs', () => {
  const table = { vpc: vpcId, internet: 'nat-1', subnets: ['subnet-1'], tags: {} };
  test('subnets and routes that others added to a route table are theirs', () =>
    expect(routeTable.diff(table, { ...table, subnets: ['subnet-0', 'subnet-1'] })).toEqual([]));
  test('a way out that no design has is removed where it is one of ours, or leads nowhere', () => {
    const none = { ...table, internet: null };
    expect(routeTable.diff(none, { ...table, internet: 'nat-1' })).toHaveLength(1);
    expect(routeTable.diff(none, { ...table, internet: 'tgw-1 (blackhole: it is gone)' })).toHaveLength(1);
    expect(routeTable.diff(none, { ...table, internet: 'tgw-1' })).toEqual([]);
  });
  const own = {
    vpc: vpcId,
    zone: a,
    cidr: '10.0.0.0/20',
    fixed: '10.0.0.0/24',
    publicAddresses: false,
    existing: null,
    tags: {},
  };
  test('a zone comes into the balancer at once, and leaves it with its machines', () => {
    const api = { scheme: 'internal', subnets: ['subnet-a', 'subnet-b'], securityGroups: [], tags: {} } as const;
    expect(balancer.diff({ ...api, subnets: ['subnet-c', 'subnet-b'] }, api)).toMatchObject([
      { path: 'subnets.subnet-c', impact: 'none' },
      { path: 'subnets.subnet-a', after: null, impact: 'restart' },
    ]);
    expect(balancer.diff({ ...api, subnets: ['subnet-b', 'subnet-a'] }, api)).toEqual([]);
  });
  test('a further reservation in a subnet is somebody’s own', () => {
    expect(subnet.diff(own, { ...own, fixed: '10.0.0.0/24, 10.0.9.0/28' })).toEqual([]);
    expect(subnet.diff(own, { ...own, fixed: '10.0.9.0/28' })).toHaveLength(1);
  });
  test('of an existing subnet only its place counts', () => {
    const named = { ...own, cidr: null, fixed: null, existing: subnetId };
    expect(subnet.diff(named, { ...own, existing: subnetId, publicAddresses: true, tags: { x: 'y' } })).toEqual([]);
    expect(subnet.diff(named, { ...own, existing: subnetId, zone: b }).map(({ path }) => path)).toEqual(['zone']);
  });
  test('the address of a NAT gateway is where its gateway is', () => {
    const one = { networkInterface: null, tags: {} };
    expect(elasticIp.diff(one, { ...one, networkInterface: 'eni-1' })).toEqual([]);
    expect(elasticIp.diff({ ...one, networkInterface: 'eni-2' }, { ...one, networkInterface: 'eni-1' })).toHaveLength(1);
  });
});

describe('what exists already', () => {
  test('is never deleted', () => {
    const types = new Map(networkTypes.map((type) => [type.name as string, type as never]));
    const seen = new ObservedMap();
    const props = { cidr: '10.0.0.0/16', dnsSupport: true, dnsHostnames: true, tags: {} };
    seen.set('aws.vpc/main', { state: 'present', props: { ...props, existing: vpcId }, outputs: {} });
    expect(diff([], seen, types)).toEqual([]);
    seen.set('aws.vpc/main', { state: 'present', props: { ...props, existing: null }, outputs: {} });
    expect(diff([], seen, types)).toHaveLength(1);
    expect(vpc.keeps?.({ ...props, existing: vpcId })).toBe(true);
  });
});

describe('two things at one address', () => {
  const thing = (id: string, used: boolean, cluster = 'demo') => ({
    id,
    used,
    Tags: [
      { Key: 'slipway.dev/cluster', Value: cluster },
      { Key: 'slipway.dev/resource', Value: 'aws.vpc/main' },
    ],
  });
  test('the one that is used keeps it, the other goes; things of others are not seen', () => {
    const things = [thing('1', false), thing('2', true), thing('0', true, 'other')];
    const own = ownOf(things, { cluster: 'demo', type: 'aws.vpc', idOf: ({ id }) => id, used: ({ used }) => used });
    expect(own.map(({ address, thing: { id } }) => [address, id])).toEqual([
      ['aws.vpc/main', '2'],
      ['aws.vpc/main~1', '1'],
    ]);
  });
});
