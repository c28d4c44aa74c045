import {
  type Address as ElasticIp,
  type InternetGateway,
  type NatGateway,
  type NetworkInterface,
  paginateDescribeTags,
  type ResourceType,
  type Route,
  type RouteTable,
  type TagDescription,
  type Vpc,
  type VpcEndpoint,
} from '@aws-sdk/client-ec2';
import type { World } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { type Fact, factsOf } from './facts.ts';
import { instances, networkInterfaces } from './machine-queries.ts';
import { addresses, addressOfNat, endpoints, internetGateways, natGateways, routeTables, vpcs } from './network-queries.ts';
import { clusterTag, resourceTag, type Tag, tagsFrom, tagsOf } from './tags.ts';

/**
 * Kinds of EC2 that are not asked for one by one while other answers tell all of them: that they are there and what they carry (one answer with
 * the tags of all kinds), that they work and at what (route tables, instances), and what never changes in them (facts, which the store keeps).
 * As soon as one of a kind is not told in full (a gateway without a route to it, an address that nobody has), its kind is asked for.
 */

/** Where `observe` and what it calls ask. */
export type Look = Pick<World<AwsClients>, 'clients' | 'read'>;

interface Mark {
  readonly id: string;
  readonly kind: string;
  readonly tags: readonly Tag[];
}
const kinds = [
  'vpc',
  'internet-gateway',
  'natgateway',
  'vpc-endpoint',
  'elastic-ip',
  'network-interface',
  'launch-template',
  'subnet-cidr-reservation',
] as const satisfies readonly ResourceType[];
type Kind = (typeof kinds)[number];

/**
 * What carries this cluster's tag, of those kinds, with its tags. AWS filters tags one by one and knows no "all tags of what has this one", so it
 * is asked for those that can be ours, by key and by value. What has not all that it should have is asked for exactly: a plan says what a tag is now.
 */
