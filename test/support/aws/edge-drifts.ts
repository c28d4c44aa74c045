import {
  CreateOrUpdateTagsCommand,
  DescribeAutoScalingGroupsCommand,
  UpdateAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import {
  CreateLaunchTemplateVersionCommand,
  CreateTagsCommand,
  DescribeIamInstanceProfileAssociationsCommand,
  DescribeInstancesCommand,
  DescribeLaunchTemplatesCommand,
  DescribeVolumesCommand,
  DetachVolumeCommand,
  ModifyLaunchTemplateCommand,
  ReplaceIamInstanceProfileAssociationCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2';
import {
  AddTagsCommand,
  DeleteListenerCommand,
  DeregisterTargetsCommand,
  DescribeListenersCommand,
  DescribeLoadBalancersCommand,
  DescribeTargetGroupsCommand,
  DescribeTargetHealthCommand,
  ModifyListenerCommand,
  ModifyTargetGroupCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { PutRolePolicyCommand, TagInstanceProfileCommand, TagRoleCommand } from '@aws-sdk/client-iam';
import { ChangeResourceRecordSetsCommand, ListHostedZonesCommand, ListResourceRecordSetsCommand } from '@aws-sdk/client-route-53';
import { type AwsSdk, openSdk } from '../../../providers/aws/clients.ts';
import type { Drift, Place } from '../../contract/provider.ts';
import type { AwsPlace } from './place.ts';

const isAws = (place: Place): place is AwsPlace => 'proxy' in place && 'account' in place;
function byHand(name: string, expected: readonly string[], act: (sdk: AwsSdk) => Promise<unknown>): Drift {
  return {
    name,
    expected,
    async act(place) {
      if (!isAws(place)) throw new Error('not a place on AWS');
      const region = place.cluster.provider.aws?.region ?? '';
      await act(openSdk({ region, endpoint: place.proxy.url, credentials: place.account.credentials }));
    },
  };
}
const targetGroup = async ({ elb }: Pick<AwsSdk, 'elb'>) =>
  (await elb.send(new DescribeTargetGroupsCommand({}))).TargetGroups?.[0]?.TargetGroupArn;

const anotherVersion = async ({ ec2 }: Pick<AwsSdk, 'ec2'>): Promise<{ id: string; version: string }> => {
  const LaunchTemplateName = 'demo-workers';
  const data = { LaunchTemplateName, SourceVersion: '$Default', LaunchTemplateData: { InstanceType: 'm5.4xlarge' as const } };
  const { LaunchTemplateVersion: made } = await ec2.send(new CreateLaunchTemplateVersionCommand(data));
  return { id: made?.LaunchTemplateId ?? '', version: String(made?.VersionNumber) };
};
const etcdMachine = async ({ ec2 }: Pick<AwsSdk, 'ec2'>): Promise<string> => {
  const Filters = [
    { Name: 'tag:slipway.dev/resource', Values: ['aws.machine/etcd-eu-west-1a'] },
    { Name: 'instance-state-name', Values: ['running'] },
  ];
  const { Reservations } = await ec2.send(new DescribeInstancesCommand({ Filters }));
  return Reservations?.[0]?.Instances?.[0]?.InstanceId ?? '';
};

/** What is done by hand to the ways to the API, to machines, and to what they may do. */
export const edgeDrifts: readonly Drift[] = [
  byHand('a master is taken out of the balancer', ['update aws.target-group/api'], async (sdk) => {
    const TargetGroupArn = await targetGroup(sdk);
    const { TargetHealthDescriptions } = await sdk.elb.send(new DescribeTargetHealthCommand({ TargetGroupArn }));
    const Targets = TargetHealthDescriptions?.flatMap(({ Target }) => (Target ? [Target] : []));
    await sdk.elb.send(new DeregisterTargetsCommand({ TargetGroupArn, Targets }));
  }),
  byHand('the health check asks for something else', ['update aws.target-group/api'], async (sdk) =>
    sdk.elb.send(new ModifyTargetGroupCommand({ TargetGroupArn: await targetGroup(sdk), HealthCheckPath: '/' })),
  ),
  byHand('the listener is deleted', ['create aws.listener/api'], async ({ elb }) => {
    const { LoadBalancers } = await elb.send(new DescribeLoadBalancersCommand({}));
    const { Listeners } = await elb.send(new DescribeListenersCommand({ LoadBalancerArn: LoadBalancers?.[0]?.LoadBalancerArn }));
    await elb.send(new DeleteListenerCommand({ ListenerArn: Listeners?.[0]?.ListenerArn }));
  }),
  byHand('a name is deleted', ['update aws.zone/internal'], async ({ route53 }) => {
    const { HostedZones } = await route53.send(new ListHostedZonesCommand({}));
    const HostedZoneId = HostedZones?.[0]?.Id;
    const { ResourceRecordSets } = await route53.send(new ListResourceRecordSetsCommand({ HostedZoneId }));
    const bastion = ResourceRecordSets?.find(({ Name }) => Name?.startsWith('bastion.'));
    const ChangeBatch = { Changes: [{ Action: 'DELETE' as const, ResourceRecordSet: bastion }] };
    await route53.send(new ChangeResourceRecordSetsCommand({ HostedZoneId, ChangeBatch }));
  }),
  byHand(
    "tags of what is not EC2's are changed",
    [
      'update aws.balancer/api',
      'update aws.launch-template/workers',
      'update aws.listener/api',
      'update aws.pool/workers-eu-west-1a',
      'update aws.role/master',
      'update aws.role/worker',
      'update aws.target-group/api',
    ],
    async ({ elb, iam, autoscaling, ec2 }) => {
      const { LoadBalancers } = await elb.send(new DescribeLoadBalancersCommand({}));
      const Tags = [{ Key: 'Name', Value: 'renamed' }];
      const LoadBalancerArn = LoadBalancers?.[0]?.LoadBalancerArn;
      const { Listeners } = await elb.send(new DescribeListenersCommand({ LoadBalancerArn }));
      const all = [LoadBalancerArn, await targetGroup({ elb }), Listeners?.[0]?.ListenerArn];
      await elb.send(new AddTagsCommand({ ResourceArns: all.flatMap((arn) => arn ?? []), Tags }));
      await iam.send(new TagRoleCommand({ RoleName: 'demo-eu-west-1-worker', Tags }));
      await iam.send(new TagInstanceProfileCommand({ InstanceProfileName: 'demo-eu-west-1-master', Tags }));
      const { LaunchTemplates } = await ec2.send(new DescribeLaunchTemplatesCommand({ LaunchTemplateNames: ['demo-workers'] }));
      await ec2.send(new CreateTagsCommand({ Resources: [LaunchTemplates?.[0]?.LaunchTemplateId ?? ''], Tags }));
      const ResourceId = 'demo-workers-eu-west-1a';
      const tag = { ResourceId, ResourceType: 'auto-scaling-group', PropagateAtLaunch: true };
      await autoscaling.send(new CreateOrUpdateTagsCommand({ Tags: Tags.map((each) => ({ ...tag, ...each })) }));
    },
  ),
  byHand('a name leads elsewhere', ['update aws.zone/internal'], async ({ route53 }) => {
    const HostedZoneId = (await route53.send(new ListHostedZonesCommand({}))).HostedZones?.[0]?.Id;
    const ResourceRecordSet = {
      Name: 'bastion.demo.internal',
      Type: 'A' as const,
      TTL: 60,
      ResourceRecords: [{ Value: '192.0.2.66' }],
    };
    const ChangeBatch = { Changes: [{ Action: 'UPSERT' as const, ResourceRecordSet }] };
    await route53.send(new ChangeResourceRecordSetsCommand({ HostedZoneId, ChangeBatch }));
  }),
  byHand('the listener listens elsewhere', ['update aws.listener/api'], async ({ elb }) => {
    const { LoadBalancers } = await elb.send(new DescribeLoadBalancersCommand({}));
    const { Listeners } = await elb.send(new DescribeListenersCommand({ LoadBalancerArn: LoadBalancers?.[0]?.LoadBalancerArn }));
    await elb.send(new ModifyListenerCommand({ ListenerArn: Listeners?.[0]?.ListenerArn, Port: 443 }));
  }),
  byHand("a group's bounds are changed", ['update aws.pool/workers-eu-west-1a'], ({ autoscaling }) =>
    autoscaling.send(new UpdateAutoScalingGroupCommand({ AutoScalingGroupName: 'demo-workers-eu-west-1a', MaxSize: 7 })),
  ),
  byHand('a group launches another version of its template', ['update aws.pool/workers-eu-west-1a'], async (sdk) => {
    const { id, version } = await anotherVersion(sdk);
    const AutoScalingGroupName = 'demo-workers-eu-west-1a';
    const { AutoScalingGroups: [group] = [] } = await sdk.autoscaling.send(
      new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [AutoScalingGroupName] }),
    );
    const LaunchTemplate = {
      ...group?.MixedInstancesPolicy?.LaunchTemplate,
      LaunchTemplateSpecification: { LaunchTemplateId: id, Version: version },
    };
    const MixedInstancesPolicy = { ...group?.MixedInstancesPolicy, LaunchTemplate };
    await sdk.autoscaling.send(new UpdateAutoScalingGroupCommand({ AutoScalingGroupName, MixedInstancesPolicy }));
  }),
  // Nobody launches by it.
  byHand("another version is a template's default", [], async (sdk) => {
    const { id, version } = await anotherVersion(sdk);
    await sdk.ec2.send(new ModifyLaunchTemplateCommand({ LaunchTemplateId: id, DefaultVersion: version }));
  }),
  byHand("a machine is given another's profile", ['update aws.machine/etcd-eu-west-1a'], async (sdk) => {
    const Filters = [{ Name: 'instance-id', Values: [await etcdMachine(sdk)] }];
    const { IamInstanceProfileAssociations: [found] = [] } = await sdk.ec2.send(
      new DescribeIamInstanceProfileAssociationsCommand({ Filters }),
    );
    await sdk.ec2.send(
      new ReplaceIamInstanceProfileAssociationCommand({
        AssociationId: found?.AssociationId,
        IamInstanceProfile: { Name: 'demo-eu-west-1-master' },
      }),
    );
  }),
  byHand('a volume is detached', ['update aws.machine/etcd-eu-west-1a'], async (sdk) => {
    const InstanceId = await etcdMachine(sdk);
    const Filters = [{ Name: 'tag:slipway.dev/resource', Values: ['aws.volume/etcd-eu-west-1a.main'] }];
    const { Volumes } = await sdk.ec2.send(new DescribeVolumesCommand({ Filters }));
    await sdk.ec2.send(new DetachVolumeCommand({ VolumeId: Volumes?.[0]?.VolumeId, InstanceId }));
  }),
  byHand("a role's policy is changed", ['update aws.role/worker'], ({ iam }) =>
    iam.send(
      new PutRolePolicyCommand({
        RoleName: 'demo-eu-west-1-worker',
        PolicyName: 'slipway',
        PolicyDocument: JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }),
      }),
    ),
  ),
  byHand('a machine is terminated', ['create aws.machine/bastion'], async ({ ec2 }) => {
    const Filters = [{ Name: 'tag:slipway.dev/resource', Values: ['aws.machine/bastion'] }];
    const { Reservations } = await ec2.send(new DescribeInstancesCommand({ Filters }));
    const ids = Reservations?.flatMap(({ Instances }) => Instances?.flatMap(({ InstanceId }) => InstanceId ?? []) ?? []);
    await ec2.send(new TerminateInstancesCommand({ InstanceIds: ids }));
  }),
];
