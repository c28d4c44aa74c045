import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateNatGatewayCommand,
  DeleteNatGatewayCommand,
  DescribeRouteTablesCommand,
  type NatGateway,
} from '@aws-sdk/client-ec2';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, Observation, Ref, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { made, ownOf, setTags, tagged, visible } from './ec2.ts';
import { unlessNotFound } from './errors.ts';
import { forgetFact, keepFact } from './facts.ts';
import { createWithToken } from './idempotency.ts';
import { addressOfNat, allNatGateways, isGone } from './network-queries.ts';
import { polled } from './polls.ts';
import { type Tags, withTags } from './tags.ts';
import { seenNatGateways } from './told.ts';

export interface NatGatewayProps {
  readonly subnet: Ref<string>;
  /** Allocation of the Elastic IP by which the Internet sees the private machines. */
  readonly elasticIp: Ref<string>;
  /** One that could not be made stays for an hour, and does nothing. */
  readonly available: boolean;
  readonly tags: Tags;
}
export interface NatGatewayOutputs {
  readonly id: string;
}

/** The way out of the private subnets of a zone, or of all. */
export const natGateway: ResourceType<NatGatewayProps, NatGatewayOutputs, AwsClients> = {
  name: 'aws.nat-gateway',
  dependsOn: ['aws.subnet', 'aws.elastic-ip', 'aws.internet-gateway'],
  // AWS takes two minutes to make one, and one to delete it.
  timeoutMs: 900_000,
  async observe(world) {
    const { cluster } = world.clients.owner;
    const own = ownOf(await seenNatGateways(world), {
      cluster,
      type: natGateway.name,
      idOf,
      used: ({ State }) => State !== 'failed',
    });
    const living = own.filter(({ thing, address }) => thing.State !== 'failed' || !address.includes('~'));
    return new Map(
      living.map(({ thing, tags, address }): [Address, Observation<NatGatewayProps, NatGatewayOutputs>] => [
        address,
        { state: 'present', props: { ...propsOf(thing), tags }, outputs: { id: idOf(thing) } },
      ]),
    );
  },
  // Connections through it break, and nothing that serves does: so `up` makes it anew.
  diff: withTags(fields<NatGatewayProps>({ subnet: 'none', elasticIp: 'none', available: 'none', tags: 'ignore' })),
  create,
  async update(props, outputs, ctx) {
    const there = (await allNatGateways(ctx.clients)).find((one) => idOf(one) === outputs.id);
    const now = there && propsOf(there);
    if (!there || there.State === 'failed' || now?.subnet !== props.subnet || now.elasticIp !== props.elasticIp) {
      await remove(outputs, ctx);
      return create(props, ctx);
    }
    await setTags(ctx, outputs.id, props.tags);
    await settled(outputs.id, 'available', ctx);
    return outputs;
  },
  async delete(outputs, ctx) {
    await unrouted(outputs.id, ctx);
    await remove(outputs, ctx);
    await forgetFact(ctx.clients, outputs.id);
  },
};

async function create(
  props: { readonly subnet: string; readonly elasticIp: string; readonly available: boolean; readonly tags: Tags },
  ctx: Context<AwsClients>,
): Promise<NatGatewayOutputs> {
  const { ec2 } = ctx.clients;
  const id = await createWithToken(
    ctx,
    props,
    (ClientToken) =>
      visible(ctx, async () => {
        const command = new CreateNatGatewayCommand({
          SubnetId: props.subnet,
          AllocationId: props.elasticIp,
          ClientToken,
          TagSpecifications: tagged('natgateway', props.tags),
        });
        return made((await ec2.send(command)).NatGateway?.NatGatewayId);
      }),
    async (id, open) => open && (await allNatGateways(ctx.clients)).some((one) => idOf(one) === id && isGone(one)),
  );
  await settled(id, 'available', ctx);
  keepFact(ctx.clients, id, { subnet: props.subnet, elasticIp: props.elasticIp });
  return { id };
}

/** Route tables may just be on their way to another one: it goes after them. Bounded, as somebody else's may stay. */
const unroutedMs = 15_000;
async function unrouted(id: string, { clients, signal }: Context<AwsClients>): Promise<void> {
  const Filters = [{ Name: 'route.nat-gateway-id', Values: [id] }];
  for (const end = performance.now() + unroutedMs; performance.now() < end; ) {
    const { RouteTables = [] } = await clients.ec2.send(new DescribeRouteTablesCommand({ Filters }));
    if (RouteTables.length === 0) return;
    await sleep(500, undefined, { signal });
  }
}

async function remove({ id }: NatGatewayOutputs, ctx: Context<AwsClients>): Promise<void> {
  await ctx.clients.ec2.send(new DeleteNatGatewayCommand({ NatGatewayId: id })).catch(unlessNotFound);
  // Its address and its network interface in the subnet are held until then.
  await settled(id, 'deleted', ctx);
}

/** Of all that are being made or deleted, in one call. */
const states = polled(allNatGateways, 1000);
async function settled(id: string, wanted: 'available' | 'deleted', ctx: Context<AwsClients>): Promise<void> {
  const appears = performance.now() + ctx.clients.windowMs;
  for (;;) {
    const found = (await states(ctx)).find((one) => idOf(one) === id);
    if (found?.State === wanted) return;
    // One that could not be made holds nothing, and stays in the list for an hour.
    if (wanted === 'deleted' && (!found || found.State === 'failed')) return;
    if (found?.State === 'failed')
      throw new UserError({
        what: 'AWS could not make the NAT gateway',
        where: `${ctx.address} (${id})`,
        why: `${found.FailureMessage ?? 'no reason given'} (${found.FailureCode ?? 'failed'})`,
        next: 'mend that, and run the same command again: it makes another',
      });
    if (wanted === 'available' && (found ? found.State !== 'pending' : performance.now() > appears))
      throw new UserError({
        what: 'somebody deletes the NAT gateway while it is being made',
        where: `${ctx.address} (${id})`,
        next: 'run the same command again',
      });
    ctx.progress(`${id} is ${found?.State ?? 'not visible yet'}`);
  }
}

const idOf = ({ NatGatewayId = '' }: NatGateway): string => NatGatewayId;
const propsOf = (gateway: NatGateway) => ({
  subnet: gateway.SubnetId ?? '',
  elasticIp: addressOfNat(gateway) ?? '',
  available: gateway.State === 'available',
});
