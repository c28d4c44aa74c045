import { describe, expect, test } from 'vitest';
import type { NamedStatement } from '../../../providers/aws/policies/statement.ts';
import { cpuQuotaOf, type Demand } from '../../../providers/aws/verify-demand.ts';
import { wayOut } from '../../../providers/aws/verify-network.ts';
import { contextOf, findingsOf } from '../../../providers/aws/verify-permissions.ts';
import { findingOf } from '../../../providers/aws/verify-quotas.ts';

describe('what a simulation says', () => {
  const statement: NamedStatement = {
    Sid: 'Make',
    Effect: 'Allow',
    Action: ['ec2:CreateVpc', 'ec2:CreateSubnet'],
    Resource: ['arn:aws:ec2:eu-west-1:1:vpc/*', 'arn:aws:ec2:eu-west-1:1:subnet/*'],
    Condition: { StringEquals: { 'aws:RequestTag/slipway.dev/cluster': 'demo' } },
  };
  const result = (EvalActionName: string, EvalDecision: 'allowed' | 'implicitDeny' | 'explicitDeny', more = {}) => ({
    EvalActionName,
    EvalDecision,
    ...more,
  });
  const of = (...results: ReturnType<typeof result>[]) => findingsOf(statement, results, 'arn:aws:iam::1:user/op');

  test('an action is refused when it may be done to none of its resources', () => {
    expect(
      of(result('ec2:CreateVpc', 'implicitDeny'), result('ec2:CreateVpc', 'allowed'), result('ec2:CreateSubnet', 'allowed')),
    ).toEqual([]);
    const [found] = of(result('ec2:CreateVpc', 'implicitDeny'), result('ec2:CreateSubnet', 'allowed'));
    expect(found).toMatchObject({ severity: 'error', what: 'may not: ec2:CreateVpc', why: 'no policy allows it' });
    expect(found?.next).toContain('"Action":["ec2:CreateVpc"]');
  });

  test('what hangs on something that cannot be simulated is a warning', () => {
    const [found] = of(result('ec2:CreateVpc', 'explicitDeny', { MissingContextValues: ['aws:MultiFactorAuthPresent'] }));
    expect(found).toMatchObject({ severity: 'warning', why: expect.stringContaining('aws:MultiFactorAuthPresent') });
  });

  test('an answer that says nothing of an action says nothing against it', () => expect(of()).toEqual([]));

  test('it is asked with what the conditions ask for', () => {
    expect(contextOf(statement, 'eu-west-1')).toContainEqual({
      ContextKeyName: 'aws:RequestTag/slipway.dev/cluster',
      ContextKeyValues: ['demo'],
      ContextKeyType: 'string',
    });
  });
});

describe('quotas', () => {
  const demand: Demand = { service: 'ec2', code: 'L-1', name: 'vCPUs', unit: 'vCPUs', others: 10, needed: 20, most: 100 };

  test('that the cluster fits is no finding; what is not known says nothing', () => {
    expect(findingOf(demand, 110, 'eu-west-1')).toEqual([]);
    expect(findingOf(demand, undefined, 'eu-west-1')).toEqual([]);
  });
  test('pools that could not grow to their max are a warning, machines that could not be made an error; both ask for enough', () => {
    expect(findingOf(demand, 40, 'eu-west-1')).toMatchObject([
      { severity: 'warning', next: expect.stringMatching(/--desired-value 110$/) },
    ]);
    expect(findingOf(demand, 29, 'eu-west-1')).toMatchObject([
      { severity: 'error', next: expect.stringMatching(/--desired-value 110$/) },
    ]);
  });
  test('each family counts in its own', () => {
    expect(['t3.large', 'm7i.large', 'c6i.xlarge', 'im4gn.large'].map((type) => cpuQuotaOf(type)?.onDemand)).toEqual(
      Array(4).fill('L-1216C47A'),
    );
    expect(cpuQuotaOf('g5.xlarge')?.onDemand).toBe('L-DB2E81BA');
    expect(cpuQuotaOf('p4d.24xlarge')?.spot).toBe('L-7212CCBC');
    expect(cpuQuotaOf('mac2.metal')).toBeUndefined();
  });
});

test('the way out of a subnet is that of its own table, else of the main one; a dead route is none', () => {
  const table = (association: object, ...routes: object[]) => ({ Associations: [association], Routes: routes });
  const main = table({ Main: true }, { DestinationCidrBlock: '0.0.0.0/0', GatewayId: 'igw-1' });
  const own = table({ SubnetId: 'subnet-1' }, { DestinationCidrBlock: '0.0.0.0/0', NatGatewayId: 'nat-1' });
  const dead = table({ SubnetId: 'subnet-2' }, { DestinationCidrBlock: '0.0.0.0/0', NatGatewayId: 'nat-1', State: 'blackhole' });
  const tables = [main, own, dead];
  expect(['subnet-1', 'subnet-2', 'subnet-3'].map((subnet) => wayOut(subnet, tables))).toEqual(['nat-1', undefined, 'igw-1']);
});
