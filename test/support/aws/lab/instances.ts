import {
  DescribeAddressesCommand,
  DescribeInstanceAttributeCommand,
  DescribeInstancesCommand,
  EC2Client,
} from '@aws-sdk/client-ec2';
import {
  DescribeListenersCommand,
  DescribeLoadBalancersCommand,
  DescribeTargetHealthCommand,
  ElasticLoadBalancingV2Client,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { ListHostedZonesCommand, ListResourceRecordSetsCommand, Route53Client } from '@aws-sdk/client-route-53';
import { NodeHttpHandler } from '@smithy/node-http-handler';

/** What the emulator holds that needs a body: asked of it directly, past all faults. */
export interface World {
  readonly instances: readonly Instance[];
  /** Elastic IP → private address. */
  readonly elasticIps: ReadonlyMap<string, string>;
  readonly balancers: readonly Balancer[];
  /** Full name → address, or a balancer's DNS name. */
  readonly records: ReadonlyMap<string, string>;
}
export interface Instance {
  readonly id: string;
  readonly state: string;
  readonly address: string;
  readonly zone: string;
  readonly type: string;
  readonly image: string;
  readonly launched: string;
  readonly profile: string;
  readonly tags: Readonly<Record<string, string>>;
  /** EBS volumes beside the root's. */
  readonly volumes: readonly string[];
}
export interface Balancer {
  readonly dnsName: string;
  readonly port: number;
  readonly targets: readonly string[];
}

export interface Watched {
  read(): Promise<World>;
  userData(instance: string): Promise<string>;
}

export function watch(moto: string, account: string, region: string): Watched {
  const options = {
    region,
    endpoint: moto,
    credentials: { accessKeyId: 'lab', secretAccessKey: 'lab' },
    requestHandler: new SpeakingFor(account),
  };
  const [ec2, elb, route53] = [new EC2Client(options), new ElasticLoadBalancingV2Client(options), new Route53Client(options)];
  return {
    async read() {
      const [instances, elasticIps, balancers, records] = await Promise.all([
        instancesOf(ec2),
        elasticIpsOf(ec2),
        balancersOf(elb),
        recordsOf(route53),
      ]);
      return { instances, elasticIps, balancers, records };
    },
    async userData(instance) {
      const { UserData } = await ec2.send(new DescribeInstanceAttributeCommand({ InstanceId: instance, Attribute: 'userData' }));
      return Buffer.from(UserData?.Value ?? '', 'base64').toString();
    },
  };
}

/** moto tells accounts apart by this header. */
class SpeakingFor extends NodeHttpHandler {
  readonly #account: string;
  constructor(account: string) {
    super();
    this.#account = account;
  }
  override handle(...[request, options]: Parameters<NodeHttpHandler['handle']>): ReturnType<NodeHttpHandler['handle']> {
    request.headers['x-moto-account-id'] = this.#account;
    return super.handle(request, options);
  }
}

async function instancesOf(ec2: EC2Client): Promise<readonly Instance[]> {
  const { Reservations = [] } = await ec2.send(new DescribeInstancesCommand({}));
  return Reservations.flatMap(({ Instances = [] }) => Instances).map((of) => ({
    id: of.InstanceId ?? '',
    state: of.State?.Name ?? '',
    address: of.PrivateIpAddress ?? '',
    zone: of.Placement?.AvailabilityZone ?? '',
    type: of.InstanceType ?? '',
    image: of.ImageId ?? '',
    launched: (of.LaunchTime ?? new Date(0)).toISOString(),
    // moto forgets the profile of a group's launch template.
    profile: (of.IamInstanceProfile?.Arn ?? 'instance-profile').split('/').at(-1) ?? '',
    tags: Object.fromEntries((of.Tags ?? []).map(({ Key = '', Value = '' }) => [Key, Value])),
    volumes: (of.BlockDeviceMappings ?? [])
      .filter(({ DeviceName }) => DeviceName !== of.RootDeviceName)
      .flatMap(({ Ebs }) => Ebs?.VolumeId ?? []),
  }));
}

async function elasticIpsOf(ec2: EC2Client): Promise<ReadonlyMap<string, string>> {
  const { Addresses = [] } = await ec2.send(new DescribeAddressesCommand({}));
  return new Map(
    Addresses.flatMap(({ PublicIp, PrivateIpAddress }) => (PublicIp && PrivateIpAddress ? [[PublicIp, PrivateIpAddress]] : [])),
  );
}

async function balancersOf(elb: ElasticLoadBalancingV2Client): Promise<readonly Balancer[]> {
  const { LoadBalancers = [] } = await elb.send(new DescribeLoadBalancersCommand({}));
  const found = await Promise.all(
    LoadBalancers.map(async ({ LoadBalancerArn, DNSName = '' }) => {
      const { Listeners = [] } = await elb.send(new DescribeListenersCommand({ LoadBalancerArn }));
      const [listener] = Listeners;
      const TargetGroupArn = listener?.DefaultActions?.[0]?.TargetGroupArn;
      if (!TargetGroupArn) return [];
      const { TargetHealthDescriptions = [] } = await elb.send(new DescribeTargetHealthCommand({ TargetGroupArn }));
      const targets = TargetHealthDescriptions.flatMap(({ Target }) => Target?.Id ?? []).sort();
      return [{ dnsName: DNSName.toLowerCase(), port: listener?.Port ?? 0, targets }];
    }),
  );
  return found.flat();
}

async function recordsOf(route53: Route53Client): Promise<ReadonlyMap<string, string>> {
  const { HostedZones = [] } = await route53.send(new ListHostedZonesCommand({}));
  const zones = await Promise.all(
    HostedZones.map(({ Id }) => route53.send(new ListResourceRecordSetsCommand({ HostedZoneId: Id }))),
  );
  const withoutDot = (name = ''): string => name.replace(/\.$/, '').toLowerCase();
  return new Map(
    zones
      .flatMap(({ ResourceRecordSets = [] }) => ResourceRecordSets)
      .filter(({ Type }) => Type === 'A')
      .map(({ Name, AliasTarget, ResourceRecords }) => [
        withoutDot(Name),
        withoutDot(AliasTarget?.DNSName ?? ResourceRecords?.[0]?.Value),
      ]),
  );
}
