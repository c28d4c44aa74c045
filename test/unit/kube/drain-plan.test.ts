import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DrainWorld, drainPlan, readDrainWorld } from '../../../src/kube/drain/pods.ts';
import { aBudget, aNode, aPod, aPolicy } from '../../support/drain.ts';

const world = (over: Partial<DrainWorld>): DrainWorld => ({ pods: [], budgets: [], volumes: [], ...over });
const lines = (over: Partial<DrainWorld>, ...nodes: ReturnType<typeof aNode>[]): readonly string[] =>
  drainPlan(world(over), nodes.length > 0 ? nodes : [aNode()]).obstacles.map(
    ({ severity, where, what }) => `${severity}: ${where}: ${what}`,
  );

describe('what moves', () => {
  test('mirror pods, pods of DaemonSets, finished pods and those that say so stay, each with its reason', () => {
    const owner = { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'proxy', uid: 'x', controller: true };
    const pods = [
      aPod('web'),
      aPod('static', { metadata: { annotations: { 'kubernetes.io/config.mirror': 'x' } } }),
      aPod('proxy', { metadata: { ownerReferences: [owner] } }),
      aPod('job', { status: { phase: 'Succeeded' } }),
      aPod('kept', { metadata: { annotations: { 'slipway.dev/drain': 'skip' } } }),
      aPod('elsewhere', { spec: { nodeName: 'n2' } }),
      aPod('unplaced', { spec: { nodeName: '' } }),
    ];
    const plan = drainPlan(world({ pods }), [aNode()]);
    expect(plan.nodes.map(({ moves }) => moves.map(({ name }) => name))).toEqual([['web']]);
    expect(plan.nodes[0]?.stays.map(({ pod, because }) => `${pod.name}: ${because}`)).toEqual([
      'static: a static pod of the node',
      'proxy: of DaemonSet proxy',
      'job: it has finished',
      'kept: its annotation slipway.dev/drain says skip',
    ]);
    expect(plan.obstacles).toEqual([]);
  });

  test('of any pods none is lost, none is named twice, and lower priorities come first', () => {
    const pod = fc.record({
      node: fc.constantFrom('n1', 'n2', 'n3', ''),
      priority: fc.constantFrom(-5, 0, 1000, 2_000_000_000, 2_000_001_000),
      kind: fc.constantFrom('ReplicaSet', 'DaemonSet', 'StatefulSet'),
      phase: fc.constantFrom('Pending', 'Running', 'Succeeded', 'Failed'),
      skip: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(pod, { maxLength: 40 }), (specs) => {
        const pods = specs.map(({ node, priority, kind, phase, skip }, i) =>
          aPod(`p${i}`, {
            metadata: {
              ownerReferences: [{ kind, name: 'o', controller: true }],
              annotations: skip ? { 'slipway.dev/drain': 'skip' } : {},
            },
            spec: { nodeName: node, priority },
            status: { phase },
          }),
        );
        const { nodes, pods: count } = drainPlan(world({ pods }), [aNode('n1'), aNode('n2')]);
        const named = nodes.flatMap(({ moves, stays }) => [...moves, ...stays.map((stay) => stay.pod)].map(({ uid }) => uid));
        expect(named.toSorted()).toEqual(
          pods
            .filter(({ node }) => node === 'n1' || node === 'n2')
            .map(({ uid }) => uid)
            .toSorted(),
        );
        expect(nodes.reduce((sum, { moves }) => sum + moves.length, 0)).toBe(count);
        for (const { moves, node } of nodes) {
          expect(moves.every((each) => each.node === node)).toBe(true);
          expect(moves.map(({ priority }) => priority)).toEqual(moves.map(({ priority }) => priority).toSorted((a, b) => a - b));
        }
      }),
    );
  });
});

