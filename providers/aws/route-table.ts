import {
  AssociateRouteTableCommand,
  CreateRouteCommand,
  CreateRouteTableCommand,
  DeleteRouteCommand,
  DeleteRouteTableCommand,
  DescribeRouteTablesCommand,
  DisassociateRouteTableCommand,
  ModifyVpcEndpointCommand,
  ReplaceRouteCommand,
  ReplaceRouteTableAssociationCommand,
  type Route,
  type RouteTable,
} from '@aws-sdk/client-ec2';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, Observation, Ref, Resolved, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { made, ownOf, setTags, tagged, visible, whileHeld } from './ec2.ts';
import { codeOf, isNotFound, unlessNotFound } from './errors.ts';
import { createWithToken } from './idempotency.ts';
import { routeTables } from './network-queries.ts';
import { type Tags, withTags } from './tags.ts';

export interface RouteTableProps {
  readonly vpc: Ref<string>;
  /** The gateway (internet or NAT) to everything that is not in the VPC; null: no way out. */
  readonly internet: Ref<string> | null;
  readonly subnets: readonly Ref<string>[];
  readonly tags: Tags;
}
export interface RouteTableOutputs {
  readonly id: string;
}

/**
 * Where subnets send what is not for the VPC. Only what cluster.yaml designs is compared: routes to peered networks and subnets of others
 * that somebody added stay.
 */
export const routeTable: ResourceType<RouteTableProps, RouteTableOutputs, AwsClients> = {
  name: 'aws.route-table',
  dependsOn: ['aws.subnet', 'aws.nat-gateway', 'aws.internet-gateway'],
  timeoutMs: 300_000,
  async observe(world) {
    const { cluster } = world.clients.owner;
    const own = ownOf(await world.read(routeTables), {
      cluster,
      type: routeTable.name,
      idOf,
      used: (table) => subnetsOf(table).length > 0,
    });
    return new Map(
      own.map(({ thing, tags, address }): [Address, Observation<RouteTableProps, RouteTableOutputs>] => [
        address,
        { state: 'present', props: { ...propsOf(thing), tags }, outputs: { id: idOf(thing) } },
      ]),
    );
  },
  diff: withTags(diffTable),
  async create(props, ctx) {
    const { ec2 } = ctx.clients;
    const id = await createWithToken(
      ctx,
      { vpc: props.vpc, tags: props.tags },
      (ClientToken) =>
        visible(ctx, async () => {
          const TagSpecifications = tagged('route-table', props.tags);
          const command = new CreateRouteTableCommand({ VpcId: props.vpc, ClientToken, TagSpecifications });
          return made((await ec2.send(command)).RouteTable?.RouteTableId);
        }),
      async (id, open) => open && (await visible(ctx, () => existing(id, ctx)).catch(unlessNotFound)) === undefined,
    );
    await route(id, null, props.internet, ctx);
    await associate(id, props.subnets, ctx);
    return { id };
  },
  async update(props, outputs, ctx) {
    await converge(outputs.id, props, ctx);
    await setTags(ctx, outputs.id, props.tags);
    return outputs;
  },
  async delete({ id }, ctx) {
    const { ec2 } = ctx.clients;
    const there = await describe(id, ctx);
    for (const { RouteTableAssociationId: association, Main } of there?.Associations ?? [])
      if (!Main) await ec2.send(new DisassociateRouteTableCommand({ AssociationId: association })).catch(unlessNotFound);
    for (const { GatewayId: endpoint } of there?.Routes ?? [])
      if (endpoint?.startsWith('vpce-'))
        await ec2
          .send(new ModifyVpcEndpointCommand({ VpcEndpointId: endpoint, RemoveRouteTableIds: [id] }))
          .catch(unlessNotFound);
    await whileHeld(
      ctx,
      async () => [],
      () => ec2.send(new DeleteRouteTableCommand({ RouteTableId: id })),
    );
  },
};

function diffTable(desired: Resolved<RouteTableProps>, observed: Resolved<RouteTableProps>) {
  const subnets = observed.subnets.filter((subnet) => desired.subnets.includes(subnet));
  // Without a design of ours, a way out that is not one of ours is somebody's own (a transit gateway).
  const internet = desired.internet === null && !/^(nat|igw)-|blackhole/.test(observed.internet ?? '') ? null : observed.internet;
  return fields<RouteTableProps>({ vpc: 'replace', internet: 'none', subnets: 'none', tags: 'ignore' })(
    { ...desired, subnets: desired.subnets.toSorted() },
    { ...observed, internet, subnets },
  );
}