export async function marks({ ec2, owner }: AwsClients): Promise<readonly Mark[]> {
  const wanted = tagsOf(owner, 'aws.*/*');
  const values = [...new Set(Object.entries(wanted).map(([key, value]) => (key in owner.extra ? literal(value) : value)))];
  const read = async (...filters: readonly { Name: string; Values: string[] }[]): Promise<ReadonlyMap<string, Mark>> => {
    const found = new Map<string, { id: string; kind: string; tags: Tag[] }>();
    for await (const { Tags = [] } of paginateDescribeTags({ client: ec2, pageSize: 1000 }, { Filters: [...filters] }))
      for (const tag of Tags) add(found, tag);
    return found;
  };
  const all = await read(
    { Name: 'resource-type', Values: [...kinds] },
    { Name: 'key', Values: Object.keys(wanted).map(literal) },
    { Name: 'value', Values: values },
  );
  const own = [...all.values()].filter(({ tags }) => tagsFrom(tags)[clusterTag] === owner.cluster);
  const changed = own.filter(({ tags }) => {
    const carried = tagsFrom(tags);
    const [type, name] = carried[resourceTag]?.split('/') ?? [];
    return type === undefined || name === undefined || isDifferent(carried, tagsOf(owner, `${type}/${name}`));
  });
  if (changed.length === 0) return own;
  const ids = changed.map(({ id }) => id);
  const pages = Array.from({ length: Math.ceil(ids.length / idsAtOnce) }, (_, i) =>
    ids.slice(i * idsAtOnce, (i + 1) * idsAtOnce),
  );
  const exact = new Map(
    (await Promise.all(pages.map((page) => read({ Name: 'resource-id', Values: page })))).flatMap((one) => [...one]),
  );
  return own.map((one) => exact.get(one.id) ?? one);
}
/** Values that a filter takes at most. */
const idsAtOnce = 200;
/** In filters `*` and `?` stand for anything. */
const literal = (text: string): string => text.replace(/[\\*?]/g, '\\$&');
const isDifferent = (carried: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean =>
  Object.entries(wanted).some(([key, value]) => carried[key] !== value);
function add(found: Map<string, { id: string; kind: string; tags: Tag[] }>, tag: TagDescription): void {
  const { ResourceId: id, ResourceType: kind, Key, Value = '' } = tag;
  if (id === undefined || kind === undefined || Key === undefined) return;
  const before = found.get(id) ?? { id, kind, tags: [] };
  before.tags.push({ Key, Value });
  found.set(id, before);
}
const marked = async ({ read }: Look, kind: Kind): Promise<readonly Mark[]> =>
  (await read(marks)).filter((one) => one.kind === kind);

/**
 * All of them or none: what is not told of one is asked for the kind. So it is where something works (`used`) that carries no tag of ours in this
 * answer: it may be ours, and the answer behind the others.
 */
async function toldOr<T>(
  { own, used }: { readonly own: readonly Mark[]; readonly used: readonly (string | undefined)[] },
  tell: (one: Mark) => T | undefined,
  ask: () => Promise<readonly T[]>,
): Promise<readonly T[]> {
  const ids = new Set<string | undefined>(own.map(({ id }) => id));
  if (used.some((id) => id !== undefined && !ids.has(id))) return ask();
  const told: T[] = [];
  for (const one of own) {
    const thing = tell(one);
    if (thing === undefined) return ask();
    told.push(thing);
  }
  return told;
}

/** Routes that work: to what is gone, or attached no more, they are black holes. */
const leadsTo = ({ Routes = [] }: RouteTable, isSo: (route: Route) => boolean): boolean =>
  Routes.some((route) => route.State === 'active' && isSo(route));
const targetsIn = (
  tables: readonly RouteTable[],
  target: (route: Route) => string | undefined,
  prefix: string,
): readonly string[] =>
  tables.flatMap(({ Routes = [] }) => Routes.flatMap((route) => target(route) ?? [])).filter((id) => id.startsWith(prefix));
const isLocal = ({ GatewayId, DestinationCidrBlock }: Route): boolean =>
  GatewayId === 'local' && DestinationCidrBlock !== undefined;

/** Every route table has a way to the ranges of its VPC, which is not given away while there is one table. */
export async function seenVpcs(world: Look): Promise<readonly Vpc[]> {
  if (world.clients.existing.vpc !== undefined) return world.read(vpcs);
  const [own, tables] = await Promise.all([marked(world, 'vpc'), world.read(routeTables)]);
  const tell = ({ id, tags }: Mark): Vpc | undefined => {
    const routes = tables.filter(({ VpcId }) => VpcId === id).flatMap(({ Routes = [] }) => Routes);
    const [range, ...more] = new Set(routes.filter(isLocal).flatMap(({ DestinationCidrBlock }) => DestinationCidrBlock ?? []));
    // Of several, which was the first? Only the VPC tells.
    return range === undefined || more.length > 0 ? undefined : { VpcId: id, CidrBlock: range, Tags: [...tags] };
  };
  return toldOr({ own, used: tables.map(({ VpcId }) => VpcId) }, tell, () => world.read(vpcs));
}

export async function seenInternetGateways(world: Look): Promise<readonly InternetGateway[]> {
  if (world.clients.existing.vpc !== undefined) return world.read(internetGateways);
  const [own, tables] = await Promise.all([marked(world, 'internet-gateway'), world.read(routeTables)]);
  const tell = ({ id, tags }: Mark): InternetGateway | undefined => {
    const table = tables.find((one) => leadsTo(one, ({ GatewayId }) => GatewayId === id));
    return table && { InternetGatewayId: id, Attachments: [{ VpcId: table.VpcId }], Tags: [...tags] };
  };
  return toldOr({ own, used: targetsIn(tables, ({ GatewayId }) => GatewayId, 'igw-') }, tell, () => world.read(internetGateways));
}

export async function seenNatGateways(world: Look): Promise<readonly NatGateway[]> {
  const [own, tables, facts] = await Promise.all([marked(world, 'natgateway'), world.read(routeTables), factsOf(world)]);
  const tell = ({ id, tags }: Mark): NatGateway | undefined => {
    const { subnet, elasticIp } = facts.of(id);
    if (subnet === undefined || elasticIp === undefined) return undefined;
    if (!tables.some((one) => leadsTo(one, ({ NatGatewayId }) => NatGatewayId === id))) return undefined;
    return {
      NatGatewayId: id,
      State: 'available',
      SubnetId: subnet,
      NatGatewayAddresses: [{ AllocationId: elasticIp }],
      Tags: [...tags],
    };
  };
  const ask = async () => {
    const all = await world.read(natGateways);
    for (const one of all) facts.keep(one.NatGatewayId, natFact(one));
    return all;
  };
  return toldOr({ own, used: targetsIn(tables, ({ NatGatewayId }) => NatGatewayId, 'nat-') }, tell, ask);
}
const natFact = (gateway: NatGateway): Fact => ({ subnet: gateway.SubnetId, elasticIp: addressOfNat(gateway) });

export async function seenEndpoints(world: Look): Promise<readonly VpcEndpoint[]> {
  const [own, tables, facts] = await Promise.all([marked(world, 'vpc-endpoint'), world.read(routeTables), factsOf(world)]);
  const tell = ({ id, tags }: Mark): VpcEndpoint | undefined => {
    const through = tables.filter((one) => leadsTo(one, ({ GatewayId }) => GatewayId === id));
    const [first] = through;
    const { service } = facts.of(id);
    if (first === undefined || service === undefined) return undefined;
    const RouteTableIds = through.flatMap(({ RouteTableId }) => RouteTableId ?? []);
    return { VpcEndpointId: id, VpcId: first.VpcId, ServiceName: service, State: 'Available', RouteTableIds, Tags: [...tags] };
  };
  const ask = async () => {
    const all = await world.read(endpoints);
    for (const one of all) facts.keep(one.VpcEndpointId, { service: one.ServiceName });
    return all;
  };
  return toldOr({ own, used: targetsIn(tables, ({ GatewayId }) => GatewayId, 'vpce-') }, tell, ask);
}

/** Interfaces that an instance of the design has. It tells everything of them but their tags. */
export async function seenNetworkInterfaces(world: Look): Promise<readonly NetworkInterface[]> {
  const [own, running] = await Promise.all([marked(world, 'network-interface'), world.read(instances)]);
  const attached = new Map(
    running.flatMap(({ InstanceId, NetworkInterfaces = [] }) =>
      NetworkInterfaces.map((one) => [one.NetworkInterfaceId, { ...one, InstanceId }] as const),
    ),
  );
  const tell = ({ id, tags }: Mark): NetworkInterface | undefined => {
    const there = attached.get(id);
    if (there === undefined) return undefined;
    const { SubnetId, PrivateIpAddress, Groups, SourceDestCheck, Attachment, InstanceId } = there;
    return {
      NetworkInterfaceId: id,
      SubnetId,
      PrivateIpAddress,
      Groups,
      SourceDestCheck,
      Attachment: { ...Attachment, InstanceId },
      TagSet: [...tags],
    };
  };
  return toldOr({ own, used: [...attached.keys()] }, tell, () => world.read(networkInterfaces));
}

/** Addresses that a machine of the design shows as its own, or that a NAT gateway holds, for as long as that works. */
export async function seenAddresses(world: Look): Promise<readonly ElasticIp[]> {
  const [own, running, nats, facts] = await Promise.all([
    marked(world, 'elastic-ip'),
    world.read(instances),
    seenNatGateways(world),
    factsOf(world),
  ]);
  const interfaces = running.flatMap(({ NetworkInterfaces = [] }) => NetworkInterfaces);
  const tell = ({ id, tags }: Mark): ElasticIp | undefined => {
    const { address } = facts.of(id);
    if (address === undefined) return undefined;
    const at = interfaces.find(({ Association }) => Association?.PublicIp === address);
    const held = nats.some((one) => one.State === 'available' && addressOfNat(one) === id);
    if (at === undefined && !held) return undefined;
    return {
      AllocationId: id,
      PublicIp: address,
      NetworkInterfaceId: at?.NetworkInterfaceId,
      AssociationId: 'told',
      Tags: [...tags],
    };
  };
  const ask = async () => {
    const all = await world.read(addresses);
    for (const one of all) facts.keep(one.AllocationId, { address: one.PublicIp });
    return all;
  };
  const numbers = new Set(own.map(({ id }) => facts.of(id).address));
  const strange = interfaces.some(({ Association }) => Association?.PublicIp !== undefined && !numbers.has(Association.PublicIp));
  const used = nats.map(addressOfNat);
  return strange ? ask() : toldOr({ own, used }, tell, ask);
}

/** Tags of the templates themselves, by ID: versions do not tell them. */
export async function templateTags(world: Look): Promise<ReadonlyMap<string, readonly Tag[]>> {
  return new Map((await marked(world, 'launch-template')).map(({ id, tags }) => [id, tags]));
}

/** What is kept from automatic assignment in a subnet; undefined: it has to be asked. */
export async function reservedIn(world: Look, subnet: string): Promise<readonly string[] | undefined> {
  const [own, facts] = await Promise.all([marked(world, 'subnet-cidr-reservation'), factsOf(world)]);
  const ranges = own.flatMap(({ id }) => {
    const fact = facts.of(id);
    return fact.subnet === subnet && fact.cidr !== undefined ? [fact.cidr] : [];
  });
  return ranges.length > 0 ? ranges.sort() : undefined;
}
