import { AttachVolumeCommand, DescribeInstancesCommand, type Volume } from '@aws-sdk/client-ec2';
import { UserError } from '../../src/errors.ts';
import type { Context } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { codeOf } from './errors.ts';
import { isGone, volumes } from './machine-queries.ts';
import { polled } from './polls.ts';

const devices: Readonly<Record<string, string>> = { main: '/dev/sdf', events: '/dev/sdg' };

/** One question for all volumes that are waited for. */
const volumesById = polled(
  async (clients): Promise<ReadonlyMap<string, Volume>> =>
    new Map((await volumes(clients)).map((volume) => [volume.VolumeId ?? '', volume])),
  500,
);

/** A volume is free some seconds after its last instance has ended. */
const timeoutMs = 180_000;
/** Attaches a volume, once it is free. Never takes it from a living instance, and never goes across zones. */
export async function attach(
  { name, volume, instance }: { readonly name: string; readonly volume: string; readonly instance: string },
  ctx: Context<AwsClients>,
): Promise<void> {
  const { ec2 } = ctx.clients;
  let why = 'it is not free';
  for (const end = performance.now() + timeoutMs; performance.now() < end; ) {
    const there = (await volumesById(ctx)).get(volume);
    const [held] = there?.Attachments?.filter(({ State }) => State !== 'detached') ?? [];
    if (held?.InstanceId === instance && held.State === 'attached') return;
    if (there?.State === 'available' && held === undefined) {
      try {
        await ec2.send(new AttachVolumeCommand({ VolumeId: volume, InstanceId: instance, Device: devices[name] ?? '/dev/sdh' }));
      } catch (error) {
        // Taken since (by our own first try, if its answer was lost): the next look says by whom.
        if (!/^(VolumeInUse|IncorrectState|InvalidVolume.NotFound)/.test(codeOf(error))) throw error;
        why = String(error);
      }
    } else if (held?.InstanceId !== undefined && held.InstanceId !== instance) {
      await mustBeEnding(held.InstanceId, volume, ctx);
      why = `instance ${held.InstanceId} has not let it go`;
    } else why = there ? `it is ${held?.State ?? there.State}` : 'AWS does not show it';
  }
  throw new UserError({
    what: `volume ${volume} could not be attached to ${instance} within ${timeoutMs / 1000} s`,
    where: ctx.address,
    why,
    next: 'run the same command again',
  });
}

async function mustBeEnding(holder: string, what: string, { clients, address }: Context<AwsClients>): Promise<void> {
  const found = await clients.ec2.send(new DescribeInstancesCommand({ Filters: [{ Name: 'instance-id', Values: [holder] }] }));
  const instance = found.Reservations?.[0]?.Instances?.[0];
  if (instance === undefined || isGone(instance)) return;
  throw heldBy(holder, what, address);
}
export const heldBy = (holder: string, what: string, where: string): UserError =>
  new UserError({
    what: `${what} is attached to instance ${holder}, which is not this machine`,
    where,
    why: 'Slipway takes nothing away from a living instance',
    next: `detach it, or terminate ${holder} if nobody needs it; then run the same command again`,
  });
