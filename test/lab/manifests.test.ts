import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseManifest } from '../../src/config/manifests.ts';
import type { KubeApi } from '../../src/kube/client.ts';
import type { KubeClients } from '../../src/kube/clients.ts';
import { connectKube } from '../../src/kube/connect.ts';
import { manifestResources } from '../../src/kube/manifests.ts';
import { kubeAddon } from '../../src/kube/types/addon.ts';
import { kubeHolders, kubeObjects } from '../../src/kube/types/manifests.ts';
import { choose } from '../../src/plan/choose.ts';
import { type Difference, diff } from '../../src/plan/diff.ts';
import { ObservedMap } from '../../src/plan/observed.ts';
import type { Context, ResourceType } from '../../src/plan/resource.ts';
import { apiName, type LocalApi, missingApi, startLocalApi } from '../support/local-api.ts';

const definition = (plural: string, kind: string, scope: 'Namespaced' | 'Cluster', versions: readonly string[] = ['v1']) => `---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: ${plural}.example.com, creationTimestamp: null }
status: { conditions: [], storedVersions: [] }
spec:
  group: example.com
  scope: ${scope}
  names: { plural: ${plural}, singular: ${kind.toLowerCase()}, kind: ${kind} }
  versions:
${versions.map((name, i) => `  - { name: ${name}, served: true, storage: ${i === 0}, schema: { openAPIV3Schema: { type: object, properties: { spec: { type: object, properties: { size: { type: integer }, free: { type: object, x-kubernetes-preserve-unknown-fields: true } } } } } } }`).join('\n')}
`;
const widget = (name: string, size: number) => `---
apiVersion: example.com/v1
kind: Widget
metadata: { name: ${name} }
spec: { size: ${size}, free: { not: known } }
`;
const configMap = (name: string, value: string, namespace?: string) => `---
apiVersion: v1
kind: ConfigMap
metadata: { name: ${name}${namespace ? `, namespace: ${namespace}` : ''} }
data: { value: ${value} }
`;
const secret = (value: string) => `---
apiVersion: v1
kind: Secret
metadata: { name: login }
stringData: { password: ${value} }
`;
const pod = `---
apiVersion: v1
kind: Pod
metadata: { name: alone }
spec:
  containers: [{ name: main, image: example.com/image, ports: [{ containerPort: 80 }] }]
`;
const job = `---
apiVersion: batch/v1
kind: Job
metadata: { name: once }
spec: { template: { spec: { restartPolicy: Never, containers: [{ name: main, image: example.com/image }] } } }
`;
const web = `---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, labels: { app: web } }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
      - { name: web, image: example.com/web, resources: { limits: { cpu: "1000m", memory: 1024Mi } }, ports: [{ containerPort: 80 }] }
      volumes: [{ name: s, secret: { secretName: login, defaultMode: 0400 } }]
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80 }] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: all-of-it, namespace: ignored }
aggregationRule: { clusterRoleSelectors: [{ matchLabels: { x: other } }] }
rules: []
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: web }
spec: { scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: web }, maxReplicas: 3 }
`;

