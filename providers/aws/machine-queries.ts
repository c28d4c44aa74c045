import { type AutoScalingGroup, paginateDescribeAutoScalingGroups } from '@aws-sdk/client-auto-scaling';
import {
  type Instance,
  type LaunchTemplateVersion,
  type NetworkInterface,
  paginateDescribeInstances,
  paginateDescribeLaunchTemplateVersions,
  paginateDescribeNetworkInterfaces,
  paginateDescribeVolumes,
  type Volume,
} from '@aws-sdk/client-ec2';
import type { AwsClients } from './clients.ts';
import { partitionOf } from './policies/document.ts';
import { ofCluster, resourceTag } from './tags.ts';

/** What the machines' types ask through `world.read`: one call a kind, for the whole cluster. */

const pageSize = 1000;
const ofTypes = (cluster: string, ...types: readonly string[]) => [
  ...ofCluster(cluster),
  { Name: `tag:${resourceTag}`, Values: types.map((type) => `${type}/*`) },
];
async function collect<P, T>(pages: AsyncIterable<P>, of: (page: P) => readonly T[] | undefined): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const page of pages) all.push(...(of(page) ?? []));
  return all;
}

/** Of the design, not of pools, in any state: those that are gone stay in the answer for an hour. */
export async function allInstances({ ec2, owner }: AwsClients): Promise<readonly Instance[]> {
  const pages = paginateDescribeInstances({ client: ec2, pageSize }, { Filters: ofTypes(owner.cluster, 'aws.machine') });
  return collect(pages, ({ Reservations = [] }) => Reservations.flatMap(({ Instances = [] }) => Instances));
}
export const instances = async (clients: AwsClients): Promise<readonly Instance[]> =>
  (await allInstances(clients)).filter((instance) => !isGone(instance));
/** Going counts as gone: it comes back no more. */
export const isGone = ({ State }: Instance): boolean => State?.Name === 'terminated' || State?.Name === 'shutting-down';

/** Members of pools that still hold something: network interfaces, capacity. */
export async function poolInstances({ ec2, owner }: AwsClients): Promise<readonly Instance[]> {
  const living = { Name: 'instance-state-name', Values: ['pending', 'running', 'shutting-down', 'stopping', 'stopped'] };
  const pages = paginateDescribeInstances(
    { client: ec2, pageSize },
    { Filters: [...ofTypes(owner.cluster, 'aws.pool'), living] },
  );
  return collect(pages, ({ Reservations = [] }) => Reservations.flatMap(({ Instances = [] }) => Instances));
}

/** Those of etcd, and the root volumes of the design's machines. */
export async function volumes({ ec2, owner }: AwsClients): Promise<readonly Volume[]> {
  const filters = ofTypes(owner.cluster, 'aws.volume', 'aws.machine');
  return collect(paginateDescribeVolumes({ client: ec2, pageSize }, { Filters: filters }), ({ Volumes }) => Volumes);
}

export async function networkInterfaces({ ec2, owner }: AwsClients): Promise<readonly NetworkInterface[]> {
  const filters = ofTypes(owner.cluster, 'aws.network-interface');
  const pages = paginateDescribeNetworkInterfaces({ client: ec2, pageSize }, { Filters: filters });
  return collect(pages, (page) => page.NetworkInterfaces);
}

/**
 * The default versions of this cluster's launch templates: what groups launch. Only they are told in one answer for many templates, and that
 * answer holds all of the account: so it is narrowed by our instance profiles, and templates are known by their names, which can exist once,
 * and by what they tag. (A copy of one of ours has another name.)
 */
export async function templates({ ec2, account, region, owner }: AwsClients): Promise<readonly LaunchTemplateVersion[]> {
  const profiles = `arn:${partitionOf(region)}:iam::${account}:instance-profile/slipway/${owner.cluster}/*`;
  const pages = paginateDescribeLaunchTemplateVersions(
    { client: ec2, pageSize: 200 },
    { Versions: ['$Default'], Filters: [{ Name: 'iam-instance-profile', Values: [profiles] }] },
  );
  return collect(pages, ({ LaunchTemplateVersions }) => LaunchTemplateVersions);
}

export async function groups({ autoscaling, owner }: AwsClients): Promise<readonly AutoScalingGroup[]> {
  const pages = paginateDescribeAutoScalingGroups({ client: autoscaling, pageSize: 100 }, { Filters: ofCluster(owner.cluster) });
  return collect(pages, ({ AutoScalingGroups }) => AutoScalingGroups);
}

/** What Kubernetes' controllers made goes after the machines: while those run, it is made anew. */
export const madeByKubernetes = [
  'aws.service-balancer',
  'aws.service-classic-balancer',
  'aws.service-target-group',
  'aws.claim-volume',
  'aws.service-security-group',
] as const;
