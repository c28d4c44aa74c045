import type { Service } from './model.ts';
import type { Params, Value } from './wire.ts';

/**
 * What AWS refuses and its models do not say, from AWS's API references and guides. One function an idea; each yields what it finds, as
 * [where, why].
 */
type Broken = [at: string, why: string];

export function constraintsOf(service: Service, action: string, params: Params): Broken[] {
  const rules = [...everywhere, ...(byService[service] ?? []), ...(byAction[`${service}.${action}`] ?? [])];
  return rules.flatMap((rule) => [...rule(params, action)]);
}
type Rule = (params: Params, action: string) => Iterable<Broken>;

// --- Reading params ---------------------------------------------------------------------------------------------------------------------
const isList = (value: Value | undefined): value is readonly Value[] => Array.isArray(value);
const isRecord = (value: Value | undefined): value is Params => typeof value === 'object' && value !== null && !isList(value);
const list = (value: Value | undefined): readonly Value[] => (isList(value) ? value : []);
const record = (value: Value | undefined): Params => (isRecord(value) ? value : {});
const records = (value: Value | undefined): Params[] => list(value).filter(isRecord);
const string = (value: Value | undefined): string | undefined => (typeof value === 'string' ? value : undefined);

/** Every structure and list of a request, with where it stands. */
function* walk(value: Value, at = ''): Iterable<[at: string, name: string, value: Value]> {
  const entries: [string, Value][] = isList(value)
    ? value.map((entry, n) => [String(n), entry])
    : isRecord(value)
      ? Object.entries(value)
      : [];
  for (const [name, inner] of entries) {
    const here = at === '' ? name : `${at}.${name}`;
    yield [here, name, inner];
    yield* walk(inner, here);
  }
}
const member = (name: string, check: (value: Value) => string | undefined): Rule =>
  function* (params) {
    const value = params[name];
    const why = value === undefined ? undefined : check(value);
    if (why !== undefined) yield [name, why];
  };
const pattern =
  (allowed: RegExp, what: string) =>
  (value: Value): string | undefined =>
    typeof value === 'string' && allowed.test(value) ? undefined : `${JSON.stringify(value)}: ${what}`;

// --- Tags -------------------------------------------------------------------------------------------------------------------------------
/** 50 tags a thing, keys of 128 and values of 256 characters, nothing that begins with `aws:`, each key once. */
const tags: Rule = function* (params) {
  for (const [at, name, value] of walk(params)) {
    if (!/^Tags$|^TagList$|^TagSet$|^AddTags$/.test(name) || !isList(value)) continue;
    const keys = new Map<string, number>();
    for (const tag of records(value)) {
      const key = string(tag.Key) ?? '';
      const owner = `${string(tag.ResourceId) ?? ''} ${key}`;
      keys.set(owner, (keys.get(owner) ?? 0) + 1);
      if (key.length < 1 || key.length > 128) yield [at, `tag key ${JSON.stringify(key)}: 1 to 128 characters`];
      if (/^aws:/i.test(key)) yield [at, `tag key ${key}: aws: is AWS's own`];
      if ((string(tag.Value) ?? '').length > 256) yield [at, `value of tag ${key}: at most 256 characters`];
    }
    for (const [key, count] of keys) if (count > 1) yield [at, `tag ${key.trim()} stands there ${count} times`];
    const perThing = Map.groupBy(records(value), (tag) => string(tag.ResourceId) ?? '');
    const most = Math.max(0, ...[...perThing.values()].map((of) => of.length));
    if (most > 50) yield [at, `${most} tags: at most 50`];
  }
};
const everywhere: readonly Rule[] = [tags];

