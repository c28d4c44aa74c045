import {
  AllocateAddressCommand,
  AssociateAddressCommand,
  AttachInternetGatewayCommand,
  AttachVolumeCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateInternetGatewayCommand,
  CreateLaunchTemplateCommand,
  CreateNetworkInterfaceCommand,
  CreateRouteTableCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateVolumeCommand,
  CreateVpcCommand,
  DeleteSecurityGroupCommand,
  DeleteSubnetCommand,
  DeleteVpcCommand,
  DescribeInstancesCommand,
  DescribeSubnetsCommand,
  DescribeVpcsCommand,
  type EC2Client,
  ReleaseAddressCommand,
  RunInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2';
import {
  CreateLoadBalancerCommand,
  DeleteLoadBalancerCommand,
  DescribeLoadBalancersCommand,
} from '@aws-sdk/client-elastic-load-balancing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type AwsSdk, openSdk } from '../../../providers/aws/clients.ts';
import { type Moto, newAccount, startMoto } from '../../support/aws/moto.ts';
import { type AwsProxy, startProxy } from '../../support/aws/proxy.ts';

const region = 'eu-west-1';
let moto: Moto;
let proxy: AwsProxy;
let sdk: AwsSdk;
/** Tries once: a fault is seen as it is. */
let ec2: EC2Client;

beforeAll(async () => {
  moto = await startMoto();
  proxy = await startProxy(moto);
});
afterAll(async () => {
  await proxy.close();
  await moto.stop();
});
beforeEach(() => {
  sdk = openSdk({ region, endpoint: proxy.url, credentials: newAccount().credentials });
  ec2 = sdk.ec2Once;
});
afterEach(() => {
  expect(proxy.accidents).toEqual([]);
  proxy.clear();
  for (const client of Object.values(sdk)) client.destroy();
});

const code = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call;
    return 'no error';
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
};
async function aVpc(cidr = '10.0.0.0/16'): Promise<string> {
  return (await ec2.send(new CreateVpcCommand({ CidrBlock: cidr }))).Vpc!.VpcId!;
}
async function aSubnet(vpc: string, cidr = '10.0.0.0/24', zone = `${region}a`): Promise<string> {
  return (await ec2.send(new CreateSubnetCommand({ VpcId: vpc, CidrBlock: cidr, AvailabilityZone: zone }))).Subnet!.SubnetId!;
}
const launch = (subnet: string, more: object = {}) =>
  new RunInstancesCommand({
    ImageId: 'ami-12c6146b',
    InstanceType: 't3.medium',
    MinCount: 1,
    MaxCount: 1,
    SubnetId: subnet,
    ...more,
  });
const vpcs = async (): Promise<string[]> =>
  (await ec2.send(new DescribeVpcsCommand({ Filters: [{ Name: 'is-default', Values: ['false'] }] }))).Vpcs!.map(
    (vpc) => vpc.VpcId!,
  );

describe('records', () => {
  it('every call, in the words of the model, and counts them', async () => {
    const vpc = await aVpc();
    await aSubnet(vpc);
    await vpcs();
    expect(proxy.calls.map(({ service, action, mutating, status }) => ({ service, action, mutating, status }))).toEqual([
      { service: 'ec2', action: 'CreateVpc', mutating: true, status: 200 },
      { service: 'ec2', action: 'CreateSubnet', mutating: true, status: 200 },
      { service: 'ec2', action: 'DescribeVpcs', mutating: false, status: 200 },
    ]);
    expect(proxy.calls[1]?.params).toEqual({ VpcId: vpc, CidrBlock: '10.0.0.0/24', AvailabilityZone: 'eu-west-1a' });
    expect(proxy.counts()).toEqual({ 'ec2.CreateVpc': 1, 'ec2.CreateSubnet': 1, 'ec2.DescribeVpcs': 1 });
    expect(proxy.violations).toEqual([]);
  });
  it('accounts do not see each other', async () => {
    await aVpc();
    const other = openSdk({ region, endpoint: proxy.url, credentials: newAccount().credentials });
    const seen = await other.ec2.send(new DescribeVpcsCommand({ Filters: [{ Name: 'is-default', Values: ['false'] }] }));
    expect(seen.Vpcs).toEqual([]);
    other.ec2.destroy();
  });
});

