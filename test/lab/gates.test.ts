import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ManifestObject } from '../../src/config/manifest-object.ts';
import { type KubeApi, openKube } from '../../src/kube/client.ts';
import { openHttp } from '../../src/kube/http.ts';
import { runJob } from '../../src/rollout/gate-job.ts';
import { apiName, type LocalApi, startLocalApi } from '../support/local-api.ts';
import { labNode, missingControllers, startControllers } from '../support/local-controllers.ts';

/** Jobs as gates against an unmodified API server, Job controller and scheduler; the test plays the kubelet. */
describe.skipIf(missingControllers)(`gates${missingControllers ? `: skipped, ${missingControllers}` : ''}`, () => {
  let lab: LocalApi;
  let api: KubeApi;
  let close = (): void => {};
  beforeAll(async () => {
    lab = await startLocalApi(94, { 'disable-admission-plugins': 'ServiceAccount,TaintNodesByCondition' });
    api = openKube({ server: lab.server, tlsServerName: apiName, ...lab.credentials });
    const controllers = startControllers(lab, ['job-controller', 'garbage-collector-controller']);
    close = () => {
      controllers.close();
      api.close();
      lab.close();
    };
    await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'gates' } });
    await labNode(lab, api, 'node-1', {});
  });
  afterAll(() => close());

  const manifest: ManifestObject = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'smoke', namespace: 'gates' },
    spec: {
      backoffLimit: 0,
      template: { spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'x' }] } },
    },
  };
  const run = (suffix: string, timeoutMs: number, signal = AbortSignal.timeout(100_000)) =>
    runJob(api, {
      manifest,
      suffix,
      labels: { 'slipway.dev/gate': 'smoke' },
      env: { SLIPWAY_CLUSTER: 'demo' },
      timeoutMs,
      signal,
    });
  const podsOf = (suffix: string) => api.list('v1', 'Pod', { namespace: 'gates', labelSelector: `job-name=smoke-${suffix}` });
  const until = async <T>(look: () => Promise<T | undefined>, what: string): Promise<T> => {
    for (const end = performance.now() + 60_000; performance.now() < end; await sleep(50)) {
      const found = await look();
      if (found !== undefined) return found;
    }
    throw new Error(`not within 60 s: ${what}`);
  };
  const pod = (suffix: string) => until(async () => (await podsOf(suffix))[0], `a pod of smoke-${suffix}`);
  const end = async (suffix: string, phase: 'Succeeded' | 'Failed'): Promise<void> => {
    const { metadata } = await pod(suffix);
    const http = openHttp({ server: lab.server, tlsServerName: apiName, ...lab.credentials });
    await http.json(`/api/v1/namespaces/gates/pods/${metadata.name}/status`, {
      method: 'PATCH',
      contentType: 'application/merge-patch+json',
      body: { status: { phase } },
    });
    http.close();
  };
  const gone = (suffix: string) =>
    until(
      async () =>
        (await api.get({ apiVersion: 'batch/v1', kind: 'Job', name: `smoke-${suffix}`, namespace: 'gates' })) ? undefined : true,
      `no Job smoke-${suffix}`,
    );

  test('a Job that completes is a gate that passes, and is deleted', async () => {
    const [asked] = await Promise.all([run('aa', 30_000), end('aa', 'Succeeded')]);
    expect(asked).toEqual({ name: 'gates/smoke-aa', failure: undefined, lastLines: [] });
    await gone('aa');
  });
  test('its containers know the cluster', async () => {
    const [{ spec }] = await Promise.all([pod('bb'), run('bb', 30_000), end('bb', 'Succeeded')]);
    expect(spec).toMatchObject({ containers: [{ env: [{ name: 'SLIPWAY_CLUSTER', value: 'demo' }] }] });
  });
  test('a Job whose pod fails is a gate that fails', async () => {
    const [asked] = await Promise.all([run('cc', 30_000), end('cc', 'Failed')]);
    expect(asked.failure).toBe('BackoffLimitExceeded: Job has reached the specified backoff limit');
    await gone('cc');
  });
  test('a Job without end is given up, says what it waits for, and is deleted', async () => {
    const large = {
      ...manifest,
      spec: {
        template: { spec: { restartPolicy: 'Never', nodeSelector: { no: 'where' }, containers: [{ name: 'main', image: 'x' }] } },
      },
    };
    const asked = await runJob(api, {
      manifest: large,
      suffix: 'dd',
      labels: {},
      env: {},
      timeoutMs: 15_000,
      signal: AbortSignal.timeout(60_000),
    });
    expect(asked).toMatchObject({
      failure: 'it had no end in time',
      lastLines: [expect.stringContaining('has no node: 0/1 nodes are available')],
    });
    await gone('dd');
  });
  test('is deleted when the rollout stops', async () => {
    const stop = new AbortController();
    const asked = run('ee', 30_000, stop.signal).catch((error: unknown) => error);
    await pod('ee');
    const reason = new Error('stopped');
    stop.abort(reason);
    expect(await asked).toBe(reason);
    await gone('ee');
  });
});
