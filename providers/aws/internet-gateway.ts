import {
  AttachInternetGatewayCommand,
  CreateInternetGatewayCommand,
  DeleteInternetGatewayCommand,
  DescribeInternetGatewaysCommand,
  DetachInternetGatewayCommand,
  type InternetGateway,
} from '@aws-sdk/client-ec2';
import { exitCodes, UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, Observation, Ref, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { atAddress, made, ownOf, setTags, tagged, visible, whileHeld } from './ec2.ts';
import { codeOf, isNotFound } from './errors.ts';
import { createWithIntent } from './idempotency.ts';
import { type Tags, withTags } from './tags.ts';
import { seenInternetGateways } from './told.ts';
import { interfacesIn } from './vpc.ts';

export interface InternetGatewayProps {
  /** To which it is attached. */
  readonly vpc: Ref<string>;
  /** The one that an existing VPC has: neither changed nor deleted. */
  readonly existing: boolean;
  readonly tags: Tags;
}
export interface InternetGatewayOutputs {
  readonly id: string;
}

export const internetGateway: ResourceType<InternetGatewayProps, InternetGatewayOutputs, AwsClients> = {
  name: 'aws.internet-gateway',
  // Addresses that are mapped in the VPC hold it.
  dependsOn: ['aws.vpc'],
  timeoutMs: 600_000,
  keeps: ({ existing }) => existing,
  async observe(world) {
    const { cluster } = world.clients.owner;
    const existing = world.clients.existing.vpc !== undefined;
    const all = await seenInternetGateways(world);
    const own = ownOf(all, { cluster, type: internetGateway.name, idOf, used: (one) => vpcOf(one) !== '' });
    const named = existing
      ? all.slice(0, 1).map((thing) => ({ thing, tags: {}, address: 'aws.internet-gateway/main' as const }))
      : own;
    return new Map(
      named.map(({ thing, tags, address }): [Address, Observation<InternetGatewayProps, InternetGatewayOutputs>] => [
        address,
        { state: 'present', props: { vpc: vpcOf(thing), existing, tags }, outputs: { id: idOf(thing) } },
      ]),
    );
  },
  diff: withTags(fields<InternetGatewayProps>({ vpc: 'none', existing: 'replace', tags: 'ignore' })),
  async create(props, ctx) {
    const { ec2, ec2Once, owner } = ctx.clients;
    if (props.existing)
      throw new UserError(
        {
          what: `${props.vpc} has no internet gateway`,
          where: 'provider.aws.vpc',
          why: 'public subnets in it, with the bastion, need one, and an existing VPC is never changed',
          next: `attach one to ${props.vpc}, or name public subnets that have a way to the Internet (provider.aws.vpc.publicSubnets)`,
        },
        exitCodes.config,
      );
    const id = await createWithIntent(ctx, {
      async find() {
        const { InternetGateways = [] } = await ec2.send(
          new DescribeInternetGatewaysCommand({ Filters: atAddress(owner.cluster, ctx.address) }),
        );
        return InternetGateways[0]?.InternetGatewayId;
      },
      async create() {
        const command = new CreateInternetGatewayCommand({ TagSpecifications: tagged('internet-gateway', props.tags) });
        return made((await ec2Once.send(command)).InternetGateway?.InternetGatewayId);
      },
    });
    await attach(id, props.vpc, ctx);
    return { id };
  },
  async update(props, outputs, ctx) {
    const { InternetGateways: [there] = [] } = await ctx.clients.ec2.send(
      new DescribeInternetGatewaysCommand({ InternetGatewayIds: [outputs.id] }),
    );
    const at = there ? vpcOf(there) : '';
    if (at !== '' && at !== props.vpc) await detach(outputs.id, at, ctx);
    if (at !== props.vpc) await attach(outputs.id, props.vpc, ctx);
    await setTags(ctx, outputs.id, props.tags);
    return outputs;
  },
  async delete({ id }, ctx) {
    const { ec2 } = ctx.clients;
    const found = await ec2.send(new DescribeInternetGatewaysCommand({ InternetGatewayIds: [id] })).catch((error) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
    const at = found?.InternetGateways?.[0] ? vpcOf(found.InternetGateways[0]) : '';
    if (at !== '') await detach(id, at, ctx);
    await whileHeld(
      ctx,
      async () => [],
      () => ec2.send(new DeleteInternetGatewayCommand({ InternetGatewayId: id })),
    );
  },
};

const idOf = ({ InternetGatewayId = '' }: InternetGateway): string => InternetGatewayId;
const vpcOf = ({ Attachments = [] }: InternetGateway): string => Attachments[0]?.VpcId ?? '';

async function attach(id: string, vpc: string, ctx: Context<AwsClients>): Promise<void> {
  await visible(ctx, () => ctx.clients.ec2.send(new AttachInternetGatewayCommand({ InternetGatewayId: id, VpcId: vpc }))).catch(
    (error) => {
      // A lost answer, and the SDK has asked again. Attached elsewhere, or another to this VPC: AWS's words say which.
      if (codeOf(error) !== 'Resource.AlreadyAssociated' || !String(error.message).includes(id)) throw error;
    },
  );
}
const detach = (id: string, vpc: string, ctx: Context<AwsClients>): Promise<void> =>
  whileHeld(
    ctx,
    () => interfacesIn(ctx, 'vpc-id', vpc, ({ Association }) => Association !== undefined),
    () =>
      ctx.clients.ec2.send(new DetachInternetGatewayCommand({ InternetGatewayId: id, VpcId: vpc })).catch((error) => {
        if (codeOf(error) !== 'Gateway.NotAttached') throw error;
      }),
  );
