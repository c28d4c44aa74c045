import { describe, expect, test } from 'vitest';
import { type AwsClients, openSdk } from '../../../providers/aws/clients.ts';
import { noNonces } from '../../../providers/aws/idempotency.ts';
import { leftovers } from '../../../providers/aws/leftovers.ts';
import type { World } from '../../../src/plan/resource.ts';

const owned = { Key: 'kubernetes.io/cluster/demo', Value: 'owned' };
const ours = { Key: 'slipway.dev/cluster', Value: 'demo' };
const designed = { Key: 'slipway.dev/resource', Value: 'aws.balancer/api' };
const arn = (kind: string, name: string): string => `arn:aws:elasticloadbalancing:eu-west-1:123456789012:${kind}/${name}`;

/** An account in which a cluster of EKS has our name: `vpc-2` is its network. By command of the SDK. */
const account: Readonly<Record<string, object>> = {
  DescribeVpcsCommand: { Vpcs: [{ VpcId: 'vpc-1', Tags: [ours] }] },
  DescribeSubnetsCommand: { Subnets: [{ SubnetId: 'subnet-1', VpcId: 'vpc-1', Tags: [ours] }] },
  'elbv2 DescribeLoadBalancersCommand': {
    LoadBalancers: [
      { LoadBalancerArn: arn('loadbalancer/net', 'service/1'), VpcId: 'vpc-1' },
      { LoadBalancerArn: arn('loadbalancer/net', 'api/1'), VpcId: 'vpc-1' },
      { LoadBalancerArn: arn('loadbalancer/net', 'theirs/1'), VpcId: 'vpc-2' },
    ],
  },
  DescribeTargetGroupsCommand: {
    TargetGroups: [
      { TargetGroupArn: arn('targetgroup', 'service/1'), VpcId: 'vpc-1' },
      { TargetGroupArn: arn('targetgroup', 'theirs/1'), VpcId: 'vpc-2' },
    ],
  },
  'classic DescribeLoadBalancersCommand': {
    LoadBalancerDescriptions: [
      { LoadBalancerName: 'service', VPCId: 'vpc-1' },
      { LoadBalancerName: 'theirs', VPCId: 'vpc-2' },
    ],
  },
  DescribeVolumesCommand: {
    Volumes: [
      { VolumeId: 'vol-1', Tags: [owned, ours] },
      { VolumeId: 'vol-2', Tags: [owned] },
    ],
  },
  DescribeSecurityGroupsCommand: {
    SecurityGroups: [
      { GroupId: 'sg-1', VpcId: 'vpc-1', Tags: [owned] },
      { GroupId: 'sg-2', VpcId: 'vpc-2', Tags: [owned] },
    ],
  },
};

function worldOf(answers: typeof account): World<AwsClients> {
  const sdk = openSdk({
    region: 'eu-west-1',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    configure: (client) =>
      client.middlewareStack.add(
        (_next, context) =>
          async ({ input }) => {
            const name = context.commandName ?? '';
            const service = context.clientName?.includes('V2') ? 'elbv2' : 'classic';
            const of = { ...input };
            const tagged = (key: string, list: string): object => ({
              TagDescriptions: (Reflect.get(of, list) ?? []).map((id: string) => ({
                [key]: id,
                Tags: id.includes('/api/') ? [owned, ours, designed] : [owned],
              })),
            });
            const tags =
              service === 'elbv2' ? tagged('ResourceArn', 'ResourceArns') : tagged('LoadBalancerName', 'LoadBalancerNames');
            const output = name === 'DescribeTagsCommand' ? tags : (answers[`${service} ${name}`] ?? answers[name] ?? {});
            return { response: {}, output: { $metadata: {}, ...output } };
          },
        { step: 'initialize' },
      ),
  });
  const clients: AwsClients = {
    ...sdk,
    owner: { cluster: 'demo', extra: {} },
    uid: 'demo',
    account: '123456789012',
    region: 'eu-west-1',
    bucket: 'bucket',
    nonces: noNonces,
    facts: new Map(),
    existing: { vpc: undefined, subnets: {} },
    store: undefined,
    windowMs: 10,
  };
  const signal = new AbortController().signal;
  return { clients, signal, read: (query) => query(clients, signal) };
}
const seenIn = async (answers: typeof account): Promise<readonly string[]> => {
  const world = worldOf(answers);
  const found = await Promise.all(leftovers.map((type) => type.observe(world)));
  return found.flatMap((each) => [...each.keys()]).sort();
};

describe('what Kubernetes left', () => {
  test('is what it made in the network of the cluster, not what a cluster of others with the same name has', async () => {
    expect(await seenIn(account)).toEqual([
      'aws.claim-volume/vol-1',
      'aws.service-balancer/service/1',
      'aws.service-classic-balancer/service',
      'aws.service-security-group/sg-1',
      'aws.service-target-group/service/1',
    ]);
  });

  test('is still known where the VPC has lost its tags', async () => {
    const untagged = { ...account, DescribeVpcsCommand: { Vpcs: [] } };
    expect(await seenIn(untagged)).toEqual(await seenIn(account));
  });

  test('is in no network where the cluster has none', async () => {
    const none = { ...account, DescribeVpcsCommand: { Vpcs: [] }, DescribeSubnetsCommand: { Subnets: [] } };
    expect(await seenIn(none)).toEqual(['aws.claim-volume/vol-1']);
  });
});
