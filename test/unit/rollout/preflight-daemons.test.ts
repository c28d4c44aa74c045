import { describe, expect, test } from 'vitest';
import { podOf } from '../../../src/kube/drain/pod.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { daemonObstacles, type UnreadyDaemon, unreadyDaemon } from '../../../src/rollout/preflight/daemons.ts';
import type { Turn, Wave } from '../../../src/rollout/rollout.ts';

const turn = (machine: string, how: Turn['how'] = 'in-place'): Turn => ({
  machine,
  role: 'worker',
  zone: 'a',
  how,
  drain: true,
  because: [],
  versions: [],
  restarts: [],
  files: [],
});
const wave = (turns: readonly Turn[], changes: readonly string[] = []): Wave => ({
  name: turns.length > 0 ? 'pools' : 'addons',
  kubernetes: '1.36.3',
  lanes: [{ name: 'pool', strategy: 'in-place', maxUnavailable: 1, maxSurge: 0, first: [], turns: [...turns], last: [] }],
  changes: [...changes],
});
const nowMs = Date.parse('2026-11-22T12:00:00Z');
const daemon = (name: string, node: string, over: Partial<UnreadyDaemon> = {}): UnreadyDaemon => ({
  daemonSet: name,
  node,
  system: name.startsWith('kube-system/'),
  sinceMs: 0,
  ...over,
});
const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const input = {
  waves: [wave(names.map((name) => turn(name)))],
  nodes: names.map((name) => ({ name, ready: true })),
  ungated: new Set<string>(),
  mended: new Set<string>(),
  addons: new Map([['kube-system/csi', 'kube.addon/ebs-csi']]),
  nowMs,
};
const of = (unready: readonly UnreadyDaemon[], over: Partial<typeof input> = {}) =>
  daemonObstacles({ ...input, unready, ...over }).map(({ severity, where, what }) => `${severity} ${where}: ${what}`);

describe('DaemonSets that are not ready on nodes that have a turn', () => {
  test('of the system are in the way, of users are told; one line each, with a few nodes', () => {
    const system = names.map((name) => daemon('kube-system/agent', name));
    expect(of([...system, daemon('default/logs', 'b'), daemon('default/logs', 'c')])).toEqual([
      'error DaemonSet kube-system/agent: its pods are not ready on a, b, c, d, e and 2 more',
      'warning DaemonSet default/logs: its pods are not ready on b, c',
    ]);
    const [error, warning] = daemonObstacles({
      ...input,
      unready: [daemon('kube-system/agent', 'a'), daemon('default/logs', 'b')],
    });
    expect(error).toMatchObject({ next: expect.stringContaining('describe pods -n kube-system') });
    expect(warning).toMatchObject({ why: 'what was not ready on a node before its turn need not be after it' });
  });

  test('where they have no turn that ends with their gate, or are named by other checks, nothing is said', () => {
    const unready = [daemon('kube-system/agent', 'a')];
    expect(of(unready, { waves: [wave([turn('b')])] })).toEqual([]);
    expect(of(unready, { waves: [wave([turn('a', 'remove')])] })).toEqual([]);
    expect(of(unready, { waves: [wave([], ['kube.addon/ebs-csi'])] })).toEqual([]);
    expect(of(unready, { nodes: [{ name: 'a', ready: false }] })).toEqual([]);
    expect(of(unready, { nodes: [] })).toEqual([]);
  });

  test.each(['ungated', 'mended'] as const)('a machine that is %s is left to its turn, and only that one', (which) => {
    const unready = [daemon('kube-system/agent', 'a'), daemon('kube-system/agent', 'b')];
    expect(of(unready, { [which]: new Set(['a']) })).toEqual(['error DaemonSet kube-system/agent: its pods are not ready on b']);
    expect(of(unready, { [which]: new Set(['a', 'b']) })).toEqual([]);
  });

  test("a machine made anew, an addon that changes before, and a pod that has just started are in nobody's way", () => {
    const made = wave([turn('a', 'replace')]);
    const said = 'warning DaemonSet kube-system/csi: its pods are not ready on a';
    expect(of([daemon('kube-system/csi', 'a')], { waves: [made] })).toEqual([said]);
    const addons = wave([], ['kube.addon/ebs-csi']);
    expect(of([daemon('kube-system/csi', 'a')], { waves: [addons, wave([turn('a')])] })).toEqual([said]);
    expect(of([daemon('kube-system/csi', 'a')], { waves: [wave([turn('a')]), addons] })).toEqual([
      said.replace('warning', 'error'),
    ]);
    expect(of([daemon('kube-system/csi', 'a', { sinceMs: nowMs - 119_000 })])).toEqual([said]);
    expect(of([daemon('kube-system/csi', 'a', { sinceMs: nowMs - 120_000 })])).toEqual([said.replace('warning', 'error')]);
  });

  test('the nodes that stop it come first', () => {
    const unready = [daemon('kube-system/agent', 'a', { sinceMs: nowMs }), daemon('kube-system/agent', 'b')];
    expect(of(unready)).toEqual(['error DaemonSet kube-system/agent: its pods are not ready on b, a']);
  });
});

describe('of a pod is kept', () => {
  const pod = (over: { kind?: string; ready?: string; at?: string; metadata?: Partial<KubeObject['metadata']> }): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'agent-1',
      namespace: 'kube-system',
      creationTimestamp: '2026-11-22T10:00:00Z',
      ownerReferences: [{ kind: over.kind ?? 'DaemonSet', name: 'agent', controller: true }],
      ...over.metadata,
    },
    spec: { nodeName: 'a' },
    status: { conditions: [{ type: 'Ready', status: over.ready ?? 'False', lastTransitionTime: over.at ?? null }] },
  });
  const of = (object: KubeObject) => unreadyDaemon(object, podOf(object));

  test("nothing, if it is ready or no DaemonSet's", () => {
    expect([of(pod({ ready: 'True' })), of(pod({ kind: 'ReplicaSet' }))]).toEqual([undefined, undefined]);
  });
  test('whose it is, where it is, and when something last happened to it', () => {
    const kept = { daemonSet: 'kube-system/agent', node: 'a', system: true };
    const ms = Date.parse;
    expect(of(pod({}))).toEqual({ ...kept, sinceMs: ms('2026-11-22T10:00:00Z') });
    expect(of(pod({ at: '2026-11-22T11:00:00Z' }))).toEqual({ ...kept, sinceMs: ms('2026-11-22T11:00:00Z') });
    const terminating = pod({ ready: 'True', metadata: { deletionTimestamp: '2026-11-22T11:59:00Z', namespace: 'default' } });
    expect(of(terminating)).toEqual({
      daemonSet: 'default/agent',
      node: 'a',
      system: false,
      sinceMs: ms('2026-11-22T11:59:00Z'),
    });
  });
});
