import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { dockerClient, type Ended, ended, removeLeftovers, root, TestCluster } from '../support/cli.ts';
import { assetCache } from '../support/local-etcd.ts';
import { ensureTestapp, testapp } from '../support/testapp.ts';
import { eventually, importTestImage, type Kubectl, openKubectl } from '../support/workloads.ts';

/**
 * A cluster whose API is behind the bastion, as on a cloud: everything of the kube layer goes through one SSH connection. Tests follow one another.
 */
const cluster = new TestCluster(
  'tn',
  (name) => `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [a]
network: { machines: 172.28.0.0/16 }
etcd: { count: 1 }
masters: { count: 1 }
pools:
  - name: workers
    count: 1
`,
);
cluster.environment.TMPDIR = cluster.directory;
cluster.environment.NODE_OPTIONS = `--import=${join(root, 'test/support/behind-bastion.mjs')}`;
const worker = 'workers-a-1';
const apiName = `api.${cluster.name}.internal`;
const bastion = dockerClient.getContainer(`${cluster.name}-bastion`);
const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'client' },
  spec: {
    containers: [{ name: 'client', image: testapp.image, args: ['serve'], ports: [{ containerPort: 8080 }] }],
    terminationGracePeriodSeconds: 1,
  },
};
const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** `cluster kubectl -- ...` with something on stdin; its stdout as bytes. */
async function kubectlWith(input: Buffer, ...args: string[]): Promise<Ended & { readonly bytes: Buffer }> {
  const child = spawn(process.execPath, [join(root, 'bin/cluster.js'), 'kubectl', '--', ...args], {
    cwd: cluster.directory,
    env: cluster.environment,
    stdio: 'pipe',
  });
  const parts: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => parts.push(part));
  child.stdin.end(input);
  const end = await ended(child);
  return { ...end, bytes: Buffer.concat(parts) };
}
/** The first match in what a command says on stdout. */
function says(child: ChildProcess, pattern: RegExp): Promise<string> {
  let text = '';
  return new Promise((done, fail) => {
    child.stdout?.on('data', (data) => {
      text += String(data);
      const found = pattern.exec(text);
      if (found) done(found[1] ?? found[0]);
    });
    child.on('close', (code) => fail(new Error(`it ended with ${code} and said only: ${text}`)));
  });
}
/** Its own: other files' commands make theirs meanwhile. */
const temporaries = (): readonly string[] => readdirSync(cluster.directory).filter((name) => name.startsWith('slipway-kubectl-'));

beforeAll(async () => {
  await Promise.all([removeLeftovers('t-tn'), ensureTestapp(assetCache)]);
});
afterAll(async () => {
  await cluster.remove();
});

describe('a cluster whose API is behind the bastion', () => {
  test('comes up, and a new plan is empty', async () => {
    await cluster.must('up', '--yes');
    expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(0);
    const status = JSON.parse((await cluster.must('status', '-o', 'json')).stdout);
    expect(status.api).toMatchObject({ url: `https://${apiName}:6443`, state: 'ready' });
  });

  test('a name that the bastion does not know is said with the bastion, and what is behind it is unknown', async () => {
    cluster.environment.SLIPWAY_TEST_API = 'api.nowhere.internal';
    const { code, stderr } = await cluster.run('kubectl', '--', 'get', 'nodes');
    expect(code).toBe(1);
    expect(stderr).toContain('no way from the bastion to api.nowhere.internal:6443');
    const status = await cluster.run('status');
    expect(status.code).toBe(69);
    expect(status.stdout).toMatch(/through bastion 127\.0\.0\.1:\d+/);
    delete cluster.environment.SLIPWAY_TEST_API;
  });
});

