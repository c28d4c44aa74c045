import { describe, expect, test } from 'vitest';
import { designMachines } from '../../../providers/aws/design-machines.ts';
import { explain } from '../../../providers/aws/explain.ts';
import { machine } from '../../../providers/aws/machine.ts';
import { machineTypes } from '../../../providers/aws/machine-types.ts';
import { machinePolicy } from '../../../providers/aws/policies/machine.ts';
import { forProvider, versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import { roles } from '../../../src/cluster/topology.ts';
import { withProviderDefaults } from '../../../src/config/provider-defaults.ts';
import { type ClusterInput, clusterSchema } from '../../../src/config/schema.ts';
import { UnreachableError, UserError } from '../../../src/errors.ts';
import { makePlan } from '../../../src/plan/make.ts';
import { ObservedMap } from '../../../src/plan/observed.ts';
import { refsOf } from '../../../src/plan/resolve.ts';
import type { Address, Resource, ResourceType } from '../../../src/plan/resource.ts';

const region = 'eu-central-1';
function designOf(over: Partial<ClusterInput> = {}): readonly Resource[] {
  const cluster = clusterSchema.parse(
    withProviderDefaults({
      apiVersion: 'slipway/v1',
      kind: 'Cluster',
      name: 'demo',
      provider: { aws: { region, tags: { team: 'blue' } } },
      zones: [`${region}a`, `${region}b`, `${region}c`],
      pools: [
        {
          name: 'workers',
          min: 3,
          max: 9,
          labels: { disk: 'fast' },
          taints: [{ key: 'only', value: 'x', effect: 'NoSchedule' }],
        },
        { name: 'fixed', count: 4, spot: true, alternatives: ['m6i.large'], zones: [`${region}a`, `${region}b`] },
      ],
      ...over,
    }),
  );
  const topology = designTopology(cluster, noIdentity, forProvider(versionsFor(cluster.kubernetes.version), cluster.provider));
  return designMachines(topology, {
    owner: { cluster: 'demo', extra: { team: 'blue' } },
    account: '123456789012',
    bucket: 'slipway-123456789012-eu-central-1-demo',
  });
}
const at = (design: readonly Resource[], address: Address): Readonly<Record<string, unknown>> => ({
  ...design.find((resource) => resource.address === address)?.props,
});

describe('the design of machines', () => {
  const design = designOf();
  test('has a network interface for each fixed machine, volumes for each member of etcd, and a group a pool and zone', () => {
    const count = (type: string): number => design.filter((resource) => resource.type === type).length;
    expect([count('aws.machine'), count('aws.network-interface'), count('aws.volume')]).toEqual([7, 7, 6]);
    expect([count('aws.launch-template'), count('aws.pool'), count('aws.role')]).toEqual([2, 5, 4]);
  });

  test('every thing carries who it belongs to, and the tags of cluster.yaml', () => {
    for (const { address, type, props } of design) {
      if (type === 'aws.image') continue;
      const { tags } = { tags: {}, ...props };
      expect(tags, address).toMatchObject({ 'slipway.dev/cluster': 'demo', 'slipway.dev/resource': address, team: 'blue' });
    }
  });

  test('only nodes are told to Kubernetes’ controllers', () => {
    const marked = (address: Address): boolean => 'kubernetes.io/cluster/demo' in Object(at(design, address).tags);
    expect(marked(`aws.machine/master-${region}a`)).toBe(true);
    expect(marked(`aws.pool/workers-${region}a`)).toBe(true);
    expect(marked(`aws.machine/etcd-${region}a`)).toBe(false);
    expect(marked('aws.machine/bastion')).toBe(false);
  });

  test('the autoscaler finds groups with bounds, and knows what an empty one would be like; fixed ones are not its', () => {
    expect(at(design, `aws.pool/workers-${region}b`).tags).toMatchObject({
      'k8s.io/cluster-autoscaler/enabled': 'true',
      'k8s.io/cluster-autoscaler/demo': 'owned',
      'k8s.io/cluster-autoscaler/node-template/label/disk': 'fast',
      'k8s.io/cluster-autoscaler/node-template/label/topology.ebs.csi.aws.com/zone': `${region}b`,
      'k8s.io/cluster-autoscaler/node-template/taint/only': 'x:NoSchedule',
    });
    const fixed = at(design, `aws.pool/fixed-${region}a`);
    expect(Object.keys(Object(fixed.tags)).filter((key) => key.startsWith('k8s.io/'))).toEqual([]);
    expect(fixed).toMatchObject({ min: 2, max: 2, spot: true, types: ['t3.large', 'm6i.large'] });
  });

  test('machines stay in their zone: interface, subnet and volumes', () => {
    const address = `aws.machine/etcd-${region}b` as const;
    expect(refsOf(at(design, address))).toEqual(
      expect.arrayContaining([
        `aws.network-interface/etcd-${region}b`,
        `aws.volume/etcd-${region}b.main`,
        `aws.volume/etcd-${region}b.events`,
      ]),
    );
    expect(refsOf(at(design, `aws.network-interface/etcd-${region}b`))).toContain(`aws.subnet/private-${region}b`);
    expect(refsOf(at(design, 'aws.network-interface/bastion'))).toContain(`aws.subnet/public-${region}a`);
    expect(at(design, `aws.volume/etcd-${region}b.main`)).toMatchObject({ zone: `${region}b`, encrypted: true });
  });

  test('a zone more changes nothing of what is there', () => {
    const other = designOf({
      zones: [`${region}a`, `${region}b`, `${region}c`, `${region}d`],
      etcd: { count: 3, zones: [`${region}a`, `${region}b`, `${region}c`] },
    });
    for (const type of ['aws.machine', 'aws.network-interface', 'aws.volume'])
      for (const { address, props } of design.filter((resource) => resource.type === type))
        expect(at(other, address), address).toEqual(props);
  });
});

describe('policies of machines', () => {
  const scope = { cluster: 'demo', account: '123456789012', region, bucket: 'bucket', kmsKey: 'alias/slipway' };
  test('fit into what IAM takes for the policies in a role: 10,240 characters', () => {
    for (const role of roles) expect(JSON.stringify(machinePolicy(role, scope)).length, role).toBeLessThan(10_240);
  });
  test('let a machine write only below its own identity, and etcd nothing that it could read', () => {
    for (const role of roles) {
      const statements = machinePolicy(role, scope).Statement;
      const of = (action: string): string[] =>
        statements.filter(({ Action }) => [Action].flat().includes(action)).flatMap(({ Resource = [] }) => Resource);
      const readable = of('s3:GetObject');
      expect(of('s3:PutObject').filter((path) => !path.includes('aws:userid') && role === 'worker')).toEqual([]);
      expect(
        readable.some((path) =>
          /\/(secrets|backups|volumes|hosts)\b|\/\*$/.test(
            path.replace('arn:aws:s3:::bucket', '').replace(/^\/(assets|fetch|join|pools)\/\*$/, ''),
          ),
        ),
      ).toBe(false);
    }
  });
  test('leave out controllers that cluster.yaml leaves out', () => {
    const less = machinePolicy('master', { ...scope, addons: { ebsCsi: false, clusterAutoscaler: false } });
    expect(JSON.stringify(less)).not.toMatch(/CreateVolume|SetDesiredCapacity/);
    expect(JSON.stringify(machinePolicy('master', scope))).toMatch(/CreateVolume[\s\S]*SetDesiredCapacity/);
  });
});

describe('differences', () => {
  const types = new Map<string, ResourceType<object, object, unknown>>();
  for (const type of machineTypes) types.set(type.name, type);

  test('what stands on something that is not there yet shows it as pending, and does not break', () => {
    const desired = designOf();
    const plan = makePlan({
      tool: 't',
      cluster: 'demo',
      specDigest: '',
      desired,
      observed: new ObservedMap(),
      types,
      policy: { command: 'up', allowDataLoss: false },
    });
    expect(plan.changes.every(({ action }) => action === 'create')).toBe(true);
    expect(plan.steps).toHaveLength(desired.length);
  });

  test('a root volume only grows, and one that was not seen is left alone', () => {
    const props = {
      image: 'ami-1',
      type: 't3.large',
      zone: 'a',
      networkInterface: 'eni-1',
      profile: 'p',
      volumes: {},
      rootGb: 40,
      kmsKey: null,
      device: '/dev/xvda',
      metadata: { tokens: 'required', hopLimit: 1, tags: 'disabled' },
      running: true,
      pinned: true,
      boot: {
        cluster: 'demo',
        region,
        bucket: 'b',
        role: 'etcd' as const,
        roleId: 'AROA',
        authorizedKey: 'k',
        machine: { name: 'e' },
      },
      tags: {},
    };
    const paths = (rootGb: number): string[] => machine.diff(props, { ...props, rootGb }).map(({ path }) => path);
    expect([paths(20), paths(40), paths(100), paths(0)]).toEqual([['rootGb'], [], [], []]);
  });
});

describe("AWS's errors", () => {
  const error = (name: string, status: number | undefined, message = 'said so'): Error =>
    Object.assign(new Error(message), { name, $metadata: status === undefined ? {} : { httpStatusCode: status } });
  const problemOf = (thrown: Error) => {
    const found = explain(thrown, 'aws.machine/etcd-a');
    if (!(found instanceof UserError)) throw new Error('not explained');
    return found;
  };

  test('say what, where, why in their own words, and what next', () => {
    expect(problemOf(error('InsufficientInstanceCapacity', 500 - 1)).problem).toMatchObject({
      where: 'aws.machine/etcd-a',
      why: 'said so (InsufficientInstanceCapacity)',
      next: expect.stringContaining('another machine type'),
    });
    expect(problemOf(error('VcpuLimitExceeded', 400)).problem.next).toContain('quota');
  });
  test('name the action that is not allowed', () => {
    const found = problemOf(
      error('AccessDenied', 403, 'User: arn:aws:iam::1:user/me is not authorized to perform: iam:CreateRole on resource: x'),
    );
    expect(found.problem.next).toContain('allow iam:CreateRole');
    expect(found.exitCode).toBe(77);
  });
  test('no answer is unreachable, never absent', () => {
    expect(problemOf(error('TimeoutError', undefined))).toBeInstanceOf(UnreachableError);
    expect(problemOf(error('InternalError', 500))).toBeInstanceOf(UnreachableError);
    expect(problemOf(error('RequestLimitExceeded', 503))).toBeInstanceOf(UnreachableError);
  });
  test('leave bugs as they are', () => {
    const bug = new TypeError('x is undefined');
    expect(explain(bug, 'aws.machine/etcd-a')).toBe(bug);
  });
});
