import { arn, type NamedStatement, type Scope } from './statement.ts';

/** What makes an Auto Scaling group the autoscaler's: its two tags. Groups of a fixed size carry neither. */
export const autoscalerTags = (cluster: string): Readonly<Record<string, string>> => ({
  'k8s.io/cluster-autoscaler/enabled': 'true',
  [`k8s.io/cluster-autoscaler/${cluster}`]: 'owned',
});

/** cluster-autoscaler, upstream's "full features" policy without EKS, and with changes to this cluster's groups only. */
export const clusterAutoscalerStatements = (scope: Scope): readonly NamedStatement[] => [
  {
    Sid: 'AutoscalerLooks',
    Effect: 'Allow',
    Action: [
      'autoscaling:DescribeAutoScalingGroups',
      'autoscaling:DescribeAutoScalingInstances',
      'autoscaling:DescribeLaunchConfigurations',
      'autoscaling:DescribeScalingActivities',
      'autoscaling:DescribeTags',
      'ec2:DescribeImages',
      'ec2:DescribeInstanceTypes',
      'ec2:DescribeLaunchTemplateVersions',
      'ec2:GetInstanceTypesFromInstanceRequirements',
    ],
    Resource: '*',
  },
  {
    Sid: 'AutoscalerScales',
    Effect: 'Allow',
    Action: ['autoscaling:SetDesiredCapacity', 'autoscaling:TerminateInstanceInAutoScalingGroup'],
    Resource: arn(scope, 'autoscaling', 'autoScalingGroup:*:autoScalingGroupName/*'),
    Condition: {
      StringEquals: Object.fromEntries(
        Object.entries(autoscalerTags(scope.cluster)).map(([key, value]) => [`aws:ResourceTag/${key}`, value]),
      ),
    },
  },
];
