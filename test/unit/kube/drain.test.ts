import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UnreachableError } from '../../../src/errors.ts';
import type { Eviction } from '../../../src/kube/client.ts';
import type { Leaving } from '../../../src/kube/drain/course.ts';
import { drain } from '../../../src/kube/drain/drain.ts';
import { due } from '../../../src/kube/drain/due.ts';
import { watchPods } from '../../../src/kube/drain/feed.ts';
import { KubeRefusal } from '../../../src/kube/http.ts';
import { aPod, aPolicy, budgetObject, podObject } from '../../support/drain.ts';
import { MemoryPods } from '../../support/memory-pods.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

const { signal } = new AbortController();
const critical = 2_000_000_000;
const names = (pods: readonly { name: string }[]): readonly string[] => pods.map(({ name }) => name);
const prio = (name: string, priority: number, terminating = false) =>
  aPod(name, { spec: { priority }, ...(terminating ? { metadata: { deletionTimestamp: 'x', uid: `uid-${name}` } } : {}) });

describe('whom to ask next', () => {
  test('the lowest priority of those that nobody has told to stop', () => {
    const pods = [prio('high', 1000), prio('low-1', 0), prio('low-2', 0), prio('dns', critical)];
    expect(names(due(pods, new Map(), 0))).toEqual(['low-1', 'low-2']);
    const going = [prio('high', 1000), prio('low-1', 0, true), prio('low-2', 0, true), prio('dns', critical)];
    expect(names(due(going, new Map(), 0))).toEqual(['high']);
  });

  test('what the system needs goes when all others have been told to stop, and does not wait for their end', () => {
    const dns = [prio('dns', critical), prio('csi', critical + 1000)];
    expect(names(due([...dns, prio('web', 0), prio('db', 0, true)], new Map(), 0))).toEqual(['web']);
    // Refused by its budget, it has not been told.
    const refused = new Map<string, Leaving>([['uid-web', { nextAt: 900, tries: 1 }]]);
    expect(names(due([...dns, prio('web', 0)], refused, 0))).toEqual([]);
    expect(names(due([...dns, prio('web', 0, true)], new Map(), 0))).toEqual(['dns', 'csi']);
  });

  test('nobody is asked twice: who has been asked, is stopping, or was refused just now', () => {
    const pods = [prio('a', 0), prio('b', 0), prio('c', 0)];
    const leaving = new Map<string, Leaving>([
      ['uid-a', { nextAt: 0, tries: 0, acceptedAt: 900 }],
      ['uid-b', { nextAt: 1500, tries: 1 }],
    ]);
    expect(names(due(pods, leaving, 1000))).toEqual(['c']);
    // An eviction that was accepted and that nothing came of.
    expect(names(due(pods, leaving, 20_000))).toEqual(['a', 'b', 'c']);
  });

  test('with force: those whose time to stop is over as well, and refused ones at once', () => {
    const stuck = aPod('stuck', { metadata: { deletionTimestamp: 'x', deletionGracePeriodSeconds: 5, uid: 'uid-stuck' } });
    const leaving = new Map<string, Leaving>([
      ['uid-stuck', { nextAt: 0, tries: 0, stoppingSince: 0 }],
      ['uid-web', { nextAt: 99_000, tries: 3 }],
    ]);
    const pods = [stuck, prio('web', 0)];
    expect(names(due(pods, leaving, 20_000))).toEqual([]);
    expect(names(due(pods, leaving, 20_000, aPolicy({ forceAfterMs: 0 })))).toEqual(['web', 'stuck']);
    expect(names(due(pods, leaving, 8_000, aPolicy({ forceAfterMs: 0 })))).toEqual(['web']);
  });

  test('with force: of a grace period no more is kept than a drain may take', () => {
    const slow = aPod('slow', { metadata: { deletionTimestamp: 'x', deletionGracePeriodSeconds: 3600, uid: 'uid-slow' } });
    const leaving = new Map<string, Leaving>([['uid-slow', { nextAt: 0, tries: 0, stoppingSince: 0 }]]);
    const at = (ms: number, policy = aPolicy({ timeoutMs: 30_000, forceAfterMs: 10_000 })) =>
      names(due([slow], leaving, ms, policy));
    expect([at(34_000), at(36_000)]).toEqual([[], ['slow']]);
    const patient = aPolicy({ timeoutMs: 30_000, forceAfterMs: 600_000 });
    expect([at(604_000, patient), at(606_000, patient)]).toEqual([[], ['slow']]);
  });

  test('of any pods: only of one priority at a time, and everyone has a turn', () => {
    const pod = fc.record({ priority: fc.constantFrom(-1, 0, 7, critical, critical + 1000) });
    fc.assert(
      fc.property(fc.array(pod, { maxLength: 30 }), (specs) => {
        let left = specs.map(({ priority }, i) => prio(`p${i}`, priority));
        const order: number[] = [];
        for (let turn = 0; left.length > 0; turn++) {
          expect(turn).toBeLessThan(6);
          const next = due(left, new Map(), 0);
          order.push(...next.map(({ priority }) => Math.min(priority, critical)));
          left = left.filter((each) => !next.includes(each));
        }
        expect(order).toHaveLength(specs.length);
        expect(order).toEqual(order.toSorted((a, b) => a - b));
      }),
    );
  });
});

