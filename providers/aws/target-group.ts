import {
  AddTagsCommand,
  CreateTargetGroupCommand,
  DeleteTargetGroupCommand,
  DeregisterTargetsCommand,
  DescribeTargetHealthCommand,
  ModifyTargetGroupAttributesCommand,
  ModifyTargetGroupCommand,
  RegisterTargetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { fields } from '../../src/plan/fields.ts';
import type { Address, FieldChange, Observation, Ref, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { visible } from './ec2.ts';
import { createNamed, edge, edgeName, groupsNamed, mustBeOurs } from './edge.ts';
import { retrying, unlessNotFound } from './errors.ts';
import { type Tags, tagList, withTags } from './tags.ts';

export interface TargetGroupProps {
  readonly vpc: Ref<string>;
  readonly port: number;
  readonly healthPath: string;
  /** Fixed private addresses of the masters. */
  readonly targets: readonly string[];
  readonly tags: Tags;
}
export interface TargetGroupOutputs {
  readonly arn: string;
}

/** Where the balancer sends the API's connections: the masters, by their addresses, while /readyz says 200. */
export const targetGroup: ResourceType<TargetGroupProps, TargetGroupOutputs, AwsClients> = {
  name: 'aws.target-group',
  dependsOn: ['aws.vpc'],
  async observe(world) {
    const found = new Map<Address, Observation<TargetGroupProps, TargetGroupOutputs>>();
    for (const { thing: group, arn, tags, address } of (await world.read(edge)).groups) {
      const targets = await targetsOf(world.clients, arn);
      found.set(address, {
        state: 'present',
        props: {
          vpc: group.VpcId ?? '',
          port: group.Port ?? 0,
          healthPath: group.HealthCheckPath ?? '',
          targets,
          tags,
        },
        outputs: { arn },
      });
    }
    return found;
  },
  diff: withTags((desired, observed) => [...differences(desired, observed), ...targetChanges(desired.targets, observed.targets)]),
  async create(props, ctx) {
    const { elb, owner } = ctx.clients;
    const Name = edgeName(owner.cluster, ctx.address);
    const made = await createNamed(
      ctx,
      async () => {
        const command = new CreateTargetGroupCommand({
          Name,
          Protocol: 'TCP',
          Port: props.port,
          VpcId: props.vpc,
          TargetType: 'ip',
          HealthCheckProtocol: 'HTTPS',
          HealthCheckPath: props.healthPath,
          HealthCheckIntervalSeconds: 10,
          // Its default is the whole interval: a master that hangs would leave later than leaveMs says.
          HealthCheckTimeoutSeconds: 5,
          HealthyThresholdCount: 2,
          UnhealthyThresholdCount: 2,
          Tags: tagList(props.tags),
        });
        // Often the first thing that is made in a VPC, by another service: it may not know the VPC yet.
        const { TargetGroups = [] } = await visible(ctx, () => elb.send(command));
        return TargetGroups[0];
      },
      async () => (await groupsNamed(ctx.clients, Name))[0],
    );
    const arn = made.TargetGroupArn ?? '';
    await mustBeOurs(ctx.clients, arn, ctx.address);
    await setAttributes(ctx.clients, arn);
    if (props.targets.length > 0) await register(props.targets, props.port, arn, ctx.clients);
    return { arn };
  },
  async update(props, outputs, ctx) {
    const { elb } = ctx.clients;
    const { arn } = outputs;
    await elb.send(new ModifyTargetGroupCommand({ TargetGroupArn: arn, HealthCheckPath: props.healthPath }));
    await setAttributes(ctx.clients, arn);
    const there = await targetsOf(ctx.clients, arn);
    const missing = props.targets.filter((target) => !there.includes(target));
    const extra = there.filter((target) => !props.targets.includes(target) && !ctx.hold.includes(pathOf(target)));
    if (missing.length > 0) await register(missing, props.port, arn, ctx.clients);
    if (extra.length > 0)
      await elb.send(
        new DeregisterTargetsCommand({ TargetGroupArn: arn, Targets: extra.map((Id) => ({ Id, Port: props.port })) }),
      );
    await elb.send(new AddTagsCommand({ ResourceArns: [arn], Tags: tagList(props.tags) }));
    return outputs;
  },
  async delete({ arn }, ctx) {
    // In use, for as long as AWS takes to forget the listener that was deleted a moment ago.
    await retrying(['ResourceInUse'], ctx, async () => {
      await ctx.clients.elb.send(new DeleteTargetGroupCommand({ TargetGroupArn: arn })).catch(unlessNotFound);
    });
  },
};

const differences = fields<TargetGroupProps>({
  vpc: 'replace',
  port: 'replace',
  healthPath: 'none',
  targets: 'ignore',
  tags: 'ignore',
});
const pathOf = (target: string): string => `targets.${target}`;
/** A master comes in as soon as it is designed. One that is no longer designed leaves with its machine, which `upgrade` removes: until then it serves. */
const targetChanges = (desired: readonly string[], observed: readonly string[]): readonly FieldChange[] => [
  ...desired
    .filter((target) => !observed.includes(target))
    .map((target): FieldChange => ({ path: pathOf(target), before: null, after: 'registered', impact: 'none' })),
  ...observed
    .filter((target) => !desired.includes(target))
    .map((target): FieldChange => ({ path: pathOf(target), before: 'registered', after: null, impact: 'restart' })),
];

/** A target sees the masters' own subnets as its clients, so a master reaches itself through the balancer too (hard part 14). */
async function setAttributes({ elb }: AwsClients, arn: string): Promise<void> {
  await elb.send(
    new ModifyTargetGroupAttributesCommand({
      TargetGroupArn: arn,
      Attributes: [
        { Key: 'preserve_client_ip.enabled', Value: 'false' },
        // A master that goes says so to its clients once it has waited for leaveMs: their connections must not be cut before.
        { Key: 'deregistration_delay.timeout_seconds', Value: '60' },
        { Key: 'deregistration_delay.connection_termination.enabled', Value: 'true' },
      ],
    }),
  );
}

async function register(targets: readonly string[], port: number, arn: string, { elb }: AwsClients): Promise<void> {
  const Targets = targets.map((Id) => ({ Id, Port: port }));
  await elb.send(new RegisterTargetsCommand({ TargetGroupArn: arn, Targets }));
}

async function targetsOf({ elb }: AwsClients, arn: string): Promise<readonly string[]> {
  const { TargetHealthDescriptions = [] } = await elb.send(new DescribeTargetHealthCommand({ TargetGroupArn: arn }));
  return TargetHealthDescriptions.filter(({ TargetHealth }) => TargetHealth?.State !== 'draining')
    .flatMap(({ Target }) => Target?.Id ?? [])
    .sort();
}
