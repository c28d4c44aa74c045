import {
  CreateNetworkInterfaceCommand,
  DeleteNetworkInterfaceCommand,
  DescribeNetworkInterfacesCommand,
  ModifyNetworkInterfaceAttributeCommand,
  type NetworkInterface,
} from '@aws-sdk/client-ec2';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, Observation, Ref, Resolved, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { ownOf, setTags, tagged, visible, whileHeld } from './ec2.ts';
import { codeOf, unlessNotFound } from './errors.ts';
import { createWithToken } from './idempotency.ts';
import { type Tags, withTags } from './tags.ts';
import { seenNetworkInterfaces } from './told.ts';

export interface NetworkInterfaceProps {
  readonly subnet: Ref<string>;
  /** Fixed, from the machine's identity. */
  readonly address: string;
  readonly securityGroups: readonly Ref<string>[];
  readonly sourceDestCheck: boolean;
  /** Whether it stays when its instance is terminated. */
  readonly stays: boolean;
  readonly tags: Tags;
}
export interface NetworkInterfaceOutputs {
  readonly id: string;
}
type Wanted = Resolved<NetworkInterfaceProps>;

/** A machine's place in the network: it keeps the address when the machine is made anew. */
export const networkInterface: ResourceType<NetworkInterfaceProps, NetworkInterfaceOutputs, AwsClients> = {
  name: 'aws.network-interface',
  dependsOn: ['aws.subnet', 'aws.security-group'],
  timeoutMs: 600_000,
  async observe(world) {
    const found = new Map<Address, Observation<NetworkInterfaceProps, NetworkInterfaceOutputs>>();
    for (const { thing, tags, address } of ownInterfaces(await seenNetworkInterfaces(world), world.clients))
      found.set(address, {
        state: 'present',
        props: { ...propsOf(thing), tags },
        outputs: { id: thing.NetworkInterfaceId ?? '' },
      });
    return found;
  },
  diff: withTags(
    fields<NetworkInterfaceProps>({
      subnet: 'replace',
      address: 'replace',
      securityGroups: 'none',
      sourceDestCheck: 'none',
      stays: 'none',
      tags: 'ignore',
    }),
  ),
  async create(props, ctx) {
    const { ec2 } = ctx.clients;
    try {
      const id = await createWithToken(ctx, props, (ClientToken) =>
        visible(ctx, async () => {
          const { NetworkInterface: made } = await ec2.send(
            new CreateNetworkInterfaceCommand({
              SubnetId: props.subnet,
              PrivateIpAddress: props.address,
              Groups: [...props.securityGroups],
              Description: props.tags.Name,
              ClientToken,
              TagSpecifications: tagged('network-interface', props.tags),
            }),
          );
          return made?.NetworkInterfaceId ?? '';
        }),
      );
      await setAttributes(id, props, undefined, ctx);
      return { id };
    } catch (error) {
      if (!/InUse$/.test(codeOf(error)) && !/address.*in use|in use.*address/i.test(String(error))) throw error;
      return adopt(props, error, ctx);
    }
  },
  async update(props, outputs, ctx) {
    const { ec2 } = ctx.clients;
    const { NetworkInterfaces: [there] = [] } = await ec2.send(
      new DescribeNetworkInterfacesCommand({ NetworkInterfaceIds: [outputs.id] }),
    );
    if (!there) throw new Error(`AWS does not show ${outputs.id}`);
    const before = propsOf(there);
    const lasting = (['subnet', 'address'] as const).filter((key) => before[key] !== props[key] && !ctx.hold.includes(key));
    if (lasting.length > 0)
      throw new UserError({
        what: `a network interface cannot change: ${lasting.map((key) => `${key} ${before[key]} → ${props[key]}`).join(', ')}`,
        where: `${ctx.address} (${outputs.id})`,
        next: 'set cluster.yaml as it was; or remove the machine, then add it again',
      });
    await setAttributes(outputs.id, props, there, ctx);
    await setTags(ctx, outputs.id, props.tags);
    return outputs;
  },
  async delete({ id }, ctx) {
    const { ec2 } = ctx.clients;
    const holders = async (): Promise<readonly string[]> => {
      const { NetworkInterfaces: [there] = [] } = await ec2.send(
        new DescribeNetworkInterfacesCommand({ NetworkInterfaceIds: [id] }),
      );
      const { InstanceId, AttachmentId } = there?.Attachment ?? {};
      return AttachmentId ? [InstanceId ? `instance ${InstanceId}` : `attachment ${AttachmentId}`] : [];
    };
    await whileHeld(
      ctx,
      () => holders().catch(unlessNone),
      () => ec2.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: id })).catch(inUse),
    );
  },
};
/** AWS has two codes for it. */
function inUse(error: unknown): never {
  if (codeOf(error) === 'InvalidParameterValue' && error instanceof Error && /in use/.test(error.message))
    error.name = 'InvalidNetworkInterface.InUse';
  throw error;
}
const unlessNone = (error: unknown): readonly string[] => unlessNotFound(error) ?? [];

