import type { Instance } from '@aws-sdk/client-ec2';
import { UserError } from '../../src/errors.ts';
import type { Context } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { allInstances } from './machine-queries.ts';
import { polled } from './polls.ts';

const pollMs = 1000;
const byId = polled(async (clients): Promise<ReadonlyMap<string, Instance>> => {
  const all = await allInstances(clients);
  return new Map(all.map((instance) => [instance.InstanceId ?? '', instance]));
}, pollMs);

/** An instance starts within a minute, and ends within some. */
const timeoutMs = 300_000;
/**
 * Waits, bounded, until the instance is as it should be. One that was just made may be invisible for a while; one that ends while it is
 * waited for is an error that says what AWS says of it (no capacity, a key that may not be used).
 */
export async function instanceWhen(
  id: string,
  ctx: Context<AwsClients>,
  state: string,
  isSo: (instance: Instance | undefined) => boolean,
): Promise<Instance> {
  const { clients, address } = ctx;
  const begun = performance.now();
  for (;;) {
    const instance = (await byId(ctx)).get(id);
    const hidden = instance === undefined && performance.now() < begun + clients.windowMs && state !== 'terminated';
    if (!hidden && isSo(instance)) return instance ?? { InstanceId: id };
    const now = instance?.State?.Name;
    const because = instance?.StateReason?.Message || instance?.StateTransitionReason;
    if (state !== 'terminated' && (now === 'terminated' || now === 'shutting-down'))
      throw new UserError({
        what: `instance ${id} has ended before it was ${state}`,
        where: address,
        ...(because && { why: because }),
        next: 'mend that, then run the same command again',
      });
    if (performance.now() > begun + timeoutMs)
      throw new UserError({
        what: `instance ${id} was not ${state} within ${timeoutMs / 1000} s`,
        where: address,
        why: now === undefined ? 'AWS does not show it' : `it is ${now}${because ? `: ${because}` : ''}`,
        next: 'run the same command again',
      });
  }
}
