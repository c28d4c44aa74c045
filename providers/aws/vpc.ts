import {
  CreateVpcCommand,
  DeleteVpcCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSubnetsCommand,
  DescribeVpcsCommand,
  type Instance,
  ModifyVpcAttributeCommand,
  type NetworkInterface,
} from '@aws-sdk/client-ec2';
import { exitCodes, UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, Observation, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { atAddress, made, ownOf, setTags, tagged, visible, whileHeld } from './ec2.ts';
import { createWithIntent } from './idempotency.ts';
import { instances } from './machine-queries.ts';
import { dnsOf, subnets } from './network-queries.ts';
import { type Tags, withTags } from './tags.ts';
import { seenVpcs } from './told.ts';

export interface VpcProps {
  readonly cidr: string;
  /** ID of one that Slipway did not make, and neither changes nor deletes. */
  readonly existing: string | null;
  /** Both are what a private hosted zone needs. */
  readonly dnsSupport: boolean;
  readonly dnsHostnames: boolean;
  readonly tags: Tags;
}
export interface VpcOutputs {
  readonly id: string;
  readonly cidr: string;
}

export const vpc: ResourceType<VpcProps, VpcOutputs, AwsClients> = {
  name: 'aws.vpc',
  timeoutMs: 600_000,
  keeps: ({ existing }) => existing !== null,
  async observe(world) {
    const { clients } = world;
    const { cluster } = clients.owner;
    const [all, inside] = await Promise.all([seenVpcs(world), world.read(subnets)]);
    const inUse = new Set(inside.map(({ VpcId }) => VpcId));
    const own = ownOf(all, { cluster, type: vpc.name, idOf: ({ VpcId }) => VpcId, used: ({ VpcId }) => inUse.has(VpcId) });
    const named = own.length > 0 ? undefined : all.find(({ VpcId }) => VpcId !== undefined && VpcId === clients.existing.vpc);
    const found = named
      ? [{ thing: named, tags: {}, address: 'aws.vpc/main' as const, existing: true }]
      : own.map((one) => ({ ...one, existing: false }));
    const observed = found.map(
      async ({ thing, tags, address, existing }): Promise<[Address, Observation<VpcProps, VpcOutputs>]> => {
        const { VpcId: id = '', CidrBlock: cidr = '' } = thing;
        // Of an existing one they are not ours to judge.
        const proven = existing || (await world.read(instances)).some((instance) => isNamed(instance, id));
        const dns = proven ? { support: true, hostnames: true } : await dnsOf(clients, id);
        const props = { cidr, existing: existing ? id : null, dnsSupport: dns.support, dnsHostnames: dns.hostnames, tags };
        return [address, { state: 'present', props, outputs: { id, cidr } }];
      },
    );
    return new Map(await Promise.all(observed));
  },
  diff: withTags((desired, observed) =>
    desired.existing === null
      ? fields<VpcProps>({ cidr: 'replace', existing: 'replace', dnsSupport: 'none', dnsHostnames: 'none', tags: 'ignore' })(
          desired,
          observed,
        )
      : fields<VpcProps>({ cidr: 'ignore', existing: 'replace', dnsSupport: 'ignore', dnsHostnames: 'ignore', tags: 'ignore' })(
          desired,
          observed,
        ),
  ),
  async create(props, ctx) {
    if (props.existing !== null) throw notThere(props.existing, ctx);
    const { ec2, ec2Once, owner } = ctx.clients;
    const id = await createWithIntent(ctx, {
      async find() {
        const { Vpcs = [] } = await ec2.send(new DescribeVpcsCommand({ Filters: atAddress(owner.cluster, ctx.address) }));
        return Vpcs[0]?.VpcId;
      },
      async create() {
        await noLostOne(ctx);
        const command = new CreateVpcCommand({ CidrBlock: props.cidr, TagSpecifications: tagged('vpc', props.tags) });
        return made((await ec2Once.send(command)).Vpc?.VpcId);
      },
    });
    await setDns(id, props, ctx);
    return { id, cidr: props.cidr };
  },
  async update(props, outputs, ctx) {
    const { id } = outputs;
    const moved = outputs.cidr !== props.cidr && !ctx.hold.includes('cidr');
    if (moved || (props.existing !== null && !ctx.hold.includes('existing')))
      throw new UserError(
        {
          what: 'a cluster cannot move to another network',
          where: ctx.address,
          why: `it is in ${id} (${outputs.cidr}), and cluster.yaml asks for ${props.existing ?? props.cidr}`,
          next: 'set network.machines and provider.aws.vpc as they were, or make a new cluster and move the workloads',
        },
        exitCodes.config,
      );
    await Promise.all([setDns(id, props, ctx), setTags(ctx, id, props.tags)]);
    return outputs;
  },
  async delete({ id }, ctx) {
    await whileHeld(
      ctx,
      () => holders(ctx, id),
      () => ctx.clients.ec2.send(new DeleteVpcCommand({ VpcId: id })),
    );
  },
};

/** AWS gives a running instance's public address a name where both DNS attributes of its VPC are on, and only there. */
const isNamed = ({ VpcId, State, PublicIpAddress, PublicDnsName }: Instance, vpc: string): boolean =>
  VpcId === vpc && State?.Name === 'running' && Boolean(PublicIpAddress) && Boolean(PublicDnsName);

/** AWS takes one attribute a call. Hostnames need support, so that goes first. */
async function setDns(
  id: string,
  { dnsSupport, dnsHostnames }: Pick<VpcProps, 'dnsSupport' | 'dnsHostnames'>,
  ctx: Context<AwsClients>,
): Promise<void> {
  for (const attribute of [{ EnableDnsSupport: { Value: dnsSupport } }, { EnableDnsHostnames: { Value: dnsHostnames } }])
    await visible(ctx, () => ctx.clients.ec2.send(new ModifyVpcAttributeCommand({ VpcId: id, ...attribute })));
}

/** A VPC whose tags somebody removed is not found; a second one beside it, with half of the cluster in each, must not come of that. */
async function noLostOne({ clients }: Context<AwsClients>): Promise<void> {
  const [lost] = await subnets(clients);
  if (lost === undefined) return;
  throw new UserError({
    what: `the cluster's subnets are in ${lost.VpcId}, which has lost the tags that say whose it is`,
    where: lost.VpcId ?? '',
    next: `give them back: aws ec2 create-tags --resources ${lost.VpcId} --tags Key=slipway.dev/cluster,Value=${clients.owner.cluster} Key=slipway.dev/resource,Value=aws.vpc/main`,
  });
}

const notThere = (id: string, { clients }: Context<AwsClients>): UserError =>
  new UserError(
    {
      what: `${id} does not exist in ${clients.region}, account ${clients.account}`,
      where: 'provider.aws.vpc.id',
      next: 'correct the ID, the region or the credentials',
    },
    exitCodes.config,
  );

/** What holds a subnet, group or VPC: nearly always network interfaces, and their descriptions say whose. */
export async function interfacesIn(
  { clients }: Context<AwsClients>,
  filter: 'vpc-id' | 'subnet-id' | 'group-id',
  id: string,
  holds: (one: NetworkInterface) => boolean = () => true,
): Promise<readonly string[]> {
  const command = new DescribeNetworkInterfacesCommand({ Filters: [{ Name: filter, Values: [id] }] });
  const { NetworkInterfaces = [] } = await clients.ec2.send(command);
  return NetworkInterfaces.filter(holds)
    .slice(0, 5)
    .map(({ NetworkInterfaceId, Description }) => `${NetworkInterfaceId} (${Description || 'no description'})`);
}

/** Whatever else somebody made in it. */
async function holders(ctx: Context<AwsClients>, id: string): Promise<readonly string[]> {
  const { ec2 } = ctx.clients;
  const Filters = [{ Name: 'vpc-id', Values: [id] }];
  const [interfaces, { Subnets = [] }, { SecurityGroups = [] }] = await Promise.all([
    interfacesIn(ctx, 'vpc-id', id),
    ec2.send(new DescribeSubnetsCommand({ Filters })),
    ec2.send(new DescribeSecurityGroupsCommand({ Filters })),
  ]);
  const groups = SecurityGroups.filter(({ GroupName }) => GroupName !== 'default');
  return [
    ...interfaces,
    ...Subnets.slice(0, 5).map(({ SubnetId }) => `${SubnetId}`),
    ...groups.slice(0, 5).map(({ GroupId, GroupName }) => `${GroupId} (${GroupName})`),
  ];
}