/** EC2 calls the tags of these otherwise. */
const ownInterfaces = (found: readonly NetworkInterface[], { owner }: AwsClients) =>
  ownOf(
    found.map((one) => ({ ...one, Tags: one.TagSet })),
    {
      cluster: owner.cluster,
      type: networkInterface.name,
      idOf: ({ NetworkInterfaceId }) => NetworkInterfaceId,
      used: ({ Attachment }) => Attachment !== undefined,
    },
  );

const propsOf = ({
  SubnetId = '',
  PrivateIpAddress = '',
  Groups = [],
  SourceDestCheck = true,
  Attachment,
}: NetworkInterface) => ({
  subnet: SubnetId,
  address: PrivateIpAddress,
  securityGroups: Groups.flatMap(({ GroupId }) => GroupId ?? []).sort(),
  sourceDestCheck: SourceDestCheck,
  stays: Attachment?.DeleteOnTermination !== true,
});

/** AWS takes one attribute a call; only what differs is sent. */
async function setAttributes(
  id: string,
  props: Wanted,
  there: NetworkInterface | undefined,
  ctx: Context<AwsClients>,
): Promise<void> {
  const { ec2 } = ctx.clients;
  const before = there ? propsOf(there) : { ...props, sourceDestCheck: true, stays: true };
  const modify = (input: object) =>
    visible(ctx, () => ec2.send(new ModifyNetworkInterfaceAttributeCommand({ NetworkInterfaceId: id, ...input })));
  if (before.sourceDestCheck !== props.sourceDestCheck) await modify({ SourceDestCheck: { Value: props.sourceDestCheck } });
  if (before.securityGroups.join() !== props.securityGroups.toSorted().join()) await modify({ Groups: props.securityGroups });
  const AttachmentId = there?.Attachment?.AttachmentId;
  if (before.stays !== props.stays && AttachmentId !== undefined)
    await modify({ Attachment: { AttachmentId, DeleteOnTermination: !props.stays } });
}

/** An address can exist once in a network: one of ours that AWS had hidden, or somebody else's. */
async function adopt(props: Wanted, error: unknown, ctx: Context<AwsClients>): Promise<NetworkInterfaceOutputs> {
  const { ec2 } = ctx.clients;
  const { NetworkInterfaces: found = [] } = await ec2.send(
    new DescribeNetworkInterfacesCommand({
      Filters: [
        { Name: 'subnet-id', Values: [props.subnet] },
        { Name: 'addresses.private-ip-address', Values: [props.address] },
      ],
    }),
  );
  const own = ownInterfaces(found, ctx.clients).find(({ address }) => address === ctx.address);
  if (own) {
    const id = own.thing.NetworkInterfaceId ?? '';
    await setAttributes(id, props, own.thing, ctx);
    return { id };
  }
  const [other] = found;
  throw new UserError(
    {
      what: `the address ${props.address} is taken by something that is not this cluster's`,
      where: ctx.address,
      why: other
        ? `${other.NetworkInterfaceId} (${other.Description || 'no description'})${other.Attachment?.InstanceId ? `, of instance ${other.Attachment.InstanceId}` : ''}`
        : String(error),
      next: 'remove it if nobody needs it, or choose another network.machines for a new cluster',
    },
    undefined,
    { cause: error },
  );
}
