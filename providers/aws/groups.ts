import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AutoScalingGroup,
  DescribeAutoScalingGroupsCommand,
  TerminateInstanceInAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import { type Address, addressOf, nameOf, typeOf } from '../../src/plan/resource.ts';
import type { GroupsPort } from '../../src/provider.ts';
import type { AwsClients } from './clients.ts';
import { isNotFound, isRefusal, isThrottle } from './errors.ts';
import { explaining } from './explain.ts';
import { lower, membersOf, raise, sizeBefore } from './group-size.ts';
import { groups } from './machine-queries.ts';
import { groupName, pool } from './pool.ts';
import { resourceIn, tagsFrom } from './tags.ts';

const pollMs = 1000;

/** Auto Scaling groups, as an upgrade goes through them. */
export function openGroups(clients: AwsClients): GroupsPort {
  const { cluster } = clients.owner;
  const addressOfGroup = (group: string): Address => addressOf(pool.name, group);
  const one = async (group: string): Promise<AutoScalingGroup | undefined> => {
    const { AutoScalingGroups: [found] = [] } = await clients.autoscaling.send(
      new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [groupName(cluster, addressOfGroup(group))] }),
    );
    return found && resourceIn(tagsFrom(found.Tags), cluster, pool.name) === addressOfGroup(group) ? found : undefined;
  };
  const must = async (group: string): Promise<AutoScalingGroup> => {
    const found = await one(group);
    if (!found) throw new Error(`AWS does not show ${group}`);
    return found;
  };
  const counts = async (group: string, machine: string): Promise<boolean> => {
    const found = await one(group);
    return (found ? membersOf(found) : []).some((member) => member.machine === machine && !member.going);
  };
  return {
    types: Object.keys(remaking),
    read: (signal) =>
      explaining(pool.name, signal, async () => {
        const found = (await groups(clients)).flatMap((group) => {
          const address = resourceIn(tagsFrom(group.Tags), cluster, pool.name);
          if (!address || group.Status !== undefined) return [];
          const { DesiredCapacity: desired = 0 } = group;
          return [[nameOf(address), { desired, before: sizeBefore(group)?.desired, members: membersOf(group) }] as const];
        });
        return new Map(found);
      }),
    outdates: ({ address, action, fields }) =>
      action === 'update' && fields.some(({ path }) => (remaking[typeOf(address)] ?? nothing)(path.split('.')[0] ?? path)),
    raise: (group, desired, signal) =>
      explaining(addressOfGroup(group), signal, async () => raise(await must(group), desired, clients)),
    end: (group, machine, { shrink }, signal) =>
      explaining(addressOfGroup(group), signal, async () => {
        while (await counts(group, machine)) {
          signal.throwIfAborted();
          const command = new TerminateInstanceInAutoScalingGroupCommand({
            InstanceId: machine,
            ShouldDecrementDesiredCapacity: shrink,
          });
          try {
            await clients.autoscalingOnce.send(command);
            return;
          } catch (error) {
            if (isNotFound(error)) return;
            if (isRefusal(error) && !isThrottle(error)) throw error;
            // It may have been heard. Said twice it might take two places away: so it is looked at for as long as AWS may hide that.
            const until = performance.now() + (isThrottle(error) ? pollMs : clients.windowMs);
            while (performance.now() < until && (await counts(group, machine)))
              await sleep(Math.min(pollMs, clients.windowMs / 4), undefined, { signal });
          }
        }
      }),
    settle: (group, desired, signal) =>
      explaining(addressOfGroup(group), signal, async () => lower(await must(group), desired, clients)),
  };
}

/** Fields that reach machines only when they are made. */
const nothing = (): boolean => false;
const remaking: Readonly<Record<string, (field: string) => boolean>> = {
  'pool.bundle': () => true,
  'aws.launch-template': (field) => field !== 'tags',
  'aws.pool': (field) => field === 'version' || field === 'launchTemplate' || field === 'subnet',
};
