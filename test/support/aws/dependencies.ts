import { type Refusal, refuse } from './answers.ts';
import { type Behaviour, type Exchange, textOf } from './exchange.ts';
import { listing, textsOf } from './xml.ts';

/**
 * What AWS refuses to delete while something stands on it. Asked of moto each time: there is no second record that could differ. What has
 * just been deleted (a load balancer, a NAT gateway, an instance) holds what it stood on for `lingerMs` more.
 */
export function dependencies(lingerMs: () => number): Behaviour {
  const lingering: { account: string; by: string; held: ReadonlySet<string>; until: number }[] = [];
  const leaving = new Map<Exchange, ReadonlySet<string>>();
  return {
    async before(exchange) {
      const { call, now } = exchange;
      const stands = lingerMs() > 0 ? standing[`${call.service}.${call.action}`] : undefined;
      if (stands) leaving.set(exchange, new Set(await stands(exchange)));
      const rule = rules[`${call.service}.${call.action}`];
      const held = rule?.names.map((name) => textOf(call.params, name)).find((text) => text !== undefined);
      if (!rule || held === undefined) return undefined;
      const left = lingering.find((one) => one.account === call.account && one.until > now() && one.held.has(held));
      const why = left?.by ?? (await rule.uses(exchange, held));
      return why === undefined ? undefined : rule.refuse(held, why);
    },
    after(exchange, answer) {
      const held = leaving.get(exchange);
      leaving.delete(exchange);
      const { account, action } = exchange.call;
      if (held && answer.status < 300)
        lingering.push({ account, by: `what ${action} has just asked for`, held, until: exchange.now() + lingerMs() });
      return answer;
    },
  };
}

/** What these calls delete, and on what that stands. */
const standing: Readonly<Record<string, (exchange: Exchange) => Promise<readonly string[]>>> = {
  'elasticloadbalancing.DeleteLoadBalancer': async ({ call, ask }) => {
    const arn = textOf(call.params, 'LoadBalancerArn') ?? '';
    const found = await ask('elasticloadbalancing', 'DescribeLoadBalancers', { 'LoadBalancerArns.member.1': arn });
    return ['SubnetId', 'member', 'VpcId'].flatMap((name) => textsOf(found, name));
  },
  'elb.DeleteLoadBalancer': async ({ call, ask }) => {
    const name = textOf(call.params, 'LoadBalancerName') ?? '';
    const found = await ask('elb', 'DescribeLoadBalancers', { 'LoadBalancerNames.member.1': name });
    return ['member', 'VPCId'].flatMap((held) => textsOf(found, held));
  },
  'ec2.DeleteNatGateway': async ({ call, ask }) => {
    const found = await ask('ec2', 'DescribeNatGateways', { 'NatGatewayId.1': textOf(call.params, 'NatGatewayId') ?? '' });
    return ['subnetId', 'vpcId', 'allocationId'].flatMap((name) => textsOf(found, name));
  },
  'ec2.TerminateInstances': async ({ call, ask }) => {
    const ids = Array.isArray(call.params.InstanceIds) ? call.params.InstanceIds : [];
    const named = Object.fromEntries(ids.map((one, n) => [`InstanceId.${n + 1}`, String(one)]));
    const found = await ask('ec2', 'DescribeInstances', named);
    return ['subnetId', 'groupId', 'networkInterfaceId'].flatMap((name) => textsOf(found, name));
  },
};

interface Rule {
  readonly names: readonly string[];
  /** What uses it; undefined: nothing. */
  uses(exchange: Exchange, id: string): Promise<string | undefined>;
  refuse(id: string, why: string): Refusal;
}
const violation = (id: string, why: string): Refusal =>
  refuse('DependencyViolation', `resource ${id} has a dependent object: ${why}`);

const filter = (name: string, value: string): Record<string, string> => ({ 'Filter.1.Name': name, 'Filter.1.Value.1': value });
const items = (xml: string, list: string): readonly string[] => listing(xml, list)?.items ?? [];
const id = (item: string, name: string): string => textsOf(item, name)[0] ?? '?';

async function interfaces({ ask }: Exchange, by: string, value: string): Promise<string[]> {
  const found = items(await ask('ec2', 'DescribeNetworkInterfaces', filter(by, value)), 'networkInterfaceSet');
  return found.map((item) => `network interface ${id(item, 'networkInterfaceId')}`);
}
async function instances({ ask }: Exchange, by: string, value: string): Promise<string[]> {
  const found = await ask('ec2', 'DescribeInstances', { ...filter(by, value), MaxResults: '100000' });
  return items(found, 'reservationSet')
    .flatMap((reservation) => items(reservation, 'instancesSet'))
    .filter((instance) => !/<instanceState>.*?<name>terminated<\/name>/.test(instance))
    .map((instance) => `instance ${id(instance, 'instanceId')}`);
}
async function natGateways({ ask }: Exchange, by: string, value: string): Promise<string[]> {
  const found = items(await ask('ec2', 'DescribeNatGateways', filter(by, value)), 'natGatewaySet');
  return found
    .filter((item) => !item.includes('<state>deleted</state>'))
    .map((item) => `NAT gateway ${id(item, 'natGatewayId')}`);
}
async function balancers({ ask }: Exchange, held: string): Promise<string[]> {
  const xml = await ask('elasticloadbalancing', 'DescribeLoadBalancers');
  const found = listing(xml, 'LoadBalancers', 'member')?.items ?? [];
  const classic = listing(await ask('elb', 'DescribeLoadBalancers'), 'LoadBalancerDescriptions', 'member')?.items ?? [];
  return [...found, ...classic]
    .filter((item) => item.includes(`>${held}<`))
    .map((item) => `load balancer ${id(item, 'LoadBalancerName')}`);
}
async function referringGroups({ ask }: Exchange, group: string): Promise<string[]> {
  const found = await ask('ec2', 'DescribeSecurityGroups', filter('ip-permission.group-id', group));
  const refer = items(found, 'securityGroupInfo').map((item) => id(item, 'groupId'));
  return refer.filter((other) => other !== group).map((other) => `a rule of security group ${other}`);
}
const first = async (...uses: (() => Promise<readonly string[]>)[]): Promise<string | undefined> => {
  for (const use of uses) {
    const [found] = await use();
    if (found !== undefined) return found;
  }
  return undefined;
};