describe('disruption budgets', () => {
  const pods = [aPod('web-1'), aPod('web-2')];
  test('one that allows a disruption, one of another namespace and one that selects nothing are no obstacle', () => {
    const other = { ...aBudget('other', { status: { disruptionsAllowed: 0 } }), namespace: 'kube-system' };
    const none = aBudget('none', { spec: { selector: undefined }, status: { disruptionsAllowed: 0, desiredHealthy: 3 } });
    expect(lines({ pods, budgets: [aBudget('web'), other, none] })).toEqual([]);
  });

  test('one that keeps every pod it has stops the drain for ever; after forceAfter its pods are deleted', () => {
    const never = aBudget('web', { spec: { minAvailable: '100%' }, status: { disruptionsAllowed: 0, desiredHealthy: 3 } });
    expect(drainPlan(world({ pods, budgets: [never] }), [aNode()]).obstacles).toEqual([
      {
        severity: 'error',
        where: 'PodDisruptionBudget default/web',
        what: 'it allows no disruption, ever',
        why: 'minAvailable 100%: 3 of 3 pods are healthy, 3 must be; it keeps default/web-1 on n1, default/web-2 on n1',
        next: 'run one pod more, or let the budget spare one',
      },
    ]);
    expect(lines({ pods, budgets: [never] }, aNode('n1', { policy: aPolicy({ forceAfterMs: 60_000 }) }))).toEqual([
      'warning: PodDisruptionBudget default/web: it allows no disruption, ever; its pods are deleted after 60 s',
    ]);
  });

  test('one that allows none now is a warning, and no word of a pod that it does not keep', () => {
    const budgets = [aBudget('web', { status: { disruptionsAllowed: 0, currentHealthy: 2 } })];
    expect(lines({ pods, budgets })).toEqual(['warning: PodDisruptionBudget default/web: it allows no disruption now']);
    const broken = aPod('broken', { status: { conditions: [{ type: 'Ready', status: 'False' }] } });
    const pending = aPod('pending', { status: { phase: 'Pending' } });
    expect(lines({ pods: [broken, pending], budgets })).toEqual([]);
  });

  test('one whose controller cannot count its pods, as those of a Job, allows nothing for as long as that is so', () => {
    const message = 'jobs.batch does not implement the scale subresource';
    const conditions = [{ type: 'DisruptionAllowed', status: 'False', reason: 'SyncFailed', message }];
    const none = { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 };
    const job = aBudget('job', { spec: { maxUnavailable: 1 }, status: { ...none, observedGeneration: 0, conditions } });
    expect(drainPlan(world({ pods, budgets: [job] }), [aNode()]).obstacles).toMatchObject([
      {
        severity: 'error',
        what: 'it allows no disruption, ever',
        why: expect.stringContaining(`its controller cannot count its pods: ${message}`),
        next: expect.stringContaining('minAvailable as a number'),
      },
    ]);
    const well = [{ type: 'DisruptionAllowed', status: 'True', reason: 'SufficientPods', message: '' }];
    expect(lines({ pods, budgets: [aBudget('web', { status: { conditions: well } })] })).toEqual([]);
  });

  test('a pod that is not ready goes when enough others are, or when the policy is AlwaysAllow', () => {
    const broken = [aPod('broken', { status: { conditions: [] } })];
    const unhealthy = { disruptionsAllowed: 0, currentHealthy: 1 };
    expect(lines({ pods: broken, budgets: [aBudget('web', { status: unhealthy })] })).toHaveLength(1);
    const always = aBudget('web', { spec: { unhealthyPodEvictionPolicy: 'AlwaysAllow' }, status: unhealthy });
    expect(lines({ pods: broken, budgets: [always] })).toEqual([]);
  });

  test('two on one pod: the API would answer 500, always', () => {
    expect(lines({ pods: [aPod('web-1')], budgets: [aBudget('a'), aBudget('b')] })).toEqual([
      'error: pod default/web-1 on n1: several disruption budgets select it: the API refuses its eviction, always',
    ]);
  });

  test('expressions of selectors are understood', () => {
    const selecting = (matchExpressions: object[]) => aBudget('b', { spec: { selector: { matchExpressions } } }).selects;
    const [app, tier] = [{ app: 'web' }, { tier: 'x' }];
    expect(selecting([{ key: 'app', operator: 'In', values: ['web'] }])(app)).toBe(true);
    expect(selecting([{ key: 'app', operator: 'In', values: ['web'] }])(tier)).toBe(false);
    expect(selecting([{ key: 'app', operator: 'NotIn', values: ['web'] }])(tier)).toBe(true);
    expect(selecting([{ key: 'app', operator: 'Exists' }])(tier)).toBe(false);
    expect(selecting([{ key: 'app', operator: 'DoesNotExist' }])(tier)).toBe(true);
    expect(selecting([])({})).toBe(true);
  });
});

