import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteSecurityGroupCommand,
  DeleteVolumeCommand,
  paginateDescribeSecurityGroups,
  paginateDescribeVolumes,
  RevokeSecurityGroupEgressCommand,
  RevokeSecurityGroupIngressCommand,
  type SecurityGroup,
} from '@aws-sdk/client-ec2';
import {
  DescribeTagsCommand as ClassicTags,
  DeleteLoadBalancerCommand as DeleteClassic,
  paginateDescribeLoadBalancers as paginateClassic,
} from '@aws-sdk/client-elastic-load-balancing';
import {
  DeleteLoadBalancerCommand,
  DeleteTargetGroupCommand,
  DescribeLoadBalancersCommand,
  paginateDescribeLoadBalancers,
  paginateDescribeTargetGroups,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { type Address, addressOf, type Observation, type ResourceType, type World } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { elbTags } from './edge.ts';
import { isNotFound, retrying, unlessNotFound } from './errors.ts';
import { subnets } from './network-queries.ts';
import { clusterTag, resourceTag, type Tags, tagsFrom } from './tags.ts';
import { seenVpcs } from './told.ts';

/**
 * What Kubernetes made in a cluster: load balancers of Services, volumes of claims, security groups. Known by the tag that the cloud
 * controller and the CSI driver give them, `kubernetes.io/cluster/NAME: owned`; what carries our own tag beside it is ours by design. Only
 * `down` looks for them: to everybody else they are none of Slipway's business.
 *
 * That tag is Kubernetes' and not Slipway's: EKS and kops give it too, and nothing keeps a cluster of theirs from having the same name. So
 * only what is in the cluster's own network counts, and only volumes that the CSI driver also gave Slipway's tag.
 */
type None = Record<never, never>;
type Leftover = ResourceType<None, { readonly id: string }, AwsClients>;

const mark = ({ owner }: AwsClients): string => `kubernetes.io/cluster/${owner.cluster}`;
const isLeftover = (clients: AwsClients, tags: Tags): boolean =>
  tags[mark(clients)] === 'owned' && tags[resourceTag] === undefined;

/** IDs of the cluster's network: the VPC, also where its own tags are lost and those of its subnets are not. */
async function ownNetworks(world: World<AwsClients>): Promise<ReadonlySet<string>> {
  const { existing, owner } = world.clients;
  const [all, inside] = await Promise.all([seenVpcs(world), world.read(subnets)]);
  const ours = <T extends { readonly Tags?: Parameters<typeof tagsFrom>[0] }>({ Tags }: T): boolean =>
    tagsFrom(Tags)[clusterTag] === owner.cluster;
  const ids = [...all, ...inside].flatMap((one) =>
    one.VpcId !== undefined && (one.VpcId === existing.vpc || ours(one)) ? [one.VpcId] : [],
  );
  return new Set(ids);
}

const found = (type: string, ids: readonly string[]): ReadonlyMap<Address, Observation<None, { readonly id: string }>> =>
  new Map(
    ids.map((id) => [
      addressOf(type, id.slice(id.lastIndexOf('/', id.lastIndexOf('/') - 1) + 1)),
      { state: 'present', props: {}, outputs: { id } },
    ]),
  );

/** Network and application load balancers, and the groups behind them. */
const balancers: Leftover = {
  name: 'aws.service-balancer',
  dependsOn: [
    'aws.service-target-group',
    'aws.service-security-group',
    'aws.security-group',
    'aws.subnet',
    'aws.vpc',
    'aws.internet-gateway',
  ],
  shrink: 'now',
  timeoutMs: 300_000,
  async observe(world) {
    const { clients } = world;
    const networks = await ownNetworks(world);
    const arns: string[] = [];
    for await (const { LoadBalancers = [] } of paginateDescribeLoadBalancers({ client: clients.elb }, {}))
      for (const { LoadBalancerArn, VpcId = '' } of LoadBalancers)
        if (LoadBalancerArn && networks.has(VpcId)) arns.push(LoadBalancerArn);
    const tags = await elbTags(clients.elb, arns);
    return found(
      this.name,
      arns.filter((arn) => isLeftover(clients, tags.get(arn) ?? {})),
    );
  },
  diff: () => [],
  async delete({ id }, { clients: { elb }, signal }) {
    await elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn: id })).catch(unlessNotFound);
    // Its network interfaces hold subnets and security groups until it is really gone.
    const there = async (): Promise<boolean> => {
      try {
        return ((await elb.send(new DescribeLoadBalancersCommand({ LoadBalancerArns: [id] }))).LoadBalancers ?? []).length > 0;
      } catch (error) {
        if (isNotFound(error)) return false;
        throw error;
      }
    };
    while (await there()) await sleep(1000, undefined, { signal });
  },
};

const targetGroups: Leftover = {
  name: 'aws.service-target-group',
  dependsOn: ['aws.vpc'],
  shrink: 'now',
  async observe(world) {
    const { clients } = world;
    const networks = await ownNetworks(world);
    const arns: string[] = [];
    for await (const { TargetGroups = [] } of paginateDescribeTargetGroups({ client: clients.elb }, {}))
      for (const { TargetGroupArn, VpcId = '' } of TargetGroups)
        if (TargetGroupArn && networks.has(VpcId)) arns.push(TargetGroupArn);
    const tags = await elbTags(clients.elb, arns);
    return found(
      this.name,
      arns.filter((arn) => isLeftover(clients, tags.get(arn) ?? {})),
    );
  },
  diff: () => [],
  async delete({ id }, ctx) {
    await retrying(['ResourceInUse'], ctx, () =>
      ctx.clients.elb.send(new DeleteTargetGroupCommand({ TargetGroupArn: id })).catch(unlessNotFound),
    );
  },
};

