import { type Activity, DescribeScalingActivitiesCommand } from '@aws-sdk/client-auto-scaling';
import { UserError } from '../../src/errors.ts';
import type { Context } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { membersOf } from './group-size.ts';
import { groups } from './machine-queries.ts';
import { polled } from './polls.ts';
import { quotaOf, requestFor } from './quotas.ts';

const pollMs = 1_000;
/** A launch that goes well is seen before anybody asks why it does not. */
const askEveryMs = 10_000;

const sizes = polled(
  async (clients) =>
    new Map(
      (await groups(clients)).map((group) => [
        group.AutoScalingGroupName ?? '',
        membersOf(group).filter(({ going }) => !going).length,
      ]),
    ),
  pollMs,
);

/**
 * Waits until the group has as many machines as it must have at least; the step's own time bounds it. AWS launches them by itself, and tells only in the
 * group's activities why it does not: without that a quota would look like machines that do not join. `anew`: the group has no past.
 */
export async function launched(name: string, min: number, ctx: Context<AwsClients>, { anew = false } = {}): Promise<void> {
  if (min === 0) return;
  const old = new Set<string>();
  let asked = anew ? performance.now() : Number.NEGATIVE_INFINITY;
  let said = '';
  for (let first = !anew; ; ) {
    const there = (await sizes(ctx)).get(name) ?? 0;
    if (there >= min) return;
    if (performance.now() - asked > askEveryMs) {
      asked = performance.now();
      const failed = await failures(name, ctx);
      const [last] = failed;
      if (first) for (const { ActivityId = '' } of failed) old.add(ActivityId);
      else for (const activity of failed) if (!old.has(activity.ActivityId ?? '')) refuse(activity, ctx);
      first = false;
      said = last?.StatusMessage === undefined ? '' : `; AWS said last: ${last.StatusMessage}`;
    }
    ctx.progress(`${there} of ${min} machines launched${said}`);
  }
}

/** Newest first. */
async function failures(name: string, { clients, signal }: Context<AwsClients>): Promise<readonly Activity[]> {
  const command = new DescribeScalingActivitiesCommand({ AutoScalingGroupName: name, MaxRecords: 20 });
  const { Activities = [] } = await clients.autoscaling.send(command, { abortSignal: signal });
  return Activities.filter(({ StatusCode }) => StatusCode === 'Failed');
}

/** Capacity may come back, and AWS goes on trying: that is waited for. Anything else stays as it is until somebody mends it. */
function refuse({ StatusMessage = '' }: Activity, { address }: Context<AwsClients>): void {
  if (/sufficient .*capacity|InsufficientInstanceCapacity|no Spot capacity/i.test(StatusMessage)) return;
  const code = /vCPU (capacity|limit)/.test(StatusMessage)
    ? 'VcpuLimitExceeded'
    : /spot instance count/i.test(StatusMessage)
      ? 'MaxSpotInstanceCountExceeded'
      : '';
  const quota = quotaOf(code, address);
  throw new UserError({
    what: quota ? `a quota of the account is used up: ${quota.name}` : 'AWS could not launch a machine of this group',
    where: address,
    why: StatusMessage,
    next: quota
      ? `${requestFor(quota)} (cluster preflight says how much is needed), or remove what nobody needs; then run the same command again: it goes on from there`
      : 'mend what AWS says, then run the same command again',
  });
}
