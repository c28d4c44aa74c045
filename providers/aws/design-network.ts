import { firewall, type Opening, parties } from '../../src/cluster/firewall.ts';
import type { Topology } from '../../src/cluster/topology.ts';
import { type Address, addressOf, type Ref, type Resource, ref } from '../../src/plan/resource.ts';
import type { ElasticIpProps } from './elastic-ip.ts';
import type { EndpointProps } from './endpoint.ts';
import { existingOf } from './existing.ts';
import type { FirewallProps, Rules } from './firewall.ts';
import type { InternetGatewayProps } from './internet-gateway.ts';
import type { NatGatewayProps } from './nat-gateway.ts';
import { kubernetesTag } from './network-queries.ts';
import type { RouteTableProps } from './route-table.ts';
import type { SecurityGroupProps } from './security-group.ts';
import type { SubnetProps } from './subnet.ts';
import { type Owner, tagsOf } from './tags.ts';
import type { VpcProps } from './vpc.ts';

const vpcId = ref('aws.vpc/main', 'id');
type Side = 'public' | 'private';

/** The network of a cluster: its VPC or a named one, two subnets a zone, the ways in and out, and who may talk with whom. Pure. */
export function designNetwork(topology: Topology, owner: Owner): readonly Resource[] {
  const { cluster, zones } = topology;
  const existing = existingOf(cluster);
  const ownIn = (side: Side) => zones.filter((zone) => existing.subnets[subnetAddress(side, zone)] === undefined);
  const [ownPublic, ownPrivate] = [ownIn('public'), ownIn('private')];
  const vpc: Resource<VpcProps> = {
    address: 'aws.vpc/main',
    type: 'aws.vpc',
    props: {
      cidr: cluster.network.machines,
      existing: existing.vpc ?? null,
      dnsSupport: true,
      dnsHostnames: true,
      tags: existing.vpc === undefined ? tagsOf(owner, 'aws.vpc/main') : {},
    },
    after: [],
  };
  // AWS gives no network interface a public address before its VPC has an internet gateway.
  const gateway: readonly Address[] = ownPublic.length > 0 ? ['aws.internet-gateway/main'] : [];
  const bastion = { ...elasticIp('bastion', ref('aws.network-interface/bastion', 'id'), owner), after: gateway };
  return [
    vpc,
    ...zones.flatMap((zone) => (['public', 'private'] as const).map((side) => subnet(topology, side, zone, owner))),
    ...(ownPublic.length > 0 ? [internetGateway(existing.vpc !== undefined, owner), publicTable(ownPublic, owner)] : []),
    bastion,
    ...(ownPrivate.length > 0 ? privateWays(topology, ownPrivate, owner) : []),
    ...groups(topology, owner),
  ];
}

/** Whether any public subnet is ours to make: then there is a gateway of the design. */
export const makesGateway = ({ cluster, zones }: Topology): boolean =>
  zones.some((zone) => existingOf(cluster).subnets[subnetAddress('public', zone)] === undefined);

const subnetAddress = (side: Side, zone: string): Address => addressOf('aws.subnet', `${side}-${zone}`);
const subnetIds = (side: Side, zones: readonly string[]): readonly Ref<string>[] =>
  zones.map((zone) => ref(subnetAddress(side, zone), 'id'));

function subnet({ cluster, ranges }: Topology, side: Side, zone: string, owner: Owner): Resource<SubnetProps> {
  const address = subnetAddress(side, zone);
  const named = existingOf(cluster).subnets[address];
  const place = { vpc: vpcId, zone, publicAddresses: false };
  const own = {
    ...place,
    cidr: ranges[zone]?.[side] ?? null,
    fixed: side === 'private' ? (ranges[zone]?.fixed ?? null) : null,
    existing: null,
    tags: {
      ...tagsOf(owner, address),
      ...kubernetesTag(cluster.name),
      // Where the cloud controller puts load balancers of Services.
      [side === 'public' ? 'kubernetes.io/role/elb' : 'kubernetes.io/role/internal-elb']: '1',
    },
  };
  return {
    address,
    type: 'aws.subnet',
    props: named === undefined ? own : { ...place, cidr: null, fixed: null, existing: named, tags: {} },
    after: [],
  };
}

function internetGateway(existing: boolean, owner: Owner): Resource<InternetGatewayProps> {
  const address = 'aws.internet-gateway/main';
  return {
    address,
    type: 'aws.internet-gateway',
    props: { vpc: vpcId, existing, tags: existing ? {} : tagsOf(owner, address) },
    after: [],
  };
}

