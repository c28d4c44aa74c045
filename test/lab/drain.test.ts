import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type KubeApi, openKube } from '../../src/kube/client.ts';
import { cordon, isCordoned, preferNoSchedule, uncordon } from '../../src/kube/drain/cordon.ts';
import { type DrainOptions, drain } from '../../src/kube/drain/drain.ts';
import { watchPods } from '../../src/kube/drain/feed.ts';
import { type Pod, podOf } from '../../src/kube/drain/pod.ts';
import { type DrainPolicy, drainPlan, readDrainWorld } from '../../src/kube/drain/pods.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { kubeNode } from '../../src/kube/types/node.ts';
import { apiName, type LocalApi, startLocalApi } from '../support/local-api.ts';
import { labNode, missingControllers, playKubelets, startControllers } from '../support/local-controllers.ts';

type Annotations = Readonly<Record<string, string>>;

/** Drains against an unmodified API server, controllers and scheduler; only the kubelets are played. Each test has nodes of its own. */
describe.skipIf(missingControllers)(
  `drains${missingControllers ? `: skipped, ${missingControllers}` : ''}`,
  { timeout: 60_000 },
  () => {
    let lab: LocalApi;
    let api: KubeApi;
    let close = async (): Promise<void> => {};
    const stop = new AbortController();
    let pods: DrainOptions['pods'];
    let [n, group] = [0, ''];
    let [here, there] = ['', ''];
    /** Every eviction that was asked for, by pod, and what came of it. */
    let evictions: string[] = [];

    beforeAll(async () => {
      // Without that plugin new nodes need no node controller to become usable.
      lab = await startLocalApi(93, { 'disable-admission-plugins': 'ServiceAccount,TaintNodesByCondition' });
      api = openKube({ server: lab.server, tlsServerName: apiName, ...lab.credentials });
      const controllers = startControllers(lab, ['replicaset-controller', 'disruption-controller']);
      const kubelets = playKubelets(lab);
      pods = watchPods(api, stop.signal);
      close = async () => {
        stop.abort();
        await kubelets.close();
        controllers.close();
        api.close();
        lab.close();
      };
    }, 150_000);
    afterAll(() => close());
    beforeEach(async () => {
      group = `t${++n}`;
      [here, there] = [`${group}-here`, `${group}-there`];
      evictions = [];
      for (const name of [here, there]) await labNode(lab, api, name, { group });
      await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: group } });
    });

    const watched = (): Pick<KubeApi, 'evict' | 'delete' | 'list'> => ({
      ...api,
      async evict(pod, signal) {
        const answer = await api.evict(pod, signal);
        evictions.push(`${pod.name} ${answer.state}`);
        return answer;
      },
    });
    const said: string[] = [];
    const drainHere = async (policy: Partial<DrainPolicy> = {}, signal: AbortSignal = AbortSignal.timeout(40_000)) => {
      await cordon(api, here, { runId: 'run-1' });
      const whole: DrainPolicy = { timeoutMs: 20_000, unmanaged: 'refuse', ...policy };
      return drain(watched(), here, { policy: whole, pods, signal, progress: (message) => void said.push(message) });
    };
    const podsNow = async (): Promise<readonly Pod[]> => (await api.list('v1', 'Pod', { namespace: group })).map(podOf);
    const on = async (node: string): Promise<readonly string[]> =>
      (await podsNow())
        .filter((pod) => pod.node === node)
        .map(({ name }) => name)
        .toSorted();
    const until = async (is: () => Promise<boolean>, what: string): Promise<void> => {
      for (const end = performance.now() + 60_000; performance.now() < end; await sleep(50)) if (await is()) return;
      throw new Error(`not within 60 s: ${what}`);
    };

    const spec = (over: object = {}) => ({
      nodeSelector: { group },
      automountServiceAccountToken: false,
      containers: [{ name: 'app', image: 'app' }],
      ...over,
    });
    const aPod = (name: string, metadata: object = {}, over: object = {}): Promise<KubeObject> =>
      api.apply({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: group, ...metadata },
        spec: spec({ nodeName: here, ...over }),
      });
    const ownedBy = (kind: string, apiVersion = 'apps/v1') => ({
      ownerReferences: [{ apiVersion, kind, name: 'owner', uid: 'f0a1', controller: true }],
    });
    const scale = (name: string, replicas: number): Promise<KubeObject> =>
      api.patch({ apiVersion: 'apps/v1', kind: 'ReplicaSet', namespace: group, name }, 'application/merge-patch+json', {
        spec: { replicas },
      });
    /** Its pods begin on the node that is to be drained: the other one is cordoned until they are ready. */
    async function aReplicaSet(name: string, replicas: number, annotations: Annotations = {}, over: object = {}): Promise<void> {
      const wanted = annotations['test/kubelet'] === 'gone' ? 'Pending' : 'Running';
      const other = { apiVersion: 'v1', kind: 'Node', name: there };
      await api.patch(other, 'application/merge-patch+json', { spec: { unschedulable: true } });
      await api.apply({
        apiVersion: 'apps/v1',
        kind: 'ReplicaSet',
        metadata: { name, namespace: group },
        spec: {
          replicas,
          selector: { matchLabels: { app: name } },
          template: { metadata: { labels: { app: name }, annotations }, spec: spec(over) },
        },
      });
      await until(
        async () =>
          (await podsNow()).filter((pod) => pod.labels.app === name && pod.phase === wanted && pod.node !== '').length ===
          replicas,
        `${name} runs`,
      );
      await api.patch(other, 'application/merge-patch+json', { spec: { unschedulable: null } });
    }
    async function aBudget(name: string, rule: object, app = name, counted: object = {}): Promise<void> {
      const metadata = { name, namespace: group };
      const budget = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget' };
      await api.apply({ ...budget, metadata, spec: { ...rule, selector: { matchLabels: { app } } } });
      await until(async () => {
        const status = (await api.get({ ...budget, ...metadata }))?.status;
        return Object.entries({ observedGeneration: 1, ...counted }).every(([key, value]) => Object(status)[key] === value);
      }, `${name} is counted`);
    }

    test('the pods of a node move to another, each asked once; what belongs to the node stays', async () => {
      await aReplicaSet('web', 4);
      await aBudget('web', { maxUnavailable: 2 }, 'web', { disruptionsAllowed: 2 });
      await aPod('daemon', ownedBy('DaemonSet'));
      await aPod('static', { annotations: { 'kubernetes.io/config.mirror': 'x' } });
      await aPod('left-alone', { annotations: { 'slipway.dev/drain': 'skip' } });
      const plan = drainPlan(await readDrainWorld(api), [
        { name: here, how: 'in-place', policy: { timeoutMs: 60_000, unmanaged: 'refuse' } },
      ]);
      expect(plan.nodes[0]?.stays.map(({ pod, because }) => `${pod.name}: ${because}`).toSorted()).toEqual([
        'daemon: of DaemonSet owner',
        'left-alone: its annotation slipway.dev/drain says skip',
        'static: a static pod of the node',
      ]);
      expect([plan.pods, plan.obstacles]).toEqual([4, []]);
      expect(await drainHere()).toEqual({ moved: 4, forced: [], left: [], cameBack: [] });
      expect(await on(here)).toEqual(['daemon', 'left-alone', 'static']);
      expect(evictions.filter((line) => line.endsWith('accepted'))).toHaveLength(4);
      await until(async () => (await on(there)).length === 4, 'they run there');
    });

    test('a budget that allows nothing stops it: the error names pod, budget and numbers, and nobody was evicted', async () => {
      await aReplicaSet('web', 2);
      await aBudget('web', { minAvailable: 2 }, 'web', { currentHealthy: 2 });
      const [first] = await on(here);
      const plan = drainPlan(await readDrainWorld(api), [
        { name: here, how: 'in-place', policy: { timeoutMs: 60_000, unmanaged: 'refuse' } },
      ]);
      expect(plan.obstacles).toMatchObject([
        { severity: 'error', where: `PodDisruptionBudget ${group}/web`, what: 'it allows no disruption, ever' },
      ]);
      const error = await drainHere({ timeoutMs: 1500 }).catch((failure: Error) => failure);
      expect(error).toMatchObject({
        problem: {
          what: '2 of 2 pods did not leave it within 1.5 s',
          where: `node ${here}`,
          why: expect.stringContaining(
            `${group}/${first}: PodDisruptionBudget ${group}/web keeps it (minAvailable 2: 2 of 2 pods are healthy, 2 must be)`,
          ),
        },
      });
      expect(await on(here)).toHaveLength(2);
      expect(said.at(-1)).toContain('The disruption budget web needs 2 healthy pods and has 2 currently');
    });

    test('pods that find no other node keep their budget from freeing up: the error says whom it waits for', async () => {
      await aReplicaSet('web', 2);
      await aBudget('web', { maxUnavailable: 1 }, 'web', { disruptionsAllowed: 1 });
      await cordon(api, there, { runId: 'run-1' });
      const why = expect.stringMatching(
        /PodDisruptionBudget t\d+\/web keeps it .*; t\d+\/web-\w+ finds no node: .*unschedulable/,
      );
      await expect(drainHere({ timeoutMs: 10_000 })).rejects.toMatchObject({
        problem: { what: '1 of 2 pods did not leave it within 10 s', why },
      });
    });

    test('a budget that frees up later is waited for, and no longer than it takes', async () => {
      await aReplicaSet('web', 2);
      await aBudget('web', { minAvailable: 2 }, 'web', { currentHealthy: 2 });
      const draining = drainHere();
      await sleep(2500);
      await scale('web', 3);
      const freed = performance.now();
      expect(await draining).toMatchObject({ moved: 2 });
      // One at a time: a pod there gets ready, the next one here may go.
      expect(performance.now() - freed).toBeLessThan(20_000);
    });

    test('a pod whose eviction was accepted, and which nobody deleted, is waited for until its budget has forgotten that', async () => {
      await aReplicaSet('web', 3);
      await aBudget('web', { maxUnavailable: 1 }, 'web', { disruptionsAllowed: 1 });
      const [first = ''] = await on(here);
      const budget = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', namespace: group, name: 'web' };
      // As the API server writes it, before it deletes the pod: 100 of 120 s ago.
      const disruptedPods = { [first]: new Date(Date.now() - 100_000).toISOString() };
      await api.patchStatus(budget, 'application/merge-patch+json', { status: { disruptionsAllowed: 0, disruptedPods } });
      expect(await drainHere({ timeoutMs: 25_000 }, AbortSignal.timeout(100_000))).toMatchObject({ moved: 3, forced: [] });
      expect(said.filter((line) => line.startsWith('waits up to'))).toEqual([
        expect.stringMatching(`for PodDisruptionBudget ${group}/web: an eviction of ${group}/${first} on ${here} was accepted`),
      ]);
    }, 150_000);

    test('after forceAfter the budget counts no more, and grace periods do', async () => {
      await aReplicaSet('web', 2, { 'test/sigterm': 'ignored' }, { terminationGracePeriodSeconds: 2 });
      await aBudget('web', { maxUnavailable: 0 }, 'web', { currentHealthy: 2 });
      const names = await on(here);
      const start = performance.now();
      const { moved, forced } = await drainHere({ timeoutMs: 1000, forceAfterMs: 1500 });
      expect([moved, forced.toSorted()]).toEqual([0, names.map((name) => `${group}/${name}`)]);
      expect(performance.now() - start).toBeGreaterThan(3400);
    });

    test('a pod whose kubelet is gone is deleted without a grace period, once that is over', async () => {
      await aReplicaSet('web', 1, { 'test/kubelet': 'gone' }, { terminationGracePeriodSeconds: 1 });
      const names = await on(here);
      const error = await drainHere({ timeoutMs: 2500 }).catch((failure: Error) => failure);
      expect(error).toMatchObject({
        problem: {
          why: expect.stringMatching(/it has been stopping for \d+ s, with a grace period of 1 s: its containers still run/),
        },
      });
      expect(await drainHere({ timeoutMs: 1000, forceAfterMs: 500 })).toMatchObject({ forced: [`${group}/${names[0]}`] });
      expect(evictions).toEqual([`${names[0]} accepted`]);
    });

    test('a pod that ignores SIGTERM goes by its grace period', async () => {
      await aReplicaSet('web', 1, { 'test/sigterm': 'ignored' }, { terminationGracePeriodSeconds: 2 });
      const start = performance.now();
      expect(await drainHere()).toEqual({ moved: 1, forced: [], left: [], cameBack: [] });
      expect(performance.now() - start).toBeGreaterThan(2000);
      expect(evictions).toHaveLength(1);
    });

    test('a finalizer that nobody takes keeps the object, not the drain', async () => {
      await aPod('kept', { ...ownedBy('ReplicaSet'), finalizers: ['example.com/forever'] });
      await until(async () => (await podsNow())[0]?.phase === 'Running', 'it runs');
      expect(await drainHere()).toEqual({ moved: 1, forced: [], left: [`${group}/kept`], cameBack: [] });
      expect(await podsNow()).toMatchObject([{ terminating: true, stopped: true, finalizers: ['example.com/forever'] }]);
      const name = { apiVersion: 'v1', kind: 'Pod', namespace: group, name: 'kept' };
      await api.patch(name, 'application/merge-patch+json', { metadata: { finalizers: null } });
    });

    test('two budgets on one pod: the API evicts it never, and the error says so', async () => {
      await aReplicaSet('web', 2);
      await aBudget('one', { maxUnavailable: 1 }, 'web');
      await aBudget('two', { maxUnavailable: 1 }, 'web');
      await expect(drainHere({ timeoutMs: 1200 })).rejects.toMatchObject({
        problem: { why: expect.stringContaining('several disruption budgets select it (one, two)') },
      });
    });

    test('a pod without a controller stops it before anybody is evicted, unless its end is allowed', async () => {
      await aReplicaSet('web', 1);
      await aPod('alone');
      await expect(drainHere()).rejects.toMatchObject({ problem: { why: `${group}/alone` } });
      expect(evictions).toEqual([]);
      expect(await drainHere({ unmanaged: 'evict' })).toMatchObject({ moved: 2 });
    });

    test('what the system needs goes when all others are gone', async () => {
      await aReplicaSet('dns', 1, {}, { priorityClassName: 'system-cluster-critical' });
      await aReplicaSet('slow', 1, { 'test/sigterm': 'ignored' }, { terminationGracePeriodSeconds: 2 });
      await drainHere();
      expect(evictions.map((line) => line.replace(/-.*/, ''))).toEqual(['slow', 'dns']);
    });

    test('pods that pass the cordon by and come back again and again are let be', async () => {
      await aReplicaSet('bound', 2, {}, { nodeName: here });
      const { cameBack } = await drainHere({ timeoutMs: 15_000 });
      expect(cameBack).toHaveLength(2);
      expect(evictions).toHaveLength(4);
    });

    test('interrupted it ends at once; the next one asks nobody twice', async () => {
      await aReplicaSet('web', 2, { 'test/sigterm': 'ignored' }, { terminationGracePeriodSeconds: 3 });
      const cut = new AbortController();
      const first = drainHere({}, cut.signal);
      await until(async () => evictions.length === 2, 'both are evicted');
      cut.abort(new Error('Ctrl-C'));
      await expect(first).rejects.toThrow('Ctrl-C');
      expect(await drainHere()).toMatchObject({ moved: 2 });
      expect(evictions).toHaveLength(2);
    });

    test('an API server that stands still for a while is waited for', async () => {
      await aReplicaSet('web', 2, { 'test/sigterm': 'ignored' }, { terminationGracePeriodSeconds: 1 });
      const draining = drainHere({ timeoutMs: 30_000 });
      await sleep(300);
      lab.signal('SIGSTOP');
      await sleep(4000);
      lab.signal('SIGCONT');
      expect(await draining).toMatchObject({ moved: 2 });
    });

    describe('cordons', () => {
      const cordoned = async (): Promise<boolean> => {
        const node = await api.get({ apiVersion: 'v1', kind: 'Node', name: here });
        return node !== undefined && isCordoned(node);
      };
      /** As kubectl cordon and uncordon do. */
      const somebody = (unschedulable: true | null): Promise<KubeObject> =>
        api.patch({ apiVersion: 'v1', kind: 'Node', name: here }, 'application/strategic-merge-patch+json', {
          spec: { unschedulable },
        });

      test('ours is undone, also by another run than made it', async () => {
        expect(await cordon(api, here, { runId: 'run-1' })).toEqual({ alsoBy: 'nobody else' });
        expect(await cordon(api, here, { runId: 'run-2' })).toEqual({ alsoBy: 'nobody else' });
        expect(await cordoned()).toBe(true);
        await uncordon(api, here);
        expect(await cordoned()).toBe(false);
        expect((await api.get({ apiVersion: 'v1', kind: 'Node', name: here }))?.metadata.annotations).toBeUndefined();
        await uncordon(api, here);
      });

      test("somebody else's, made before or after ours, stays", async () => {
        await somebody(true);
        expect(await cordon(api, here, { runId: 'run-1' })).toEqual({ alsoBy: 'somebody else' });
        await uncordon(api, here);
        expect(await cordoned()).toBe(true);
        await uncordon(api, here);
        expect(await cordoned()).toBe(true);
      });

      test('ours, undone by somebody and made anew by somebody, is theirs', async () => {
        await cordon(api, here, { runId: 'run-1' });
        await somebody(null);
        await somebody(true);
        await uncordon(api, here);
        expect(await cordoned()).toBe(true);
      });

      test('the soft taint is on the nodes that are due and on no others, and no difference to kube.node', async () => {
        const nodes = async () => (await api.list('v1', 'Node', { labelSelector: `group=${group}` })) as KubeObject[];
        const taints = async () =>
          (await nodes()).map((node) => Object(node.spec).taints?.map(({ key }: { key: string }) => key));
        const other = { key: 'example.com/x', effect: 'NoSchedule' };
        await api.patch({ apiVersion: 'v1', kind: 'Node', name: here }, 'application/merge-patch+json', {
          spec: { taints: [other] },
        });
        const before = await observed();
        // Of an old list: somebody has changed the node since.
        const old = await nodes();
        await cordon(api, here, { runId: 'run-1' });
        await preferNoSchedule(api, old, new Set([here, there]));
        expect(await taints()).toEqual([['example.com/x', 'slipway.dev/upgrade'], ['slipway.dev/upgrade']]);
        expect(await observed()).toEqual(before);
        await uncordon(api, here);
        expect(await taints()).toEqual([['example.com/x'], ['slipway.dev/upgrade']]);
        await preferNoSchedule(api, await nodes(), new Set([here]));
        await preferNoSchedule(api, await nodes(), new Set([there]));
        expect(await taints()).toEqual([['example.com/x'], ['slipway.dev/upgrade']]);
        await preferNoSchedule(api, await nodes(), new Set());
        expect(await taints()).toEqual([['example.com/x'], undefined]);
      });
      async function observed(): Promise<unknown> {
        const read = async () => api.list('v1', 'Node', { labelSelector: `group=${group}` });
        const seen = await kubeNode.observe({ clients: {} as never, signal: stop.signal, read: read as never });
        return [...seen];
      }
    });
  },
);
