import type { Service } from './model.ts';
import type { AwsProxy } from './proxy.ts';
import { listing, textsOf } from './xml.ts';

interface Kind {
  readonly service: Service;
  readonly action: string;
  readonly list: string;
  readonly item?: string;
  readonly params?: Readonly<Record<string, string>>;
  /** What is no thing of anybody's: terminated, of AWS, of the default VPC. */
  readonly skip?: RegExp;
  /** Its own name, where it has one. */
  readonly name?: string;
}
const ec2 = (action: string, list: string, skip?: RegExp, name?: string): Kind => ({
  service: 'ec2',
  action,
  list,
  ...(skip && { skip }),
  ...(name !== undefined && { name }),
});
const kinds: Readonly<Record<string, Kind>> = {
  vpc: ec2('DescribeVpcs', 'vpcSet', /<isDefault>true/, 'cidrBlock'),
  subnet: ec2('DescribeSubnets', 'subnetSet', /<defaultForAz>true/, 'cidrBlock'),
  'internet gateway': ec2('DescribeInternetGateways', 'internetGatewaySet'),
  'route table': ec2('DescribeRouteTables', 'routeTableSet', /<main>true/),
  'security group': ec2('DescribeSecurityGroups', 'securityGroupInfo', /<groupName>default</, 'groupName'),
  'security group rule': ec2('DescribeSecurityGroupRules', 'securityGroupRuleSet'),
  address: ec2('DescribeAddresses', 'addressesSet'),
  'NAT gateway': ec2('DescribeNatGateways', 'natGatewaySet', /<state>deleted/),
  'network interface': ec2('DescribeNetworkInterfaces', 'networkInterfaceSet'),
  volume: ec2('DescribeVolumes', 'volumeSet'),
  instance: ec2('DescribeInstances', 'reservationSet', /<instanceState>.{0,40}<name>terminated/s),
  endpoint: ec2('DescribeVpcEndpoints', 'vpcEndpointSet', /<state>deleted/i),
  'launch template': ec2('DescribeLaunchTemplates', 'launchTemplates', undefined, 'launchTemplateName'),
  balancer: {
    service: 'elasticloadbalancing',
    action: 'DescribeLoadBalancers',
    list: 'LoadBalancers',
    item: 'member',
    name: 'LoadBalancerName',
  },
  'classic balancer': {
    service: 'elb',
    action: 'DescribeLoadBalancers',
    list: 'LoadBalancerDescriptions',
    item: 'member',
    name: 'LoadBalancerName',
  },
  'target group': {
    service: 'elasticloadbalancing',
    action: 'DescribeTargetGroups',
    list: 'TargetGroups',
    item: 'member',
    name: 'TargetGroupName',
  },
  'auto scaling group': {
    service: 'autoscaling',
    action: 'DescribeAutoScalingGroups',
    list: 'AutoScalingGroups',
    item: 'member',
    name: 'AutoScalingGroupName',
  },
  role: { service: 'iam', action: 'ListRoles', list: 'Roles', item: 'member', name: 'RoleName', skip: /aws-service-role/ },
  'instance profile': {
    service: 'iam',
    action: 'ListInstanceProfiles',
    list: 'InstanceProfiles',
    item: 'member',
    name: 'InstanceProfileName',
  },
};

/** Everything in an account, a line a thing: its kind, its name, whose it is by its tag. */
export async function inventory(proxy: AwsProxy, account: string, region: string): Promise<readonly string[]> {
  const lines: string[] = [];
  const own = await proxy.ask(
    account,
    'ec2',
    'DescribeVpcs',
    { 'Filter.1.Name': 'is-default', 'Filter.1.Value.1': 'true' },
    region,
  );
  const [defaultVpc = 'none'] = textsOf(own, 'vpcId');
  for (const [kind, { service, action, list, item, params, skip, name }] of Object.entries(kinds)) {
    const all = action === 'DescribeInstances' || action === 'DescribeLaunchTemplates' ? { MaxResults: '100000' } : {};
    const xml = await proxy.ask(account, service, action, { ...all, ...params }, region);
    const found = listing(xml, list, item ?? 'item');
    if (!found && !xml.includes(`<${list}/>`)) throw new Error(`${action} answered ${xml.slice(0, 400)}`);
    const each =
      kind === 'instance'
        ? (found?.items ?? []).flatMap((item) => listing(item, 'instancesSet')?.items ?? [])
        : (found?.items ?? []);
    for (const one of each) {
      if (skip?.test(one) || one.includes(`<vpcId>${defaultVpc}</vpcId>`)) continue;
      const owner = /<key>slipway\.dev\/resource<\/key><value>([^<]*)/.exec(one)?.[1];
      lines.push([kind, name && textsOf(one, name)[0], owner && `of ${owner}`].filter(Boolean).join(' '));
    }
  }
  const buckets = await proxy.get(account, region, 's3', '/');
  for (const name of textsOf(buckets, 'Name')) {
    lines.push(`bucket ${name.replace(account, 'ACCOUNT')}`);
    const nonces = textsOf(await proxy.get(account, region, 's3', `/${name}?list-type=2&prefix=nonces/`), 'Key');
    lines.push(...nonces.map((key) => `open intent ${key}`));
  }
  const zones = await proxy.get(account, region, 'route53', '/2013-04-01/hostedzone');
  for (const one of listing(zones, 'HostedZones', 'HostedZone')?.items ?? []) {
    const [id = ''] = textsOf(one, 'Id');
    const records = await proxy.get(account, region, 'route53', `/2013-04-01/hostedzone/${id.split('/').pop()}/rrset`);
    const sets = listing(records, 'ResourceRecordSets', 'ResourceRecordSet')?.items ?? [];
    lines.push(
      `zone ${textsOf(one, 'Name')[0]}`,
      ...sets.map((set) => `record ${textsOf(set, 'Type')[0]} ${textsOf(set, 'Name')[0]}`),
    );
  }
  return lines.sort();
}
