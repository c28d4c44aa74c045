import {
  AllocateAddressCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateTagsCommand,
  DeleteNatGatewayCommand,
  DeleteRouteCommand,
  DeleteSubnetCidrReservationCommand,
  DeleteTagsCommand,
  DeleteVpcEndpointsCommand,
  DescribeAddressesCommand,
  DescribeInternetGatewaysCommand,
  DescribeNatGatewaysCommand,
  DescribeNetworkInterfacesCommand,
  DescribeRouteTablesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSubnetsCommand,
  DescribeVpcEndpointsCommand,
  DescribeVpcsCommand,
  DisassociateAddressCommand,
  type EC2Client,
  GetSubnetCidrReservationsCommand,
  ModifySubnetAttributeCommand,
  ModifyVpcAttributeCommand,
  ModifyVpcEndpointCommand,
  ReplaceRouteCommand,
  ReplaceRouteTableAssociationCommand,
  RevokeSecurityGroupEgressCommand,
  RevokeSecurityGroupIngressCommand,
} from '@aws-sdk/client-ec2';
import { openSdk } from '../../../providers/aws/clients.ts';
import type { Drift, Place } from '../../contract/provider.ts';
import type { AwsPlace } from './place.ts';

const isAws = (place: Place): place is AwsPlace => 'proxy' in place && 'account' in place;

/** By hand, in the first zone of the place's cluster. */
function byHand(name: string, expected: readonly string[], act: (hand: Hand) => Promise<unknown>): Drift {
  return {
    name,
    expected,
    async act(place) {
      if (!isAws(place)) throw new Error('not a place on AWS');
      const region = place.cluster.provider.aws?.region ?? '';
      const { ec2 } = openSdk({ region, endpoint: place.proxy.url, credentials: place.account.credentials });
      await act({ ec2, zone: place.cluster.zones[0] ?? '', id: (address) => idOf(ec2, address) });
    },
  };
}
interface Hand {
  readonly ec2: EC2Client;
  readonly zone: string;
  id(address: string): Promise<string>;
}

async function idOf(ec2: EC2Client, address: string): Promise<string> {
  const Filters = [{ Name: 'tag:slipway.dev/resource', Values: [address] }];
  const find = async (): Promise<string | undefined> => {
    switch (address.split('/')[0]) {
      case 'aws.vpc':
        return (await ec2.send(new DescribeVpcsCommand({ Filters }))).Vpcs?.[0]?.VpcId;
      case 'aws.subnet':
        return (await ec2.send(new DescribeSubnetsCommand({ Filters }))).Subnets?.[0]?.SubnetId;
      case 'aws.internet-gateway':
        return (await ec2.send(new DescribeInternetGatewaysCommand({ Filters }))).InternetGateways?.[0]?.InternetGatewayId;
      case 'aws.elastic-ip':
        return (await ec2.send(new DescribeAddressesCommand({ Filters }))).Addresses?.[0]?.AllocationId;
      case 'aws.nat-gateway': {
        const { NatGateways = [] } = await ec2.send(new DescribeNatGatewaysCommand());
        return NatGateways.find(({ Tags = [] }) => Tags.some(({ Value }) => Value === address))?.NatGatewayId;
      }
      case 'aws.route-table':
        return (await ec2.send(new DescribeRouteTablesCommand({ Filters }))).RouteTables?.[0]?.RouteTableId;
      case 'aws.endpoint': {
        // One that was deleted is shown for a while.
        const { VpcEndpoints = [] } = await ec2.send(new DescribeVpcEndpointsCommand({ Filters }));
        return VpcEndpoints.find(({ State }) => !/^delet/i.test(State ?? ''))?.VpcEndpointId;
      }
      case 'aws.security-group':
        return (await ec2.send(new DescribeSecurityGroupsCommand({ Filters }))).SecurityGroups?.[0]?.GroupId;
      default:
        return undefined;
    }
  };
  const id = await find();
  if (id === undefined) throw new Error(`nothing at ${address}`);
  return id;
}