const rules: Readonly<Record<string, Rule>> = {
  'ec2.DeleteSubnet': {
    names: ['SubnetId'],
    uses: (exchange, subnet) =>
      first(
        () => interfaces(exchange, 'subnet-id', subnet),
        () => instances(exchange, 'subnet-id', subnet),
        () => natGateways(exchange, 'subnet-id', subnet),
        () => balancers(exchange, subnet),
      ),
    refuse: violation,
  },
  'ec2.DeleteSecurityGroup': {
    names: ['GroupId'],
    uses: (exchange, group) =>
      first(
        () => interfaces(exchange, 'group-id', group),
        () => instances(exchange, 'instance.group-id', group),
        () => referringGroups(exchange, group),
        () => balancers(exchange, group),
      ),
    refuse: violation,
  },
  'ec2.DeleteVpc': {
    names: ['VpcId'],
    uses: (exchange, vpc) =>
      first(
        async () => textsOf(await exchange.ask('ec2', 'DescribeSubnets', filter('vpc-id', vpc)), 'subnetId'),
        async () =>
          textsOf(await exchange.ask('ec2', 'DescribeInternetGateways', filter('attachment.vpc-id', vpc)), 'internetGatewayId'),
        async () =>
          items(await exchange.ask('ec2', 'DescribeSecurityGroups', filter('vpc-id', vpc)), 'securityGroupInfo')
            .filter((item) => !item.includes('<groupName>default</groupName>'))
            .map((item) => `security group ${id(item, 'groupId')}`),
        async () =>
          items(await exchange.ask('ec2', 'DescribeRouteTables', filter('vpc-id', vpc)), 'routeTableSet')
            .filter((item) => !item.includes('<main>true</main>'))
            .map((item) => `route table ${id(item, 'routeTableId')}`),
        () => interfaces(exchange, 'vpc-id', vpc),
        async () =>
          items(await exchange.ask('ec2', 'DescribeVpcEndpoints', filter('vpc-id', vpc)), 'vpcEndpointSet')
            .filter((item) => !/<state>deleted<\/state>/i.test(item))
            .map((item) => `endpoint ${id(item, 'vpcEndpointId')}`),
        () => balancers(exchange, vpc),
      ),
    refuse: violation,
  },
  'ec2.DetachInternetGateway': {
    names: ['VpcId'],
    uses: (exchange, vpc) =>
      first(
        async () =>
          items(await exchange.ask('ec2', 'DescribeNetworkInterfaces', filter('vpc-id', vpc)), 'networkInterfaceSet')
            .filter((item) => item.includes('<publicIp>'))
            .map((item) => `network interface ${id(item, 'networkInterfaceId')} has a public address`),
        () => natGateways(exchange, 'vpc-id', vpc),
      ),
    refuse: (vpc, why) => refuse('DependencyViolation', `Network ${vpc} has some mapped public address(es): ${why}`),
  },
  'ec2.DeleteInternetGateway': {
    names: ['InternetGatewayId'],
    uses: async (exchange, gateway) =>
      textsOf(await exchange.ask('ec2', 'DescribeInternetGateways', { 'InternetGatewayId.1': gateway }), 'vpcId')[0],
    refuse: violation,
  },
  'ec2.DeleteRouteTable': {
    names: ['RouteTableId'],
    uses: async (exchange, table) =>
      textsOf(await exchange.ask('ec2', 'DescribeRouteTables', filter('route-table-id', table)), 'subnetId')[0],
    refuse: violation,
  },
  'ec2.ReleaseAddress': {
    names: ['AllocationId'],
    uses: (exchange, allocation) =>
      first(
        async () =>
          textsOf(await exchange.ask('ec2', 'DescribeAddresses', filter('allocation-id', allocation)), 'associationId').filter(
            Boolean,
          ),
        async () => {
          const found = items(await exchange.ask('ec2', 'DescribeNatGateways'), 'natGatewaySet');
          return found.filter((item) => item.includes(allocation) && !item.includes('<state>deleted</state>'));
        },
      ),
    refuse: (allocation, why) => refuse('InvalidIPAddress.InUse', `Address ${allocation} is in use (${why.slice(0, 60)}).`),
  },
  'ec2.DeleteNetworkInterface': {
    names: ['NetworkInterfaceId'],
    uses: async (exchange, one) => {
      const found = await exchange.ask('ec2', 'DescribeNetworkInterfaces', filter('network-interface-id', one));
      return textsOf(found, 'attachmentId')[0];
    },
    refuse: (one) => refuse('InvalidParameterValue', `Network interface '${one}' is currently in use.`),
  },
};