describe('faults', () => {
  it('a connection cut before: nothing was made', async () => {
    proxy.once('CreateVpc', 'drop-before');
    expect(await code(aVpc())).not.toBe('no error');
    expect(await vpcs()).toEqual([]);
  });
  it('a connection cut after: it was made, and nobody was told', async () => {
    proxy.once('CreateVpc', 'drop-after');
    expect(await code(aVpc())).not.toBe('no error');
    expect(await vpcs()).toHaveLength(1);
  });
  it("after a cut connection the SDK's own retry makes a second one", async () => {
    proxy.once('CreateVpc', 'drop-after');
    await sdk.ec2.send(new CreateVpcCommand({ CidrBlock: '10.0.0.0/16' }));
    expect(await vpcs()).toHaveLength(2);
  });
  it('half an answer is an error to the client', async () => {
    proxy.once('CreateVpc', 'truncate');
    expect(await code(aVpc())).not.toBe('no error');
    expect(await vpcs()).toHaveLength(1);
  });
  it("throttling has each service's own shape, and the SDK knows it", async () => {
    proxy.when(() => true, 'throttle');
    const { ListRolesCommand } = await import('@aws-sdk/client-iam');
    const { DescribeAutoScalingGroupsCommand } = await import('@aws-sdk/client-auto-scaling');
    const { DescribeLoadBalancersCommand } = await import('@aws-sdk/client-elastic-load-balancing-v2');
    const { ListBucketsCommand } = await import('@aws-sdk/client-s3');
    const { ListHostedZonesCommand } = await import('@aws-sdk/client-route-53');
    const once = { region, endpoint: proxy.url, credentials: newAccount().credentials, maxAttempts: 1 };
    const [{ IAMClient }, { AutoScalingClient }, { ElasticLoadBalancingV2Client }, { S3Client }, { Route53Client }, quotas] =
      await Promise.all([
        import('@aws-sdk/client-iam'),
        import('@aws-sdk/client-auto-scaling'),
        import('@aws-sdk/client-elastic-load-balancing-v2'),
        import('@aws-sdk/client-s3'),
        import('@aws-sdk/client-route-53'),
        import('@aws-sdk/client-service-quotas'),
      ]);
    expect(await code(ec2.send(new DescribeVpcsCommand()))).toBe('RequestLimitExceeded');
    expect(await code(new IAMClient(once).send(new ListRolesCommand()))).toBe('Throttling');
    expect(await code(new AutoScalingClient(once).send(new DescribeAutoScalingGroupsCommand()))).toBe('Throttling');
    expect(await code(new ElasticLoadBalancingV2Client(once).send(new DescribeLoadBalancersCommand()))).toBe('Throttling');
    expect(await code(new S3Client({ ...once, forcePathStyle: true }).send(new ListBucketsCommand()))).toBe('SlowDown');
    expect(await code(new Route53Client(once).send(new ListHostedZonesCommand()))).toBe('Throttling');
    expect(
      await code(
        new quotas.ServiceQuotasClient(once).send(new quotas.GetServiceQuotaCommand({ ServiceCode: 'ec2', QuotaCode: 'L-1' })),
      ),
    ).toBe('TooManyRequestsException');
  });
  it('a rate limit per service: 20 calls under 50 a second with a burst of 5 take 0.3 s, and all succeed', async () => {
    proxy.weather.throttle = { perSecond: 50, burst: 5 };
    const began = performance.now();
    await Promise.all(Array.from({ length: 20 }, () => sdk.ec2.send(new DescribeVpcsCommand())));
    expect(performance.now() - began).toBeGreaterThan(250);
    expect(proxy.calls.filter((call) => call.fault === 'throttle').length).toBeGreaterThan(0);
  });
  it('drawn faults are the same for the same seed', async () => {
    const draw = async (): Promise<(string | undefined)[]> => {
      proxy.clear();
      proxy.weather.faults = { seed: 7, dropBefore: 0.2, dropAfter: 0.2, throttle: 0.2 };
      for (let n = 0; n < 20; n++) await code(ec2.send(new DescribeVpcsCommand()));
      return proxy.calls.map((call) => call.fault);
    };
    const first = await draw();
    expect(new Set(first)).toEqual(new Set([undefined, 'drop-before', 'drop-after', 'throttle']));
    expect(await draw()).toEqual(first);
  });
  it('a client dies with its second change: that is carried out, and nothing afterwards', async () => {
    const died: string[] = [];
    proxy.killAfter(2, (call) => died.push(call.action));
    const vpc = await aVpc();
    expect(await code(aSubnet(vpc))).not.toBe('no error');
    expect(await code(aSubnet(vpc, '10.0.1.0/24'))).not.toBe('no error');
    expect(died).toEqual(['CreateSubnet']);
    expect(proxy.revive()).toBe(true);
    const seen = await ec2.send(new DescribeSubnetsCommand({ Filters: [{ Name: 'vpc-id', Values: [vpc] }] }));
    expect(seen.Subnets!.map((subnet) => subnet.CidrBlock)).toEqual(['10.0.0.0/24']);
  });
});