const everywhere = '0.0.0.0/0';
const zone = 'eu-west-1a';
export const networkDrifts: readonly Drift[] = [
  byHand("the VPC's DNS host names are switched off", ['update aws.vpc/main'], async ({ ec2, id }) =>
    ec2.send(new ModifyVpcAttributeCommand({ VpcId: await id('aws.vpc/main'), EnableDnsHostnames: { Value: false } })),
  ),
  byHand(
    'tags are changed and removed',
    [
      'update aws.internet-gateway/main',
      `update aws.nat-gateway/${zone}`,
      `update aws.subnet/public-${zone}`,
      'update aws.vpc/main',
    ],
    async ({ ec2, id }) => {
      const all = await Promise.all(['aws.vpc/main', 'aws.internet-gateway/main', `aws.nat-gateway/${zone}`].map(id));
      await ec2.send(new CreateTagsCommand({ Resources: all, Tags: [{ Key: 'Name', Value: 'renamed' }] }));
      const Tags = [{ Key: 'team' }, { Key: 'kubernetes.io/role/elb' }];
      await ec2.send(new DeleteTagsCommand({ Resources: [await id(`aws.subnet/public-${zone}`)], Tags }));
    },
  ),
  byHand('machines of a private subnet get public addresses', [`update aws.subnet/private-${zone}`], async ({ ec2, id }) =>
    ec2.send(
      new ModifySubnetAttributeCommand({
        SubnetId: await id(`aws.subnet/private-${zone}`),
        MapPublicIpOnLaunch: { Value: true },
      }),
    ),
  ),
  byHand("a subnet's reservation is deleted", [`update aws.subnet/private-${zone}`], async ({ ec2, id }) => {
    const SubnetId = await id(`aws.subnet/private-${zone}`);
    const { SubnetIpv4CidrReservations: [found] = [] } = await ec2.send(new GetSubnetCidrReservationsCommand({ SubnetId }));
    const SubnetCidrReservationId = found?.SubnetCidrReservationId;
    await ec2.send(new DeleteSubnetCidrReservationCommand({ SubnetCidrReservationId }));
  }),
  byHand('a route is deleted', [`update aws.route-table/private-${zone}`], async ({ ec2, id }) =>
    ec2.send(
      new DeleteRouteCommand({ RouteTableId: await id(`aws.route-table/private-${zone}`), DestinationCidrBlock: everywhere }),
    ),
  ),
  byHand('a private subnet is routed to the Internet', [`update aws.route-table/private-${zone}`], async ({ ec2, id }) =>
    ec2.send(
      new ReplaceRouteCommand({
        RouteTableId: await id(`aws.route-table/private-${zone}`),
        DestinationCidrBlock: everywhere,
        GatewayId: await id('aws.internet-gateway/main'),
      }),
    ),
  ),
  byHand('a private subnet is given the public route table', [`update aws.route-table/private-${zone}`], async ({ ec2, id }) => {
    const own = await id(`aws.route-table/private-${zone}`);
    const { RouteTables: [found] = [] } = await ec2.send(new DescribeRouteTablesCommand({ RouteTableIds: [own] }));
    const AssociationId = found?.Associations?.[0]?.RouteTableAssociationId;
    await ec2.send(new ReplaceRouteTableAssociationCommand({ AssociationId, RouteTableId: await id('aws.route-table/public') }));
  }),
  byHand(
    'a NAT gateway is deleted',
    [`create aws.nat-gateway/${zone}`, `update aws.route-table/private-${zone}`],
    async ({ ec2, id }) => ec2.send(new DeleteNatGatewayCommand({ NatGatewayId: await id(`aws.nat-gateway/${zone}`) })),
  ),
  byHand('the S3 endpoint leaves a route table', ['update aws.endpoint/s3'], async ({ ec2, id }) =>
    ec2.send(
      new ModifyVpcEndpointCommand({
        VpcEndpointId: await id('aws.endpoint/s3'),
        RemoveRouteTableIds: [await id(`aws.route-table/private-${zone}`)],
      }),
    ),
  ),
  byHand('the S3 endpoint is deleted', ['create aws.endpoint/s3'], async ({ ec2, id }) =>
    ec2.send(new DeleteVpcEndpointsCommand({ VpcEndpointIds: [await id('aws.endpoint/s3')] })),
  ),
  byHand("the bastion's address is taken from it", ['update aws.elastic-ip/bastion'], async ({ ec2, id }) => {
    const AllocationIds = [await id('aws.elastic-ip/bastion')];
    const { Addresses: [found] = [] } = await ec2.send(new DescribeAddressesCommand({ AllocationIds }));
    await ec2.send(new DisassociateAddressCommand({ AssociationId: found?.AssociationId }));
  }),
  byHand(
    'tags of what other answers tell of are changed',
    ['update aws.elastic-ip/bastion', 'update aws.endpoint/s3', 'update aws.network-interface/bastion'],
    async ({ ec2, id }) => {
      const Filters = [{ Name: 'tag:slipway.dev/resource', Values: ['aws.network-interface/bastion'] }];
      const { NetworkInterfaces } = await ec2.send(new DescribeNetworkInterfacesCommand({ Filters }));
      const Resources = [
        ...(await Promise.all(['aws.elastic-ip/bastion', 'aws.endpoint/s3'].map(id))),
        NetworkInterfaces?.[0]?.NetworkInterfaceId ?? '',
      ];
      await ec2.send(new CreateTagsCommand({ Resources, Tags: [{ Key: 'Name', Value: 'demo-renamed' }] }));
    },
  ),
  byHand('an address of ours is left over', ['delete aws.elastic-ip/nat-eu-west-1z'], async ({ ec2 }) => {
    const Tags = Object.entries({
      'slipway.dev/cluster': 'demo',
      'slipway.dev/resource': 'aws.elastic-ip/nat-eu-west-1z',
      Name: 'demo-nat-eu-west-1z',
    });
    await ec2.send(
      new AllocateAddressCommand({
        Domain: 'vpc',
        TagSpecifications: [{ ResourceType: 'elastic-ip', Tags: Tags.map(([Key, Value]) => ({ Key, Value })) }],
      }),
    );
  }),
  byHand('rules are added', ['update aws.firewall/etcd', 'update aws.firewall/master'], async ({ ec2, id }) => {
    const all = { CidrIp: everywhere };
    const [etcd, master] = await Promise.all(['aws.security-group/etcd', 'aws.security-group/master'].map(id));
    const open = { IpProtocol: 'tcp', FromPort: 0, ToPort: 65_535, IpRanges: [all], Ipv6Ranges: [{ CidrIpv6: '::/0' }] };
    await ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId: etcd, IpPermissions: [open] }));
    const pairs = [{ GroupId: etcd }];
    const wide = { IpProtocol: '-1', UserIdGroupPairs: pairs };
    const ping = { IpProtocol: 'icmp', FromPort: -1, ToPort: -1, IpRanges: [all] };
    await ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId: master, IpPermissions: [wide, ping] }));
  }),
  byHand('rules are removed', ['update aws.firewall/master', 'update aws.firewall/worker'], async ({ ec2, id }) => {
    const GroupIds = [await id('aws.security-group/master')];
    const { SecurityGroups: [found] = [] } = await ec2.send(new DescribeSecurityGroupsCommand({ GroupIds }));
    const IpPermissions = (found?.IpPermissions ?? []).slice(0, 2);
    await ec2.send(new RevokeSecurityGroupIngressCommand({ GroupId: GroupIds[0], IpPermissions }));
    const GroupId = await id('aws.security-group/worker');
    const way = [{ IpProtocol: '-1', IpRanges: [{ CidrIp: everywhere }] }];
    await ec2.send(new RevokeSecurityGroupEgressCommand({ GroupId, IpPermissions: way }));
  }),
];
