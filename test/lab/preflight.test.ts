import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type KubeApi, openKube } from '../../src/kube/client.ts';
import { deprecatedApis, storedObjects } from '../../src/rollout/preflight/apis.ts';
import { type ApiWorld, readApiWorld } from '../../src/rollout/preflight/preflight.ts';
import { orphanedObjects } from '../../src/rollout/preflight/stored-kinds.ts';
import { apiName, type LocalApi, missingApi, startLocalApi } from '../support/local-api.ts';

/** An unmodified API server: its own count of deprecated APIs, its own managed fields. */
describe.skipIf(missingApi)(`preflight of an upgrade${missingApi ? `: skipped, ${missingApi}` : ''}`, () => {
  let lab: LocalApi;
  let api: KubeApi;
  const { signal } = new AbortController();
  const look = (): Promise<ApiWorld> =>
    readApiWorld(api, async (ask) => new Map([['master-a', await ask(api)]]), { from: '1.36.3', to: '1.37.0', signal });

  beforeAll(async () => {
    lab = await startLocalApi(95, {
      'runtime-config': 'networking.k8s.io/v1beta1=true,certificates.k8s.io/v1alpha1=true',
      'feature-gates': 'ClusterTrustBundle=true',
      'etcd-count-metric-poll-period': '1s',
    });
    api = openKube({ server: lab.server, tlsServerName: apiName, ...lab.credentials });
  }, 150_000);
  afterAll(() => {
    api?.close();
    lab?.close();
  });

  test('an API that the target has removed is found in its own count and in what was written, and nothing else is', async () => {
    const before = await look();
    expect(deprecatedApis(before.metrics, '1.37.0')).toEqual([]);
    await api.apply(
      {
        apiVersion: 'networking.k8s.io/v1beta1',
        kind: 'ServiceCIDR',
        metadata: { name: 'more' },
        ...{ spec: { cidrs: ['10.97.0.0/24'] } },
      },
      { manager: 'helm' },
    );
    const after = await look();
    expect(deprecatedApis(after.metrics, '1.37.0').map(({ severity, where }) => `${severity} ${where}`)).toEqual([
      'error networking.k8s.io/v1beta1 servicecidrs',
    ]);
    expect(storedObjects(after.objects, '1.37.0').map(({ where, why }) => `${where} ${why}`)).toEqual([
      'ServiceCIDR/more by helm',
    ]);
    expect(deprecatedApis(after.metrics, '1.36.9').map(({ severity }) => severity)).toEqual(['warning']);
  });

  test('objects of a kind that goes in all of its versions are counted, and asked for by no version of it', async () => {
    const orphans = async () => {
      const { lonely = [], metrics } = await look();
      return orphanedObjects(lonely, metrics, '1.37.0').map(({ severity, where, what }) => `${severity} ${where}: ${what}`);
    };
    expect(await orphans()).toEqual([]);
    const { metrics } = await look();
    expect(deprecatedApis(metrics, '1.37.0').filter(({ where }) => where.includes('clustertrustbundles'))).toEqual([]);
    const bundle = { apiVersion: 'certificates.k8s.io/v1alpha1', kind: 'ClusterTrustBundle', metadata: { name: 'roots' } };
    await api.apply({ ...bundle, ...{ spec: { trustBundle: lab.authority.certPem } } });
    await expect
      .poll(orphans, { timeout: 20_000, interval: 300 })
      .toEqual([
        'error clustertrustbundles.certificates.k8s.io: an object of it is stored as certificates.k8s.io/v1alpha1, and Kubernetes 1.37 does not know that version',
      ]);
  });
});
