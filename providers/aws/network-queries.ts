import {
  DescribeAddressesCommand,
  DescribeVpcAttributeCommand,
  GetSubnetCidrReservationsCommand,
  type NatGateway,
  paginateDescribeInternetGateways,
  paginateDescribeNatGateways,
  paginateDescribeRouteTables,
  paginateDescribeSecurityGroups,
  paginateDescribeSubnets,
  paginateDescribeVpcEndpoints,
  paginateDescribeVpcs,
  type Subnet,
  type Vpc,
  type VpcEndpoint,
} from '@aws-sdk/client-ec2';
import { exitCodes, UserError } from '../../src/errors.ts';
import type { AwsClients } from './clients.ts';
import { clusterTag, ofCluster, type Tags, tagsFrom } from './tags.ts';

/** What the network's types ask through `world.read`: one call a kind, for the whole cluster. */

export async function vpcs({ ec2, owner, existing }: AwsClients): Promise<readonly Vpc[]> {
  // Ours and the named one come in one answer, and an ID that does not exist is no error in it.
  const filter = existing.vpc === undefined ? { Filters: ofCluster(owner.cluster) } : {};
  return flat(paginateDescribeVpcs({ client: ec2, pageSize }, filter), ({ Vpcs }) => Vpcs);
}

/** The attributes that DescribeVpcs does not tell: one call each. */
export async function dnsOf(
  { ec2 }: Pick<AwsClients, 'ec2'>,
  vpc: string,
): Promise<{ readonly support: boolean; readonly hostnames: boolean }> {
  const [support, hostnames] = await Promise.all(
    (['enableDnsSupport', 'enableDnsHostnames'] as const).map((Attribute) =>
      ec2.send(new DescribeVpcAttributeCommand({ VpcId: vpc, Attribute })),
    ),
  );
  return { support: support?.EnableDnsSupport?.Value ?? false, hostnames: hostnames?.EnableDnsHostnames?.Value ?? false };
}

/** Of an existing VPC all of them: those that cluster.yaml names and those that we made come in one answer. */
export async function subnets({ ec2, owner, existing }: AwsClients): Promise<readonly Subnet[]> {
  const filters = existing.vpc === undefined ? ofCluster(owner.cluster) : [{ Name: 'vpc-id', Values: [existing.vpc] }];
  return flat(paginateDescribeSubnets({ client: ec2, pageSize }, { Filters: filters }), ({ Subnets }) => Subnets);
}
/** AWS tells them of one subnet at a time. */
export async function reservationsOf({ ec2 }: AwsClients, subnet: string): Promise<readonly Reservation[]> {
  const { SubnetIpv4CidrReservations: found = [] } = await ec2.send(new GetSubnetCidrReservationsCommand({ SubnetId: subnet }));
  return found.flatMap(({ SubnetCidrReservationId: id, Cidr: cidr, ReservationType: type }) =>
    id && cidr ? [{ id, cidr, explicit: type === 'explicit' }] : [],
  );
}
export interface Reservation {
  readonly id: string;
  readonly cidr: string;
  /** Else AWS takes from it by prefix for network interfaces that ask for one. */
  readonly explicit: boolean;
}

export async function internetGateways({ ec2, owner, existing }: AwsClients) {
  const filters = existing.vpc === undefined ? ofCluster(owner.cluster) : [{ Name: 'attachment.vpc-id', Values: [existing.vpc] }];
  return flat(paginateDescribeInternetGateways({ client: ec2, pageSize }, { Filters: filters }), (page) => page.InternetGateways);
}

export async function addresses({ ec2, owner }: AwsClients) {
  const { Addresses = [] } = await ec2.send(new DescribeAddressesCommand({ Filters: ofCluster(owner.cluster) }));
  return Addresses;
}

/** Also those that are gone: they stay in the list for an hour. */
export async function allNatGateways({ ec2, owner }: AwsClients): Promise<readonly NatGateway[]> {
  const pages = paginateDescribeNatGateways({ client: ec2, pageSize }, { Filter: ofCluster(owner.cluster) });
  return flat(pages, (page) => page.NatGateways);
}
export const natGateways = async (clients: AwsClients): Promise<readonly NatGateway[]> =>
  (await allNatGateways(clients)).filter((one) => !isGone(one));
export const isGone = ({ State }: NatGateway): boolean => State === 'deleted' || State === 'deleting';

/** Others may be added and taken away; the primary one stays for as long as the gateway. */
export const addressOfNat = ({ NatGatewayAddresses: all = [] }: NatGateway): string | undefined =>
  (all.find(({ IsPrimary }) => IsPrimary) ?? all[0])?.AllocationId;

export async function routeTables({ ec2, owner }: AwsClients) {
  return flat(
    paginateDescribeRouteTables({ client: ec2, pageSize: 100 }, { Filters: ofCluster(owner.cluster) }),
    (page) => page.RouteTables,
  );
}

export async function endpoints({ ec2, owner }: AwsClients) {
  const all = await flat(
    paginateDescribeVpcEndpoints({ client: ec2, pageSize }, { Filters: ofCluster(owner.cluster) }),
    (page) => page.VpcEndpoints,
  );
  return all.filter((one) => !isGoing(one));
}
export const isGoing = ({ State }: VpcEndpoint): boolean => /^(deleted|deleting|expired)$/i.test(State ?? '');

/** Ours, and those that Kubernetes' controllers made: whose group a rule names decides whose rule it is. */
export async function securityGroups({ ec2, owner, account }: AwsClients) {
  const filters = Object.entries(kubernetesTag(owner.cluster)).map(([key, value]) => ({ Name: `tag:${key}`, Values: [value] }));
  const pages = paginateDescribeSecurityGroups({ client: ec2, pageSize }, { Filters: filters });
  const found = await flat(pages, (page) => page.SecurityGroups);
  // The store may be one that another account lets these credentials read.
  const strange = found.find(({ OwnerId, Tags }) => OwnerId !== account && tagsFrom(Tags)[clusterTag] === owner.cluster);
  if (!strange) return found;
  throw new UserError(
    {
      what: `these credentials are of account ${strange.OwnerId}, and the records of this cluster are of account ${account}`,
      where: `${strange.GroupId}`,
      next: 'use credentials of the account that is meant, and correct AWS_ACCOUNT_ID or aws_account_id of the profile',
    },
    exitCodes.credentials,
  );
}
/** By this Kubernetes' controllers know what they may use, and mark what they make. */
export const kubernetesTag = (cluster: string): Tags => ({ [`kubernetes.io/cluster/${cluster}`]: 'owned' });

const pageSize = 1000;
async function flat<P, T>(pages: AsyncIterable<P>, of: (page: P) => readonly T[] | undefined): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const page of pages) all.push(...(of(page) ?? []));
  return all;
}
