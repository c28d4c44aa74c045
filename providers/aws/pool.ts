import {
  type AutoScalingGroup,
  CreateAutoScalingGroupCommand,
  CreateOrUpdateTagsCommand,
  DeleteAutoScalingGroupCommand,
  DescribeAutoScalingGroupsCommand,
  type MixedInstancesPolicy,
  PutLifecycleHookCommand,
  UpdateAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import {
  type Address,
  type Context,
  nameOf,
  type Observation,
  type Ref,
  type Resolved,
  type ResourceType,
} from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { codeOf, unlessNotFound } from './errors.ts';
import { lower, membersOf, sizeBefore, templateOf } from './group-size.ts';
import { profileVisible } from './launch.ts';
import { launched } from './launches.ts';
import { groups, madeByKubernetes, poolInstances } from './machine-queries.ts';
import { polled } from './polls.ts';
import { resourceIn, type Tags, tagsFrom, withTags } from './tags.ts';

export interface PoolProps {
  readonly launchTemplate: Ref<string>;
  readonly version: Ref<string>;
  /** Machine types that it may take, best first. */
  readonly types: readonly string[];
  readonly spot: boolean;
  readonly subnet: Ref<string>;
  readonly min: number;
  readonly max: number;
  /** How long a machine that must go is waited for, at most, until its pods have left, in seconds. */
  readonly drainSeconds: number;
  /** Machines that it has not got, of those that it must have at least; designed: none. */
  readonly missing: number;
  /** Members that were made from another version than the group's; designed: none. */
  readonly outdated: number;
  /** An upgrade has raised its size for spare machines, and has not come to its end. */
  readonly raised: boolean;
  readonly tags: Tags;
}
export interface PoolOutputs {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly desired: number;
}
type Wanted = Resolved<PoolProps>;

/** A pool's share of a zone: an Auto Scaling group. How many machines it wants at a time is the autoscaler's; the bounds are ours. */
export const pool: ResourceType<PoolProps, PoolOutputs, AwsClients> = {
  name: 'aws.pool',
  dependsOn: ['aws.launch-template', 'aws.subnet', 'aws.role', 'aws.security-group', ...madeByKubernetes],
  timeoutMs: 900_000,
  async observe(world) {
    const found = new Map<Address, Observation<PoolProps, PoolOutputs>>();
    for (const group of await world.read(groups)) {
      const tags = tagsFrom(group.Tags);
      const address = resourceIn(tags, world.clients.owner.cluster, pool.name);
      // Going: AWS makes none of that name until it has gone.
      if (!address || group.Status !== undefined) continue;
      found.set(address, { state: 'present', props: { ...propsOf(group), tags }, outputs: outputsOf(group) });
    }
    return found;
  },
  diff: withTags(
    fields<PoolProps>({
      launchTemplate: 'replace',
      version: 'replace',
      types: 'none',
      spot: 'none',
      subnet: 'replace',
      min: 'none',
      max: 'none',
      drainSeconds: 'ignore',
      missing: 'none',
      outdated: 'replace',
      raised: 'drain',
      tags: 'ignore',
    }),
  ),
  async create(props, ctx) {
    const { autoscaling, owner } = ctx.clients;
    const name = groupName(owner.cluster, ctx.address);
    for (;;) {
      try {
        await profileVisible(ctx, () =>
          autoscaling.send(
            new CreateAutoScalingGroupCommand({
              AutoScalingGroupName: name,
              MinSize: props.min,
              MaxSize: props.max,
              VPCZoneIdentifier: props.subnet,
              MixedInstancesPolicy: mixed(props),
              CapacityRebalance: props.spot,
              HealthCheckType: 'EC2',
              HealthCheckGracePeriod: 300,
              LifecycleHookSpecificationList: hooks(props).map((hook) => ({ ...hook })),
              Tags: groupTags(name, props.tags),
            }),
          ),
        );
        await launched(name, props.min, ctx, { anew: true });
        return { name, min: props.min, max: props.max, desired: props.min };
      } catch (error) {
        if (codeOf(error) !== 'AlreadyExists') throw error;
      }
      const there = await byName(name, ctx);
      if (there === undefined || there.Status !== undefined) await gone(name, ctx);
      else {
        mustBeOurs(there, ctx);
        return change(there, props, ctx);
      }
    }
  },
  async update(props, outputs, ctx) {
    const there = await byName(outputs.name, ctx);
    if (!there) throw new Error(`AWS does not show ${outputs.name}`);
    return change(there, props, ctx);
  },
  async delete({ name }, ctx) {
    const { autoscaling } = ctx.clients;
    if (ctx.command !== 'down') await emptied(name, ctx);
    // What is left of its machines ends with it, at once: hooks that nobody is left to answer are not waited for.
    const command = new DeleteAutoScalingGroupCommand({ AutoScalingGroupName: name, ForceDelete: true });
    await autoscaling.send(command).catch((error) => {
      if (codeOf(error) !== 'ScalingActivityInProgress' && codeOf(error) !== 'ResourceInUse') unlessNotFound(error);
    });
    await gone(name, ctx);
  },
};

export const groupName = (cluster: string, address: Address): string => `${cluster}-${nameOf(address)}`;

/** Which tags only the autoscaler reads, from the group: on machines they would say nothing. */
const groupOnly = 'k8s.io/cluster-autoscaler/';
const groupTags = (name: string, tags: Tags) =>
  Object.entries(tags).map(([Key, Value]) => ({
    ResourceId: name,
    ResourceType: 'auto-scaling-group',
    Key,
    Value,
    PropagateAtLaunch: !Key.startsWith(groupOnly),
  }));

const mixed = ({ launchTemplate, version, types, spot }: Wanted): MixedInstancesPolicy => ({
  LaunchTemplate: {
    LaunchTemplateSpecification: { LaunchTemplateId: launchTemplate, Version: version },
    Overrides: types.map((InstanceType) => ({ InstanceType })),
  },
  InstancesDistribution: {
    OnDemandAllocationStrategy: 'prioritized',
    OnDemandBaseCapacity: 0,
    OnDemandPercentageAboveBaseCapacity: spot ? 0 : 100,
    SpotAllocationStrategy: 'price-capacity-optimized',
  },
});

/** A machine that has not joined in time is given up; one that must go is waited for, and goes whether or not anybody answers. */
const joinSeconds = 900;
const hooks = ({ drainSeconds }: Wanted) =>
  [
    {
      LifecycleHookName: 'slipway-launch',
      LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
      HeartbeatTimeout: joinSeconds,
      DefaultResult: 'ABANDON',
    },
    {
      LifecycleHookName: 'slipway-terminate',
      LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
      // AWS takes 30 s to 2 h.
      HeartbeatTimeout: Math.min(Math.max(drainSeconds, 30), 7200),
      DefaultResult: 'CONTINUE',
    },
  ] as const;

function propsOf(group: AutoScalingGroup): Omit<Wanted, 'tags'> {
  const { LaunchTemplate, InstancesDistribution } = group.MixedInstancesPolicy ?? {};
  const { id: launchTemplate, version } = templateOf(group);
  return {
    launchTemplate,
    version,
    types: LaunchTemplate?.Overrides?.flatMap(({ InstanceType }) => InstanceType ?? []) ?? [],
    spot: InstancesDistribution?.OnDemandPercentageAboveBaseCapacity === 0,
    subnet: group.VPCZoneIdentifier ?? '',
    min: group.MinSize ?? 0,
    max: sizeBefore(group)?.max ?? group.MaxSize ?? 0,
    drainSeconds: 0,
    missing: Math.max(0, (group.MinSize ?? 0) - membersOf(group).filter(({ going }) => !going).length),
    outdated: membersOf(group).filter(({ going, old }) => old && !going).length,
    raised: sizeBefore(group) !== undefined,
  };
}
const outputsOf = (group: AutoScalingGroup): PoolOutputs => ({
  name: group.AutoScalingGroupName ?? '',
  min: group.MinSize ?? 0,
  max: group.MaxSize ?? 0,
  desired: group.DesiredCapacity ?? 0,
});

async function change(there: AutoScalingGroup, props: Wanted, ctx: Context<AwsClients>): Promise<PoolOutputs> {
  const { autoscaling } = ctx.clients;
  const { AutoScalingGroupName: name = '' } = there;
  // What is left to `upgrade` stays as it is.
  const before = propsOf(there);
  const held = Object.fromEntries(Object.entries(before).filter(([key]) => ctx.hold.includes(key)));
  const wanted: Wanted = { ...props, ...held };
  // Whoever has raised it goes on from there.
  const raised = ctx.hold.includes('raised') ? sizeBefore(there) : undefined;
  await profileVisible(ctx, () =>
    autoscaling.send(
      new UpdateAutoScalingGroupCommand({
        AutoScalingGroupName: name,
        MinSize: wanted.min,
        MaxSize: raised ? Math.max(wanted.max, there.MaxSize ?? 0) : wanted.max,
        VPCZoneIdentifier: wanted.subnet,
        MixedInstancesPolicy: mixed(wanted),
        CapacityRebalance: wanted.spot,
      }),
    ),
  );
  if (!raised) await lower(there, sizeBefore(there)?.desired, ctx.clients);
  await autoscaling.send(new CreateOrUpdateTagsCommand({ Tags: groupTags(name, props.tags) }));
  for (const hook of hooks(props)) await autoscaling.send(new PutLifecycleHookCommand({ AutoScalingGroupName: name, ...hook }));
  await launched(name, wanted.min, ctx);
  const desired = Math.min(Math.max(there.DesiredCapacity ?? 0, wanted.min), wanted.max);
  return { name, min: wanted.min, max: wanted.max, desired };
}

async function byName(name: string, { clients }: Context<AwsClients>): Promise<AutoScalingGroup | undefined> {
  const { AutoScalingGroups: [there] = [] } = await clients.autoscaling.send(
    new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [name] }),
  );
  return there;
}

