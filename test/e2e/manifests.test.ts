import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { removeLeftovers, TestCluster } from '../support/cli.ts';
import { assetCache } from '../support/local-etcd.ts';
import { ensureTestapp, testapp } from '../support/testapp.ts';
import { eventually, importTestImage, type Kubectl, openKubectl } from '../support/workloads.ts';

/**
 * `network.plugin: none` and `addons.manifests` on real machines: a cluster without a pod network, which a manifest brings, and then
 * manifests of all kinds. Tests of this file follow one another on one cluster.
 */
const cluster = new TestCluster('mf', (name) => yaml(name, []));
function yaml(name: string, manifests: readonly string[]): string {
  return `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [a]
network: { machines: 172.26.0.0/16, plugin: none }
etcd: { count: 1, events: false }
masters: { count: 1 }
pools:
  - name: workers
    count: 1
addons:
  # Its APIService needs a network between nodes, which network.yaml below is not.
  metricsServer: false
  coredns: { replicas: 1 }
  manifests: ${JSON.stringify(manifests)}
`;
}
const nodes = ['master-a', 'workers-a-1'];
const write = (file: string, text: string): void => writeFileSync(join(cluster.directory, file), text);
const declare = (...manifests: string[]): void => cluster.write(yaml(cluster.name, manifests));

interface PlanJson {
  readonly changes: readonly { address: string; action: string; when: object; fields: readonly { path: string }[] }[];
}
/** `update kube.objects/manifests: ConfigMap/a`, or `(left)` before it. */
const planned = async (): Promise<readonly string[]> => {
  const { changes }: PlanJson = JSON.parse((await cluster.must('plan', '-o', 'json')).stdout);
  return changes.map(({ address, action, when, fields }) => {
    const of = action === 'update' ? `: ${fields.map(({ path }) => path.replace('objects.', '')).join(', ')}` : '';
    return `${'left' in when ? '(left) ' : ''}${action} ${address}${of}`;
  });
};
interface StatusJson {
  readonly findings: readonly { severity: string; check: string }[];
  readonly nodes: readonly { ready: boolean }[];
}
const status = async (): Promise<{ code: number | null; status: StatusJson }> => {
  const { code, stdout } = await cluster.run('status', '-o', 'json');
  return { code, status: JSON.parse(stdout) };
};
const notOk = ({ findings }: StatusJson): readonly string[] =>
  findings.filter(({ severity }) => severity !== 'ok').map(({ severity, check }) => `${severity} ${check}`);

