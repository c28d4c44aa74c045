import { expect, test } from 'vitest';
import { cloudControllerStatements } from '../../../providers/aws/policies/cloud-controller.ts';

test('the cloud controller opens groups of nodes and its own, never those of etcd, the bastion or the API balancer', () => {
  const scope = { cluster: 'demo', account: '123456789012', region: 'eu-west-1', kmsKey: undefined };
  const opens = cloudControllerStatements(scope).filter(({ Action }) => Action.includes('ec2:AuthorizeSecurityGroupIngress'));
  expect(opens.map(({ Condition }) => Condition)).toEqual([
    {
      StringEquals: { 'aws:ResourceTag/kubernetes.io/cluster/demo': 'owned' },
      StringNotEquals: {
        'aws:ResourceTag/slipway.dev/resource': [
          'aws.security-group/bastion',
          'aws.security-group/etcd',
          'aws.security-group/balancer',
        ],
      },
    },
  ]);
});