function mustBeOurs({ AutoScalingGroupName: name, Tags }: AutoScalingGroup, { clients, address }: Context<AwsClients>): void {
  if (resourceIn(tagsFrom(Tags), clients.owner.cluster, pool.name) === address) return;
  throw new UserError({
    what: `an Auto Scaling group ${name} exists, and it is not this cluster's`,
    where: address,
    why: 'it has not the tags that Slipway gives to what it makes',
    next: 'remove it if nobody needs it, or give the cluster another name',
  });
}

interface Remains {
  /** Names of groups that are still there. */
  readonly groups: ReadonlySet<string>;
  /** Instances by the group that they are of. */
  readonly instances: ReadonlyMap<string, number>;
}
const pollMs = 2000;
const remains = polled(async (clients): Promise<Remains> => {
  const [there, members] = await Promise.all([groups(clients), poolInstances(clients)]);
  const counts = new Map<string, number>();
  for (const { Tags } of members) {
    const address = resourceIn(tagsFrom(Tags), clients.owner.cluster, pool.name);
    const name = address && groupName(clients.owner.cluster, address);
    if (name) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return { groups: new Set(there.flatMap(({ AutoScalingGroupName }) => AutoScalingGroupName ?? [])), instances: counts };
}, pollMs);

/**
 * Lets its machines go while the cluster lives: each is held by the terminate hook until the agent has drained it, as disruption budgets allow, or the
 * pool's time for that is up.
 */
async function emptied(name: string, ctx: Context<AwsClients>): Promise<void> {
  const command = new UpdateAutoScalingGroupCommand({ AutoScalingGroupName: name, MinSize: 0, MaxSize: 0, DesiredCapacity: 0 });
  await ctx.clients.autoscaling.send(command).catch((error) => {
    // Being deleted already, by a run that was killed.
    if (codeOf(error) !== 'ScalingActivityInProgress') unlessNotFound(error);
  });
  for (;;) {
    const left = (await remains(ctx)).instances.get(name) ?? 0;
    if (left === 0) return;
    ctx.progress(`${left} ${left === 1 ? 'machine is drained and ends' : 'machines are drained and end'}`);
  }
}

/** Waits until the group and its machines are gone: what they stand on can be deleted only then. The step's own time bounds it. */
async function gone(name: string, ctx: Context<AwsClients>): Promise<void> {
  for (;;) {
    const { groups: there, instances } = await remains(ctx);
    const left = instances.get(name) ?? 0;
    if (!there.has(name) && left === 0) return;
    ctx.progress(`${left} ${left === 1 ? 'machine ends' : 'machines end'}`);
  }
}
