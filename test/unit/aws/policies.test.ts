import { describe, expect, test } from 'vitest';
import { cloudControllerStatements } from '../../../providers/aws/policies/cloud-controller.ts';
import { autoscalerTags, clusterAutoscalerStatements } from '../../../providers/aws/policies/cluster-autoscaler.ts';
import { ebsCsiStatements } from '../../../providers/aws/policies/ebs-csi.ts';
import type { Scope } from '../../../providers/aws/policies/statement.ts';

const scope: Scope = { cluster: 'demo', region: 'eu-central-1', account: '123456789012', kmsKey: undefined };
const policies = {
  'cloud controller': cloudControllerStatements(scope),
  'EBS CSI': ebsCsiStatements({ ...scope, kmsKey: 'arn:aws:kms:eu-central-1:123456789012:key/1' }),
  'cluster-autoscaler': clusterAutoscalerStatements(scope),
};

describe.each(Object.entries(policies))('%s', (_, statements) => {
  test('may look at everything, and change only what is named', () => {
    for (const { Action, Resource } of statements) {
      if (Resource === '*') expect(Action.filter((action) => !/^[a-z0-9]+:(Describe|Get)/.test(action))).toEqual([]);
      expect(Action.filter((action) => action.includes('*'))).toEqual([]);
    }
  });

  test('changes and deletes only what carries a tag of this cluster', () => {
    for (const { Action, Resource, Condition } of statements) {
      const changes = Action.some((action) =>
        /:(Delete|Modify|Attach|Detach|Set|Terminate|Authorize|Revoke|Register)/.test(action),
      );
      if (changes && Resource !== '*') expect(JSON.stringify(Condition)).toMatch(/aws:ResourceTag\/[^"]*\/demo"/);
    }
  });

  test('statements have names that IAM takes, each once', () => {
    const names = statements.map(({ Sid }) => Sid);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9]+$/);
  });
});

test('what the driver may do with a key is asked for only where there is one', () => {
  const actions = (statements: ReturnType<typeof ebsCsiStatements>) => statements.flatMap(({ Action }) => Action);
  expect(actions(ebsCsiStatements(scope)).filter((action) => action.startsWith('kms:'))).toEqual([]);
  expect(actions(policies['EBS CSI'])).toContain('kms:CreateGrant');
  const of = (kmsKey: string) => ebsCsiStatements({ ...scope, kmsKey }).find(({ Sid }) => Sid === 'EbsCsiEncrypts');
  expect(of('1234')).toMatchObject({ Resource: 'arn:aws:kms:eu-central-1:123456789012:key/1234' });
  expect(of('alias/mine')).toMatchObject({
    Resource: 'arn:aws:kms:eu-central-1:123456789012:key/*',
    Condition: { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': 'alias/mine' } },
  });
});

test('the three fit into one inline policy of a role, which holds 10,240 characters', () => {
  expect(JSON.stringify(Object.values(policies).flat()).replaceAll(/\s/g, '').length).toBeLessThan(7000);
});

test('the autoscaler finds its groups by the tags that its policy asks for', () => {
  expect(Object.keys(autoscalerTags('demo'))).toEqual(['k8s.io/cluster-autoscaler/enabled', 'k8s.io/cluster-autoscaler/demo']);
});