/** What a call's TagSpecifications may be about. */
const taggable: Readonly<Record<string, readonly string[]>> = {
  AllocateAddress: ['elastic-ip'],
  AuthorizeSecurityGroupEgress: ['security-group-rule'],
  AuthorizeSecurityGroupIngress: ['security-group-rule'],
  CreateDhcpOptions: ['dhcp-options'],
  CreateInternetGateway: ['internet-gateway'],
  CreateLaunchTemplate: ['launch-template'],
  CreateNatGateway: ['natgateway'],
  CreateNetworkInterface: ['network-interface'],
  CreateRouteTable: ['route-table'],
  CreateSecurityGroup: ['security-group'],
  CreateSnapshot: ['snapshot'],
  CreateSubnet: ['subnet'],
  CreateSubnetCidrReservation: ['subnet-cidr-reservation'],
  CreateVolume: ['volume'],
  CreateVpc: ['vpc'],
  CreateVpcEndpoint: ['vpc-endpoint'],
  ImportKeyPair: ['key-pair'],
  RunInstances: ['instance', 'volume', 'network-interface', 'spot-instances-request', 'elastic-gpu'],
};
const tagSpecifications: Rule = function* (params, action) {
  const allowed = taggable[action];
  const types = records(params.TagSpecifications).map((given) => string(given.ResourceType) ?? '');
  for (const type of types) {
    if (allowed && !allowed.includes(type))
      yield ['TagSpecifications', `'${type}' is not a valid taggable resource type for this operation`];
    if (types.filter((other) => other === type).length > 1) yield ['TagSpecifications', `${type} stands there more than once`];
  }
};

// --- EC2 --------------------------------------------------------------------------------------------------------------------------------
const filters: Rule = function* (params) {
  const given = records(params.Filters);
  if (given.length > 50) yield ['Filters', `${given.length} filters: at most 50`];
  const values = given.reduce((sum, filter) => sum + list(filter.Values).length, 0);
  if (values > 200) yield ['Filters', `${values} values: at most 200 in all`];
  for (const filter of given) if (list(filter.Values).length === 0) yield ['Filters', `${string(filter.Name)} has no values`];
};
/** IDs and pages exclude each other, but in the few calls that say otherwise. */
const idsAndPages: Rule = function* (params, action) {
  const ids = Object.entries(params).find(([name, value]) => /Ids$/.test(name) && list(value).length > 0);
  if (ids && list(ids[1]).length > 1000) yield [ids[0], `${list(ids[1]).length} ids: at most 1,000`];
  if (action === 'DescribeInstances' && ids && params.MaxResults !== undefined)
    yield ['MaxResults', `cannot be given together with ${ids[0]}`];
};