function elasticIp(name: string, networkInterface: Ref<string> | null, owner: Owner): Resource<ElasticIpProps> {
  const address = addressOf('aws.elastic-ip', name);
  return { address, type: 'aws.elastic-ip', props: { networkInterface, tags: tagsOf(owner, address) }, after: [] };
}

const publicTable = (zones: readonly string[], owner: Owner) =>
  routeTable('public', ref('aws.internet-gateway/main', 'id'), subnetIds('public', zones), owner);

function routeTable(
  name: string,
  internet: Ref<string> | null,
  subnets: readonly Ref<string>[],
  owner: Owner,
): Resource<RouteTableProps> {
  const address = addressOf('aws.route-table', name);
  return { address, type: 'aws.route-table', props: { vpc: vpcId, internet, subnets, tags: tagsOf(owner, address) }, after: [] };
}

/** NAT gateways where cluster.yaml wants them, a route table for each private subnet that we make, and the way to S3. */
function privateWays(topology: Topology, zones: readonly string[], owner: Owner): readonly Resource[] {
  const natZones = natZonesOf(topology, zones);
  const nats = natZones.flatMap((zone): readonly Resource[] => {
    const address = addressOf('aws.nat-gateway', zone);
    const props: NatGatewayProps = {
      subnet: ref(subnetAddress('public', zone), 'id'),
      elasticIp: ref(addressOf('aws.elastic-ip', `nat-${zone}`), 'id'),
      available: true,
      tags: tagsOf(owner, address),
    };
    // AWS makes none in a subnet that has no way to the Internet yet.
    const after: readonly Address[] =
      existingOf(topology.cluster).subnets[subnetAddress('public', zone)] === undefined ? ['aws.route-table/public'] : [];
    return [elasticIp(`nat-${zone}`, null, owner), { address, type: 'aws.nat-gateway', props, after }];
  });
  const tables = zones.map((zone) => {
    const nat = natZones.includes(zone) ? zone : natZones[0];
    return routeTable(
      `private-${zone}`,
      nat === undefined ? null : ref(addressOf('aws.nat-gateway', nat), 'id'),
      subnetIds('private', [zone]),
      owner,
    );
  });
  const s3: Resource<EndpointProps> = {
    address: 'aws.endpoint/s3',
    type: 'aws.endpoint',
    props: {
      vpc: vpcId,
      service: `com.amazonaws.${topology.region}.s3`,
      routeTables: tables.map(({ address }) => ref(address, 'id')),
      tags: tagsOf(owner, 'aws.endpoint/s3'),
    },
    after: [],
  };
  return [...nats, ...tables, s3];
}

function natZonesOf({ cluster, zones, ranges }: Topology, needed: readonly string[]): readonly string[] {
  switch (cluster.provider.aws?.nat ?? 'zone') {
    case 'none':
      return [];
    case 'zone':
      return needed;
    case 'single': {
      // The zone with the lowest slot, whatever their order in the file: a zone that is added moves nothing.
      const slotOf = (zone: string): number =>
        (ranges[zone]?.private ?? '')
          .split(/[./]/)
          .slice(0, 4)
          .reduce((sum, part) => sum * 256 + Number(part), 0);
      return zones.toSorted((a, b) => slotOf(a) - slotOf(b)).slice(0, 1);
    }
  }
}

/** A security group a party, and its rules, from the table that all providers share. */
function groups(topology: Topology, owner: Owner): readonly Resource[] {
  const openings = firewall(topology);
  return parties.flatMap((party): readonly Resource[] => {
    const address = addressOf('aws.security-group', party);
    const group: SecurityGroupProps = {
      vpc: vpcId,
      name: `${topology.cluster.name}-${party}`,
      tags: { ...tagsOf(owner, address), ...kubernetesTag(topology.cluster.name) },
    };
    const own = openings.filter(({ to }) => to === party);
    const named = parties.filter((other) => other === party || own.some(({ from }) => from === other));
    const rules: FirewallProps = {
      groups: Object.fromEntries(named.map((other) => [other, ref(addressOf('aws.security-group', other), 'id')])),
      ingress: Object.fromEntries(own.map((opening) => [ruleText(opening), opening.why])),
      egress: everything,
    };
    return [
      { address, type: 'aws.security-group', props: group, after: [] },
      { address: addressOf('aws.firewall', party), type: 'aws.firewall', props: rules, after: [] },
    ];
  });
}

const everything: Rules = { 'all to 0.0.0.0/0': '' };
function ruleText({ protocol, ports, from }: Opening): string {
  const span = ports === undefined ? '' : ` ${ports[0] === ports[1] ? ports[0] : ports.join('-')}`;
  return `${protocol}${span} from ${typeof from === 'string' ? from : from.cidr}`;
}
