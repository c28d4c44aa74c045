import { expect, test } from 'vitest';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { upgradePath } from '../../../src/rollout/path.ts';
import { nodeRoom, podDemand } from '../../../src/rollout/preflight/demand.ts';
import { type PreflightInput, preflightObstacles } from '../../../src/rollout/preflight/preflight.ts';
import type { Wave } from '../../../src/rollout/rollout.ts';
import { aCluster, aVersionStatus } from '../../support/builders.ts';
import { aLane, aTurn, aWave, workers } from '../../support/rehearsal.ts';

const node = (name: string) =>
  nodeRoom({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    status: { allocatable: { cpu: '2', memory: '4Gi', pods: '110' }, conditions: [{ type: 'Ready', status: 'True' }] },
  } as KubeObject);
const pod = (name: string, on: string, cpu: string, nodeSelector: object = {}) =>
  podDemand({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', ownerReferences: [{ kind: 'ReplicaSet', name: 'r', controller: true }] },
    spec: { nodeName: on, nodeSelector, containers: [{ resources: { requests: { cpu } } }] },
    status: { phase: 'Running' },
  } as KubeObject);
const obstacles = (waves: readonly Wave[], over: Partial<PreflightInput>): readonly string[] =>
  preflightObstacles({
    file: aCluster(),
    hops: upgradePath(versionsFor('1.35.4'), versionsFor('1.36.3')),
    waves,
    maxDrains: 10,
    findings: [],
    etcd: [],
    nodes: [],
    underWay: new Set(),
    versions: aVersionStatus(),
    api: { metrics: [], objects: [], nodes: [1, 2, 3].map((n) => node(`workers-${n}`)) },
    pods: [],
    ...over,
  }).map(({ severity, where, what, why }) => `${severity} ${where}: ${what}: ${why}`);

test('members of groups that have one made before theirs goes need no room on the others', () => {
  const pods = [1, 2, 3].map((n) => pod(`web-${n}`, `workers-${n}`, '1500m'));
  const pool = (maxSurge: number): readonly Wave[] => {
    const own = { strategy: 'replace', maxUnavailable: maxSurge === 0 ? 1 : 0, maxSurge, surge: 'each turn' } as const;
    return [aWave('pools', [aLane('pool workers', workers('workers', 3), own)])];
  };
  expect(obstacles(pool(1), { pods })).toEqual([]);
  expect(obstacles(pool(0), { pods })).toEqual([
    'error pool workers: while workers-1 is away one pod finds no room on the other nodes: shop/web-1; others while workers-2, workers-3 are away, one at a time',
  ]);
});

test('what runs on workers that go for good must find room on those that stay, all of it', () => {
  const gone = ['workers-2', 'workers-3'].map((name) => aTurn(name, { how: 'remove' }));
  const waves = [aWave('shrink', [aLane('pool workers', [], { last: gone })])];
  const pods = [pod('a', 'workers-1', '500m'), pod('b', 'workers-2', '1'), pod('c', 'workers-3', '600m')];
  expect(obstacles(waves, { pods: pods.slice(0, 2) })).toEqual([]);
  expect(obstacles(waves, { pods })).toEqual([
    'error machines that go: once workers-2, workers-3 are gone one pod finds no room on the nodes that stay: shop/c',
  ]);
  // A pool in place of another: its machines are made first.
  expect(obstacles(waves, { pods, made: 1 })).toEqual([]);
  expect(obstacles(waves, { pods: [pod('tied', 'workers-3', '1', { 'kubernetes.io/hostname': 'workers-3' })] })).toEqual([
    'warning machines that go: once workers-2, workers-3 are gone one pod finds no other node to run on: shop/tied',
  ]);
});

test('machines that only stood in for others while these changed need none', () => {
  const own = { first: [aTurn('spare', { how: 'add', drain: false })], last: [aTurn('spare', { how: 'remove' })], maxSurge: 1 };
  const waves = [aWave('pools', [aLane('pool workers', workers('workers', 1), { strategy: 'replace', ...own })])];
  const nodes = [node('workers-1'), node('spare')];
  const api = { metrics: [], objects: [], nodes };
  expect(obstacles(waves, { api, pods: [pod('a', 'spare', '2'), pod('b', 'workers-1', '2')] })).toEqual([]);
});