/** The kind that the cloud controller makes for a Service without annotations. */
const classicBalancers: Leftover = {
  name: 'aws.service-classic-balancer',
  dependsOn: ['aws.service-security-group', 'aws.security-group', 'aws.subnet', 'aws.vpc', 'aws.internet-gateway'],
  shrink: 'now',
  async observe(world) {
    const { clients } = world;
    const networks = await ownNetworks(world);
    const names: string[] = [];
    for await (const { LoadBalancerDescriptions = [] } of paginateClassic({ client: clients.classic }, {}))
      for (const { LoadBalancerName, VPCId = '' } of LoadBalancerDescriptions)
        if (LoadBalancerName && networks.has(VPCId)) names.push(LoadBalancerName);
    const owned: string[] = [];
    for (let from = 0; from < names.length; from += classicAtOnce) {
      const { TagDescriptions = [] } = await clients.classic.send(
        new ClassicTags({ LoadBalancerNames: names.slice(from, from + classicAtOnce) }),
      );
      for (const { LoadBalancerName, Tags } of TagDescriptions)
        if (LoadBalancerName && isLeftover(clients, tagsFrom(Tags))) owned.push(LoadBalancerName);
    }
    return found(this.name, owned);
  },
  diff: () => [],
  async delete({ id }, { clients }) {
    await clients.classic.send(new DeleteClassic({ LoadBalancerName: id })).catch(unlessNotFound);
  },
};
const classicAtOnce = 20;

const owned = (clients: AwsClients) => [{ Name: `tag:${mark(clients)}`, Values: ['owned'] }];

/** Volumes of persistent volume claims: somebody's data. */
const volumes: Leftover = {
  name: 'aws.claim-volume',
  shrink: 'data-loss',
  async observe({ clients }) {
    const ids: string[] = [];
    for await (const { Volumes = [] } of paginateDescribeVolumes({ client: clients.ec2 }, { Filters: owned(clients) }))
      for (const { VolumeId, Tags } of Volumes) {
        const tags = tagsFrom(Tags);
        if (VolumeId && isLeftover(clients, tags) && tags[clusterTag] === clients.owner.cluster) ids.push(VolumeId);
      }
    return found(this.name, ids);
  },
  diff: () => [],
  async delete({ id }, ctx) {
    // Attached, for as long as its instance takes to go.
    await retrying(['VolumeInUse', 'IncorrectState'], ctx, () =>
      ctx.clients.ec2.send(new DeleteVolumeCommand({ VolumeId: id })).catch(unlessNotFound),
    );
  },
};

const securityGroups: Leftover = {
  name: 'aws.service-security-group',
  dependsOn: ['aws.vpc'],
  shrink: 'now',
  async observe(world) {
    const { clients } = world;
    const networks = await ownNetworks(world);
    const ids: string[] = [];
    for await (const { SecurityGroups = [] } of paginateDescribeSecurityGroups(
      { client: clients.ec2 },
      { Filters: owned(clients) },
    ))
      for (const { GroupId, VpcId = '', Tags } of SecurityGroups)
        if (GroupId && networks.has(VpcId) && isLeftover(clients, tagsFrom(Tags))) ids.push(GroupId);
    return found(this.name, ids);
  },
  diff: () => [],
  async delete({ id }, ctx) {
    const { ec2 } = ctx.clients;
    // Rules of other groups that name this one hold it.
    for await (const { SecurityGroups = [] } of paginateDescribeSecurityGroups(
      { client: ec2 },
      { Filters: [{ Name: 'ip-permission.group-id', Values: [id] }] },
    ))
      for (const group of SecurityGroups) await revokeRulesOf(id, group, ctx.clients);
    await retrying(['DependencyViolation', 'ResourceInUse'], ctx, () =>
      ec2.send(new DeleteSecurityGroupCommand({ GroupId: id })).catch(unlessNotFound),
    );
  },
};

async function revokeRulesOf(
  id: string,
  { GroupId, IpPermissions = [], IpPermissionsEgress = [] }: SecurityGroup,
  { ec2 }: AwsClients,
): Promise<void> {
  const naming = (permissions: typeof IpPermissions) =>
    permissions.flatMap((permission) => {
      const UserIdGroupPairs = permission.UserIdGroupPairs?.filter((pair) => pair.GroupId === id) ?? [];
      const { IpProtocol, FromPort, ToPort } = permission;
      return UserIdGroupPairs.length > 0 ? [{ IpProtocol, FromPort, ToPort, UserIdGroupPairs }] : [];
    });
  const [ingress, egress] = [naming(IpPermissions), naming(IpPermissionsEgress)];
  if (ingress.length > 0)
    await ec2.send(new RevokeSecurityGroupIngressCommand({ GroupId, IpPermissions: ingress })).catch(unlessNotFound);
  if (egress.length > 0)
    await ec2.send(new RevokeSecurityGroupEgressCommand({ GroupId, IpPermissions: egress })).catch(unlessNotFound);
}

/** In the order of nothing: their `dependsOn` orders them. */
export const leftovers: readonly Leftover[] = [balancers, targetGroups, classicBalancers, volumes, securityGroups];