/** A pod network in the least words: a bridge on each node, not routed between them. Hosts and Services can be reached. */
const conflist = JSON.stringify({
  cniVersion: '1.0.0',
  name: 'test',
  plugins: [
    {
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      ipMasq: true,
      ipam: { type: 'host-local', ranges: [[{ subnet: '10.244.200.0/24' }]], routes: [{ dst: '0.0.0.0/0' }] },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
});
const network = `apiVersion: apps/v1
kind: DaemonSet
metadata: { name: network, namespace: kube-system }
spec:
  selector: { matchLabels: { app: network } }
  template:
    metadata: { labels: { app: network } }
    spec:
      hostNetwork: true
      tolerations: [{ operator: Exists }]
      initContainers:
      - name: install
        image: ${testapp.image}
        args: [write, /net.d/10-test.conflist, ${JSON.stringify(conflist)}]
        securityContext: { runAsUser: 0 }
        volumeMounts: [{ name: net, mountPath: /net.d }]
      containers: [{ name: stay, image: "${testapp.image}", args: [sleep] }]
      volumes: [{ name: net, hostPath: { path: /etc/cni/net.d, type: DirectoryOrCreate } }]
`;
const secretWord = 'correct-horse-battery';
const app = (value: string, password: string) => `apiVersion: example.com/v1
kind: Widget
metadata: { name: one, namespace: shop }
spec: { size: ${value.length} }
---
apiVersion: v1
kind: Secret
metadata: { name: login, namespace: shop }
stringData: { password: ${password} }
---
apiVersion: v1
kind: List
items:
- { apiVersion: v1, kind: ConfigMap, metadata: { name: settings, namespace: shop }, data: { value: "${value}" } }
- apiVersion: v1
  kind: Pod
  metadata: { name: alone }
  spec: { containers: [{ name: main, image: "${testapp.image}" }] }
- apiVersion: batch/v1
  kind: Job
  metadata: { name: once, namespace: shop }
  spec: { template: { spec: { restartPolicy: Never, containers: [{ name: main, image: "${testapp.image}", args: [echo, done] }] } } }
- apiVersion: apps/v1
  kind: Deployment
  metadata: { name: web, namespace: shop }
  spec:
    selector: { matchLabels: { app: web } }
    template:
      metadata: { labels: { app: web } }
      spec: { containers: [{ name: web, image: "${testapp.image}", resources: { limits: { cpu: "1000m" } } }] }
- { apiVersion: v1, kind: Service, metadata: { name: web, namespace: shop }, spec: { selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] } }
`;
const shop = `apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: widgets.example.com, creationTimestamp: null }
spec:
  group: example.com
  scope: Namespaced
  names: { plural: widgets, singular: widget, kind: Widget }
  versions:
  - name: v1
    served: true
    storage: true
    schema: { openAPIV3Schema: { type: object, properties: { spec: { type: object, properties: { size: { type: integer, default: 3 } } } } } }
`;

let kubectl: Kubectl;
beforeAll(async () => {
  await Promise.all([removeLeftovers('t-mf'), ensureTestapp(assetCache)]);
});
afterAll(async () => {
  await cluster.remove();
});

describe('network.plugin none', () => {
  test('`up` ends well and says what is missing; nodes are there and not Ready; flannel is on no host', async () => {
    const up = await cluster.must('up', '--yes');
    expect(up.stdout + up.stderr).toContain('no pod network yet');
    kubectl = await openKubectl(cluster, '1.36.3', 'default');
    expect(
      (await kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}')).trim(),
    ).toBe('False False');
    expect(await cluster.ssh('workers-a-1', 'ls /etc/systemd/system')).not.toContain('flannel');
    expect(await kubectl.read('deployment/coredns', '.metadata.name', 'kube-system')).toBe('coredns');
  });
  test('`status` says so as a warning, the plan is empty, and a second `up` has nothing to do', async () => {
    const { code, status: found } = await status();
    expect({ code, notOk: notOk(found) }).toEqual({ code: 0, notOk: ['warning nodes.network'] });
    expect(await planned()).toEqual([]);
    expect((await cluster.must('up', '--yes', '-o', 'json')).stdout).toContain('"outcome":"nothing to do"');
  });
  test('a manifest brings the network: nodes get Ready, and `status` is well', async () => {
    await importTestImage(cluster, nodes);
    write('network.yaml', network);
    declare('network.yaml');
    expect(await planned()).toEqual(['create kube.objects/manifests']);
    await cluster.must('up', '--yes');
    await eventually(async () => {
      const { code, status: found } = await status();
      expect({ code, notOk: notOk(found) }).toEqual({ code: 0, notOk: [] });
    }, 60_000);
    await kubectl('rollout', 'status', 'deployment/coredns', '-n', 'kube-system', '--timeout=90s');
    expect(await planned()).toEqual([]);
  });
});

describe('addons.manifests', () => {
  test('a namespace, a definition with an object of its kind, a Secret, a Pod, a Job: one `up`, and an empty plan', async () => {
    write('shop.yaml', shop);
    write('app.yaml', app('a', secretWord));
    declare('network.yaml', 'app.yaml', 'shop.yaml');
    const plan = await cluster.must('plan', '-o', 'json', '--out', 'plan.json');
    const up = await cluster.must('up', '--plan', 'plan.json', '--yes');
    expect(await planned()).toEqual([]);
    expect(await kubectl.read('widget/one', '.spec.size', 'shop')).toBe('1');
    await kubectl('rollout', 'status', 'deployment/web', '-n', 'shop', '--timeout=60s');
    await kubectl('wait', 'job/once', '-n', 'shop', '--for=condition=Complete', '--timeout=60s');
    await kubectl('wait', 'pod/alone', '--for=condition=Ready', '--timeout=60s');
    // What controllers have written into them by now is not ours.
    expect(await planned()).toEqual([]);

    const words = new RegExp(`${secretWord}|${Buffer.from(secretWord).toString('base64')}`);
    expect(plan.stdout + plan.stderr + up.stdout + up.stderr).not.toMatch(words);
    expect(cluster.files().filter(({ path, content }) => !path.endsWith('/app.yaml') && words.test(content))).toEqual([]);
  });

  test('an edit is a difference of these objects, and is carried out', async () => {
    write('app.yaml', app('abc', 'another'));
    expect(await planned()).toEqual([
      'update kube.objects/manifests: Widget.example.com/shop/one, Secret/shop/login, ConfigMap/shop/settings',
    ]);
    await cluster.must('up', '--yes');
    expect(await planned()).toEqual([]);
    expect(await kubectl.read('widget/one', '.spec.size', 'shop')).toBe('3');
    expect(await kubectl.read('secret/login', '.data.password', 'shop')).toBe(Buffer.from('another').toString('base64'));
  });

  test('what somebody changes by hand is drift, and is put back', async () => {
    await kubectl('scale', 'deployment/web', '-n', 'shop', '--replicas=2');
    // The file says nothing of replicas: they are whose who sets them.
    expect(await planned()).toEqual([]);
    await kubectl('patch', 'configmap/settings', '-n', 'shop', '-p', '{"data":{"value":"by hand"}}');
    expect(await planned()).toEqual(['update kube.objects/manifests: ConfigMap/shop/settings']);
    await cluster.must('up', '--yes');
    expect(await kubectl.read('configmap/settings', '.data.value', 'shop')).toBe('abc');
  });

  test('what is in no file any more is deleted, of every kind, and nothing of somebody else', async () => {
    await kubectl('create', 'configmap', 'theirs', '-n', 'shop');
    await kubectl('label', 'configmap', 'theirs', '-n', 'shop', 'slipway.dev/manifest=');
    declare('network.yaml', 'shop.yaml');
    await cluster.must('up', '--yes');
    expect(await planned()).toEqual([]);
    const left = await kubectl('get', 'widget,secret,pod,job,deployment,service,configmap', '-n', 'shop', '-o', 'name');
    expect(
      left
        .trim()
        .split('\n')
        .filter((name) => !name.startsWith('pod/'))
        .sort(),
    ).toEqual(['configmap/kube-root-ca.crt', 'configmap/theirs']);
    expect((await kubectl.attempt(['get', 'pod', 'alone'])).code).toBe(1);
    // Endpoints and slices of the Service went with it.
    await eventually(
      async () => expect(await kubectl('get', 'pods,endpointslices', '-n', 'shop', '-o', 'name')).toBe(''),
      60_000,
    );
  });

  test('a namespace and a definition are left, until data may be lost', async () => {
    declare('network.yaml');
    expect(await planned()).toEqual(['(left) delete kube.holders/manifests']);
    await cluster.must('up', '--yes');
    expect(await kubectl.read('configmap/theirs', '.metadata.name', 'shop')).toBe('theirs');
    await cluster.must('up', '--yes', '--allow-data-loss');
    expect(await planned()).toEqual([]);
    expect((await kubectl.attempt(['get', 'namespace', 'shop'])).code).toBe(1);
    expect((await kubectl.attempt(['get', 'crd', 'widgets.example.com'])).code).toBe(1);
  });

  test('mistakes are found before anything is touched: exit 65, with file and line', async () => {
    write('wrong.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  labels: {}\n');
    declare('network.yaml', 'wrong.yaml');
    const { code, stdout } = await cluster.run('validate');
    expect({ code, said: stdout }).toMatchObject({ code: 65, said: expect.stringContaining('wrong.yaml:3') });
    write('wrong.yaml', 'apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: coredns, namespace: kube-system }\n');
    const own = await cluster.run('up', '--yes');
    expect({ code: own.code, said: own.stderr }).toMatchObject({ code: 65, said: expect.stringContaining('wrong.yaml:1') });
    declare('network.yaml');
    expect(await planned()).toEqual([]);
  });
});
