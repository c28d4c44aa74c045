import {
  CreateSubnetCidrReservationCommand,
  CreateSubnetCommand,
  DeleteSubnetCidrReservationCommand,
  DeleteSubnetCommand,
  DescribeSubnetsCommand,
  ModifySubnetAttributeCommand,
  type Subnet,
} from '@aws-sdk/client-ec2';
import { exitCodes, UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, Observation, Ref, Resolved, ResourceType, World } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { atAddress, made, ownOf, setTags, tagged, visible, whileHeld } from './ec2.ts';
import { unlessNotFound } from './errors.ts';
import { keepFact } from './facts.ts';
import { createWithIntent } from './idempotency.ts';
import { reservationsOf, subnets } from './network-queries.ts';
import { type Tags, withTags } from './tags.ts';
import { reservedIn } from './told.ts';
import { interfacesIn } from './vpc.ts';

export interface SubnetProps {
  readonly vpc: Ref<string>;
  readonly zone: string;
  /** Null: that of the existing one. */
  readonly cidr: string | null;
  /** Kept from automatic assignment: where machines have fixed addresses. */
  readonly fixed: string | null;
  /** Whether machines get public addresses by themselves. */
  readonly publicAddresses: boolean;
  /** ID of one that Slipway did not make, and neither changes nor deletes. */
  readonly existing: string | null;
  readonly tags: Tags;
}
export interface SubnetOutputs {
  readonly id: string;
}

/** Two a zone: `public-ZONE`, with the bastion and what faces the Internet, and `private-ZONE`, with everything else. */
export const subnet: ResourceType<SubnetProps, SubnetOutputs, AwsClients> = {
  name: 'aws.subnet',
  dependsOn: ['aws.vpc'],
  timeoutMs: 600_000,
  keeps: ({ existing }) => existing !== null,
  async observe(world) {
    const { clients } = world;
    const all = await world.read(subnets);
    const own = ownOf(all, { cluster: clients.owner.cluster, type: subnet.name, idOf: ({ SubnetId }) => SubnetId });
    const byId = new Map(all.map((one) => [one.SubnetId, one]));
    const named = Object.entries(clients.existing.subnets).flatMap(([address, id]) => {
      const thing = byId.get(id);
      return thing ? [{ address: address as Address, thing, tags: {}, existing: id }] : [];
    });
    const observed = [...own.map((one) => ({ ...one, existing: null })), ...named].map(
      async ({ address, thing, tags, existing }): Promise<[Address, Observation<SubnetProps, SubnetOutputs>]> => {
        const id = thing.SubnetId ?? '';
        return [
          address,
          {
            state: 'present',
            props: { ...propsOf(thing), fixed: existing === null ? await fixedIn(world, id, address) : null, existing, tags },
            outputs: { id },
          },
        ];
      },
    );
    return new Map(await Promise.all(observed));
  },
  diff: withTags(diffSubnet),
  async create(props, ctx) {
    const { ec2, ec2Once, owner, region } = ctx.clients;
    if (props.existing !== null)
      throw new UserError(
        {
          what: `${props.existing} is not a subnet of ${props.vpc} in ${region}`,
          where: 'provider.aws.vpc',
          next: 'correct the ID, the region or the credentials',
        },
        exitCodes.config,
      );
    const id = await createWithIntent(ctx, {
      async find() {
        const { Subnets = [] } = await ec2.send(new DescribeSubnetsCommand({ Filters: atAddress(owner.cluster, ctx.address) }));
        return Subnets[0]?.SubnetId;
      },
      create: () =>
        visible(ctx, async () => {
          const command = new CreateSubnetCommand({
            VpcId: props.vpc,
            AvailabilityZone: props.zone,
            CidrBlock: props.cidr ?? '',
            TagSpecifications: tagged('subnet', props.tags),
          });
          return made((await ec2Once.send(command)).Subnet?.SubnetId);
        }),
    });
    await reserve(id, props, ctx);
    return { id };
  },
  async update(props, outputs, ctx) {
    const { ec2 } = ctx.clients;
    const { id } = outputs;
    const { Subnets: [there] = [] } = await ec2.send(new DescribeSubnetsCommand({ SubnetIds: [id] }));
    const lasting =
      there &&
      diffSubnet(props, { ...props, ...propsOf(there) }).filter(
        ({ impact, path }) => impact === 'replace' && !ctx.hold.includes(path),
      );
    if (lasting && lasting.length > 0)
      throw new UserError(
        {
          what: `a subnet cannot change: ${lasting.map(({ path, before, after }) => `${path} ${String(before)} → ${String(after)}`).join(', ')}`,
          where: `${ctx.address} (${id})`,
          next: 'set cluster.yaml as it was, or remove the zone, then add it again',
        },
        exitCodes.config,
      );
    if (props.existing !== null) return outputs;
    await ec2.send(new ModifySubnetAttributeCommand({ SubnetId: id, MapPublicIpOnLaunch: { Value: props.publicAddresses } }));
    await reserve(id, props, ctx);
    await setTags(ctx, id, props.tags);
    return outputs;
  },
  async delete({ id }, ctx) {
    const { ec2 } = ctx.clients;
    const reservations = (await reservationsOf(ctx.clients, id).catch(unlessNotFound)) ?? [];
    for (const one of reservations)
      await ec2.send(new DeleteSubnetCidrReservationCommand({ SubnetCidrReservationId: one.id })).catch(unlessNotFound);
    await whileHeld(
      ctx,
      () => interfacesIn(ctx, 'subnet-id', id),
      () => ctx.clients.ec2.send(new DeleteSubnetCommand({ SubnetId: id })),
    );
  },
};

