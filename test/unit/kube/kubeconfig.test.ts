import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { mergeKubeconfig, removeFromKubeconfig, renderKubeconfig, writeMerged } from '../../../src/kube/kubeconfig.ts';
import { changeKubeconfig } from '../../../src/kube/kubeconfig-file.ts';

const ours = {
  name: 'demo',
  server: 'https://127.0.0.1:40123',
  tlsServerName: 'api.demo.internal',
  caPem: 'CA',
  certPem: 'CERT',
  keyPem: 'KEY',
};
const existing = `# my clusters
apiVersion: v1
kind: Config
preferences: {colors: true}
current-context: work   # the one at work
clusters:
  # the old one
  - name: work
    cluster: {server: 'https://work:6443', insecure-skip-tls-verify: true}
users:
- name: work
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: aws
      args: ["eks", "get-token"]
contexts:
- name: work
  context: {cluster: work, user: work, namespace: team}
`;

test('a proxy is named where one is wanted, and is gone when none is', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'slipway-kubeconfig-'));
  const file = join(directory, 'config');
  const proxyOf = async (entry: typeof ours & { proxyUrl?: string }) => {
    await writeMerged(file, renderKubeconfig(entry));
    return parse(readFileSync(file, 'utf8')).clusters[0].cluster['proxy-url'];
  };
  expect(await proxyOf({ ...ours, proxyUrl: 'http://127.0.0.1:6480' })).toBe('http://127.0.0.1:6480');
  expect(await proxyOf(ours)).toBeUndefined();
  rmSync(directory, { recursive: true });
});

describe('merging a kubeconfig', () => {
  test('keeps every other line, comments too, and makes ours the current context', () => {
    const merged = mergeKubeconfig(existing, ours);
    for (const kept of [
      '# my clusters',
      '# the one at work',
      '# the old one',
      'insecure-skip-tls-verify: true',
      'get-token',
      'namespace: team',
    ])
      expect(merged).toContain(kept);
    const data = parse(merged);
    expect(data['current-context']).toBe('demo');
    expect(data.clusters.map((c: { name: string }) => c.name)).toEqual(['work', 'demo']);
    expect(data.preferences).toEqual({ colors: true });
  });

  test('a second merge replaces our entries and adds none', () => {
    const once = mergeKubeconfig(existing, { ...ours, server: 'https://127.0.0.1:1' });
    const twice = mergeKubeconfig(once, ours);
    expect(parse(twice).clusters).toHaveLength(2);
    expect(twice).toContain('https://127.0.0.1:40123');
    expect(mergeKubeconfig(twice, ours)).toBe(twice);
  });

  test('an empty or missing file becomes ours; null sections are filled', () => {
    for (const text of [undefined, '', '\n', '# only a comment\n'])
      expect(parse(mergeKubeconfig(text, ours))).toEqual(parse(renderKubeconfig(ours)));
    expect(parse(mergeKubeconfig('apiVersion: v1\nclusters: null\nusers: []\n', ours)).clusters).toHaveLength(1);
  });

  test.each([
    ['a tab', 'clusters:\n\t- name: x\n'],
    ['a list', '- a\n'],
    ['another kind', 'kind: Pod\n'],
    ['clusters that are no list', 'clusters: {a: b}\n'],
    ['two documents', 'a: 1\n---\nb: 2\n'],
    ['duplicate keys', 'users: []\nusers: []\n'],
    ['an alias into our entry', 'clusters:\n- &c {name: demo, cluster: {server: x}}\nextra: *c\n'],
  ])('refuses %s and says which file', (_what, text) => {
    expect(() => mergeKubeconfig(text, ours, '/home/me/.kube/config')).toThrow(
      /\/home\/me\/\.kube\/config: this kubeconfig is not touched/,
    );
  });

  test('whatever else is in the file is the same data afterwards, and comes back when ours is removed', {
    timeout: 60_000,
  }, () => {
    const name = fc.stringMatching(/^[a-z]{1,8}$/).filter((n) => n !== 'demo');
    const item = (key: string) =>
      fc.record({ name, [key]: fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue({ maxDepth: 2 })) });
    const config = fc.record(
      {
        apiVersion: fc.constant('v1'),
        kind: fc.constant('Config'),
        clusters: fc.array(item('cluster')),
        users: fc.array(item('user')),
        contexts: fc.array(item('context')),
        preferences: fc.jsonValue({ maxDepth: 2 }),
        'current-context': name,
      },
      { requiredKeys: ['apiVersion', 'kind'] },
    );
    fc.assert(
      fc.property(config, fc.boolean(), (data, json) => {
        const text = json ? JSON.stringify(data) : stringify(data);
        const merged = parse(mergeKubeconfig(text, ours));
        const own = parse(renderKubeconfig(ours));
        for (const section of ['clusters', 'users', 'contexts'] as const)
          expect(merged[section]).toEqual([...(parse(text)[section] ?? []), ...own[section]]);
        expect(merged.preferences).toEqual(parse(text).preferences);
        const back = parse(removeFromKubeconfig(mergeKubeconfig(text, ours), 'demo'));
        for (const section of ['clusters', 'users', 'contexts'] as const)
          expect(back[section]).toEqual(parse(text)[section] ?? []);
      }),
      { numRuns: 25 },
    );
  });
});

describe('the kubeconfig file', () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'slipway-kubeconfig-'));
  });
  afterEach(() => rmSync(home, { recursive: true }));
  const merge = (file: string) => changeKubeconfig(file, (text) => mergeKubeconfig(text, ours, file));

  test('is made 0600 in a directory 0700; without change nothing is written and no backup made', async () => {
    const file = join(home, '.kube/config');
    expect(await merge(file)).toMatchObject({ changed: true, backup: undefined });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(home, '.kube')).mode & 0o777).toBe(0o700);
    expect(await merge(file)).toMatchObject({ changed: false });
    expect(readdirSync(join(home, '.kube'))).toEqual(['config']);
  });

  test('is backed up under a number of its own, 0600, before it changes; a link stays a link', async () => {
    mkdirSync(join(home, 'real'));
    writeFileSync(join(home, 'real/config'), existing, { mode: 0o644 });
    symlinkSync(join(home, 'real/config'), join(home, 'config'));
    const first = await merge(join(home, 'config'));
    expect(first.backup).toBe(join(home, 'real/config.slipway-backup-1'));
    expect(readFileSync(first.backup ?? '', 'utf8')).toBe(existing);
    expect(statSync(first.backup ?? '').mode & 0o777).toBe(0o600);
    expect(lstatSync(join(home, 'config')).isSymbolicLink()).toBe(true);
    const second = await changeKubeconfig(join(home, 'config'), (text) => removeFromKubeconfig(text ?? '', 'demo'));
    expect(second.backup).toBe(join(home, 'real/config.slipway-backup-2'));
    expect(readdirSync(join(home, 'real')).sort()).toEqual(['config', 'config.slipway-backup-1', 'config.slipway-backup-2']);
  });

  test('takes the kubeconfig that is printed to stdout just as well', async () => {
    const file = join(home, 'config');
    await writeMerged(file, renderKubeconfig(ours));
    expect(readFileSync(file, 'utf8')).toBe(renderKubeconfig(ours));
  });

  test('a broken file is left as it is, without a backup', async () => {
    writeFileSync(join(home, 'config'), 'clusters: [');
    await expect(merge(join(home, 'config'))).rejects.toThrow(/not touched/);
    expect(readdirSync(home)).toEqual(['config']);
    expect(readFileSync(join(home, 'config'), 'utf8')).toBe('clusters: [');
  });
});