/** The types of addons.manifests against an unmodified kube-apiserver. It has no controllers: nothing is garbage collected, no namespace ever goes. */
describe.skipIf(missingApi)(`a real API server${missingApi ? `: skipped, ${missingApi}` : ''}`, { timeout: 120_000 }, () => {
  let lab: LocalApi;
  let api: KubeApi;
  const open: KubeClients[] = [];
  const types = new Map<string, ResourceType<object, object, KubeClients>>(
    [kubeHolders, kubeObjects].map((type) => [type.name, type]),
  );

  /** What `plan` and `up` do with one file. */
  function cluster(text: string) {
    const { manifests, problems } = parseManifest(text, 'app.yaml');
    expect(problems).toEqual([]);
    const desired = manifestResources(manifests, []);
    const clients = connectKube({
      uid: 'uid-1',
      access: () => ({
        bastion: undefined,
        hosts: new Map([['master-a', { state: 'unreachable', why: 'not in this test' }]]),
        api: { server: lab.server, tlsServerName: apiName, via: 'direct' },
      }),
      masters: ['master-a'],
      credentials: async () => lab.credentials,
      initialised: async () => true,
      manifests,
      now: () => Date.now(),
    });
    open.push(clients);
    const progress: string[] = [];
    const look = async (): Promise<{ seen: ObservedMap; found: readonly Difference[] }> => {
      const seen = new ObservedMap();
      const signal = AbortSignal.timeout(20_000);
      for (const type of types.values())
        seen.add(await type.observe({ clients, signal, read: (query) => query(clients, signal) }));
      return { seen, found: diff(desired, seen, new Map([...types]) as never) };
    };
    const differences = async () =>
      (await look()).found.flatMap(({ address, action, fields }) =>
        action === 'update' ? fields.map(({ path }) => path.replace('objects.', '')) : [`${action} ${address}`],
      );
    const carryOut = async (allowDataLoss = false): Promise<void> => {
      const { seen, found } = await look();
      const changes = choose(found, desired, types as never, { command: 'up', allowDataLoss });
      for (const { address, action, when } of changes) {
        if ('left' in when) continue;
        const hold = changes
          .filter((c) => c.address === address && 'left' in c.when)
          .flatMap((c) => c.fields.map(({ path }) => path));
        const ctx: Context<KubeClients> = {
          address,
          clients,
          signal: AbortSignal.timeout(100_000),
          token: '',
          since: 0,
          hold,
          secrets: { reveal: async () => new Uint8Array() },
          progress: (message) => void progress.push(message),
        };
        const type = types.get(address.slice(0, address.indexOf('/')));
        const before = seen.get(address);
        const props = desired.find((resource) => resource.address === address)?.props ?? {};
        if (action === 'delete') await type?.delete?.(before?.state === 'present' ? before.outputs : {}, ctx);
        else if (before?.state === 'present') await type?.update?.(props, before.outputs, ctx);
        else await type?.create?.(props, ctx);
      }
    };
    return { differences, carryOut, progress, found: async () => (await look()).found };
  }
  const get = (apiVersion: string, kind: string, name: string, namespace?: string) =>
    api.get({ apiVersion, kind, name, namespace });
  const inDefault = (kind: string, name: string) => get('v1', kind, name, 'default');
  const empty = () => cluster('').carryOut(true);

  beforeAll(async () => {
    lab = await startLocalApi(92);
    const clients = connectKube({
      uid: 'uid-1',
      access: () => ({
        bastion: undefined,
        hosts: new Map(),
        api: { server: lab.server, tlsServerName: apiName, via: 'direct' },
      }),
      masters: [],
      credentials: async () => lab.credentials,
      initialised: async () => true,
      now: () => Date.now(),
    });
    open.push(clients);
    api = await clients.api({ waitMs: 20_000 });
  }, 90_000);
  afterAll(() => {
    for (const clients of open) clients.close();
    lab?.close();
  });

  test('a cluster without manifests is asked one question and has no differences', async () => {
    expect(await cluster('').differences()).toEqual([]);
  });

  test('a definition and objects of its kind at once, in whatever order; then nothing differs', async () => {
    const text = `${widget('one', 1)}${pod}${job}${web}${configMap('settings', 'a')}${secret('hunter2')}${definition('widgets', 'Widget', 'Namespaced')}`;
    const it = cluster(text);
    expect(await it.differences()).toEqual(['create kube.holders/manifests', 'create kube.objects/manifests']);
    await it.carryOut();
    expect(await it.differences()).toEqual([]);
    expect(await get('example.com/v1', 'Widget', 'one', 'default')).toMatchObject({ spec: { size: 1 } });
    expect(await inDefault('Secret', 'login')).toMatchObject({ data: { password: 'aHVudGVyMg==' } });
    expect(JSON.stringify([await it.found(), it.progress])).not.toMatch(/hunter2|aHVudGVyMg/);
  });

  test('an edit is one difference; of a Secret only that it is one', async () => {
    const text = `${configMap('settings', 'b')}${secret('other')}`;
    await cluster(`${configMap('settings', 'a')}${secret('hunter2')}`).carryOut(true);
    const it = cluster(text);
    expect(await it.differences()).toEqual(['ConfigMap/settings', 'Secret/login']);
    expect(JSON.stringify(await it.found())).not.toMatch(/hunter2|other"|aHVudGVyMg|b3RoZXI/);
    await it.carryOut();
    expect(await it.differences()).toEqual([]);
    expect(await inDefault('ConfigMap', 'settings')).toMatchObject({ data: { value: 'b' } });
  });

  test('what somebody changed of ours is mended; what somebody added stays', async () => {
    const it = cluster(configMap('settings', 'b'));
    await it.carryOut(true);
    await api.apply(
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'settings', namespace: 'default' },
        data: { value: 'c', more: 'yes' },
      },
      { manager: 'somebody' },
    );
    expect(await it.differences()).toEqual(['ConfigMap/settings']);
    await it.carryOut();
    expect(await it.differences()).toEqual([]);
    expect(await inDefault('ConfigMap', 'settings')).toMatchObject({ data: { value: 'b', more: 'yes' } });
  });

  test('what is in no file any more is deleted, of every kind; kinds of definitions too', async () => {
    await cluster(
      `${widget('one', 1)}${pod}${job}${web}${secret('hunter2')}${definition('widgets', 'Widget', 'Namespaced')}`,
    ).carryOut(true);
    expect(await inDefault('Pod', 'alone')).toBeDefined();
    const it = cluster(definition('widgets', 'Widget', 'Namespaced'));
    expect(await it.differences()).toEqual(['delete kube.objects/manifests']);
    await it.carryOut();
    expect(await it.differences()).toEqual([]);
    for (const [version, kind, name] of [
      ['v1', 'Pod', 'alone'],
      ['v1', 'Secret', 'login'],
      ['v1', 'Service', 'web'],
      ['apps/v1', 'Deployment', 'web'],
      ['batch/v1', 'Job', 'once'],
      ['example.com/v1', 'Widget', 'one'],
      ['autoscaling/v2', 'HorizontalPodAutoscaler', 'web'],
    ] as const)
      expect(await get(version, kind, name, 'default'), `${kind} ${name}`).toBeUndefined();
    expect((await get('v1', 'ConfigMap', 'slipway-manifests', 'kube-system'))?.data).toEqual({
      'CustomResourceDefinition.apiextensions.k8s.io': 'apiextensions.k8s.io/v1',
    });
  });

  test('a definition is deleted with --allow-data-loss only, and so is the last of what holds others', async () => {
    const both = `${definition('widgets', 'Widget', 'Namespaced')}${definition('gears', 'Gear', 'Cluster')}`;
    await cluster(both).carryOut(true);
    const one = cluster(definition('widgets', 'Widget', 'Namespaced'));
    await one.carryOut();
    expect(await one.differences()).toEqual(['CustomResourceDefinition.apiextensions.k8s.io/gears.example.com']);
    await cluster('').carryOut();
    expect(await get('apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'widgets.example.com')).toBeDefined();
    await one.carryOut(true);
    expect(await one.differences()).toEqual([]);
    expect(await get('apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'gears.example.com')).toBeUndefined();
    await empty();
    expect(await cluster('').differences()).toEqual([]);
  });

  test('objects of a kind whose recorded version is served no more are found by another', async () => {
    await cluster(
      `${definition('widgets', 'Widget', 'Namespaced', ['v1', 'v1beta1'])}${widget('old', 1).replace('/v1', '/v1beta1')}`,
    ).carryOut(true);
    const it = cluster(definition('widgets', 'Widget', 'Namespaced', ['v1']));
    await it.carryOut(true);
    expect(await it.differences()).toEqual([]);
    expect(await get('example.com/v1', 'Widget', 'old', 'default')).toBeUndefined();
    await empty();
  });

  test('a field that a definition does not know is refused, and said', async () => {
    const text = `${definition('widgets', 'Widget', 'Namespaced')}${widget('one', 1).replace('free', 'unknown')}`;
    await expect(cluster(text).carryOut()).rejects.toThrow(
      /Widget\.example\.com\/one could not be applied\n.*unknown: field not declared/,
    );
    await empty();
  });

  test("somebody else's object is never deleted: one that was there before is let go as it stands", async () => {
    await api.apply(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'theirs', namespace: 'default' }, data: { more: 'yes' } },
      { manager: 'somebody' },
    );
    const it = cluster(`${configMap('theirs', 'a')}${configMap('ours', 'a')}`);
    await it.carryOut();
    expect(await it.differences()).toEqual([]);
    await it.carryOut();
    await empty();
    expect(await inDefault('ConfigMap', 'ours')).toBeUndefined();
    expect(await inDefault('ConfigMap', 'theirs')).toMatchObject({ data: { value: 'a', more: 'yes' } });
    expect(JSON.stringify((await inDefault('ConfigMap', 'theirs'))?.metadata.labels ?? {})).not.toContain('slipway');
    expect(await cluster('').differences()).toEqual([]);
  });

  test("somebody else's object with copied labels, one whose label was taken away, and one made anew are not ours", async () => {
    await cluster(`${configMap('taken', 'a')}${configMap('ours', 'a')}`).carryOut(true);
    const label = 'slipway.dev/manifest';
    await api.apply(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'copied', namespace: 'default', labels: { [label]: '' } } },
      { manager: 'endpoints-controller' },
    );
    const name = { apiVersion: 'v1', kind: 'ConfigMap', name: 'taken', namespace: 'default' };
    await api.patch(name, 'application/merge-patch+json', { metadata: { labels: { [label]: null } } });
    const it = cluster('');
    expect((await it.found()).map(({ action, address }) => `${action} ${address}`)).toEqual(['delete kube.objects/manifests']);
    await it.carryOut();
    expect(await it.differences()).toEqual([]);
    expect(await inDefault('ConfigMap', 'copied')).toBeDefined();
    expect(await inDefault('ConfigMap', 'taken')).toBeDefined();
    expect(await inDefault('ConfigMap', 'ours')).toBeUndefined();
  });

  test('an apply that was cut between the object and its marks is a difference, and the object is ours', async () => {
    await cluster(configMap('cut', 'a')).carryOut(true);
    const name = { apiVersion: 'v1', kind: 'ConfigMap', name: 'cut', namespace: 'default' };
    const nothing = { 'slipway.dev/digest': null, 'slipway.dev/owned-fields': null };
    await api.patch(name, 'application/merge-patch+json', { metadata: { annotations: nothing } });
    expect(await cluster(configMap('cut', 'a')).differences()).toEqual(['ConfigMap/cut']);
    await empty();
    expect(await inDefault('ConfigMap', 'cut')).toBeUndefined();
  });

  test('a lost record of kinds is written again', async () => {
    const it = cluster(configMap('settings', 'a'));
    await it.carryOut(true);
    await api.delete({ apiVersion: 'v1', kind: 'ConfigMap', name: 'slipway-manifests', namespace: 'kube-system' });
    expect(await it.differences()).toEqual(['recorded']);
    await it.carryOut();
    expect(await it.differences()).toEqual([]);
    await empty();
  });

  test('refusals name the object and its place, all at once; of a Secret without the API quoting it', async () => {
    const wrong = `${configMap('ok', 'a')}---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: first }\ndata: { a: { b: c } }\n---\napiVersion: v1\nkind: Secret\nmetadata: { name: login }\ntype: 7\nimmutable: hunter2\n`;
    const failure = cluster(wrong).carryOut();
    await expect(failure).rejects.toThrow(/app\.yaml:7: ConfigMap\/first could not be applied/);
    await expect(failure).rejects.toThrow(/app\.yaml:12: Secret\/login could not be applied/);
    await expect(failure).rejects.not.toThrow(/hunter2/);
    expect(await inDefault('ConfigMap', 'ok')).toBeDefined();
    await expect(cluster(configMap('x', 'a', 'nowhere')).carryOut()).rejects.toThrow(/add the Namespace to your manifests/);
    await expect(cluster('apiVersion: apps/v1\nkind: Deploymnet\nmetadata: { name: x }\n').carryOut()).rejects.toThrow(
      /knows no Deploymnet/,
    );
    await empty();
  });

  test('a Job cannot be edited: what to do is said', async () => {
    await cluster(job).carryOut(true);
    await expect(cluster(job.replace('example.com/image', 'example.com/other')).carryOut()).rejects.toThrow(
      /cluster kubectl -- delete Job once/,
    );
    await empty();
  });

  test('a kind that appears only while manifests are applied is waited for', async () => {
    const it = cluster(widget('late', 1));
    const running = it.carryOut();
    await new Promise((wake) => setTimeout(wake, 2500));
    const [late] = parseManifest(definition('widgets', 'Widget', 'Namespaced'), 'x').manifests;
    if (late) await api.apply(late.object as never, { manager: 'an-operator' });
    await running;
    expect(it.progress.join()).toContain('Widget.example.com/late waits');
    expect(await it.differences()).toEqual([]);
    await empty();
  });

  test('a webhook that does not answer yet is waited for', async () => {
    const webhook = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name: 'closed' },
      webhooks: [
        {
          name: 'closed.example.com',
          clientConfig: { url: 'https://127.0.0.1:9/' },
          rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['*'], resources: ['configmaps'], scope: 'Namespaced' }],
          objectSelector: { matchLabels: { ask: 'webhook' } },
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
        },
      ],
    };
    await api.apply(webhook, { manager: 'somebody' });
    const it = cluster(configMap('asked', 'a').replace('name: asked', 'name: asked, labels: { ask: webhook }'));
    const running = it.carryOut();
    await new Promise((wake) => setTimeout(wake, 3500));
    await api.delete({ apiVersion: webhook.apiVersion, kind: webhook.kind, name: 'closed' });
    await running;
    expect(it.progress.join()).toMatch(/ConfigMap\/asked waits: .*failed calling webhook/);
    expect(await it.differences()).toEqual([]);
    await empty();
  });

  test('objects that a dead webhook should convert are unknown, and never absent', async () => {
    const converting = definition('widgets', 'Widget', 'Namespaced', ['v1', 'v1beta1']).replace(
      '  scope:',
      `  conversion: { strategy: Webhook, webhook: { conversionReviewVersions: [v1], clientConfig: { url: "https://127.0.0.1:9/" } } }\n  scope:`,
    );
    const text = `${converting}${widget('one', 1)}`;
    await cluster(text).carryOut(true);
    expect(await cluster(text).differences()).toEqual([]);
    const other = cluster(text.replace('example.com/v1\nkind: Widget', 'example.com/v1beta1\nkind: Widget'));
    expect((await other.found()).map(({ action, address }) => `${action} ${address}`)).toEqual([
      'unknown kube.holders/manifests',
      'unknown kube.objects/manifests',
    ]);
    await cluster(text).carryOut(true);
    await empty();
  });

  test('what an addon leaves and a manifest takes over stays in place, and goes with the manifest', async () => {
    const name = { apiVersion: 'v1', kind: 'ConfigMap', name: 'moved', namespace: 'default' };
    const clients = open[0];
    if (!clients) throw new Error('not connected');
    const ctx: Context<KubeClients> = {
      address: 'kube.addon/old',
      clients,
      signal: AbortSignal.timeout(20_000),
      token: '',
      since: 0,
      hold: [],
      secrets: { reveal: async () => new Uint8Array() },
      progress: () => {},
    };
    const object = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'moved', namespace: 'default' },
      data: { value: 'a' },
    };
    const outputs = await kubeAddon.create?.({ objects: { 'ConfigMap/default/moved': object } }, ctx);
    const before = await api.get(name);
    const it = cluster(configMap('moved', 'a'));
    await it.carryOut();
    if (outputs) await kubeAddon.delete?.(outputs, ctx);
    expect((await api.get(name))?.metadata.uid).toBe(before?.metadata.uid);
    expect((await api.get(name))?.metadata.labels).not.toHaveProperty(['slipway.dev/addon']);
    expect(await it.differences()).toEqual([]);
    await empty();
    expect(await api.get(name)).toBeUndefined();
  });

  test('a hundred objects take seconds', async () => {
    const text = Array.from({ length: 100 }, (_, i) => configMap(`many-${i}`, 'a')).join('');
    const start = performance.now();
    await cluster(text).carryOut();
    const look = performance.now();
    expect(await cluster(text).differences()).toEqual([]);
    console.log(`100 objects applied: ${Math.round(look - start)} ms; observed: ${Math.round(performance.now() - look)} ms`);
  });

  test('a namespace comes first', async () => {
    const it = cluster(`${configMap('inside', 'a', 'shop')}---\napiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n`);
    await it.carryOut();
    expect(await it.differences()).toEqual([]);
    expect(await get('v1', 'ConfigMap', 'inside', 'shop')).toBeDefined();
  });
});
