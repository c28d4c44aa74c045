import {
  type AutoScalingGroup,
  CreateOrUpdateTagsCommand,
  DeleteTagsCommand,
  UpdateAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import type { GroupMember } from '../../src/provider.ts';
import type { AwsClients } from './clients.ts';
import { tagsFrom } from './tags.ts';

/** What a group wanted, and its upper bound, before an upgrade raised it: `3/5`. On the group, so that a crash leaves it known. */
const sizeTag = 'slipway.dev/size-before-upgrade';

export interface Size {
  readonly desired: number;
  readonly max: number;
}
export function sizeBefore({ Tags }: AutoScalingGroup): Size | undefined {
  const [, desired, max] = /^(\d+)\/(\d+)$/.exec(tagsFrom(Tags)[sizeTag] ?? '') ?? [];
  return desired === undefined || max === undefined ? undefined : { desired: Number(desired), max: Number(max) };
}

const tagOf = (name: string) => ({ ResourceId: name, ResourceType: 'auto-scaling-group', Key: sizeTag });

/** The tag is written first: what nobody knows of is never raised. */
export async function raise(group: AutoScalingGroup, desired: number, { autoscaling }: AwsClients): Promise<void> {
  const { AutoScalingGroupName: name = '', DesiredCapacity: now = 0, MaxSize: max = 0 } = group;
  const Value = `${now}/${max}`;
  if (!sizeBefore(group))
    await autoscaling.send(new CreateOrUpdateTagsCommand({ Tags: [{ ...tagOf(name), Value, PropagateAtLaunch: false }] }));
  if (now === desired) return;
  const MaxSize = Math.max(max, desired);
  await autoscaling.send(
    new UpdateAutoScalingGroupCommand({
      AutoScalingGroupName: name,
      DesiredCapacity: desired,
      ...(MaxSize > max && { MaxSize }),
    }),
  );
}

/** Takes `raise` back, the tag last. `desired`: what the group is to want; undefined: what it wants, within its bounds. */
export async function lower(group: AutoScalingGroup, desired: number | undefined, { autoscaling }: AwsClients): Promise<void> {
  const { AutoScalingGroupName: name = '', DesiredCapacity: now = 0, MinSize: min = 0 } = group;
  const before = sizeBefore(group);
  if (!before) return;
  const wanted = Math.max(min, Math.min(desired ?? now, before.max));
  if (wanted !== now || group.MaxSize !== before.max)
    await autoscaling.send(
      new UpdateAutoScalingGroupCommand({ AutoScalingGroupName: name, DesiredCapacity: wanted, MaxSize: before.max }),
    );
  await autoscaling.send(new DeleteTagsCommand({ Tags: [tagOf(name)] }));
}

/** What it launches: a version by its number. */
export function templateOf({ MixedInstancesPolicy, LaunchTemplate }: AutoScalingGroup): {
  readonly id: string;
  readonly version: string;
} {
  const launched = MixedInstancesPolicy?.LaunchTemplate?.LaunchTemplateSpecification ?? LaunchTemplate;
  return { id: launched?.LaunchTemplateId ?? '', version: launched?.Version ?? '' };
}

/** Those that a group counts, and those that leave it. */
export function membersOf(group: AutoScalingGroup): readonly GroupMember[] {
  const { id, version } = templateOf(group);
  return (group.Instances ?? []).map(({ InstanceId = '', LifecycleState = '', LaunchTemplate: made }) => ({
    machine: InstanceId,
    going: /^(Terminat|Detach)/.test(LifecycleState),
    old: (made?.LaunchTemplateId ?? '') !== id || (made?.Version ?? '') !== version,
  }));
}