describe('what moto does not do', () => {
  it('a token used twice gives the same instance, and another request under it is refused', async () => {
    const subnet = await aSubnet(await aVpc());
    const first = await ec2.send(launch(subnet, { ClientToken: 'one' }));
    const again = await ec2.send(launch(subnet, { ClientToken: 'one' }));
    expect(again.Instances![0]!.InstanceId).toBe(first.Instances![0]!.InstanceId);
    expect(await code(ec2.send(launch(subnet, { ClientToken: 'one', InstanceType: 't3.large' })))).toBe(
      'IdempotentParameterMismatch',
    );
    expect(await code(ec2.send(launch(subnet, { ClientToken: 'two' })))).toBe('no error');
  });
  it('a token stays bound to a terminated instance, and says so', async () => {
    const subnet = await aSubnet(await aVpc());
    const first = await ec2.send(launch(subnet, { ClientToken: 'one' }));
    await ec2.send(new TerminateInstancesCommand({ InstanceIds: [first.Instances![0]!.InstanceId!] }));
    const again = await ec2.send(launch(subnet, { ClientToken: 'one' }));
    expect(again.Instances![0]).toMatchObject({ InstanceId: first.Instances![0]!.InstanceId, State: { Name: 'terminated' } });
  });
  it('tokens of volumes, interfaces, route tables, launch templates', async () => {
    const vpc = await aVpc();
    const subnet = await aSubnet(vpc);
    for (const make of [
      async () =>
        (await ec2.send(new CreateVolumeCommand({ AvailabilityZone: 'eu-west-1a', Size: 8, ClientToken: 'v' }))).VolumeId,
      async () =>
        (await ec2.send(new CreateNetworkInterfaceCommand({ SubnetId: subnet, ClientToken: 'n' }))).NetworkInterface
          ?.NetworkInterfaceId,
      async () => (await ec2.send(new CreateRouteTableCommand({ VpcId: vpc, ClientToken: 'r' }))).RouteTable?.RouteTableId,
      async () =>
        (
          await ec2.send(
            new CreateLaunchTemplateCommand({
              LaunchTemplateName: 'pool',
              LaunchTemplateData: { InstanceType: 't3.medium' },
              ClientToken: 'l',
            }),
          )
        ).LaunchTemplate?.LaunchTemplateId,
    ]) {
      const first = await make();
      expect(first).toMatch(/^[a-z]+-/);
      expect(await make()).toBe(first);
    }
  });
  it('a classic load balancer has a health check from the beginning, and holds its groups', async () => {
    const vpc = await aVpc();
    const subnet = await aSubnet(vpc);
    const named = { GroupName: 'balancer', Description: 'balancer', VpcId: vpc };
    const group = (await ec2.send(new CreateSecurityGroupCommand(named))).GroupId!;
    const Listeners = [{ Protocol: 'TCP', LoadBalancerPort: 80, InstancePort: 30080 }];
    const balancer = { LoadBalancerName: 'a', Listeners, Subnets: [subnet], SecurityGroups: [group] };
    await sdk.classic.send(new CreateLoadBalancerCommand(balancer));
    const { LoadBalancerDescriptions } = await sdk.classic.send(new DescribeLoadBalancersCommand({}));
    expect(LoadBalancerDescriptions).toMatchObject([{ VPCId: vpc, HealthCheck: { Target: 'TCP:30080' } }]);
    expect(await code(ec2.send(new DeleteSecurityGroupCommand({ GroupId: group })))).toBe('DependencyViolation');
    await sdk.classic.send(new DeleteLoadBalancerCommand({ LoadBalancerName: 'a' }));
    expect(await code(ec2.send(new DeleteSecurityGroupCommand({ GroupId: group })))).toBe('no error');
    expect(proxy.violations).toEqual([]);
  });
  it('nothing is deleted while something stands on it', async () => {
    const vpc = await aVpc();
    const subnet = await aSubnet(vpc);
    const group = async (name: string): Promise<string> =>
      (await ec2.send(new CreateSecurityGroupCommand({ GroupName: name, Description: name, VpcId: vpc }))).GroupId!;
    const [used, other] = [await group('used'), await group('other')];
    await ec2.send(
      new AuthorizeSecurityGroupIngressCommand({
        GroupId: other,
        IpPermissions: [{ IpProtocol: 'tcp', FromPort: 22, ToPort: 22, UserIdGroupPairs: [{ GroupId: used }] }],
      }),
    );
    expect(await code(ec2.send(new DeleteSecurityGroupCommand({ GroupId: used })))).toBe('DependencyViolation');
    await ec2.send(new CreateNetworkInterfaceCommand({ SubnetId: subnet, Groups: [other] }));
    expect(await code(ec2.send(new DeleteSecurityGroupCommand({ GroupId: other })))).toBe('DependencyViolation');
    expect(await code(ec2.send(new DeleteSubnetCommand({ SubnetId: subnet })))).toBe('DependencyViolation');
    expect(await code(ec2.send(new DeleteVpcCommand({ VpcId: vpc })))).toBe('DependencyViolation');
  });
  it('an address in use is not released', async () => {
    const vpc = await aVpc();
    const subnet = await aSubnet(vpc);
    const gateway = (await ec2.send(new CreateInternetGatewayCommand({}))).InternetGateway!.InternetGatewayId!;
    await ec2.send(new AttachInternetGatewayCommand({ InternetGatewayId: gateway, VpcId: vpc }));
    const { AllocationId } = await ec2.send(new AllocateAddressCommand({ Domain: 'vpc' }));
    const { NetworkInterface } = await ec2.send(new CreateNetworkInterfaceCommand({ SubnetId: subnet }));
    await ec2.send(new AssociateAddressCommand({ AllocationId, NetworkInterfaceId: NetworkInterface!.NetworkInterfaceId! }));
    expect(await code(ec2.send(new ReleaseAddressCommand({ AllocationId })))).toBe('InvalidIPAddress.InUse');
  });
  it('an address outside its subnet, reserved in it, or taken is refused', async () => {
    const subnet = await aSubnet(await aVpc());
    const at = (address: string) =>
      code(ec2.send(new CreateNetworkInterfaceCommand({ SubnetId: subnet, PrivateIpAddress: address })));
    expect(await at('10.0.1.7')).toBe('InvalidParameterValue');
    expect(await at('10.0.0.3')).toBe('InvalidParameterValue');
    expect(await at('10.0.0.7')).toBe('no error');
    expect(await at('10.0.0.7')).toBe('InvalidIPAddress.InUse');
  });
  it('a volume of another zone is not attached', async () => {
    const vpc = await aVpc();
    const { Instances } = await ec2.send(launch(await aSubnet(vpc)));
    const volume = await ec2.send(new CreateVolumeCommand({ AvailabilityZone: 'eu-west-1b', Size: 8 }));
    const attach = new AttachVolumeCommand({
      VolumeId: volume.VolumeId!,
      InstanceId: Instances![0]!.InstanceId!,
      Device: '/dev/sdf',
    });
    expect(await code(ec2.send(attach))).toBe('InvalidVolume.ZoneMismatch');
  });
  it('quotas of VPCs, addresses and vCPUs', async () => {
    proxy.weather.quotas = { vpcs: 2, addresses: 1, vcpus: 3 };
    const vpc = await aVpc();
    expect(await code(aVpc('10.1.0.0/16'))).toBe('VpcLimitExceeded');
    await ec2.send(new AllocateAddressCommand({ Domain: 'vpc' }));
    expect(await code(ec2.send(new AllocateAddressCommand({ Domain: 'vpc' })))).toBe('AddressLimitExceeded');
    const subnet = await aSubnet(vpc);
    await ec2.send(launch(subnet));
    expect(await code(ec2.send(launch(subnet)))).toBe('VcpuLimitExceeded');
  });
  it('names that exist once: the same load balancer again is the first one, another of its name and a second group are refused', async () => {
    const { CreateTargetGroupCommand, CreateLoadBalancerCommand } = await import('@aws-sdk/client-elastic-load-balancing-v2');
    const { CreateAutoScalingGroupCommand } = await import('@aws-sdk/client-auto-scaling');
    const vpc = await aVpc();
    const subnet = await aSubnet(vpc);
    const balancer = (scheme: 'internal' | 'internet-facing') =>
      sdk.elb.send(new CreateLoadBalancerCommand({ Name: 'api', Type: 'network', Scheme: scheme, Subnets: [subnet] }));
    const first = await balancer('internal');
    expect((await balancer('internal')).LoadBalancers![0]!.LoadBalancerArn).toBe(first.LoadBalancers![0]!.LoadBalancerArn);
    expect(await code(balancer('internet-facing'))).toBe('DuplicateLoadBalancerNameException');
    const target = new CreateTargetGroupCommand({ Name: 'api', Protocol: 'TCP', Port: 6443, VpcId: vpc, TargetType: 'ip' });
    const group = await sdk.elb.send(target);
    expect((await sdk.elb.send(target)).TargetGroups![0]!.TargetGroupArn).toBe(group.TargetGroups![0]!.TargetGroupArn);
    const data = { ImageId: 'ami-12c6146b', InstanceType: 't3.medium' as const };
    await ec2.send(new CreateLaunchTemplateCommand({ LaunchTemplateName: 'pool', LaunchTemplateData: data }));
    const pool = new CreateAutoScalingGroupCommand({
      AutoScalingGroupName: 'pool',
      MinSize: 1,
      MaxSize: 1,
      VPCZoneIdentifier: subnet,
      LaunchTemplate: { LaunchTemplateName: 'pool' },
    });
    expect(await code(sdk.autoscaling.send(pool))).toBe('no error');
    expect(await code(sdk.autoscaling.send(pool))).toBe('AlreadyExistsFault');
  });
  it('pages of instances hold as many instances as asked for, across reservations', async () => {
    const subnet = await aSubnet(await aVpc());
    await ec2.send(launch(subnet, { MinCount: 7, MaxCount: 7 }));
    await ec2.send(launch(subnet, { MinCount: 5, MaxCount: 5 }));
    const sizes: number[] = [];
    let token: string | undefined;
    do {
      const page = await ec2.send(new DescribeInstancesCommand({ MaxResults: 5, ...(token && { NextToken: token }) }));
      sizes.push(page.Reservations!.flatMap((reservation) => reservation.Instances!).length);
      token = page.NextToken;
    } while (token);
    expect(sizes).toEqual([5, 5, 2]);
  });
  it('what was just made is hidden for a while, from lists and from calls that name it', async () => {
    proxy.weather.hiddenMs = 10_000;
    const vpc = await aVpc();
    expect(await vpcs()).toEqual([]);
    expect(await code(ec2.send(new DescribeVpcsCommand({ VpcIds: [vpc] })))).toBe('InvalidVpcID.NotFound');
    expect(await code(aSubnet(vpc))).toBe('InvalidVpcID.NotFound');
    proxy.weather.hiddenMs = 0;
    expect(await code(aSubnet(vpc))).toBe('no error');
  });
  it('instances are pending at first, and take no volume', async () => {
    proxy.weather.settleMs = 10_000;
    const subnet = await aSubnet(await aVpc());
    const made = await ec2.send(launch(subnet));
    const InstanceId = made.Instances![0]!.InstanceId!;
    const state = async () => (await ec2.send(new DescribeInstancesCommand({}))).Reservations![0]!.Instances![0]!.State!.Name;
    expect(await state()).toBe('pending');
    const volume = await ec2.send(new CreateVolumeCommand({ AvailabilityZone: 'eu-west-1a', Size: 8 }));
    expect(volume.State).toBe('creating');
    const attach = new AttachVolumeCommand({ VolumeId: volume.VolumeId!, InstanceId, Device: '/dev/sdf' });
    expect(await code(ec2.send(attach))).toBe('IncorrectState');
    proxy.weather.settleMs = 0;
    expect(await state()).toBe('running');
    expect(await code(ec2.send(attach))).toBe('no error');
  });
});

