import {
  paginateDescribeInternetGateways,
  paginateDescribeRouteTables,
  type RouteTable,
  type Subnet,
  type Vpc,
} from '@aws-sdk/client-ec2';
import type { Finding } from '../../src/config/finding.ts';
import type { Cluster } from '../../src/config/schema.ts';
import { nameOf, typeOf } from '../../src/plan/resource.ts';
import { existingOf } from './existing.ts';
import { dnsOf } from './network-queries.ts';
import { holds, overlap } from './ranges.ts';
import { clusterTag, tagsFrom } from './tags.ts';
import { type Check, ok, type Verifying } from './verify-check.ts';
import { namedOf, namedSubnets, newSubnets } from './verify-subnets.ts';
import { all } from './verify-world.ts';

const check = 'aws.network';

/** A VPC of its own collides with nobody: two may have one range. One that exists must be such that the cluster works in it. */
export const verifyNetwork: Check = async (of, world) => {
  const { topology } = of;
  const { vpc: id } = existingOf(topology.cluster);
  const range = topology.cluster.network.machines;
  if (id === undefined) {
    const same = (await world.vpcs()).filter(
      ({ CidrBlock = '', Tags }) => overlap(CidrBlock, range) && tagsFrom(Tags)[clusterTag] !== of.owner.cluster,
    );
    const others =
      same.length === 0
        ? ''
        : `; ${same.map(({ VpcId }) => VpcId).join(', ')} overlap${same.length === 1 ? 's' : ''} it, which matters only to peering`;
    return [ok(check, `a VPC of its own with ${range}${others}`), ...withoutWayOut(topology.cluster)];
  }
  const vpc = (await world.vpcs()).find(({ VpcId }) => VpcId === id);
  if (!vpc)
    return [
      {
        severity: 'error',
        check,
        where: 'provider.aws.vpc.id',
        what: `there is no VPC ${id} in ${of.region} of this account`,
        next: 'correct the ID, or the region',
      },
    ];
  const subnets = (await world.subnets()).filter(({ VpcId }) => VpcId === id);
  const findings = (
    await Promise.all([
      rangeOf(vpc, of),
      dns(vpc, of),
      namedSubnets(subnets, of),
      newSubnets(subnets, of),
      waysOut(id, subnets, of),
    ])
  ).flat();
  return findings.length > 0 ? findings : [ok(check, `${id} has room for ${range}, DNS, and a way out`)];
};

/** In a VPC of its own nobody can have made endpoints before. */
export const withoutWayOut = ({ provider }: Pick<Cluster, 'provider'>): readonly Finding[] =>
  provider.aws?.nat === 'none' && provider.aws.vpc === undefined
    ? [
        {
          severity: 'warning',
          check,
          where: 'provider.aws.nat',
          what: 'private machines will reach S3, and nothing else of AWS',
          why: 'without NAT the cloud controller and the agent need interface endpoints for ec2, autoscaling and elasticloadbalancing: until they are in the VPC no node is initialised and no machine of a pool joins',
          next: 'set nat: single or zone; or name a VPC that has these endpoints (provider.aws.vpc)',
        },
      ]
    : [];

function rangeOf({ VpcId, CidrBlock = '', CidrBlockAssociationSet = [] }: Vpc, { topology }: Verifying): readonly Finding[] {
  const range = topology.cluster.network.machines;
  const associated = CidrBlockAssociationSet.flatMap(({ CidrBlock: cidr, CidrBlockState }) =>
    cidr && CidrBlockState?.State !== 'disassociated' ? [cidr] : [],
  );
  const ranges = [...new Set([CidrBlock, ...associated])].filter(Boolean);
  if (ranges.some((whole) => holds(whole, range))) return [];
  return [
    {
      severity: 'error',
      check,
      where: 'network.machines',
      what: `${VpcId} has ${ranges.join(', ')}, and network.machines ${range} is not within it`,
      next: 'set network.machines to a free part of the range of the VPC',
    },
  ];
}

async function dns({ VpcId = '' }: Vpc, { sdk }: Verifying): Promise<readonly Finding[]> {
  const { support, hostnames } = await dnsOf(sdk, VpcId);
  const off = [...(support ? [] : ['enableDnsSupport']), ...(hostnames ? [] : ['enableDnsHostnames'])];
  return off.map((name) => ({
    severity: 'error',
    check,
    where: 'provider.aws.vpc.id',
    what: `${VpcId} has ${name} off`,
    why: 'machines find the API by a name in a private zone',
    next: `aws ec2 modify-vpc-attribute --vpc-id ${VpcId} --${name === 'enableDnsSupport' ? 'enable-dns-support' : 'enable-dns-hostnames'}`,
  }));
}

/** A way to the Internet for the named subnets, and a gateway for public subnets that are to be made. */
async function waysOut(vpc: string, subnets: readonly Subnet[], of: Verifying): Promise<readonly Finding[]> {
  const { sdk, signal, resources, topology } = of;
  const Filters = [{ Name: 'vpc-id', Values: [vpc] }];
  const attached = [{ Name: 'attachment.vpc-id', Values: [vpc] }];
  const [tables, gateways] = await Promise.all([
    all(paginateDescribeRouteTables({ client: sdk.ec2, pageSize: 100 }, { Filters }), signal, ({ RouteTables }) => RouteTables),
    all(
      paginateDescribeInternetGateways({ client: sdk.ec2 }, { Filters: attached }),
      signal,
      ({ InternetGateways }) => InternetGateways,
    ),
  ]);
  const findings: Finding[] = [];
  const makesPublic = resources.some(({ address }) => typeOf(address) === 'aws.route-table' && nameOf(address) === 'public');
  if (makesPublic && gateways.length === 0)
    findings.push({
      severity: 'error',
      check,
      where: 'provider.aws.vpc.id',
      what: `${vpc} has no internet gateway, and its public subnets need one`,
      next: 'attach one: Slipway changes nothing of a VPC that exists',
    });
  for (const { side, zone, id, where } of namedOf(of)) {
    if (!subnets.some(({ SubnetId }) => SubnetId === id)) continue;
    const out = wayOut(id, tables);
    if (side === 'public' && !out?.startsWith('igw-'))
      findings.push({
        severity: 'error',
        check,
        where,
        what: `${id} has no route to an internet gateway`,
        why: `the bastion and NAT gateways of ${zone} are reached through it`,
        next: 'name a public subnet, or add the route 0.0.0.0/0',
      });
    if (side === 'private' && out === undefined && topology.cluster.provider.aws?.nat !== 'none')
      findings.push({
        severity: 'error',
        check,
        where,
        what: `${id} has no way out (0.0.0.0/0)`,
        why: "machines talk to AWS's API, and pull images",
        next: 'add a route to a NAT or transit gateway, or set provider.aws.nat: none where endpoints of your own are enough',
      });
  }
  return findings;
}

/** Where 0.0.0.0/0 of a subnet leads: by its own table, else by the main one. */
export function wayOut(subnet: string, tables: readonly RouteTable[]): string | undefined {
  const own = tables.find(({ Associations = [] }) => Associations.some(({ SubnetId }) => SubnetId === subnet));
  const table = own ?? tables.find(({ Associations = [] }) => Associations.some(({ Main }) => Main));
  const route = table?.Routes?.find(
    ({ DestinationCidrBlock, State }) => DestinationCidrBlock === '0.0.0.0/0' && State !== 'blackhole',
  );
  return (
    route &&
    (route.GatewayId ??
      route.NatGatewayId ??
      route.TransitGatewayId ??
      route.NetworkInterfaceId ??
      route.InstanceId ??
      'somewhere')
  );
}
