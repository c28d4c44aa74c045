import { describe, expect, test } from 'vitest';
import { type AwsClients, openSdk } from '../../../providers/aws/clients.ts';
import { designEdge } from '../../../providers/aws/design-edge.ts';
import { noNonces } from '../../../providers/aws/idempotency.ts';
import { launchTemplate } from '../../../providers/aws/launch-template.ts';
import { securityGroup } from '../../../providers/aws/security-group.ts';
import { targetGroup } from '../../../providers/aws/target-group.ts';
import { forProvider, versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import { withProviderDefaults } from '../../../src/config/provider-defaults.ts';
import { clusterSchema } from '../../../src/config/schema.ts';
import type { Address, Context } from '../../../src/plan/resource.ts';

interface Sent {
  readonly name: string;
  readonly input: object;
}
type Answer = (sent: Sent, times: number) => Error | object;
const refusal = (name: string, message: string): Error =>
  Object.assign(new Error(message), { name, $metadata: { httpStatusCode: 400 } });

function contextOf(address: Address, answer: Answer): { readonly ctx: Context<AwsClients>; readonly calls: readonly Sent[] } {
  const calls: Sent[] = [];
  const sdk = openSdk({
    region: 'eu-west-1',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    configure: (client) =>
      client.middlewareStack.add(
        (_next, { commandName: name = '' }) =>
          async ({ input }) => {
            calls.push({ name, input });
            const said = answer({ name, input }, calls.filter((call) => call.name === name).length);
            if (said instanceof Error) throw said;
            return { response: {}, output: { $metadata: {}, ...said } };
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
    facts: new Map(),
    nonces: { ...noNonces, take: async () => ({ nonce: 'n', open: false }) },
    existing: { vpc: undefined, subnets: {} },
    store: undefined,
    windowMs: 2000,
  };
  const ctx: Context<AwsClients> = {
    address,
    clients,
    signal: new AbortController().signal,
    since: 0,
    token: '',
    hold: [],
    secrets: { reveal: () => Promise.reject(new Error('none')) },
    progress: () => undefined,
  };
  return { ctx, calls };
}
const tagsOf = (address: Address) => ({ 'slipway.dev/cluster': 'demo', 'slipway.dev/resource': address });

describe('what was made a moment ago', () => {
  test('a target group waits until its service knows the VPC', async () => {
    const address = 'aws.target-group/api';
    const { ctx, calls } = contextOf(address, ({ name }, times) => {
      if (name === 'CreateTargetGroupCommand')
        return times < 3
          ? refusal('ValidationError', "The VPC ID 'vpc-1' is not found")
          : { TargetGroups: [{ TargetGroupArn: 'arn' }] };
      const Tags = Object.entries(tagsOf(address)).map(([Key, Value]) => ({ Key, Value }));
      return name === 'DescribeTagsCommand' ? { TagDescriptions: [{ ResourceArn: 'arn', Tags }] } : {};
    });
    const props = { vpc: 'vpc-1', port: 6443, healthPath: '/readyz', targets: [], tags: tagsOf(address) };
    expect(await targetGroup.create?.(props, ctx)).toEqual({ arn: 'arn' });
    expect(calls.filter(({ name }) => name === 'CreateTargetGroupCommand')).toHaveLength(3);
  });

  test('a security group whose creation went unanswered is found, although AWS hides it and then its tags for a while', async () => {
    const address = 'aws.security-group/etcd';
    const Tags = Object.entries(tagsOf(address)).map(([Key, Value]) => ({ Key, Value }));
    const seen = [[], [{ GroupId: 'sg-1', Tags: [] }], [{ GroupId: 'sg-1', Tags }]];
    const { ctx, calls } = contextOf(address, ({ name }) => {
      if (name === 'CreateSecurityGroupCommand') return refusal('InvalidGroup.Duplicate', 'it exists');
      return name === 'DescribeSecurityGroupsCommand' ? { SecurityGroups: seen.shift() ?? [] } : {};
    });
    expect(await securityGroup.create?.({ vpc: 'vpc-1', name: 'demo-etcd', tags: tagsOf(address) }, ctx)).toEqual({ id: 'sg-1' });
    expect(seen).toEqual([]);
    expect(calls.filter(({ name }) => name === 'CreateSecurityGroupCommand')).toHaveLength(1);
  });

  test("a security group of that name that carries others' tags is refused at once", async () => {
    const { ctx, calls } = contextOf('aws.security-group/etcd', ({ name }) =>
      name === 'CreateSecurityGroupCommand'
        ? refusal('InvalidGroup.Duplicate', 'it exists')
        : { SecurityGroups: [{ GroupId: 'sg-2', Tags: [{ Key: 'Name', Value: 'theirs' }] }] },
    );
    const props = { vpc: 'vpc-1', name: 'demo-etcd', tags: tagsOf('aws.security-group/etcd') };
    await expect(securityGroup.create?.(props, ctx)).rejects.toThrow(/not this cluster's/);
    expect(calls).toHaveLength(2);
  });

  test('a balancer that faces the Internet waits for the internet gateway, where that is ours', () => {
    const edgeOf = (vpc: object) => {
      const cluster = clusterSchema.parse(
        withProviderDefaults({
          apiVersion: 'slipway/v1',
          kind: 'Cluster',
          name: 'demo',
          provider: { aws: { region: 'eu-west-1', ...vpc } },
          zones: ['eu-west-1a'],
          kubernetes: { api: { allowedCidrs: ['203.0.113.0/24'] } },
        }),
      );
      const versions = forProvider(versionsFor(cluster.kubernetes.version), cluster.provider);
      return designEdge(designTopology(cluster, noIdentity, versions), { cluster: 'demo', extra: {} });
    };
    const waitsFor = (vpc: object, address: Address) => edgeOf(vpc).find((one) => one.address === address)?.after;
    expect(waitsFor({}, 'aws.balancer/public')).toEqual(['aws.internet-gateway/main']);
    expect(waitsFor({}, 'aws.balancer/api')).toEqual([]);
    const existing = { vpc: { id: 'vpc-0123456789abcdef0', publicSubnets: { 'eu-west-1a': 'subnet-0123456789abcdef0' } } };
    expect(waitsFor(existing, 'aws.balancer/public')).toEqual([]);
  });
});

test('a launch template gives its machines the tag without which its maker may not launch them', async () => {
  const address = 'aws.launch-template/workers';
  const { ctx, calls } = contextOf(address, () => ({ LaunchTemplate: { LaunchTemplateId: 'lt-1' } }));
  await launchTemplate.create?.(
    {
      image: 'ami-1',
      device: '/dev/sda1',
      type: 'm6i.large',
      profile: 'arn',
      securityGroups: [],
      rootGb: 50,
      kmsKey: null,
      metadata: { tokens: 'required', hopLimit: 1, tags: 'disabled' },
      boot: {
        cluster: 'demo',
        region: 'eu-west-1',
        bucket: 'bucket',
        role: 'worker',
        roleId: 'AROA',
        authorizedKey: 'ssh-ed25519 AAAA',
        machine: { pool: 'workers', bundle: { key: 'pools/workers/1.tar', digest: '1' } },
      },
      volumeTags: tagsOf(address),
      tags: tagsOf(address),
    },
    { ...ctx, clients: { ...ctx.clients, nonces: { ...ctx.clients.nonces, drop: async () => undefined } } },
  );
  expect(calls[0]?.input).toMatchObject({
    LaunchTemplateData: {
      TagSpecifications: [
        { ResourceType: 'volume' },
        { ResourceType: 'instance', Tags: [{ Key: 'slipway.dev/cluster', Value: 'demo' }] },
      ],
    },
  });
});
