import { describe, expect, test } from 'vitest';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { capacityForDrain, type DrainLane } from '../../../src/rollout/preflight/capacity.ts';
import { type NodeRoom, nodeRoom, type PodDemand, podDemand } from '../../../src/rollout/preflight/demand.ts';

interface NodeOver {
  readonly cpu?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly cordoned?: boolean;
}
const node = (name: string, { cpu = '2', labels = {}, cordoned = false }: NodeOver = {}): NodeRoom =>
  nodeRoom({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec: { unschedulable: cordoned },
    status: { allocatable: { cpu, memory: '4Gi', pods: '110' }, conditions: [{ type: 'Ready', status: 'True' }] },
  } as KubeObject);
const pod = (name: string, on: string, cpu: string, spec: object = {}, kind = 'ReplicaSet'): PodDemand =>
  podDemand({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', ownerReferences: [{ kind, name: 'r', controller: true }] },
    spec: { nodeName: on, containers: [{ resources: { requests: { cpu } } }], ...spec },
    status: { phase: 'Running' },
  } as KubeObject);
const affinity = (...terms: object[]) => ({
  affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } },
});
const lane = (name: string, nodes: readonly string[], over: Partial<DrainLane> = {}): DrainLane => ({
  ...{ name: `pool ${name}`, nodes, atOnce: 1, surge: 0 },
  ...over,
});
const found = (nodes: readonly NodeRoom[], pods: readonly PodDemand[], lanes: readonly DrainLane[], maxDrains = 10) =>
  capacityForDrain({ nodes, pods, waves: [lanes], maxDrains }).map(
    ({ severity, where, what, why }) => `${severity} ${where}: ${what}: ${why}`,
  );

describe('a node alone', () => {
  test('is asked about however full the others are', () => {
    // The fullest is small: all that it has fits elsewhere.
    const nodes = [node('w1', { cpu: '1' }), node('w2', { cpu: '4' }), node('w3', { cpu: '2' })];
    const pods = [pod('small', 'w1', '900m'), pod('large', 'w2', '2500m')];
    expect(found(nodes, pods, [lane('a', ['w1', 'w2', 'w3'])])).toEqual([
      'error pool a: while w2 is away one pod finds no room on the other nodes: shop/large',
    ]);
  });

  test('is one line with the others of its lane, of which the worst comes first', () => {
    const nodes = ['w1', 'w2', 'w3'].map((name) => node(name));
    const pods = [pod('a', 'w1', '1500m'), pod('b', 'w2', '1200m'), pod('c', 'w2', '700m'), pod('d', 'w3', '1500m')];
    expect(found(nodes, pods, [lane('a', ['w1', 'w2', 'w3'])])).toEqual([
      'error pool a: while w2 is away 2 pods find no room on the other nodes: shop/b, shop/c; others while w1, w3 are away, one at a time',
    ]);
  });

  test('what stays with its node needs no room elsewhere', () => {
    const nodes = [node('w1'), node('w2')];
    const pods = [pod('agent', 'w1', '1900m', {}, 'DaemonSet'), pod('other', 'w2', '1900m', {}, 'DaemonSet')];
    expect(found(nodes, pods, [lane('a', ['w1', 'w2'])])).toEqual([]);
  });

  test('a cordoned node is no room, and drains as others do', () => {
    const nodes = [node('w1', { cordoned: true }), node('w2'), node('w3')];
    const pods = [pod('a', 'w1', '500m'), pod('b', 'w2', '1800m'), pod('c', 'w3', '1')];
    expect(found(nodes, pods, [lane('a', ['w1'])])).toEqual([]);
    expect(found(nodes, pods, [lane('a', ['w2'])])).toEqual([
      'error pool a: while w2 is away one pod finds no room on the other nodes: shop/b',
    ]);
  });

  test.each([
    ['In', { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] }, 'w2'],
    ['NotIn', { matchExpressions: [{ key: 'disk', operator: 'NotIn', values: ['ssd'] }] }, 'w3'],
    ['Exists', { matchExpressions: [{ key: 'disk', operator: 'Exists' }] }, 'w2'],
    ['DoesNotExist', { matchExpressions: [{ key: 'disk', operator: 'DoesNotExist' }] }, 'w3'],
    ['Gt', { matchExpressions: [{ key: 'generation', operator: 'Gt', values: ['6'] }] }, 'w2'],
    ['Lt', { matchExpressions: [{ key: 'generation', operator: 'Lt', values: ['6'] }] }, 'w3'],
    ['a name', { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['w1', 'w3'] }] }, 'w3'],
  ])('required node affinity is kept: %s', (_, term, only) => {
    const labels = { w2: { disk: 'ssd', generation: '7' }, w3: { generation: '5' } } as const;
    const nodes = [node('w1'), node('w2', { labels: labels.w2 }), node('w3', { labels: labels.w3 })];
    const wanting = pod('a', 'w1', '1', affinity(term));
    const full = (name: string) => pod(`on-${name}`, name, '1500m', {}, 'DaemonSet');
    const lanes = [lane('a', ['w1'])];
    const other = only === 'w2' ? 'w3' : 'w2';
    expect(found(nodes, [wanting, full(other)], lanes)).toEqual([]);
    expect(found(nodes, [wanting, full(only)], lanes)).toEqual([
      'error pool a: while w1 is away one pod finds no room on the other nodes: shop/a',
    ]);
  });

  test('terms are alternatives, and one that requires nothing means no node', () => {
    const [nodes, lanes] = [[node('w1'), node('w2', { labels: { disk: 'ssd' } })], [lane('a', ['w1'])]];
    const ssd = { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] };
    const hdd = { matchExpressions: [{ key: 'disk', operator: 'In', values: ['hdd'] }] };
    expect(found(nodes, [pod('a', 'w1', '1', affinity(hdd, ssd))], lanes)).toEqual([]);
    const nowhere = ['warning pool a: while w1 is away one pod finds no other node to run on: shop/a'];
    expect(found(nodes, [pod('a', 'w1', '1', affinity(hdd))], lanes)).toEqual(nowhere);
    expect(found(nodes, [pod('a', 'w1', '1', affinity({}))], lanes)).toEqual(nowhere);
  });

  test('a machine that is made besides is one like it, and not the one that a pod names', () => {
    const [nodes, lanes] = [[node('w1', { labels: { pool: 'a' } })], [lane('a', ['w1'], { surge: 1 })]];
    expect(found(nodes, [pod('a', 'w1', '1', { nodeSelector: { pool: 'a' } })], lanes)).toEqual([]);
    expect(found(nodes, [pod('a', 'w1', '1', { nodeSelector: { 'kubernetes.io/hostname': 'w1' } })], lanes)).toEqual([
      'warning pool a: while w1 is away one pod finds no other node to run on: shop/a',
    ]);
  });
});