describe('cluster kubectl, through the bastion', () => {
  const before = temporaries();

  test('passes the exit code, and leaves nothing behind', async () => {
    expect((await cluster.run('kubectl', '--', 'get', 'pod', 'nobody')).code).toBe(1);
    expect(temporaries()).toEqual(before);
  });

  test('a pod is made, and reached: exec with its exit code, with megabytes in and out', async () => {
    await importTestImage(cluster, [worker]);
    expect((await kubectlWith(Buffer.from(JSON.stringify(pod)), 'apply', '-f', '-')).code).toBe(0);
    await cluster.kubectl('wait', 'pod/client', '--for=condition=Ready', '--timeout=90s');
    expect(await cluster.kubectl('exec', 'client', '--', '/testapp', 'echo', 'hello')).toBe('hello\n');
    const failing = await cluster.run('kubectl', '--', 'exec', 'client', '--', '/testapp', 'read', '/nothing');
    expect(failing.code).toBe(1);
    const data = randomBytes(8 << 20);
    const { bytes } = await kubectlWith(data, 'exec', '-i', 'client', '--', '/testapp', 'copy');
    expect(digest(bytes)).toBe(digest(data));
  });

  test('port-forward', async () => {
    const forward = cluster.start('kubectl', '--', 'port-forward', 'pod/client', ':8080');
    const end = ended(forward);
    const port = await says(forward, /127\.0\.0\.1:(\d+)/);
    const bodies = await Promise.all(Array.from({ length: 10 }, async () => (await fetch(`http://127.0.0.1:${port}/`)).text()));
    for (const body of bodies) expect(body).toContain('client');
    forward.kill('SIGTERM');
    // As a shell says it of a program that a signal ended.
    expect((await end).code).toBe(143);
  });

  test('a watch sees what happens; a signal ends it, and nothing is left', async () => {
    const watch = cluster.start('kubectl', '--', 'get', 'configmap', '-w', '-o', 'name');
    const end = ended(watch);
    await says(watch, /configmap\/kube-root-ca\.crt/);
    const seen = says(watch, /configmap\/fresh/);
    await cluster.kubectl('create', 'configmap', 'fresh');
    await seen;
    watch.kill('SIGTERM');
    // kubectl's own: it takes the signal itself here.
    expect((await end).code).toBe(1);
    expect(temporaries()).toEqual(before);
  });

  test('the bastion is killed in the middle: the command ends soon, and says why', async () => {
    const logs = cluster.start('kubectl', '--', 'logs', '-f', 'client');
    const end = ended(logs);
    await says(logs, /listening/);
    const began = performance.now();
    await bastion.kill();
    const { code, stderr } = await end;
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(code).toBe(1);
    expect(stderr).toMatch(/bastion 127\.0\.0\.1:\d+: the SSH connection was lost/);
  });

  test('then everything behind it is unknown, and nothing of it is to be created', async () => {
    const { stdout } = await cluster.must('plan', '-o', 'json');
    const plan: { changes: { action: string; address: string }[] } = JSON.parse(stdout);
    const kube = plan.changes.filter(({ address }) => address.startsWith('kube.'));
    expect(kube.map(({ address }) => address)).toContain(`kube.node/${worker}`);
    expect(new Set(kube.map(({ action }) => action))).toEqual(new Set(['unknown']));
    expect((await cluster.run('status')).code).toBe(69);
    const refused = await cluster.run('kubectl', '--', 'get', 'nodes');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/bastion.*is not running|no SSH connection/);
  });

  test('and up mends it, and finds everything else as it was', async () => {
    await cluster.must('up', '--yes');
    expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(0);
    expect(await cluster.kubectl('get', 'pod', 'client', '-o', 'jsonpath={.status.containerStatuses[0].restartCount}')).toBe('0');
  });
});

describe('cluster tunnel', () => {
  let open: ChildProcess;
  let end: Promise<Ended>;
  let url: string;
  let kubectl: Kubectl;
  beforeAll(async () => {
    // Forwarded connections are no sessions.
    await cluster.ssh('bastion', 'echo MaxSessions 2 >/etc/ssh/sshd_config.d/00-test.conf; kill -HUP $(cat /run/sshd.pid)');
    open = cluster.start('tunnel', '--port', '0');
    end = ended(open);
    url = await says(open, /http:\/\/127\.0\.0\.1:\d+/);
  });
  afterAll(() => open.kill());

  test('its URL is for a kubeconfig, which says where it works', async () => {
    const { stderr: plain } = await cluster.must('kubeconfig');
    expect(plain).toContain('is behind the bastion: it works where that name can be reached');
    expect(plain).toContain('cluster tunnel');
    kubectl = await openKubectl(cluster, '1.36.3', 'default', ['--proxy-url', url]);
    const { clusters } = parse(readFileSync(join(cluster.directory, 'kubeconfig'), 'utf8'));
    expect(clusters[0].cluster).toMatchObject({ server: `https://${apiName}:6443`, 'proxy-url': url });
    expect(await kubectl('get', 'nodes', '-o', 'name')).toContain(worker);
    expect(await kubectl('exec', 'client', '--', '/testapp', 'echo', 'hello')).toBe('hello\n');
  });

  test('thirty programs at once share one SSH connection, whatever sshd allows of sessions', async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, () => kubectl('get', '--raw', '/readyz')));
    expect(new Set(answers)).toEqual(new Set(['ok']));
    const watches = Array.from({ length: 20 }, () => kubectl.start('get', 'configmap', '-w', '-o', 'name'));
    await Promise.all(watches.map((watch) => says(watch, /configmap\/fresh/)));
    const sshds = await cluster.ssh('bastion', 'ss -Htn state established sport = :22 | wc -l');
    // The tunnel's, and this question's own.
    expect(Number(sshds)).toBe(2);
    for (const watch of watches) watch.kill();
  });

  test('leads to the API only', async () => {
    const { stdout, code } = await curl('-x', url, '-ksS', 'https://etcd-a:2379/');
    expect(code).not.toBe(0);
    expect(stdout).toBe('');
  });

  test('outlives its bastion: who asks meanwhile is told why, and later it leads there again', async () => {
    await bastion.stop({ t: 1 });
    const refused = await kubectl.attempt(['get', 'nodes']);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/bastion/);
    await bastion.start();
    await eventually(async () => expect(await kubectl('get', '--raw', '/readyz')).toBe('ok'), 30_000);
    expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(0);
  });

  test('a second one says that the port is taken', async () => {
    const second = await cluster.run('tunnel', '--port', new URL(url).port);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain('cannot be used');
  });

  test('Ctrl-C is its ordinary end', async () => {
    open.kill('SIGINT');
    const { code, stdout } = await end;
    expect([code, stdout]).toEqual([0, `${url}\n`]);
  });

  test('where the API is reached directly none is needed', async () => {
    delete cluster.environment.NODE_OPTIONS;
    const { code, stderr } = await cluster.run('tunnel');
    expect(code).toBe(1);
    expect(stderr).toContain('is reached without a tunnel');
  });
});

async function curl(...args: string[]): Promise<Ended> {
  const child = spawn('curl', args);
  return ended(child);
}
