import { resourceTag } from '../tags.ts';
import { partitionOf } from './document.ts';
import { arn, ifOwned, ifTagged, type NamedStatement, type Scope } from './statement.ts';

const notNodes = ['bastion', 'etcd', 'balancer'].map((party) => `aws.security-group/${party}`);

/**
 * The cloud controller (k8s.io/cloud-provider-aws): instances for nodes, load balancers for Services. What it calls was read from its source
 * at 1.36.1; routes (--configure-cloud-routes=false), volumes (the CSI driver) and Auto Scaling groups, which upstream's policy names, it
 * never touches. It changes only what carries the cluster's tag: the group of the workers must, and one group a node at most.
 */
export function cloudControllerStatements(scope: Scope): readonly NamedStatement[] {
  const balancers = ['loadbalancer/*', 'targetgroup/*', 'listener/*'].map((each) => arn(scope, 'elasticloadbalancing', each));
  const group = arn(scope, 'ec2', 'security-group/*');
  return [
    {
      Sid: 'CloudControllerLooks',
      Effect: 'Allow',
      // None of these knows resources.
      Action: [
        'ec2:DescribeAvailabilityZones',
        'ec2:DescribeInstanceTopology',
        'ec2:DescribeInstances',
        'ec2:DescribeRouteTables',
        'ec2:DescribeSecurityGroups',
        'ec2:DescribeSubnets',
        'ec2:DescribeVpcs',
        'elasticloadbalancing:DescribeListeners',
        'elasticloadbalancing:DescribeLoadBalancerAttributes',
        'elasticloadbalancing:DescribeLoadBalancerPolicies',
        'elasticloadbalancing:DescribeLoadBalancers',
        'elasticloadbalancing:DescribeTargetGroupAttributes',
        'elasticloadbalancing:DescribeTargetGroups',
        'elasticloadbalancing:DescribeTargetHealth',
      ],
      Resource: '*',
    },
    {
      Sid: 'CloudControllerMakesGroups',
      Effect: 'Allow',
      Action: ['ec2:CreateSecurityGroup'],
      Resource: group,
      Condition: ifTagged(scope),
    },
    {
      Sid: 'CloudControllerMakesGroupsInVpc',
      Effect: 'Allow',
      Action: ['ec2:CreateSecurityGroup'],
      Resource: arn(scope, 'ec2', 'vpc/*'),
    },
    {
      Sid: 'CloudControllerTagsNewGroups',
      Effect: 'Allow',
      Action: ['ec2:CreateTags'],
      Resource: group,
      Condition: { StringEquals: { 'ec2:CreateAction': 'CreateSecurityGroup' } },
    },
    {
      Sid: 'CloudControllerOpensGroups',
      Effect: 'Allow',
      Action: ['ec2:AuthorizeSecurityGroupIngress', 'ec2:RevokeSecurityGroupIngress', 'ec2:DeleteSecurityGroup'],
      Resource: group,
      // All groups of the cluster have Kubernetes' tag; these are no node's, and nobody but Slipway shall open etcd or the bastion.
      Condition: { ...ifOwned(scope), StringNotEquals: { [`aws:ResourceTag/${resourceTag}`]: notNodes } },
    },
    {
      Sid: 'CloudControllerMakesBalancers',
      Effect: 'Allow',
      Action: [
        'elasticloadbalancing:AddTags',
        'elasticloadbalancing:CreateListener',
        'elasticloadbalancing:CreateLoadBalancer',
        'elasticloadbalancing:CreateTargetGroup',
      ],
      Resource: balancers,
      Condition: ifTagged(scope),
    },
    {
      Sid: 'CloudControllerKeepsBalancers',
      Effect: 'Allow',
      Action: [
        'elasticloadbalancing:AddTags',
        'elasticloadbalancing:ApplySecurityGroupsToLoadBalancer',
        'elasticloadbalancing:AttachLoadBalancerToSubnets',
        'elasticloadbalancing:ConfigureHealthCheck',
        'elasticloadbalancing:CreateLoadBalancerListeners',
        'elasticloadbalancing:CreateLoadBalancerPolicy',
        'elasticloadbalancing:DeleteListener',
        'elasticloadbalancing:DeleteLoadBalancer',
        'elasticloadbalancing:DeleteLoadBalancerListeners',
        'elasticloadbalancing:DeleteTargetGroup',
        'elasticloadbalancing:DeregisterInstancesFromLoadBalancer',
        'elasticloadbalancing:DeregisterTargets',
        'elasticloadbalancing:DetachLoadBalancerFromSubnets',
        'elasticloadbalancing:ModifyListener',
        'elasticloadbalancing:ModifyLoadBalancerAttributes',
        'elasticloadbalancing:ModifyTargetGroup',
        'elasticloadbalancing:ModifyTargetGroupAttributes',
        'elasticloadbalancing:RegisterInstancesWithLoadBalancer',
        'elasticloadbalancing:RegisterTargets',
        'elasticloadbalancing:SetLoadBalancerPoliciesForBackendServer',
        'elasticloadbalancing:SetLoadBalancerPoliciesOfListener',
        'elasticloadbalancing:SetSecurityGroups',
      ],
      Resource: balancers,
      Condition: ifOwned(scope),
    },
    {
      // Once an account: its first load balancer makes this role.
      Sid: 'CloudControllerFirstBalancer',
      Effect: 'Allow',
      Action: ['iam:CreateServiceLinkedRole'],
      Resource: `arn:${partitionOf(scope.region)}:iam::${scope.account}:role/aws-service-role/elasticloadbalancing.amazonaws.com/*`,
      Condition: { StringEquals: { 'iam:AWSServiceName': 'elasticloadbalancing.amazonaws.com' } },
    },
  ];
}