const run = (api: MemoryPods, node = 'n1', policy = aPolicy(), pods = watchPods(api, signal), said: string[] = []) =>
  time.until(drain(api, node, { policy, pods, signal, progress: (message) => void said.push(message) }));
const refused = (causes: readonly string[], retryAfterMs = 0): Eviction => ({
  state: 'refused',
  why: 'no',
  causes,
  retryAfterMs,
});
const unreachable = new UnreachableError({ what: 'the Kubernetes API gives no answer' });

describe('draining', () => {
  test('twenty nodes at once: one LIST, one watch, one eviction a pod', async () => {
    const api = new MemoryPods();
    const nodes = Array.from({ length: 20 }, (_, i) => `n${i}`);
    for (const node of nodes) for (const i of [1, 2, 3]) api.put(podObject(`${node}-${i}`, { spec: { nodeName: node } }));
    const pods = watchPods(api, signal);
    const ports = { policy: aPolicy(), pods, signal, progress: () => {} };
    const all = await time.until(Promise.all(nodes.map((node) => drain(api, node, ports))));
    expect(all.map(({ moved }) => moved)).toEqual(nodes.map(() => 3));
    expect([api.count('list'), api.count('watch'), api.count('evict')]).toEqual([1, 1, 60]);
  });

  test('a refusal by a budget is asked again within a second; overload is given the time that it wants', async () => {
    const api = new MemoryPods();
    api.put(podObject('kept'));
    api.refuse = () => (api.count('evict') < 3 ? refused(['the budget'], 10_000) : undefined);
    let start = performance.now();
    expect(await run(api)).toMatchObject({ moved: 1 });
    expect(performance.now() - start).toBeLessThan(3000);
    api.put(podObject('busy', { metadata: { uid: 'other' } }));
    api.refuse = () => (api.count('evict busy') < 2 ? refused([], 2_000) : undefined);
    start = performance.now();
    await run(api);
    expect(performance.now() - start).toBeGreaterThan(2000);
  });

  test('who was refused by a budget is asked again as soon as another pod of its namespace is ready', async () => {
    const api = new MemoryPods();
    const asked: number[] = [];
    const ready = (name: string) =>
      podObject(name, { spec: { nodeName: 'n2' }, status: { conditions: [{ type: 'Ready', status: 'True' }] } });
    api.put(podObject('kept'));
    let last: () => void = () => {};
    const slow = new Promise<void>((resolve) => {
      last = resolve;
    });
    api.refuse = () => {
      asked.push(performance.now());
      // By now a second lies between two requests.
      if (asked.length === 6) last();
      return asked.length <= 6 ? refused(['the budget']) : undefined;
    };
    const draining = run(api);
    await slow;
    api.put(ready('next'));
    expect(await draining).toMatchObject({ moved: 1 });
    expect((asked[6] ?? 0) - (asked[5] ?? 0)).toBeLessThan(800);
  });

  test('an API that is away for a while is waited for, and looked at anew', async () => {
    const api = new MemoryPods();
    for (const name of ['a', 'b']) api.put(podObject(name));
    api.failures.push({ call: 'list pods', error: unreachable }, { call: 'evict a', error: unreachable });
    const gone = new KubeRefusal('/api/v1/pods', 410, { message: 'too old', reason: 'Expired', details: { causes: [] } });
    api.failures.push({ call: 'watch pods', error: gone });
    const draining = run(api);
    await sleep(700);
    // Removed while nobody watches.
    api.pods.delete('b');
    api.cut(unreachable);
    expect(await draining).toMatchObject({ left: [] });
    expect(api.count('list pods')).toBeGreaterThanOrEqual(3);
    expect(api.count('evict a')).toBe(2);
  });

  test('an API that stays away ends it, bounded, as unreachable', async () => {
    const api = new MemoryPods();
    for (let i = 0; i < 50; i++) api.failures.push({ call: 'list pods', error: unreachable });
    await expect(run(api, 'n1', aPolicy({ timeoutMs: 1000 }))).rejects.toMatchObject({ exitCode: 69 });
  });

  test('without rights it ends at once with what the API says', async () => {
    const api = new MemoryPods();
    const said = { message: 'pods is forbidden', reason: 'Forbidden', details: { causes: [] } };
    api.failures.push({ call: 'list pods', error: new KubeRefusal('/api/v1/pods', 403, said) });
    await expect(run(api)).rejects.toMatchObject({ status: 403 });
  });

  test('an empty node takes half a second and asks nobody', async () => {
    const api = new MemoryPods();
    const start = performance.now();
    expect(await run(api)).toEqual({ moved: 0, forced: [], left: [], cameBack: [] });
    expect(performance.now() - start).toBeLessThan(1500);
    expect(api.count('evict')).toBe(0);
  });

  test('a pod that waits behind one of lower priority is named with that reason', async () => {
    const api = new MemoryPods();
    api.put(podObject('low'));
    api.put(podObject('high', { spec: { nodeName: 'n1', priority: 5 } }));
    api.refuse = () => refused(['The disruption budget x needs 1 healthy pods and has 1 currently']);
    await expect(run(api, 'n1', aPolicy({ timeoutMs: 1000 }))).rejects.toMatchObject({
      problem: {
        what: '2 of 2 pods did not leave it within 1 s',
        why: 'default/low: no; The disruption budget x needs 1 healthy pods and has 1 currently\ndefault/high: its eviction waits for pods of lower priority, which go first',
      },
    });
    expect(api.count('evict high')).toBe(0);
  });

  test('what a budget keeps is told of with its numbers, and where the pod is not ready itself with what would let it go', async () => {
    const api = new MemoryPods();
    api.put(podObject('web-1'));
    api.put(podObject('web-2', { status: { conditions: [{ type: 'Ready', status: 'False' }] } }));
    api.budgets = [budgetObject('web', { status: { disruptionsAllowed: 0, currentHealthy: 1 } })];
    api.refuse = () => refused(['The disruption budget web needs 2 healthy pods and has 1 currently']);
    const kept = 'PodDisruptionBudget default/web keeps it (minAvailable 2: 1 of 3 pods are healthy, 2 must be)';
    await expect(run(api, 'n1', aPolicy({ timeoutMs: 1000 }))).rejects.toMatchObject({
      problem: {
        why: [
          `default/web-1: ${kept}`,
          `default/web-2: ${kept}; it is not ready itself: unhealthyPodEvictionPolicy AlwaysAllow would let it go`,
        ].join('\n'),
      },
    });
  });

  test('two budgets on one pod: the API answers 500 for ever, and both are named', async () => {
    const api = new MemoryPods();
    api.put(podObject('web-1'));
    api.budgets = [budgetObject('one'), budgetObject('two')];
    api.refuse = () => refused([]);
    await expect(run(api, 'n1', aPolicy({ timeoutMs: 1000 }))).rejects.toMatchObject({
      problem: {
        why: 'default/web-1: several disruption budgets select it (one, two), and the API evicts no such pod',
      },
    });
  });

  test('a pod whose containers have ended is over, also while finalizers keep its object: told by name', async () => {
    const api = new MemoryPods();
    const metadata = { deletionTimestamp: 'x', deletionGracePeriodSeconds: 0, finalizers: ['example.com/never'] };
    api.put(podObject('held', { metadata, status: { phase: 'Failed' } }));
    const said: string[] = [];
    const ports = { policy: aPolicy({ timeoutMs: 1000 }), pods: watchPods(api, signal), signal };
    const drained = await time.until(drain(api, 'n1', { ...ports, progress: (message) => void said.push(message) }));
    expect(drained).toMatchObject({ left: ['default/held'] });
    expect(said.at(-1)).toBe(
      'default/held: its containers have ended; its object stays until somebody takes its finalizers: example.com/never',
    );
  });

  test('forceAfter beyond the timeout is still carried out', async () => {
    const api = new MemoryPods();
    api.put(podObject('kept'));
    api.refuse = () => refused(['the budget']);
    expect(await run(api, 'n1', aPolicy({ timeoutMs: 300, forceAfterMs: 800 }))).toMatchObject({
      moved: 0,
      forced: ['default/kept'],
    });
  });
});
