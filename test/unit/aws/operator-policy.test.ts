import { expect, test } from 'vitest';
import actions from '../../../providers/aws/actions.json' with { type: 'json' };
import { operatorPolicy } from '../../../providers/aws/policies/operator.ts';
import { usedActions } from '../../../scripts/aws-actions.ts';

const scope = { cluster: 'demo', region: 'eu-central-1', account: '123456789012', bucket: 'b', kmsKey: undefined };
const { Statement: statements } = operatorPolicy(actions, scope);
const of = (action: string) => statements.filter(({ Action }) => Action.includes(action));

test('the list of actions is that of the code, and every one is in the policy', () => {
  expect(actions).toEqual(usedActions());
  expect([...new Set(statements.flatMap(({ Action }) => Action))].sort()).toEqual(actions);
});

test('an action that nobody has thought about fails the generation', () => {
  expect(() => operatorPolicy(['kafka:CreateCluster'], scope)).toThrow('no statement of the policy takes kafka:CreateCluster');
});

test('actions have no wildcards, statements have names that IAM takes, each once', () => {
  expect(actions.filter((action) => !/^[a-z0-9]+:[A-Za-z0-9]+$/.test(action))).toEqual([]);
  const names = statements.map(({ Sid }) => Sid);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^[A-Za-z0-9]+$/);
});

test('things are made with the tag of the cluster, and changed with it', () => {
  const tag = (kind: string) => ({ StringEquals: { [`aws:${kind}/slipway.dev/cluster`]: 'demo' } });
  expect(of('ec2:CreateVpc').map(({ Condition }) => Condition)).toEqual([tag('RequestTag')]);
  expect(of('ec2:TerminateInstances').map(({ Condition }) => Condition)).toEqual([tag('ResourceTag')]);
  expect(of('elasticloadbalancing:CreateLoadBalancer').map(({ Condition }) => Condition)).toEqual([tag('RequestTag')]);
  // Somebody else's subnet may be used; somebody else's interface may not be made.
  const unconditional = of('ec2:CreateNetworkInterface').filter(({ Condition }) => !Condition);
  expect(unconditional.flatMap(({ Resource }) => Resource).filter((name) => name?.includes('network-interface'))).toEqual([]);
});

test('what deletes, changes or stops knows whose the thing is: by tag, by path or by name', () => {
  for (const { Action, Resource, Condition, Sid } of statements) {
    const changes = Action.some((action) => /:(Delete|Modify|Terminate|Update|Release|Revoke|Replace|Set)/.test(action));
    if (!changes || Sid === 'KeepReservations' || Sid === 'DeletePrivateZone') continue;
    expect(`${Sid} ${JSON.stringify([Resource, Condition])}`).toMatch(/ResourceTag\/|\/slipway\/demo\/|GroupName\/demo-|s3:::b/);
  }
});

test('roles can be given to machines only, and only those of this cluster', () => {
  expect(of('iam:PassRole')).toMatchObject([
    {
      Resource: 'arn:aws:iam::123456789012:role/slipway/demo/*',
      Condition: { StringLike: { 'iam:PassedToService': 'ec2.amazonaws.com*' } },
    },
  ]);
});

test('the policy fits into one inline policy of a role, which holds 10,240 characters', () => {
  const withKey = operatorPolicy(actions, { ...scope, bucket: 'b'.repeat(63), kmsKey: 'alias/mine' });
  expect(JSON.stringify(withKey).replaceAll(/\s/g, '').length).toBeLessThan(10_240);
});
