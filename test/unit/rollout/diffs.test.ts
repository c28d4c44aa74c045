import { describe, expect, it } from 'vitest';
import { UnreachableError } from '../../../src/errors.ts';
import { sha256 } from '../../../src/plan/canonical.ts';
import type { FieldChange } from '../../../src/plan/resource.ts';
import { describeDesigns, describeHop, describeHosts } from '../../../src/rollout/describe.ts';
import { diffsOf, entriesOf, type HostChange, textsToRead } from '../../../src/rollout/diffs.ts';
import { bundleOf, designedAt, factsOf, hostChange } from '../../support/rollout.ts';

const old = designedAt('1.35.4');
const now = designedAt('1.36.3');
const signal = new AbortController().signal;
const nobody = { get: () => Promise.reject(new Error('no host is asked')) };

const files = (change: HostChange, read?: Parameters<typeof entriesOf>[1]): Record<string, string> =>
  Object.fromEntries(diffsOf(entriesOf(change, read)).map(({ path, diff }) => [path, diff]));
const field = (path: string, before: FieldChange['before'], after: FieldChange['after']): FieldChange => ({
  path,
  before,
  after,
  impact: 'none',
});
const sh = '/etc/profile.d/slipway.sh';
/** A host of two files, of which one holds a secret. */
function aChange(over: Partial<HostChange> = {}): HostChange {
  const bundle = {
    name: 'master',
    units: [],
    assets: [],
    certificates: [],
    probes: [],
    files: [
      { path: sh, mode: '0755', content: { text: 'one\n' } },
      { path: '/etc/key', mode: '0600', content: { secret: 'service-account' } },
      { path: '/etc/ca.pem', mode: '0644', content: { authorities: ['kubernetes', 'nodes'] } },
    ],
  };
  return {
    host: 'master-a',
    fields: [],
    known: [bundle],
    after: bundle,
    facts: {
      ...factsOf(old, 'master-a'),
      identity: { NODE_NAME: 'master-a', ZONE: 'a' },
      files: new Map(bundle.files.map(({ path, mode }) => [path, { sha256: sha256('one\n'), mode }])),
    },
    ...over,
  };
}

describe('the diff of an upgrade', () => {
  it('is of files and units, from the design in force to the one to come', async () => {
    const diffs = files(await hostChange([old, now], 'workers-a-1'));
    expect(Object.keys(diffs)).toEqual([
      '/etc/containerd/config.toml',
      '/etc/slipway/import-images',
      '/etc/systemd/system/kubelet.service',
      '/etc/systemd/system/kube-proxy.service',
    ]);
    expect(diffs['/etc/systemd/system/kubelet.service']).toBe(`--- a/etc/systemd/system/kubelet.service
+++ b/etc/systemd/system/kubelet.service
@@ -10,7 +10,7 @@
 Type=notify
 EnvironmentFile=/etc/slipway/host.env
 ExecStartPre=/etc/slipway/kubelet-prepare
-ExecStart=/opt/slipway/kubernetes/1.35.4/kubelet \\
+ExecStart=/opt/slipway/kubernetes/1.36.3/kubelet \\
   --config=/etc/kubernetes/kubelet.yaml \\
   --config-dir=/run/slipway/kubelet.d \\
   --kubeconfig=/etc/kubernetes/kubelet.kubeconfig \\
`);
  });
  it('asks no host whose files are those of a design', async () => {
    const described = await describeHosts([await hostChange([old, now], 'master-a')], nobody, signal);
    expect(described.get('master-a')).toMatchObject({
      versions: [
        { what: 'kube-apiserver', before: '1.35.4', after: '1.36.3' },
        { what: 'kube-controller-manager', before: '1.35.4', after: '1.36.3' },
        { what: 'kube-scheduler', before: '1.35.4', after: '1.36.3' },
        { what: 'kubelet', before: '1.35.4', after: '1.36.3' },
        { what: 'kube-proxy', before: '1.35.4', after: '1.36.3' },
        { what: 'pause', before: '3.10.1', after: '3.10.2' },
      ],
      restarts: [
        'containerd',
        'slipway-images',
        'kube-apiserver',
        'kube-controller-manager',
        'kube-scheduler',
        'kubelet',
        'kube-proxy',
      ],
    });
  });
  it('is empty where nothing differs', async () => {
    const described = await describeHosts([await hostChange([old, now], 'etcd-a')], nobody, signal);
    expect(described.get('etcd-a')).toEqual({ versions: [], restarts: [], files: [] });
  });
  it('names what was moved before a kill no more', async () => {
    const change = await hostChange([old, now], 'workers-a-1', factsOf(now, 'workers-a-1'));
    const half = {
      ...change,
      units: [
        {
          ...field('units.kubelet.service.current', false, true),
          note: 'restarts kubelet: it runs older content than lies there',
        },
      ],
    };
    const described = await describeHosts([half], nobody, signal);
    expect(described.get('workers-a-1')).toEqual({ versions: [], restarts: ['kubelet'], files: [] });
  });
  it('of a machine that is made anew is that between the designs', () => {
    const content = describeDesigns(bundleOf(old, 'workers-a-1'), bundleOf(now, 'workers-a-1'));
    expect(content.restarts).toEqual([]);
    expect(content.versions).toContainEqual({ what: 'kubelet', before: '1.35.4', after: '1.36.3' });
    expect(content.files.map(({ path }) => path)).toContain('/etc/systemd/system/kubelet.service');
  });
});

