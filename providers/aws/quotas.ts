/** A quota as Service Quotas knows it, the same in all regions. */
interface Quota {
  readonly service: string;
  readonly code: string;
  readonly name: string;
}

/** Which quota AWS means by an error. Where a service has one word for all, the type of resource that met it says which. */
const quotas: readonly (Quota & { readonly error: RegExp; readonly of?: RegExp })[] = [
  { error: /^VpcLimitExceeded/, service: 'vpc', code: 'L-F678F1CE', name: 'VPCs per Region' },
  { error: /^SubnetLimitExceeded/, service: 'vpc', code: 'L-407747CB', name: 'Subnets per VPC' },
  { error: /^InternetGatewayLimitExceeded/, service: 'vpc', code: 'L-A4707A72', name: 'Internet gateways per Region' },
  { error: /^NatGatewayLimitExceeded/, service: 'vpc', code: 'L-FE5A380F', name: 'NAT gateways per Availability Zone' },
  { error: /^RouteTableLimitExceeded/, service: 'vpc', code: 'L-589F43AA', name: 'Route tables per VPC' },
  { error: /^RouteLimitExceeded/, service: 'vpc', code: 'L-93826ACB', name: 'Routes per route table' },
  { error: /^SecurityGroupLimitExceeded/, service: 'vpc', code: 'L-E79EC296', name: 'VPC security groups per Region' },
  {
    error: /^RulesPerSecurityGroupLimitExceeded/,
    service: 'vpc',
    code: 'L-0EA8095F',
    name: 'Inbound or outbound rules per security group',
  },
  { error: /^VpcEndpointLimitExceeded/, service: 'vpc', code: 'L-1B52E74A', name: 'Gateway VPC endpoints per Region' },
  { error: /^(NetworkInterfaceLimitExceeded)/, service: 'vpc', code: 'L-DF5E4CA3', name: 'Network interfaces per Region' },
  { error: /^AddressLimitExceeded/, service: 'ec2', code: 'L-0263D0A3', name: 'EC2-VPC Elastic IPs' },
  {
    error: /^(Vcpu|Instance)LimitExceeded/,
    service: 'ec2',
    code: 'L-1216C47A',
    name: 'Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances',
  },
  {
    error: /^MaxSpotInstanceCountExceeded/,
    service: 'ec2',
    code: 'L-34B43A08',
    name: 'All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests',
  },
  {
    error: /^(VolumeLimitExceeded|MaxStorage)/,
    service: 'ebs',
    code: 'L-7A658B76',
    name: 'Storage for General Purpose SSD (gp3) volumes',
  },
  {
    error: /^TooManyLoadBalancers/,
    service: 'elasticloadbalancing',
    code: 'L-69A177A2',
    name: 'Network Load Balancers per Region',
  },
  { error: /^TooManyTargetGroups/, service: 'elasticloadbalancing', code: 'L-B22855CB', name: 'Target Groups per Region' },
  { error: /^TooManyHostedZones/, service: 'route53', code: 'L-4EA4796A', name: 'Hosted zones' },
  { error: /^LimitExceeded/, of: /^aws\.role\b/, service: 'iam', code: 'L-FE177D64', name: 'Roles per account' },
  {
    error: /^LimitExceeded/,
    of: /^aws\.pool\b/,
    service: 'autoscaling',
    code: 'L-CDE20ADC',
    name: 'Auto Scaling groups per region',
  },
];

/** The quota that an error of AWS is about, by the error's code and the address that met it. Undefined: it is about none, or none that is known here. */
export const quotaOf = (error: string, where: string): Quota | undefined =>
  quotas.find((quota) => quota.error.test(error) && (quota.of?.test(where) ?? true));

/** The request that raises it; AWS's own words say how much there is, and preflight how much it takes. */
export const requestFor = ({ service, code }: Quota): string =>
  `aws service-quotas request-service-quota-increase --service-code ${service} --quota-code ${code} --desired-value ...`;
