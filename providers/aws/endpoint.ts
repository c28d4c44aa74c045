import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateVpcEndpointCommand,
  DeleteVpcEndpointsCommand,
  DescribeVpcEndpointsCommand,
  ModifyVpcEndpointCommand,
  type VpcEndpoint,
} from '@aws-sdk/client-ec2';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, Observation, Ref, Resolved, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { made, ownOf, setTags, tagged, visible } from './ec2.ts';
import { unlessNotFound } from './errors.ts';
import { forgetFact, keepFact } from './facts.ts';
import { createWithToken } from './idempotency.ts';
import { isGoing } from './network-queries.ts';
import { type Tags, withTags } from './tags.ts';
import { seenEndpoints } from './told.ts';

export interface EndpointProps {
  readonly vpc: Ref<string>;
  /** `com.amazonaws.eu-central-1.s3` */
  readonly service: string;
  readonly routeTables: readonly Ref<string>[];
  readonly tags: Tags;
}
export interface EndpointOutputs {
  readonly id: string;
}

/** A gateway to a service of AWS without a way through the Internet: to S3, where the store is, at no cost and also with `nat: none`. */
export const endpoint: ResourceType<EndpointProps, EndpointOutputs, AwsClients> = {
  name: 'aws.endpoint',
  dependsOn: ['aws.route-table'],
  timeoutMs: 300_000,
  async observe(world) {
    const { cluster } = world.clients.owner;
    const own = ownOf(await seenEndpoints(world), {
      cluster,
      type: endpoint.name,
      idOf,
      used: ({ RouteTableIds = [] }) => RouteTableIds.length > 0,
    });
    return new Map(
      own.map(({ thing, tags, address }): [Address, Observation<EndpointProps, EndpointOutputs>] => [
        address,
        { state: 'present', props: { ...propsOf(thing), tags }, outputs: { id: idOf(thing) } },
      ]),
    );
  },
  diff: withTags(diffEndpoint),
  async create(props, ctx) {
    const { ec2 } = ctx.clients;
    const id = await createWithToken(
      ctx,
      props,
      (ClientToken) =>
        visible(ctx, async () => {
          const command = new CreateVpcEndpointCommand({
            VpcEndpointType: 'Gateway',
            VpcId: props.vpc,
            ServiceName: props.service,
            RouteTableIds: [...props.routeTables],
            ClientToken,
            TagSpecifications: tagged('vpc-endpoint', props.tags),
          });
          return made((await ec2.send(command)).VpcEndpoint?.VpcEndpointId);
        }),
      async (id, open) => open && isAway(await visible(ctx, () => describe(id, ctx)).catch(unlessNotFound)),
    );
    keepFact(ctx.clients, id, { service: props.service });
    return { id };
  },
  async update(props, outputs, ctx) {
    const there = await visible(ctx, () => describe(outputs.id, ctx));
    const now = propsOf(there ?? {});
    const wrong = (['vpc', 'service'] as const).some((prop) => now[prop] !== props[prop] && !ctx.hold.includes(prop));
    if (wrong)
      throw new UserError({
        what: `the endpoint is one to ${now.service} in ${now.vpc}`,
        where: `${ctx.address} (${outputs.id})`,
        why: `cluster.yaml needs ${props.service} in ${props.vpc}`,
        next: `delete ${outputs.id}, if nobody needs it, and run the same command again`,
      });
    const add = props.routeTables.filter((table) => !now.routeTables.includes(table));
    if (add.length > 0)
      await ctx.clients.ec2.send(new ModifyVpcEndpointCommand({ VpcEndpointId: outputs.id, AddRouteTableIds: add }));
    await setTags(ctx, outputs.id, props.tags);
    return outputs;
  },
  async delete({ id }, ctx) {
    const { Unsuccessful: [refused] = [] } = await ctx.clients.ec2.send(new DeleteVpcEndpointsCommand({ VpcEndpointIds: [id] }));
    if (refused?.Error && !/NotFound/.test(refused.Error.Code ?? ''))
      throw new UserError({
        what: 'AWS does not delete the endpoint',
        where: `${ctx.address} (${id})`,
        why: `${refused.Error.Message} (${refused.Error.Code})`,
        next: 'mend that, and run the same command again',
      });
    for (;;) {
      const there = await describe(id, ctx).catch(unlessNotFound);
      if (!there || /^deleted$/i.test(there.State ?? '')) return forgetFact(ctx.clients, id);
      await sleep(pollMs, undefined, { signal: ctx.signal });
    }
  },
};
const pollMs = 1000;

/** A route table that is no longer designed leaves it when it is deleted: until then machines may need it. */
function diffEndpoint(desired: Resolved<EndpointProps>, observed: Resolved<EndpointProps>) {
  const routeTables = observed.routeTables.filter((table) => desired.routeTables.includes(table));
  return fields<EndpointProps>({ vpc: 'replace', service: 'replace', routeTables: 'none', tags: 'ignore' })(
    { ...desired, routeTables: desired.routeTables.toSorted() },
    { ...observed, routeTables },
  );
}

const isAway = (one: VpcEndpoint | undefined): boolean => one === undefined || isGoing(one);
const idOf = ({ VpcEndpointId = '' }: VpcEndpoint): string => VpcEndpointId;
const propsOf = ({ VpcId = '', ServiceName = '', RouteTableIds = [] }: VpcEndpoint) => ({
  vpc: VpcId,
  service: ServiceName,
  routeTables: RouteTableIds.toSorted(),
});

async function describe(id: string, ctx: Context<AwsClients>): Promise<VpcEndpoint | undefined> {
  const { VpcEndpoints: [found] = [] } = await ctx.clients.ec2.send(new DescribeVpcEndpointsCommand({ VpcEndpointIds: [id] }), {
    abortSignal: ctx.signal,
  });
  return found;
}
