import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Eviction } from '../../../src/kube/client.ts';
import { drain } from '../../../src/kube/drain/drain.ts';
import { watchPods } from '../../../src/kube/drain/feed.ts';
import type { DrainPolicy } from '../../../src/kube/drain/pods.ts';
import { aPolicy, budgetObject, podObject } from '../../support/drain.ts';
import { MemoryPods } from '../../support/memory-pods.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

const { signal } = new AbortController();
const minute = aPolicy({ timeoutMs: 60_000 });
const said: string[] = [];
/** Seconds of virtual time that it took, and what came of it. */
async function drainN1(api: MemoryPods, policy: DrainPolicy = minute): Promise<{ seconds: number; error?: unknown }> {
  const start = performance.now();
  said.length = 0;
  const ports = { policy, pods: watchPods(api, signal), signal, progress: (message: string) => void said.push(message) };
  const error = await time.until(drain(api, 'n1', ports).then(() => undefined)).catch((failure: unknown) => failure);
  return { seconds: (performance.now() - start) / 1000, ...(error !== undefined && { error }) };
}
const refused: Eviction = {
  state: 'refused',
  why: "it would violate the pod's disruption budget",
  causes: ['The disruption budget web needs 2 healthy pods and has 2 currently'],
  retryAfterMs: 10_000,
};
/** A budget that has promised the eviction of these pods, each so many seconds ago. */
const promising = (pods: Readonly<Record<string, number>>) =>
  budgetObject('web', {
    status: {
      disruptionsAllowed: 0,
      currentHealthy: 2,
      disruptedPods: Object.fromEntries(
        Object.entries(pods).map(([name, seconds]) => [name, new Date(Date.now() - seconds * 1000).toISOString()]),
      ),
    },
  });
/** The budget allows it from this second of the drain on. */
function from(api: MemoryPods, second: number): void {
  const start = performance.now();
  api.refuse = () => (performance.now() - start < second * 1000 ? refused : undefined);
}

describe('an eviction that was accepted, and whose pod nobody deleted', () => {
  test.each(['n1', 'n2'])('is waited for past the time of the drain, and told of: a pod of %s', async (node) => {
    const api = new MemoryPods();
    for (const name of node === 'n1' ? ['web-1'] : ['web-0', 'web-1'])
      api.put(podObject(name, { spec: { nodeName: name === 'web-1' ? node : 'n1' } }));
    api.budgets = [promising({ 'web-1': 20 })];
    from(api, 103);
    const { seconds, error } = await drainN1(api);
    expect(error).toBeUndefined();
    expect(seconds).toBeGreaterThan(103);
    expect(seconds).toBeLessThan(106);
    const told = said.filter((line) => line.includes('nobody has deleted that pod'));
    expect(told).toEqual([
      expect.stringMatching(
        new RegExp(
          `^waits up to (104|105) s for PodDisruptionBudget default/web: an eviction of default/web-1 on ${node} was accepted, and nobody has`,
        ),
      ),
    ]);
  });

  test('who is told to stop a second before the time of the drain is over has the time to', async () => {
    const api = new MemoryPods();
    api.put(podObject('web-1'));
    api.stopsMs = 30_000;
    api.budgets = [promising({ 'web-1': 61 })];
    from(api, 59);
    const { seconds, error } = await drainN1(api);
    expect(error).toBeUndefined();
    expect(seconds).toBeGreaterThan(88);
  });

  test('the drain ends a whole time after it is forgotten, and no later, where the budget still allows nothing', async () => {
    const api = new MemoryPods();
    api.put(podObject('web-1'));
    api.budgets = [promising({ 'web-1': 0 })];
    from(api, Number.POSITIVE_INFINITY);
    const { seconds, error } = await drainN1(api);
    expect(error).toMatchObject({ problem: { what: '1 of 1 pods did not leave it within 60 s' } });
    // 5 s until it looks, 125 s, 60 s.
    expect(seconds).toBeGreaterThan(180);
    expect(seconds).toBeLessThan(192);
  });

  test('made by an API server that stopped in the middle of the drain, it is waited for as well', async () => {
    const api = new MemoryPods();
    api.put(podObject('web-1'));
    api.budgets = [promising({})];
    from(api, 150);
    const draining = drainN1(api);
    await sleep(40_000);
    api.budgets = [promising({ 'web-1': 0 })];
    expect((await draining).error).toBeUndefined();
  });

  test.each([
    ['of a pod that is told to stop by now', { metadata: { deletionTimestamp: 'x' } }, 0],
    ['that its controller has forgotten', {}, 126],
  ])('is not waited for: one %s', async (_, over, seconds) => {
    const api = new MemoryPods();
    api.put(podObject('web-0'));
    api.put(podObject('web-1', { spec: { nodeName: 'n2' }, ...over }));
    api.budgets = [promising({ 'web-1': seconds })];
    from(api, Number.POSITIVE_INFINITY);
    expect((await drainN1(api)).seconds).toBeLessThan(62);
    expect(said.join('\n')).not.toContain('waits up to');
  });

  test('no budget is looked at where they free up by themselves', async () => {
    const api = new MemoryPods();
    api.put(podObject('web-1'));
    from(api, 4);
    await drainN1(api);
    expect(api.count('list PodDisruptionBudget')).toBe(0);
  });
});
