import { clusterTag } from '../tags.ts';
import { type PolicyDocument, type PolicyScope, partitionOf, policy } from './document.ts';
import { arn, ifOwned, type NamedStatement } from './statement.ts';

/** EC2's creates: what each makes, which carries our tag in the call, and what it is made upon. Source: Service Authorization Reference, Amazon EC2. */
const creates: Readonly<Record<string, readonly [makes: readonly string[], upon: readonly string[]]>> = {
  AllocateAddress: [['elastic-ip'], []],
  CreateInternetGateway: [['internet-gateway'], []],
  CreateLaunchTemplate: [['launch-template'], []],
  CreateNatGateway: [['natgateway'], ['elastic-ip', 'subnet']],
  CreateNetworkInterface: [['network-interface'], ['security-group', 'subnet']],
  CreateRouteTable: [['route-table'], ['vpc']],
  CreateSecurityGroup: [['security-group'], ['vpc']],
  CreateSubnet: [['subnet'], ['vpc']],
  CreateSubnetCidrReservation: [['subnet-cidr-reservation'], ['subnet']],
  CreateVolume: [['volume'], []],
  CreateVpc: [['vpc'], []],
  CreateVpcEndpoint: [['vpc-endpoint'], ['route-table', 'vpc']],
  RunInstances: [
    ['instance', 'volume'],
    ['image', 'launch-template', 'network-interface', 'security-group', 'snapshot', 'subnet'],
  ],
};
/** What a cloud controller or a volume driver made, `down` deletes: it carries Kubernetes' tag, and not ours. */
const leftovers = [
  'ec2:DeleteNetworkInterface',
  'ec2:DeleteSecurityGroup',
  'ec2:DeleteVolume',
  'ec2:RevokeSecurityGroupEgress',
  'ec2:RevokeSecurityGroupIngress',
  'elasticloadbalancing:DeleteLoadBalancer',
  'elasticloadbalancing:DeleteTargetGroup',
];
/** Roles that AWS makes in an account for its own services, with the first group, balancer or spot machine. */
const linkedServices = ['autoscaling', 'elasticloadbalancing', 'spot'];

interface Rule extends Omit<NamedStatement, 'Action'> {
  readonly takes: (action: string) => boolean;
}

/**
 * The least that whoever runs `cluster` needs, from the list of what the code calls: things are made with the cluster's tag and changed with it,
 * where AWS can tell; roles lie below the cluster's own path. Throws for an action that no rule takes: what it needs must be thought about.
 */
export function operatorPolicy(
  actions: readonly string[],
  scope: PolicyScope,
): PolicyDocument & { readonly Statement: readonly NamedStatement[] } {
  const rules = rulesFor(scope);
  const lost = actions.filter((action) => !rules.some(({ takes }) => takes(action)));
  if (lost.length > 0)
    throw new Error(`no statement of the policy takes ${lost.join(', ')}: add it to providers/aws/policies/operator.ts`);
  const statements = rules.flatMap(({ takes, ...statement }): NamedStatement[] => {
    const Action = actions.filter(takes);
    return Action.length === 0 ? [] : [{ ...statement, Action }];
  });
  return { ...policy([]), Statement: [...statements, ...kms(scope)] };
}