describe('pods that cannot or should not go', () => {
  test('without a controller: an error, or a warning where that is allowed', () => {
    const pods = [aPod('alone', { metadata: { ownerReferences: [] } })];
    expect(lines({ pods })).toEqual(['error: pod default/alone on n1: no controller makes it anew: evicted, it is gone']);
    expect(lines({ pods }, aNode('n1', { policy: aPolicy({ unmanaged: 'evict' }) }))[0]).toMatch(/^warning: /);
  });

  test('a local volume: away with its node in place, an error where the machine goes', () => {
    const pods = [aPod('db', { spec: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db' } }] } })];
    const volumes = [{ name: 'pv-1', claim: { namespace: 'default', name: 'data-db' }, nodes: ['n1'] }];
    expect(lines({ pods, volumes })).toEqual([
      'warning: pod default/db on n1: it cannot move: PersistentVolume pv-1 is on this machine',
    ]);
    expect(lines({ pods, volumes }, aNode('n1', { how: 'replace' }))).toEqual([
      'error: pod default/db on n1: its data is on this machine, which is replaced: PersistentVolume pv-1',
    ]);
    expect(lines({ pods, volumes: [{ ...volumes[0]!, nodes: ['n1', 'n2'] }] })).toEqual([]);
  });

  test('a directory of whichever machine it runs on, behind a claim, is told of as one that it names itself', async () => {
    const pods = [aPod('db', { spec: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db' } }] } })];
    const volume = {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'pv-1' },
      spec: { hostPath: { path: '/mnt/data' }, claimRef: { namespace: 'default', name: 'data-db' } },
    };
    const { volumes } = await readDrainWorld({
      pages: async function* () {},
      list: async (_, kind) => (kind === 'PersistentVolume' ? [volume] : []),
    });
    const [obstacle, ...others] = drainPlan(world({ pods, volumes }), [aNode('n1', { how: 'replace' })]).obstacles;
    expect(others).toEqual([]);
    expect(obstacle).toEqual({
      severity: 'warning',
      where: 'pod default/db on n1',
      what: 'it uses files of the machine: /mnt/data (PersistentVolume pv-1)',
      why: 'they go with the machine',
    });
  });

  test('a node selector or required terms that name this node alone', () => {
    const affinity = (...terms: object[]) => ({
      affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } },
    });
    const byName = (...values: string[]) => ({ matchFields: [{ key: 'metadata.name', operator: 'In', values }] });
    const byLabel = (...values: string[]) => ({ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values }] });
    const pinned = (spec: object) =>
      lines({ pods: [aPod('p', { spec: { ...spec } })] }, aNode('n1', { how: 'remove' })).length === 1;
    expect(pinned({ nodeSelector: { 'kubernetes.io/hostname': 'n1' } })).toBe(true);
    expect(pinned(affinity(byName('n1')))).toBe(true);
    expect(pinned(affinity({ ...byName('n1', 'n2'), ...byLabel('n1') }))).toBe(true);
    expect(pinned(affinity(byLabel('n1', 'n2')))).toBe(false);
    expect(pinned(affinity(byLabel('n1'), { matchExpressions: [{ key: 'disk', operator: 'Exists' }] }))).toBe(false);
    expect(lines({ pods: [aPod('p', { spec: affinity(byLabel('n1')) })] })[0]).toMatch(/^warning: .*it cannot move/);
  });

  test('data that is lost, files of the machine, long grace periods and finalizers are told of', () => {
    const pods = [
      aPod('web-1', {
        metadata: { finalizers: ['example.com/x', 'batch.kubernetes.io/job-tracking'] },
        spec: {
          terminationGracePeriodSeconds: 3600,
          volumes: [
            { name: 'tmp', emptyDir: {} },
            { name: 'log', hostPath: { path: '/var/log' } },
          ],
        },
      }),
    ];
    expect(lines({ pods })).toEqual([
      'warning: pod default/web-1 on n1: the data of its emptyDir volumes is lost: tmp',
      'warning: pod default/web-1 on n1: it uses files of the machine: /var/log',
      'warning: pod default/web-1 on n1: its grace period of 3600 s is longer than the drain may take (300 s)',
      'warning: pod default/web-1 on n1: its object stays until somebody takes its finalizers: example.com/x',
    ]);
  });

  test('the same of a hundred pods of one controller is one line, errors come first', () => {
    const spec = { volumes: [{ name: 'tmp', emptyDir: {} }] };
    const pods = [
      ...Array.from({ length: 100 }, (_, i) => aPod(`web-${String(i).padStart(2, '0')}`, { spec })),
      aPod('alone', { metadata: { ownerReferences: [] } }),
    ];
    const [error, warning, ...more] = lines({ pods });
    expect(error).toMatch(/^error: pod default\/alone/);
    expect(warning).toBe(
      'warning: pods default/web-00 on n1, default/web-01 on n1, default/web-02 on n1, default/web-03 on n1, default/web-04 on n1 and 95 more: the data of its emptyDir volumes is lost: tmp',
    );
    expect(more).toEqual([]);
  });

  test('a node that has two turns moves its pods twice, and its obstacles are named once', () => {
    const pods = [aPod('alone', { metadata: { ownerReferences: [] } })];
    const plan = drainPlan(world({ pods }), [aNode(), aNode()]);
    expect([plan.pods, plan.obstacles.map(({ where }) => where)]).toEqual([2, ['pod default/alone on n1']]);
  });

  test('a pod that says skip is left where the node stays, and ends with a machine that goes', () => {
    const pods = [aPod('kept', { metadata: { annotations: { 'slipway.dev/drain': 'skip' } } })];
    expect(lines({ pods })).toEqual([]);
    expect(lines({ pods }, aNode('n1', { how: 'replace' }))[0]).toContain('it is not evicted, and ends with the machine');
  });
});

test('a thousand nodes with thirty pods each are planned in a moment', () => {
  const nodes = Array.from({ length: 1000 }, (_, i) => aNode(`n${i}`));
  const pods = nodes.flatMap(({ name }) =>
    Array.from({ length: 30 }, (_, i) => aPod(`${name}-${i}`, { spec: { nodeName: name } })),
  );
  const budgets = Array.from({ length: 50 }, (_, i) => ({ ...aBudget(`b${i}`), namespace: `ns${i}` }));
  const before = process.cpuUsage();
  expect(drainPlan(world({ pods, budgets }), nodes).pods).toBe(30_000);
  const { user, system } = process.cpuUsage(before);
  // Processor time: how busy the machine is does not matter.
  expect((user + system) / 1e6).toBeLessThan(5);
});
