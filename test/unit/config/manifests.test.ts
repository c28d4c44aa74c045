import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigError, loadCluster } from '../../../src/config/load.ts';
import { parseManifest } from '../../../src/config/manifests.ts';

const directory = mkdtempSync(join(tmpdir(), 'slipway-manifests-'));
const write = (name: string, text: string): string => {
  const path = join(directory, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
};
const base = 'apiVersion: slipway/v1\nkind: Cluster\nname: demo\nprovider: { local: {} }\nzones: [a]\n';
/** A cluster.yaml in a directory of its own, with these files beside it. */
let clusters = 0;
const load = (entries: readonly string[], files: Readonly<Record<string, string>>) => {
  const own = `c${++clusters}`;
  for (const [name, text] of Object.entries(files)) write(`${own}/${name}`, text);
  return loadCluster(write(`${own}/cluster.yaml`, `${base}addons: { manifests: ${JSON.stringify(entries)} }\n`));
};
const refusal = async (entries: readonly string[], files: Readonly<Record<string, string>>): Promise<string> => {
  const error: unknown = await load(entries, files).catch((e: unknown) => e);
  if (!(error instanceof ConfigError)) throw new Error(`expected a ConfigError, got ${String(error)}`);
  expect(error.exitCode).toBe(65);
  return error.message.replaceAll(`${directory}/`, '');
};
const settings = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\ndata: { a: b }\n';

describe('what is read', () => {
  test('a file with several documents, and lists in it', async () => {
    const list = `apiVersion: v1\nkind: List\nitems:\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: { name: web, namespace: shop }\n`;
    const { manifests } = await load(['app.yaml'], { 'app.yaml': `# nothing\n---\n${settings}---\n---\n${list}` });
    expect(manifests.map(({ key, where }) => `${key} ${where.replace(/.*\//, '')}`)).toEqual([
      'ConfigMap/settings app.yaml:3',
      'Deployment.apps/shop/web app.yaml:12',
    ]);
  });
  test('all YAML and JSON of a directory, by name; nothing hidden, nothing below', async () => {
    const named = (name: string) => settings.replace('settings', name);
    const { manifests } = await load(['m'], {
      'm/b.yml': named('b'),
      'm/a.yaml': named('a'),
      'm/c.json': '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}',
      'm/.hidden.yaml': named('hidden'),
      'm/README.md': 'x',
      'm/below/d.yaml': named('d'),
    });
    expect(manifests.map(({ key }) => key)).toEqual(['ConfigMap/a', 'ConfigMap/b', 'ConfigMap/c']);
  });
  test('YAML as Kubernetes reads it: octal modes, but times and dates are text', () => {
    const spec = '{ mode: 0644, new: 0o17, at: 10:30, on: 2026-01-02, enabled: yes, text: "on" }';
    const { manifests } = parseManifest(`apiVersion: v1\nkind: X\nmetadata: { name: x }\nspec: ${spec}\n`, 'x');
    expect(manifests[0]?.object).toMatchObject({
      spec: { mode: 420, new: 15, at: '10:30', true: '2026-01-02', enabled: true, text: 'on' },
    });
  });
  test('what the API server writes itself is left out', () => {
    const text = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: w.example.com
  creationTimestamp: null
  resourceVersion: "7"
  managedFields: []
  labels:
  annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}" }
status: { conditions: [] }
spec: { group: example.com }
`;
    expect(parseManifest(text, 'x').manifests[0]?.object).toEqual({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'w.example.com' },
      spec: { group: 'example.com' },
    });
  });
  test('a namespace of what is in none is left out, and `default` is no other than none', () => {
    const keyOf = (text: string) => parseManifest(`${text}\n`, 'x').manifests[0]?.key;
    const role = 'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: r, namespace: shop }';
    expect(keyOf(role)).toBe('ClusterRole.rbac.authorization.k8s.io/r');
    expect(keyOf('apiVersion: v1\nkind: Pod\nmetadata: { name: p, namespace: default }')).toBe('Pod/p');
  });
  test('a Secret has its stringData in data', () => {
    const text = 'apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata: { a: YQ== }\nstringData: { b: bee }\n';
    expect(parseManifest(text, 'x').manifests[0]?.object).toMatchObject({ data: { a: 'YQ==', b: 'YmVl' } });
  });
});

describe('the digest', () => {
  const secret = (value: string) => `apiVersion: v1\nkind: Secret\nmetadata: { name: s }\nstringData: { password: ${value} }\n`;
  test('covers what the manifests hold, Secrets too, and not how they are written', async () => {
    const of = async (text: string) => (await load(['a.yaml'], { 'a.yaml': text })).digest;
    expect(await of(settings)).toBe(await of(`# a comment\n${settings}`));
    expect(await of(settings)).not.toBe(await of(settings.replace('b }', 'c }')));
    expect(await of(secret('one'))).not.toBe(await of(secret('two')));
    expect((await load([], {})).digest).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('every mistake has its file and line', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['no YAML', 'a: b: c\n', 'app.yaml:1: Not valid YAML'],
    ['two keys', `${settings}kind: Secret\n`, 'app.yaml:5: The key "kind" is given twice'],
    ['no object', `${settings}---\n- a\n`, 'app.yaml:6: This is no Kubernetes object'],
    ['no apiVersion', 'kind: Pod\nmetadata: { name: x }\n', 'app.yaml:1: This object has no apiVersion'],
    ['no kind', 'apiVersion: v1\nmetadata: { name: x }\n', 'app.yaml:1: This object has no kind'],
    ['no name', 'apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {}\n', 'app.yaml:3: This Pod has no name'],
    ['a name made up by the server', 'apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: x-\n', 'give it a name of its own'],
    [
      'a number as a label',
      'apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  labels:\n    v: 1.2\n',
      'app.yaml:6: metadata.labels: the value of v is no text',
    ],
    [
      'a label of ours',
      'apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  labels: { slipway.dev/addon: coredns }\n',
      "app.yaml:5: slipway.dev/addon is Slipway's own",
    ],
    ['twice the same', `${settings}---\n${settings}`, 'app.yaml:6: ConfigMap/settings is given twice\nit is at c'],
    ['a node', 'apiVersion: v1\nkind: Node\nmetadata: { name: x }\n', 'app.yaml:2: Nodes are made by their kubelets'],
    ['a cluster.yaml', base, 'app.yaml:2: This is a cluster.yaml and no manifest'],
    ['a file of kustomize', 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n', 'kubectl kustomize'],
    [
      'an item of a list',
      'apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {}\n',
      'app.yaml:6: This Pod has no name',
    ],
    [
      'no base64',
      'apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata:\n  a: hunter2\n',
      'app.yaml:5: data: the value of a is not base64',
    ],
    [
      'too large an object',
      `${settings.replace('b }', `${'x'.repeat(1_600_000)} }`)}`,
      'app.yaml:1: This ConfigMap is too large',
    ],
    ['an alias of nothing', 'a: *b\n', 'app.yaml:1: An alias (*name) has no anchor'],
    [
      'a bomb of aliases',
      `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [${'*a,'.repeat(9)}]\nc: &c [${'*b,'.repeat(9)}]\nd: [${'*c,'.repeat(9)}]\n`,
      'aliases',
    ],
    ['depth', `a: ${'['.repeat(20_000)}`, 'app.yaml:'],
    [
      'what JSON cannot say',
      'apiVersion: v1\nkind: X\nmetadata: { name: x }\nspec:\n  a: .inf\n',
      'app.yaml:5: spec.a cannot be said in JSON',
    ],
  ];
  test.each(cases)('%s', async (_, text, said) => expect(await refusal(['app.yaml'], { 'app.yaml': text })).toContain(said));

  test('what is not there, an empty directory, what is not text, what is too large', async () => {
    expect(await refusal(['no.yaml'], {})).toMatch(/cluster\.yaml:6:\d+: The manifest no\.yaml is not there/);
    expect(await refusal(['m'], { 'm/README.md': '' })).toMatch(/cluster\.yaml:6:\d+: The directory m has no/);
    expect(await refusal(['a.yaml'], { 'a.yaml': `# ${'x'.repeat(8 * 1024 * 1024)}` })).toContain('too large');
    write('latin/a.yaml', '');
    writeFileSync(join(directory, 'latin/a.yaml'), new Uint8Array([97, 58, 0xe4, 10]));
    const error: unknown = await loadCluster(write('latin/cluster.yaml', `${base}addons: { manifests: [a.yaml] }\n`)).catch(
      (e: unknown) => e,
    );
    expect(String(error)).toContain('not UTF-8');
  });
  test('all at once', async () => {
    const said = await refusal(['no.yaml', 'a.yaml', 'b.yaml'], { 'a.yaml': 'a: b: c\n', 'b.yaml': 'kind: Pod\n' });
    expect(said).toContain('no.yaml is not there');
    expect(said).toContain('a.yaml:1:');
    expect(said).toContain('b.yaml:1:');
  });
  test('no message repeats what stands in the file where a secret could', async () => {
    for (const text of [
      'a: "hunter2" }\n',
      'a: b: hunter2\n',
      'a: @hunter2\n',
      'a: !hunter2 x\nb: [hunter2\n',
      'data: hunter2\n- hunter2\n',
      '"hunter2\n',
    ])
      expect(await refusal(['a.yaml'], { 'a.yaml': text })).not.toMatch(/hunter2(?! *x)/);
    const secret = (rest: string) => `apiVersion: v1\nkind: Secret\nmetadata: { name: s }\n${rest}\n`;
    for (const rest of ['data: { a: hunter2 }', 'stringData: { a: [hunter2] }', 'data: hunter2', 'stringData: { a: 7532 }'])
      expect(await refusal(['a.yaml'], { 'a.yaml': secret(rest) })).not.toMatch(/hunter2|7532/);
  });
});