describe('nodes that may be away together', () => {
  const names = (pool: string, count: number) => Array.from({ length: count }, (_, i) => `${pool}${i + 1}`);

  test('of two lanes, unless the cap over all of them keeps one waiting', () => {
    const nodes = ['a1', 'a2', 'b1', 'b2'].map((name) => node(name));
    const pods = nodes.map(({ name }) => pod(`on-${name}`, name, '1300m')).concat(pod('more', 'a1', '100m'));
    const room = [...nodes, node('c1')];
    const lanes = [lane('a', ['a1', 'a2']), lane('b', ['b1', 'b2'])];
    expect(found(room, pods, lanes, 1)).toEqual([]);
    expect(found(room, pods, lanes, 2)).toEqual([
      'error pool a, pool b: while a1, b1 are away one pod finds no room on the other nodes: shop/on-b1',
    ]);
    expect(capacityForDrain({ nodes: room, pods, waves: lanes.map((one) => [one]), maxDrains: 2 })).toEqual([]);
  });

  test('those that lose most of what few nodes have, though others are fuller', () => {
    const gpus = names('g', 3).map((name) => node(name, { labels: { gpu: 'yes' } }));
    const nodes = [...gpus, ...names('w', 4).map((name) => node(name))];
    const selector = { nodeSelector: { gpu: 'yes' } };
    const pods = [
      ...gpus.map(({ name }) => pod(`train-${name}`, name, '1', selector)),
      ...names('w', 2).map((name) => pod(`web-${name}`, name, '1900m')),
    ];
    const lanes = [
      lane(
        'all',
        nodes.map(({ name }) => name),
        { atOnce: 2 },
      ),
    ];
    expect(found(nodes, pods, lanes)).toEqual([
      'error pool all: while g1, g2 are away one pod finds no room on the other nodes: shop/train-g2',
    ]);
  });

  test('those that have most room for others, though they are empty', () => {
    const nodes = [node('w1', { cpu: '8' }), node('w2', { cpu: '8' }), ...names('s', 3).map((name) => node(name))];
    const pods = [pod('a', 'w1', '1500m'), ...names('s', 3).map((name) => pod(`on-${name}`, name, '1900m'))];
    const lanes = [lane('w', ['w1', 'w2'], { atOnce: 2 })];
    expect(found(nodes, pods, lanes)).toEqual([
      'error pool w: while w1, w2 are away one pod finds no room on the other nodes: shop/a',
    ]);
  });

  test('are told of only where each of them alone lacks nothing', () => {
    const nodes = ['w1', 'w2', 'w3'].map((name) => node(name));
    const pods = nodes.map(({ name }) => pod(`on-${name}`, name, '1500m'));
    expect(found(nodes, pods, [lane('a', ['w1', 'w2', 'w3'], { atOnce: 2 })])).toEqual([
      expect.stringContaining('error pool a: while w1 is away one pod finds no room'),
    ]);
  });
});

test.each([10, 30])('a thousand nodes with %i pods each are no burden', (each) => {
  const nodes = Array.from({ length: 1000 }, (_, i) => node(`w${i}`, { labels: { pool: `p${i % 10}` } }));
  const like = Array.from({ length: each }, (_, i) => pod(`x${i}`, '', `${Math.round(1900 / each)}m`));
  const pods = nodes.flatMap(({ name, labels: { pool = '' } }) =>
    like.map((one): PodDemand => ({ ...one, name: `shop/${name}-${one.name}`, node: name, selector: { pool } })),
  );
  const lanes = Array.from({ length: 10 }, (_, p) =>
    lane(
      `p${p}`,
      nodes.flatMap(({ name, labels }) => (labels.pool === `p${p}` ? [name] : [])),
      { atOnce: 20 },
    ),
  );
  const before = process.cpuUsage();
  expect(found(nodes, pods, lanes, 200).length).toBeGreaterThan(0);
  const { user, system } = process.cpuUsage(before);
  const seconds = (user + system) / 1e6;
  console.info(`capacity of 1,000 nodes with ${each} pods each: ${seconds.toFixed(2)} s of processor time`);
  expect(seconds).toBeLessThan(5);
});