describe('violations', () => {
  it('user data above 16 KB', async () => {
    const subnet = await aSubnet(await aVpc());
    const data = (size: number) => launch(subnet, { UserData: Buffer.alloc(size, 'x').toString('base64') });
    expect(await code(ec2.send(data(16_384)))).toBe('no error');
    expect(await code(ec2.send(data(16_385)))).toBe('InvalidParameterValue');
    expect(proxy.violations).toMatchObject([{ service: 'ec2', action: 'RunInstances', at: 'UserData' }]);
  });
  it('tag keys with a slash where instance tags are in metadata', async () => {
    const subnet = await aSubnet(await aVpc());
    const tagged = (key: string) =>
      launch(subnet, {
        MetadataOptions: { InstanceMetadataTags: 'enabled' },
        TagSpecifications: [{ ResourceType: 'instance', Tags: [{ Key: key, Value: '1' }] }],
      });
    expect(await code(ec2.send(tagged('slipway.cluster')))).toBe('no error');
    expect(await code(ec2.send(tagged('slipway.dev/cluster')))).toBe('InvalidParameterValue');
  });
  it('a missing member, a wrong enum, a tag for another kind of thing', async () => {
    expect(await code(ec2.send(new CreateSubnetCommand({ VpcId: undefined, CidrBlock: '10.0.0.0/24' })))).toBe(
      'MissingParameter',
    );
    await code(ec2.send(new CreateVpcCommand({ CidrBlock: '10.0.0.0/16', InstanceTenancy: 'mine' as never })));
    await code(
      ec2.send(new CreateVpcCommand({ CidrBlock: '10.0.0.0/16', TagSpecifications: [{ ResourceType: 'subnet', Tags: [] }] })),
    );
    expect(proxy.violations.map(({ at }) => at)).toEqual(['VpcId', 'InstanceTenancy', 'TagSpecifications']);
  });
  it('names of load balancers and roles, sizes of policies', async () => {
    const { CreateTargetGroupCommand } = await import('@aws-sdk/client-elastic-load-balancing-v2');
    const { CreateRoleCommand, PutRolePolicyCommand } = await import('@aws-sdk/client-iam');
    expect(await code(sdk.elb.send(new CreateTargetGroupCommand({ Name: 'x'.repeat(33) })))).toBe('ValidationError');
    expect(await code(sdk.iam.send(new CreateRoleCommand({ RoleName: 'a b', AssumeRolePolicyDocument: '{}' })))).toBe(
      'ValidationError',
    );
    const long = JSON.stringify({ Sid: 'x'.repeat(10_240) });
    const put = new PutRolePolicyCommand({ RoleName: 'role', PolicyName: 'all', PolicyDocument: long });
    expect(await code(sdk.iam.send(put))).toBe('ValidationError');
  });
});
