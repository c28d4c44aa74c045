import {
  AllocateAddressCommand,
  AssociateAddressCommand,
  DescribeAddressesCommand,
  DisassociateAddressCommand,
  type Address as ElasticIp,
  ReleaseAddressCommand,
} from '@aws-sdk/client-ec2';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, Observation, Ref, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { atAddress, made, ownOf, setTags, tagged, visible, whileHeld } from './ec2.ts';
import { codeOf, isNotFound } from './errors.ts';
import { forgetFact, keepFact } from './facts.ts';
import { createWithIntent } from './idempotency.ts';
import { type Tags, withTags } from './tags.ts';
import { seenAddresses } from './told.ts';

export interface ElasticIpProps {
  /** Whose public address it is; null where another resource takes it (a NAT gateway). */
  readonly networkInterface: Ref<string> | null;
  readonly tags: Tags;
}
export interface ElasticIpOutputs {
  readonly id: string;
  readonly address: string;
}

/** A public address that stays: what people and firewalls know the cluster by. */
export const elasticIp: ResourceType<ElasticIpProps, ElasticIpOutputs, AwsClients> = {
  name: 'aws.elastic-ip',
  dependsOn: ['aws.internet-gateway', 'aws.network-interface'],
  timeoutMs: 300_000,
  async observe(world) {
    const { cluster } = world.clients.owner;
    const own = ownOf(await seenAddresses(world), {
      cluster,
      type: elasticIp.name,
      idOf: ({ AllocationId }) => AllocationId,
      used: ({ AssociationId }) => Boolean(AssociationId),
    });
    return new Map(
      own.map(({ thing, tags, address }): [Address, Observation<ElasticIpProps, ElasticIpOutputs>] => [
        address,
        { state: 'present', props: { networkInterface: thing.NetworkInterfaceId || null, tags }, outputs: outputsOf(thing) },
      ]),
    );
  },
  diff: withTags((desired, observed) =>
    fields<ElasticIpProps>({ networkInterface: desired.networkInterface === null ? 'ignore' : 'none', tags: 'ignore' })(
      desired,
      observed,
    ),
  ),
  async create(props, ctx) {
    const { ec2, ec2Once, owner } = ctx.clients;
    const outputs = await createWithIntent(ctx, {
      async find() {
        const { Addresses: [found] = [] } = await ec2.send(
          new DescribeAddressesCommand({ Filters: atAddress(owner.cluster, ctx.address) }),
        );
        return found && outputsOf(found);
      },
      async create() {
        const command = new AllocateAddressCommand({ Domain: 'vpc', TagSpecifications: tagged('elastic-ip', props.tags) });
        const answer = await ec2Once.send(command);
        return { id: made(answer.AllocationId), address: made(answer.PublicIp) };
      },
    });
    keepFact(ctx.clients, outputs.id, { address: outputs.address });
    if (props.networkInterface !== null) await associate(outputs.id, props.networkInterface, ctx);
    return outputs;
  },
  async update(props, outputs, ctx) {
    if (props.networkInterface !== null) await associate(outputs.id, props.networkInterface, ctx);
    await setTags(ctx, outputs.id, props.tags);
    return outputs;
  },
  async delete({ id }, ctx) {
    const { ec2 } = ctx.clients;
    const found = await ec2.send(new DescribeAddressesCommand({ AllocationIds: [id] })).catch((error) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
    const [there] = found?.Addresses ?? [];
    if (!there) return;
    // What a NAT gateway holds is not ours to take: only its deletion frees it, and releasing waits for that.
    if (there.AssociationId)
      await ec2.send(new DisassociateAddressCommand({ AssociationId: there.AssociationId })).catch((error) => {
        if (!isNotFound(error) && !/^(AuthFailure|OperationNotPermitted)$/.test(codeOf(error))) throw error;
      });
    await whileHeld(
      ctx,
      async () => [`network interface ${there.NetworkInterfaceId}`],
      () => ec2.send(new ReleaseAddressCommand({ AllocationId: id })),
    );
    await forgetFact(ctx.clients, id);
  },
};

const outputsOf = ({ AllocationId = '', PublicIp = '' }: ElasticIp): ElasticIpOutputs => ({
  id: AllocationId,
  address: PublicIp,
});

async function associate(id: string, networkInterface: string, ctx: Context<AwsClients>): Promise<void> {
  const command = new AssociateAddressCommand({
    AllocationId: id,
    NetworkInterfaceId: networkInterface,
    AllowReassociation: true,
  });
  // The gateway was attached a moment ago.
  const unseen = (error: unknown): boolean => codeOf(error) === 'Gateway.NotAttached';
  await visible(ctx, () => ctx.clients.ec2.send(command), unseen);
}