const groupText = /^[a-zA-Z0-9 ._\-:/()#,@[\]+=&;{}!$*]{0,255}$/;
const groupWords = 'up to 255 of a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*';
const ruleDescriptions: Rule = function* (params) {
  for (const [at, name, value] of walk(params))
    if (name === 'Description' && at.includes('.') && !groupText.test(string(value) ?? '')) yield [at, groupWords];
};
const portRanges: Rule = function* (params) {
  for (const [n, permission] of records(params.IpPermissions).entries()) {
    const { FromPort: from, ToPort: to, IpProtocol: protocol } = permission;
    const at = `IpPermissions.${n}`;
    if (protocol === undefined) yield [at, 'IpProtocol is required'];
    if (protocol === 'tcp' || protocol === 'udp' || protocol === '6' || protocol === '17') {
      if (typeof from !== 'number' || typeof to !== 'number') yield [at, 'tcp and udp need both ports'];
      else if (from > to || from < 0 || to > 65_535) yield [at, `ports ${from}-${to}`];
    }
    const sources = ['IpRanges', 'Ipv6Ranges', 'UserIdGroupPairs', 'PrefixListIds'];
    if (sources.every((source) => list(permission[source]).length === 0)) yield [at, 'names neither addresses nor a group'];
  }
};
/** AWS stores the canonical form: whatever else is asked for reads differently for ever. */
const canonicalCidrs: Rule = function* (params) {
  for (const [at, name, value] of walk(params)) {
    if (!/^(CidrBlock|CidrIp|DestinationCidrBlock|Cidr)$/.test(name) || typeof value !== 'string') continue;
    const why = cidrProblem(value);
    if (why) yield [at, why];
  }
};
export function ipv4(text: string): number | undefined {
  const parts = text.split('.').map(Number);
  return parts.length === 4 && parts.every((part) => Number.isInteger(part) && part >= 0 && part < 256)
    ? parts.reduce((sum, part) => sum * 256 + part, 0)
    : undefined;
}
/** First address and number of addresses. */
export function range(cidr: string): { readonly first: number; readonly size: number } | undefined {
  const [address = '', bits = ''] = cidr.split('/');
  const first = ipv4(address);
  const length = /^\d+$/.test(bits) ? Number(bits) : 33;
  return first === undefined || length > 32 ? undefined : { first, size: 2 ** (32 - length) };
}
function cidrProblem(cidr: string): string | undefined {
  const found = range(cidr);
  if (!found) return `${cidr} is no IPv4 range`;
  return found.first % found.size === 0 ? undefined : `${cidr} has host bits: AWS stores another text`;
}
const netmask = (value: Value): string | undefined => {
  const bits = Number(String(value).split('/')[1]);
  return bits >= 16 && bits <= 28 ? undefined : `${String(value)}: between /16 and /28`;
};

const userDataLimit = 16_384;
function userDataProblem(value: Value | undefined): string | undefined {
  if (typeof value !== 'string') return undefined;
  if (!/^[A-Za-z0-9+/\s]*={0,2}$/.test(value)) return 'is not base64';
  const size = Buffer.from(value, 'base64').length;
  return size > userDataLimit ? `User data is limited to 16384 bytes, these are ${size}` : undefined;
}
const fiveGroups: Rule = function* (params) {
  for (const [at, name, value] of walk(params))
    if (/^(SecurityGroupIds|Groups|SecurityGroups)$/.test(name) && list(value).length > 5)
      yield [at, `${list(value).length} security groups: at most 5 an interface`];
};
const metadataTagKey = /^[0-9a-zA-Z\-_+=,.@:]{1,255}$/;

/** What a launch needs: the same for RunInstances and for a launch template's data. */
function* launch(data: Params, at: string): Iterable<Broken> {
  const userData = userDataProblem(data.UserData);
  if (userData) yield [`${at}UserData`, userData];
  const interfaces = records(data.NetworkInterfaces);
  if (interfaces.length > 0) {
    for (const name of ['SubnetId', 'SecurityGroupIds', 'SecurityGroups', 'PrivateIpAddress'])
      if (data[name] !== undefined && list(data[name]).length + (isList(data[name]) ? 0 : 1) > 0)
        yield [`${at}${name}`, 'may not stand beside NetworkInterfaces'];
  }
  for (const [n, given] of interfaces.entries()) {
    if (given.DeviceIndex === undefined) yield [`${at}NetworkInterfaces.${n}`, 'DeviceIndex is required'];
    if (given.NetworkInterfaceId === undefined) continue;
    for (const name of [
      'SubnetId',
      'Groups',
      'PrivateIpAddress',
      'PrivateIpAddresses',
      'AssociatePublicIpAddress',
      'Description',
    ])
      if (given[name] !== undefined)
        yield [`${at}NetworkInterfaces.${n}.${name}`, 'may not be given for an interface that exists'];
    if (given.DeleteOnTermination === true)
      yield [`${at}NetworkInterfaces.${n}.DeleteOnTermination`, 'true is for interfaces that the launch makes'];
  }
  const tagged = records(data.TagSpecifications);
  if (interfaces.length > 0 && interfaces.every((given) => given.NetworkInterfaceId !== undefined)) {
    if (tagged.some((given) => given.ResourceType === 'network-interface'))
      yield [`${at}TagSpecifications`, 'You cannot specify tags for network interfaces if none is created by the request'];
  }
  if (record(data.MetadataOptions).InstanceMetadataTags === 'enabled') {
    for (const given of tagged.filter(({ ResourceType }) => ResourceType === 'instance'))
      for (const tag of records(given.Tags))
        if (!metadataTagKey.test(string(tag.Key) ?? ''))
          yield [
            `${at}TagSpecifications`,
            `'${string(tag.Key)}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{1,255}), as instance tags in metadata are enabled`,
          ];
  }
  const profile = record(data.IamInstanceProfile);
  if (profile.Arn !== undefined && profile.Name !== undefined) yield [`${at}IamInstanceProfile`, 'either Arn or Name'];
  for (const mapping of records(data.BlockDeviceMappings))
    yield* volumeRules(record(mapping.Ebs), `${at}BlockDeviceMappings.Ebs.`);
}
function* volumeRules(ebs: Params, at: string): Iterable<Broken> {
  const { VolumeType: type = 'gp2', Iops: iops, Throughput: throughput, Size, VolumeSize } = ebs;
  const size = Size ?? VolumeSize;
  if (typeof size === 'number' && (size < 1 || size > 65_536)) yield [`${at}Size`, `${size} GiB: 1 to 65,536`];
  if (throughput !== undefined && type !== 'gp3') yield [`${at}Throughput`, `only gp3 takes it, this is ${String(type)}`];
  if (iops !== undefined && !['gp3', 'io1', 'io2'].includes(String(type))) yield [`${at}Iops`, `${String(type)} takes none`];
  if (type === 'gp3' && typeof iops === 'number' && iops < 3_000) yield [`${at}Iops`, `${iops}: gp3 has 3,000 and more`];
  if (ebs.KmsKeyId !== undefined && ebs.Encrypted !== true) yield [`${at}KmsKeyId`, 'needs Encrypted'];
}
const oneOf = (...names: string[]): Rule =>
  function* (params) {
    const given = names.filter((name) => params[name] !== undefined);
    if (given.length !== 1) yield [given.join(', '), `exactly one of ${names.join(', ')}`];
  };

// --- The services -----------------------------------------------------------------------------------------------------------------------
const balancerName = pattern(
  /^(?!internal-)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?$/,
  'up to 32 letters, digits and hyphens, no hyphen at either end, no internal- in front',
);
const atMost =
  (most: number) =>
  (value: Value): string | undefined =>
    list(value).length > most ? `${list(value).length}: at most ${most} a call` : undefined;
const attributeKeys = (allowed: RegExp): Rule =>
  function* (params) {
    for (const { Key } of records(params.Attributes))
      if (!allowed.test(string(Key) ?? '')) yield ['Attributes', `no such key: ${String(Key)}`];
  };
const policySize = (most: number, name: string): Rule =>
  function* (params) {
    const text = (string(params[name]) ?? '').replace(/\s/g, '');
    if (text.length > most) yield [name, `${text.length} characters without white space: at most ${most}`];
    try {
      if (text !== '') JSON.parse(text);
    } catch {
      yield [name, 'is no JSON'];
    }
  };
const groupSizes: Rule = function* (params) {
  const { MinSize: min, MaxSize: max, DesiredCapacity: desired } = params;
  if (typeof min === 'number' && typeof max === 'number' && min > max) yield ['MinSize', `${min} is more than MaxSize ${max}`];
  if (typeof desired === 'number' && ((typeof min === 'number' && desired < min) || (typeof max === 'number' && desired > max)))
    yield ['DesiredCapacity', `${desired} is not within ${String(min)} and ${String(max)}`];
};
const launchSource: Rule = function* (params) {
  const names = ['LaunchTemplate', 'MixedInstancesPolicy', 'LaunchConfigurationName', 'InstanceId'];
  if (names.filter((name) => params[name] !== undefined).length !== 1) yield ['', `exactly one of ${names.join(', ')}`];
};

const byService: Readonly<Partial<Record<Service, readonly Rule[]>>> = {
  ec2: [filters, idsAndPages, tagSpecifications, canonicalCidrs, fiveGroups],
  elasticloadbalancing: [fiveGroups, member('Names', atMost(20))],
};
const byAction: Readonly<Record<string, readonly Rule[]>> = {
  'ec2.CreateSecurityGroup': [
    member('GroupName', pattern(/^(?!sg-)/i, 'cannot start with sg-')),
    member('GroupName', pattern(groupText, groupWords)),
    member('Description', pattern(groupText, groupWords)),
  ],
  'ec2.AuthorizeSecurityGroupIngress': [portRanges, ruleDescriptions],
  'ec2.AuthorizeSecurityGroupEgress': [portRanges, ruleDescriptions],
  'ec2.CreateVpc': [member('CidrBlock', netmask)],
  'ec2.CreateSubnet': [member('CidrBlock', netmask)],
  'ec2.CreateRoute': [
    oneOf('DestinationCidrBlock', 'DestinationIpv6CidrBlock', 'DestinationPrefixListId'),
    oneOf(
      'GatewayId',
      'NatGatewayId',
      'InstanceId',
      'NetworkInterfaceId',
      'TransitGatewayId',
      'VpcPeeringConnectionId',
      'VpcEndpointId',
    ),
  ],
  'ec2.RunInstances': [
    function* (params) {
      yield* launch(params, '');
      const { MinCount: min, MaxCount: max } = params;
      if (typeof min === 'number' && typeof max === 'number' && (min > max || max < 1)) yield ['MinCount', `${min} to ${max}`];
      if (records(params.NetworkInterfaces).some((given) => given.NetworkInterfaceId !== undefined) && max !== 1)
        yield ['MaxCount', 'is 1 where the interface exists'];
    },
  ],
  'ec2.CreateLaunchTemplate': [
    (params) => launch(record(params.LaunchTemplateData), 'LaunchTemplateData.'),
    member('VersionDescription', (value) => (String(value).length > 255 ? 'at most 255 characters' : undefined)),
  ],
  'ec2.CreateLaunchTemplateVersion': [(params) => launch(record(params.LaunchTemplateData), 'LaunchTemplateData.')],
  'ec2.CreateVolume': [(params) => volumeRules(params, '')],
  'ec2.CreateTags': [member('Resources', atMost(1000))],
  'ec2.CreateNatGateway': [
    function* (params) {
      if (params.ConnectivityType !== 'private' && params.AllocationId === undefined && params.AvailabilityMode !== 'regional')
        yield ['AllocationId', 'is required for a public NAT gateway'];
    },
  ],
  'elasticloadbalancing.CreateLoadBalancer': [member('Name', balancerName)],
  'elasticloadbalancing.CreateTargetGroup': [member('Name', balancerName)],
  'elasticloadbalancing.DescribeTags': [member('ResourceArns', atMost(20))],
  'elasticloadbalancing.ModifyTargetGroupAttributes': [
    attributeKeys(
      /^(deregistration_delay\.|stickiness\.|load_balancing\.|slow_start\.|target_health_state\.|target_group_health\.|target_failover\.|preserve_client_ip\.enabled$|proxy_protocol_v2\.enabled$|lambda\.)/,
    ),
  ],
  'elasticloadbalancing.ModifyLoadBalancerAttributes': [
    attributeKeys(
      /^(deletion_protection\.enabled$|load_balancing\.cross_zone\.enabled$|access_logs\.s3\.|ipv6\.deny_all_igw_traffic$|dns_record\.client_routing_policy$|zonal_shift\.|idle_timeout\.|routing\.|client_keep_alive\.|connection_logs\.|waf\.|secondary_ips\.|health_check_logs\.)/,
    ),
  ],
  'autoscaling.CreateAutoScalingGroup': [groupSizes, launchSource],
  'autoscaling.UpdateAutoScalingGroup': [groupSizes],
  'autoscaling.DescribeAutoScalingGroups': [member('MaxRecords', (value) => (Number(value) > 100 ? 'at most 100' : undefined))],
  'iam.CreateRole': [policySize(2_048, 'AssumeRolePolicyDocument')],
  'iam.UpdateAssumeRolePolicy': [policySize(2_048, 'PolicyDocument')],
  'iam.PutRolePolicy': [policySize(10_240, 'PolicyDocument')],
  'iam.CreatePolicy': [policySize(6_144, 'PolicyDocument')],
  'route53.ChangeResourceRecordSets': [
    function* (params) {
      const changes = records(record(params.ChangeBatch).Changes);
      if (changes.length > 1_000) yield ['ChangeBatch.Changes', `${changes.length}: at most 1,000`];
      for (const [n, change] of changes.entries()) {
        const set = record(change.ResourceRecordSet);
        const plain = list(set.ResourceRecords).length > 0;
        if (plain === (set.AliasTarget !== undefined))
          yield [`ChangeBatch.Changes.${n}`, 'either ResourceRecords or AliasTarget'];
        if (plain && set.TTL === undefined) yield [`ChangeBatch.Changes.${n}`, 'TTL is required beside ResourceRecords'];
        if (!plain && set.TTL !== undefined) yield [`ChangeBatch.Changes.${n}`, 'an alias has no TTL'];
      }
    },
  ],
  's3.CreateBucket': [
    member(
      'Bucket',
      pattern(
        /^(?!xn--|sthree-|.*-s3alias$|.*--ol-s3$)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]$/,
        "breaks S3's rules for names of buckets",
      ),
    ),
  ],
  's3.PutObject': [
    member('Key', (value) => (Buffer.byteLength(String(value)) > 1_024 ? 'a key has at most 1,024 bytes' : undefined)),
    member('Metadata', (value) =>
      Object.entries(record(value)).reduce((sum, [key, of]) => sum + key.length + String(of).length, 0) > 2_048
        ? 'at most 2 KB of metadata'
        : undefined,
    ),
  ],
};