function diffSubnet(desired: Resolved<SubnetProps>, observed: Resolved<SubnetProps>) {
  const place = fields<SubnetProps>({
    vpc: 'replace',
    zone: 'replace',
    existing: 'replace',
    cidr: 'ignore',
    fixed: 'ignore',
    publicAddresses: 'ignore',
    tags: 'ignore',
  });
  const rest = fields<SubnetProps>({
    vpc: 'ignore',
    zone: 'ignore',
    existing: 'ignore',
    cidr: 'replace',
    fixed: 'none',
    publicAddresses: 'none',
    tags: 'ignore',
  });
  // Others may keep ranges of their own in it.
  const fixed = observed.fixed?.split(', ').find((range) => range === desired.fixed) ?? observed.fixed;
  return [...place(desired, observed), ...(desired.existing === null ? rest(desired, { ...observed, fixed }) : [])];
}

const propsOf = ({ VpcId = '', AvailabilityZone = '', CidrBlock = '', MapPublicIpOnLaunch = false }: Subnet) => ({
  vpc: VpcId,
  zone: AvailabilityZone,
  cidr: CidrBlock,
  publicAddresses: MapPublicIpOnLaunch,
});

/** Public ones have none: the bastion is all that has a fixed address there. */
async function fixedIn(world: World<AwsClients>, id: string, address: Address): Promise<string | null> {
  if (address.includes('/public-')) return null;
  const told = await reservedIn(world, id);
  if (told !== undefined) return told.join(', ');
  const found = (await reservationsOf(world.clients, id)).filter(({ explicit }) => explicit);
  for (const { id: reservation, cidr } of found) keepFact(world.clients, reservation, { subnet: id, cidr });
  return found.length === 0
    ? null
    : found
        .map(({ cidr }) => cidr)
        .sort()
        .join(', ');
}

/** With the tags of its subnet: by them one answer tells of all that they are there. */
async function reserve(
  id: string,
  { fixed, tags }: Pick<Resolved<SubnetProps>, 'fixed' | 'tags'>,
  ctx: Context<AwsClients>,
): Promise<void> {
  if (fixed === null) return;
  const { ec2 } = ctx.clients;
  const there = await visible(ctx, () => reservationsOf(ctx.clients, id));
  for (const other of there.filter(({ cidr, explicit }) => cidr === fixed && !explicit))
    await ec2.send(new DeleteSubnetCidrReservationCommand({ SubnetCidrReservationId: other.id })).catch(unlessNotFound);
  if (there.some(({ cidr, explicit }) => cidr === fixed && explicit)) return;
  const command = new CreateSubnetCidrReservationCommand({
    SubnetId: id,
    Cidr: fixed,
    ReservationType: 'explicit',
    Description: 'machines with fixed addresses',
    TagSpecifications: tagged('subnet-cidr-reservation', tags),
  });
  try {
    const { SubnetCidrReservation: made } = await visible(ctx, () => ec2.send(command));
    keepFact(ctx.clients, made?.SubnetCidrReservationId, { subnet: id, cidr: fixed });
  } catch (error) {
    // A lost answer, and the SDK has asked again: it overlaps itself. What is there tells, whatever AWS calls that.
    const now = await reservationsOf(ctx.clients, id);
    if (!now.some(({ cidr, explicit }) => cidr === fixed && explicit)) throw error;
  }
}