it('of a later hop is told from the designs as it would be from the host', async () => {
  const seen = (await describeHosts([await hostChange([old, now], 'master-a')], nobody, signal)).get('master-a');
  const told = describeHop(bundleOf(old, 'master-a'), bundleOf(now, 'master-a'));
  expect(told.files).toEqual(seen?.files);
  expect(told.versions).toEqual(seen?.versions);
  expect(told.restarts.toSorted()).toEqual(seen?.restarts.toSorted());
});

describe('what somebody changed on a host', () => {
  const lies = { 'kubelet.service': '[Service]\nExecStart=/opt/slipway/kubernetes/1.35.4/kubelet --by-hand\n' };
  it('is read from it, in one round trip, and only that', async () => {
    const change = await hostChange([old, now], 'workers-a-1', factsOf(old, 'workers-a-1', lies));
    expect(textsToRead(change)).toEqual(['/etc/systemd/system/kubelet.service']);
    const asked: string[] = [];
    const host = {
      name: 'workers-a-1',
      exec: async (command: string) => {
        asked.push(command);
        const content = Buffer.from(lies['kubelet.service']).toString('base64');
        return { code: 0, stderr: '', stdout: `text /etc/systemd/system/kubelet.service\n ${content}\nend\n` };
      },
    };
    const hosts = { get: async () => ({ ...host, interactive: () => Promise.reject(), stream: () => Promise.reject() }) };
    const described = await describeHosts([change], hosts, signal);
    const diff = described.get('workers-a-1')?.files.find(({ path }) => path.endsWith('/kubelet.service'))?.diff;
    expect(diff).toContain('\n-ExecStart=/opt/slipway/kubernetes/1.35.4/kubelet --by-hand\n');
    expect(described.get('workers-a-1')?.versions).toContainEqual({ what: 'kubelet', before: '1.35.4', after: '1.36.3' });
    expect(asked).toEqual(['sh -s -- /etc/systemd/system/kubelet.service']);
  });
  it('is shown by digest where the host does not answer', async () => {
    const change = await hostChange([old, now], 'workers-a-1', factsOf(old, 'workers-a-1', lies));
    const hosts = { get: () => Promise.reject(new UnreachableError({ what: 'no route', where: 'workers-a-1' })) };
    const described = await describeHosts([change], hosts, signal);
    const diff = described.get('workers-a-1')?.files.find(({ path }) => path.endsWith('/kubelet.service'))?.diff;
    expect(diff).toMatch(/^-\(not read: .*no route.*, digest [0-9a-f]{12}\)$/m);
  });
});

