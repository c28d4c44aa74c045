import { setTimeout as sleep } from 'node:timers/promises';
import {
  AddTagsCommand,
  CreateLoadBalancerCommand,
  DeleteLoadBalancerCommand,
  DescribeLoadBalancersCommand,
  type LoadBalancer,
  ModifyLoadBalancerAttributesCommand,
  SetSecurityGroupsCommand,
  SetSubnetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import {
  type Address,
  type Context,
  type FieldChange,
  nameOf,
  type Observation,
  type Ref,
  type ResourceType,
} from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { visible } from './ec2.ts';
import { createNamed, edge, edgeName, mustBeOurs } from './edge.ts';
import { codeOf, isNotFound, retrying, unlessNotFound } from './errors.ts';
import { type Tags, tagList, withTags } from './tags.ts';

export interface BalancerProps {
  readonly scheme: 'internal' | 'internet-facing';
  readonly subnets: readonly Ref<string>[];
  readonly securityGroups: readonly Ref<string>[];
  readonly tags: Tags;
}
export interface BalancerOutputs {
  readonly arn: string;
  readonly dnsName: string;
  /** For alias records. */
  readonly zoneId: string;
}

/** A network load balancer of the API: `api` within the VPC and, where cluster.yaml opens the API, `public`. */
export const balancer: ResourceType<BalancerProps, BalancerOutputs, AwsClients> = {
  name: 'aws.balancer',
  dependsOn: ['aws.subnet', 'aws.security-group', 'aws.internet-gateway'],
  timeoutMs: 600_000,
  async observe(world) {
    const found = new Map<Address, Observation<BalancerProps, BalancerOutputs>>();
    for (const { thing: of, tags, address } of (await world.read(edge)).balancers)
      found.set(address, {
        state: 'present',
        props: {
          scheme: of.Scheme === 'internet-facing' ? 'internet-facing' : 'internal',
          subnets: subnetsOf(of),
          securityGroups: (of.SecurityGroups ?? []).toSorted(),
          tags,
        },
        outputs: outputsOf(of),
      });
    return found;
  },
  diff: withTags((desired, observed) => [
    ...differences({ ...desired, securityGroups: desired.securityGroups.toSorted() }, observed),
    ...subnetChanges(desired.subnets, observed.subnets),
  ]),
  async create(props, ctx) {
    const { elb, owner } = ctx.clients;
    const Name = edgeName(owner.cluster, ctx.address);
    const made = await createNamed(
      ctx,
      async () => {
        const command = new CreateLoadBalancerCommand({
          Name,
          Type: 'network',
          Scheme: props.scheme,
          Subnets: [...props.subnets],
          SecurityGroups: [...props.securityGroups],
          Tags: tagList(props.tags),
        });
        const { LoadBalancers = [] } = await visible(ctx, () => elb.send(command), isUnseen);
        return LoadBalancers[0];
      },
      async () => (await describe(ctx.clients, { Names: [Name] }))[0],
    );
    const arn = made.LoadBalancerArn ?? '';
    await mustBeOurs(ctx.clients, arn, ctx.address);
    await setAttributes(ctx.clients, arn);
    return outputsOf(await waitActive(arn, ctx));
  },
  async update(props, outputs, ctx) {
    const { elb } = ctx.clients;
    const { arn } = outputs;
    await setAttributes(ctx.clients, arn);
    const [there] = await describe(ctx.clients, { LoadBalancerArns: [arn] });
    const subnets = there ? subnetsOf(there) : [];
    const kept = subnets.filter((subnet) => ctx.hold.includes(pathOf(subnet)));
    const Subnets = [...new Set([...props.subnets, ...kept])].sort();
    // A tag or a group by hand is no reason to move network interfaces about.
    if (JSON.stringify(Subnets) !== JSON.stringify(subnets))
      await elb.send(new SetSubnetsCommand({ LoadBalancerArn: arn, Subnets }));
    await elb.send(new SetSecurityGroupsCommand({ LoadBalancerArn: arn, SecurityGroups: [...props.securityGroups] }));
    await elb.send(new AddTagsCommand({ ResourceArns: [arn], Tags: tagList(props.tags) }));
    return outputs;
  },
  async delete({ arn }, ctx) {
    const { elb } = ctx.clients;
    await retrying(['ResourceInUse', 'OperationNotPermitted'], ctx, () =>
      elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn: arn })).catch(unlessNotFound),
    );
    // Its network interfaces hold the subnets until it is really gone.
    while ((await describe(ctx.clients, { LoadBalancerArns: [arn] })).length > 0)
      await sleep(pollMs, undefined, { signal: ctx.signal });
  },
};
const pollMs = 1000;

const differences = fields<BalancerProps>({ scheme: 'replace', subnets: 'ignore', securityGroups: 'none', tags: 'ignore' });
const subnetsOf = ({ AvailabilityZones = [] }: LoadBalancer): string[] =>
  AvailabilityZones.flatMap(({ SubnetId }) => SubnetId ?? []).sort();
const pathOf = (subnet: string): string => `subnets.${subnet}`;
/** A zone comes in at once. One that is no longer wanted leaves with its machines, which `upgrade` removes: until then connections come in there. */
const subnetChanges = (desired: readonly string[], observed: readonly string[]): readonly FieldChange[] => [
  ...desired
    .filter((subnet) => !observed.includes(subnet))
    .map((subnet): FieldChange => ({ path: pathOf(subnet), before: null, after: 'there', impact: 'none' })),
  ...observed
    .filter((subnet) => !desired.includes(subnet))
    .map((subnet): FieldChange => ({ path: pathOf(subnet), before: 'there', after: null, impact: 'restart' })),
];
/** So it says of a group, or of the internet gateway of a subnet's VPC, that EC2 made a moment ago. */
const isUnseen = (error: unknown): boolean => /^Invalid(Subnet|SecurityGroup)$/.test(codeOf(error));

const outputsOf = (of: LoadBalancer): BalancerOutputs => ({
  arn: of.LoadBalancerArn ?? '',
  dnsName: of.DNSName ?? '',
  zoneId: of.CanonicalHostedZoneId ?? '',
});

/** Masters of every zone serve clients of every zone: a zone without a master must reach the API too. */
async function setAttributes({ elb }: AwsClients, arn: string): Promise<void> {
  await elb.send(
    new ModifyLoadBalancerAttributesCommand({
      LoadBalancerArn: arn,
      Attributes: [{ Key: 'load_balancing.cross_zone.enabled', Value: 'true' }],
    }),
  );
}

async function waitActive(arn: string, ctx: Context<AwsClients>): Promise<LoadBalancer> {
  for (;;) {
    const [found] = await describe(ctx.clients, { LoadBalancerArns: [arn] });
    const state = found?.State?.Code;
    if (found && state === 'active') return found;
    if (state === 'failed')
      throw new UserError({
        what: 'AWS could not make the load balancer',
        where: ctx.address,
        why: found?.State?.Reason ?? 'its state is failed',
        next: 'mend that, delete it in the console, and run the same command again',
      });
    ctx.progress(`${nameOf(ctx.address)} is ${state ?? 'not visible yet'}`);
    await sleep(pollMs, undefined, { signal: ctx.signal });
  }
}

async function describe(
  { elb }: AwsClients,
  by: { readonly Names?: string[]; readonly LoadBalancerArns?: string[] },
): Promise<readonly LoadBalancer[]> {
  try {
    return (await elb.send(new DescribeLoadBalancersCommand(by))).LoadBalancers ?? [];
  } catch (error) {
    if (isNotFound(error)) return [];
    throw error;
  }
}