const everywhere = '0.0.0.0/0';
const idOf = ({ RouteTableId = '' }: RouteTable): string => RouteTableId;
const subnetsOf = ({ Associations = [] }: RouteTable): readonly string[] =>
  Associations.flatMap(({ SubnetId }) => SubnetId ?? []).sort();
const targetOf = (route: Route): string =>
  route.NatGatewayId ??
  route.GatewayId ??
  route.TransitGatewayId ??
  route.NetworkInterfaceId ??
  route.VpcPeeringConnectionId ??
  route.InstanceId ??
  'something else';
const propsOf = (table: RouteTable) => {
  const route = table.Routes?.find(({ DestinationCidrBlock }) => DestinationCidrBlock === everywhere);
  return {
    vpc: table.VpcId ?? '',
    internet: route ? `${targetOf(route)}${route.State === 'blackhole' ? ' (blackhole: it is gone)' : ''}` : null,
    subnets: subnetsOf(table),
  };
};

async function converge(id: string, props: Omit<Resolved<RouteTableProps>, 'tags'>, ctx: Context<AwsClients>): Promise<void> {
  const there = await visible(ctx, async () => propsOf(await existing(id, ctx)));
  if (there.vpc !== props.vpc && !ctx.hold.includes('vpc'))
    throw new UserError({
      what: `the route table is in ${there.vpc}, and the cluster in ${props.vpc}`,
      where: `${ctx.address} (${id})`,
      next: `delete ${id}, if nobody needs it, and run the same command again`,
    });
  const differing = new Set(diffTable({ ...props, tags: {} }, { ...there, tags: {} }).map(({ path }) => path));
  if (differing.has('internet')) await route(id, there.internet, props.internet, ctx);
  const missing = props.subnets.filter((one) => !there.subnets.includes(one));
  if (missing.length > 0) await associate(id, missing, ctx);
}

async function route(id: string, before: string | null, after: string | null, ctx: Context<AwsClients>): Promise<void> {
  const { ec2 } = ctx.clients;
  const place = { RouteTableId: id, DestinationCidrBlock: everywhere };
  if (after === null) {
    if (before !== null) await ec2.send(new DeleteRouteCommand(place)).catch(unlessNotFound);
    return;
  }
  const to = { ...place, ...(after.startsWith('nat-') ? { NatGatewayId: after } : { GatewayId: after }) };
  if (before !== null) await visible(ctx, () => ec2.send(new ReplaceRouteCommand(to)));
  else
    await visible(ctx, () => ec2.send(new CreateRouteCommand(to))).catch((error) => {
      // A lost answer, and the SDK has asked again; had somebody else made it, the next plan shows it.
      if (codeOf(error) !== 'RouteAlreadyExists') throw error;
    });
}

/** A subnet has one table: another that it has been given is taken from it in one call, so that it is never without. */
async function associate(id: string, subnets: readonly string[], ctx: Context<AwsClients>): Promise<void> {
  const { ec2 } = ctx.clients;
  const Filters = [{ Name: 'association.subnet-id', Values: [...subnets] }];
  const { RouteTables = [] } = await ec2.send(new DescribeRouteTablesCommand({ Filters }));
  const elsewhere = new Map(RouteTables.flatMap(({ Associations = [] }) => Associations).map((one) => [one.SubnetId, one]));
  for (const subnet of subnets) {
    const there = elsewhere.get(subnet);
    if (there?.RouteTableId === id) continue;
    const AssociationId = there?.RouteTableAssociationId;
    if (AssociationId !== undefined) await ec2.send(new ReplaceRouteTableAssociationCommand({ AssociationId, RouteTableId: id }));
    else
      await visible(ctx, () => ec2.send(new AssociateRouteTableCommand({ RouteTableId: id, SubnetId: subnet }))).catch(
        (error) => {
          // A lost answer, and the SDK has asked again; had somebody else done it, the next plan shows it.
          if (codeOf(error) !== 'Resource.AlreadyAssociated') throw error;
        },
      );
  }
}

async function existing(id: string, ctx: Context<AwsClients>): Promise<RouteTable> {
  const { RouteTables: [found] = [] } = await ctx.clients.ec2.send(new DescribeRouteTablesCommand({ RouteTableIds: [id] }));
  return found ?? {};
}
const describe = (id: string, ctx: Context<AwsClients>): Promise<RouteTable | undefined> =>
  existing(id, ctx).catch((error) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