describe('a secret', () => {
  const changed = [field('files./etc/key', 'aaaaaaaaaaaa', 'bbbbbbbbbbbb')];
  it('shows as its keyed digest and is never read', () => {
    const change = aChange({ fields: changed });
    expect(textsToRead(change)).toEqual([]);
    expect(files(change)['/etc/key']).toBe(`--- a/etc/key
+++ b/etc/key
@@ -1,1 +1,1 @@
-(secret service-account, digest aaaaaaaaaaaa)
+(secret service-account, digest bbbbbbbbbbbb)
`);
  });
  it('of one design is a secret in all', () => {
    const change = aChange({ fields: changed });
    const after = { ...change.after, files: [{ path: '/etc/key', mode: '0644', content: { text: 'no secret any more\n' } }] };
    expect(textsToRead({ ...change, after })).toEqual([]);
    expect(files({ ...change, after })['/etc/key']).not.toContain('any more');
  });
  it('may be what no design names: that is neither read nor shown', () => {
    const change = aChange({ fields: [field('files./etc/old', 'cccccccccccc', null)] });
    const facts = { ...change.facts, files: new Map([['/etc/old', { sha256: sha256('x'), mode: '0600' }]]) };
    expect(textsToRead({ ...change, facts })).toEqual([]);
    expect(files({ ...change, facts })['/etc/old']).toContain('deleted file mode 0600\n--- a/etc/old\n+++ /dev/null\n');
    expect(files({ ...change, facts })['/etc/old']).toContain('\n-(of an earlier design, digest cccccccccccc)\n');
  });
  it('that is made only then says so', () => {
    const change = aChange({ fields: [field('files./etc/key', null, { pending: 'secret/service-account' })] });
    expect(files(change)['/etc/key']).toContain('+(secret service-account, known after secret/service-account)\n');
  });
});

describe('a file', () => {
  it('of authorities shows their names and digests', () => {
    const change = aChange({ fields: [field('files./etc/ca.pem', 'aaaaaaaaaaaa', 'bbbbbbbbbbbb')] });
    expect(files(change)['/etc/ca.pem']).toContain('-(authorities kubernetes, nodes, digest aaaaaaaaaaaa)\n+(authorities');
  });
  it('that is new, removed, or has another mode says so as git does', () => {
    const change = aChange();
    const without = { ...change.after, files: [] };
    expect(files({ ...change, fields: [field(`files.${sh}`, null, 'ffffffffffff')] })[sh]).toBe(
      `new file mode 0755\n--- /dev/null\n+++ b${sh}\n@@ -0,0 +1,1 @@\n+one\n`,
    );
    expect(files({ ...change, after: without, fields: [field(`files.${sh}`, 'ffffffffffff', null)] })[sh]).toBe(
      `deleted file mode 0755\n--- a${sh}\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-one\n`,
    );
    const facts = { ...change.facts, files: new Map([[sh, { sha256: sha256('one\n'), mode: '0700 bob' }]]) };
    expect(files({ ...change, facts, fields: [field(`files.${sh}`, 'mode 0700 bob', 'mode 0755')] })[sh]).toBe(
      'old mode 0700 bob\nnew mode 0755\n',
    );
  });
  it('of the identity is shown with the keys that change', () => {
    const fields = [
      field('identity.ZONE', 'a', 'b'),
      field('identity.NODE_IP', null, '10.0.0.1'),
      field('identity.PROVIDER_ID', null, { pending: 'aws.machine/master-a' }),
    ];
    expect(files(aChange({ fields }))['/etc/slipway/host.env']).toContain(
      '-ZONE="a"\n+ZONE="b"\n+NODE_IP="10.0.0.1"\n+PROVIDER_ID="known after aws.machine/master-a"\n',
    );
  });
  it('that differs everywhere is not compared for ever', () => {
    const change = aChange({ fields: [field(`files.${sh}`, 'aaaaaaaaaaaa', 'ffffffffffff')] });
    const many = (word: string) => Array.from({ length: 20_000 }, (_, i) => `${word} ${i}\n`).join('');
    const after = { ...change.after, files: [{ path: sh, mode: '0755', content: { text: many('new') } }] };
    const facts = { ...change.facts, files: new Map([[sh, { sha256: sha256('?'), mode: '0755' }]]) };
    expect(files({ ...change, after, facts }, new Map([[sh, many('old')]]))[sh]).toContain('more than 1000 edits');
  });
});

it('a thousand hosts are described in a moment', async () => {
  const change = await hostChange([old, now], 'workers-a-1');
  const before = process.cpuUsage();
  const described = await describeHosts(
    Array.from({ length: 1000 }, (_, i) => ({ ...change, host: `workers-${i}` })),
    nobody,
    signal,
  );
  expect(described.size).toBe(1000);
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(1000);
});