function rulesFor(scope: PolicyScope): readonly Rule[] {
  const { cluster, account, region, bucket } = scope;
  const aws = `arn:${partitionOf(region)}`;
  const ec2 = (types: readonly string[]): string[] =>
    types.map((type) =>
      type === 'image' || type === 'snapshot' ? `${aws}:ec2:${region}::${type}/*` : arn(scope, 'ec2', `${type}/*`),
    );
  const named = (...names: string[]) => ({ takes: (action: string) => names.includes(action) });
  const requested = { StringEquals: { [`aws:RequestTag/${clusterTag}`]: cluster } };
  const owned = { StringEquals: { [`aws:ResourceTag/${clusterTag}`]: cluster } };
  const called = Object.keys(creates).map((name) => `ec2:${name}`);
  const others = called.filter((action) => action !== 'ec2:RunInstances');
  const upon =
    (type: string): Rule['takes'] =>
    (action) =>
      creates[action.slice(4)]?.[1].includes(type) === true && action !== 'ec2:RunInstances';
  const networkParts = ['elastic-ip', 'route-table', 'security-group', 'subnet'];
  const inIam = ['instance-profile', 'role'].map((type) => `${aws}:iam::${account}:${type}/slipway/${cluster}/*`);
  const asGroups = arn(scope, 'autoscaling', `autoScalingGroup:*:autoScalingGroupName/${cluster}-*`);
  return [
    {
      Sid: 'Look',
      Effect: 'Allow',
      Resource: '*',
      takes: (action) =>
        /^(autoscaling|ec2|elasticloadbalancing|iam|pricing|route53|servicequotas):(Describe|Get|List|Simulate)/.test(action),
    },
    {
      Sid: 'MakeTagged',
      Effect: 'Allow',
      Resource: ec2([...new Set(others.flatMap((action) => creates[action.slice(4)]?.[0] ?? []))]),
      Condition: requested,
      takes: (action) => others.includes(action),
    },
    { Sid: 'MakeInVpc', Effect: 'Allow', Resource: ec2(['vpc']), takes: upon('vpc') },
    {
      Sid: 'MakeInNetwork',
      Effect: 'Allow',
      Resource: ec2(networkParts),
      takes: (action) => networkParts.some((type) => upon(type)(action)),
    },
    {
      Sid: 'LaunchTagged',
      Effect: 'Allow',
      Resource: ec2(creates.RunInstances?.[0] ?? []),
      Condition: requested,
      ...named('ec2:RunInstances'),
    },
    { Sid: 'LaunchFrom', Effect: 'Allow', Resource: ec2(creates.RunInstances?.[1] ?? []), ...named('ec2:RunInstances') },
    {
      Sid: 'TagWhatIsMade',
      Effect: 'Allow',
      Resource: arn(scope, 'ec2', '*/*'),
      Condition: { StringEquals: { 'ec2:CreateAction': called.map((action) => action.slice(4)) } },
      ...named('ec2:CreateTags'),
    },
    {
      Sid: 'KeepOwn',
      Effect: 'Allow',
      Resource: '*',
      Condition: owned,
      takes: (action) =>
        (action.startsWith('ec2:') &&
          !called.includes(action) &&
          !/^ec2:(Describe|Get|DeleteSubnetCidrReservation)/.test(action)) ||
        /^elasticloadbalancing:(Add|Delete|Deregister|Modify|Register|Remove|Set)/.test(action),
    },
    // Knows no resource.
    { Sid: 'KeepReservations', Effect: 'Allow', Resource: '*', ...named('ec2:DeleteSubnetCidrReservation') },
    {
      Sid: 'DeleteLeftovers',
      Effect: 'Allow',
      Resource: '*',
      Condition: ifOwned(scope),
      takes: (action) => leftovers.includes(action),
    },
    {
      Sid: 'MakeBalancers',
      Effect: 'Allow',
      Resource: '*',
      Condition: requested,
      takes: (action) => action === 'elasticloadbalancing:AddTags' || action.startsWith('elasticloadbalancing:Create'),
    },
    {
      Sid: 'Groups',
      Effect: 'Allow',
      Resource: asGroups,
      takes: (action) => action.startsWith('autoscaling:') && !action.startsWith('autoscaling:Describe'),
    },
    {
      Sid: 'Roles',
      Effect: 'Allow',
      Resource: inIam,
      takes: (action) =>
        /^iam:/.test(action) &&
        !/^iam:(Get|List|Simulate)/.test(action) &&
        !['iam:PassRole', 'iam:CreateServiceLinkedRole'].includes(action),
    },
    {
      Sid: 'GiveRolesToMachines',
      Effect: 'Allow',
      Resource: `${aws}:iam::${account}:role/slipway/${cluster}/*`,
      Condition: { StringLike: { 'iam:PassedToService': 'ec2.amazonaws.com*' } },
      ...named('iam:PassRole'),
    },
    {
      Sid: 'FirstOfAnAccount',
      Effect: 'Allow',
      Resource: `${aws}:iam::${account}:role/aws-service-role/*`,
      Condition: { StringEquals: { 'iam:AWSServiceName': linkedServices.map((name) => `${name}.amazonaws.com`) } },
      ...named('iam:CreateServiceLinkedRole'),
    },
    {
      Sid: 'PrivateZone',
      Effect: 'Allow',
      Resource: '*',
      takes: (action) => ['route53:AssociateVPCWithHostedZone', 'route53:CreateHostedZone'].includes(action),
    },
    {
      Sid: 'DeletePrivateZone',
      Effect: 'Allow',
      Resource: `${aws}:route53:::hostedzone/*`,
      ...named('route53:DeleteHostedZone'),
    },
    {
      Sid: 'Records',
      Effect: 'Allow',
      Resource: `${aws}:route53:::hostedzone/*`,
      Condition: {
        'ForAllValues:StringLike': { 'route53:ChangeResourceRecordSetsNormalizedRecordNames': [`*.${cluster}.internal`] },
      },
      ...named('route53:ChangeResourceRecordSets'),
    },
    {
      Sid: 'Store',
      Effect: 'Allow',
      Resource: [`${aws}:s3:::${bucket}`, `${aws}:s3:::${bucket}/*`],
      takes: (action) => action.startsWith('s3:'),
    },
  ];
}

/** Volumes and the store under a key of your own: EC2 uses it by a grant. */
function kms(scope: PolicyScope): readonly NamedStatement[] {
  const key = scope.kmsKey;
  if (key === undefined) return [];
  const alias = /(?:^|:)(alias\/.+)$/.exec(key)?.[1];
  const Resource =
    key.startsWith('arn:') && alias === undefined ? key : arn(scope, 'kms', `key/${alias === undefined ? key : '*'}`);
  const byAlias = alias === undefined ? {} : { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': alias } };
  return [
    {
      Sid: 'Key',
      Effect: 'Allow',
      Action: [
        'kms:Decrypt',
        'kms:DescribeKey',
        'kms:GenerateDataKey',
        'kms:GenerateDataKeyWithoutPlaintext',
        'kms:ReEncryptFrom',
        'kms:ReEncryptTo',
      ],
      Resource,
      ...(alias !== undefined && { Condition: byAlias }),
    },
    {
      Sid: 'KeyForVolumes',
      Effect: 'Allow',
      Action: ['kms:CreateGrant'],
      Resource,
      Condition: { ...byAlias, Bool: { 'kms:GrantIsForAWSResource': 'true' } },
    },
  ];
}
