import { createHash, createPublicKey, randomBytes, verify, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAuthority } from '../../src/pki/authorities.ts';
import { issue } from '../../src/pki/issue.ts';
import { generateP256, publicKeyOf } from '../../src/pki/keys.ts';
import { x509 } from '../../src/pki/x509.ts';
import { removeLeftovers, TestCluster } from '../support/cli.ts';
import { assetCache } from '../support/local-etcd.ts';
import { ensureTestapp, testapp } from '../support/testapp.ts';
import { eventually, importTestImage, type Kubectl, openKubectl } from '../support/workloads.ts';

/**
 * What people run on a cluster, on a real one: all of workloads/*.yaml is applied at once, then looked at from many sides.
 * Tests stand alone, but for the namespaces that they share.
 */
const cluster = new TestCluster(
  'work',
  (name) => `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [a, b, c]
network: { machines: 10.215.0.0/16 }
etcd: { count: 1 }
masters: { count: 1 }
kubernetes:
  podSecurity: { enforce: baseline, warn: restricted }
pools:
  - name: workers
    count: 2
    zones: [b, c]
`,
);
const master = 'master-a';
const workers = ['workers-b-1', 'workers-c-1'] as const;
const nodes = [master, ...workers];
const soon = 60_000;
const api = 'https://kubernetes.default.svc';
const account = '/var/run/secrets/kubernetes.io/serviceaccount';

let kubectl: Kubectl;
const inClient = (...args: string[]): Promise<string> => kubectl.inPod('client', ...args);
const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== '');
const distinct = (items: readonly string[]): readonly string[] => [...new Set(items)].sort();
const ready = (thing: string, namespace = 'work'): Promise<string> =>
  kubectl('wait', thing, '-n', namespace, '--for=condition=Ready', '--timeout=90s');
const rolledOut = (thing: string, namespace = 'work'): Promise<string> =>
  kubectl('rollout', 'status', thing, '-n', namespace, '--timeout=120s');
/** What stands in an etcd under this prefix, as one line. */
const inEtcd = (port: number, prefix: string, more = ''): Promise<string> =>
  cluster.ssh(
    'etcd-a',
    `e=$(ls /opt/slipway/etcd/*/etcdctl | tail -1); $e --endpoints https://127.0.0.1:${port} --cacert /etc/slipway/pki/etcd.ca.pem --cert /etc/slipway/pki/etcd-probe.pem --key /etc/slipway/pki/etcd-probe-key.pem get ${prefix} ${more} | od -An -c | tr -d ' \\n'`,
  );

beforeAll(async () => {
  await Promise.all([removeLeftovers('t-work'), ensureTestapp(assetCache)]);
  await cluster.must('up', '--yes');
  [kubectl] = await Promise.all([openKubectl(cluster, '1.36.3', 'work'), importTestImage(cluster, nodes)]);
  await kubectl('apply', '-f', fileURLToPath(new URL('workloads/', import.meta.url)));
  await registerWebhook();
  await Promise.all([rolledOut('deployment/web'), ready('pod/client')]);
});
afterAll(async () => {
  await cluster.remove();
});

/** Its own authority, whose certificate the registration carries. */
async function registerWebhook(): Promise<void> {
  const authority = await createAuthority({ name: 'webhook', uid: 'test', lifetimeDays: 1, now: Date.now() });
  const key = await generateP256();
  const certificate = await issue({
    publicKey: new x509.PublicKey(publicKeyOf(key)),
    authority,
    spec: { subject: { cn: 'webhook' }, sans: { dns: ['webhook.host.svc'], ip: [] }, usages: ['server'] },
    lifetimeMs: 3_600_000,
    now: Date.now(),
  });
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'webhook-tls', namespace: 'host' },
    stringData: { 'tls.crt': certificate, 'tls.key': key },
  };
  const registration = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'testapp' },
    webhooks: [
      {
        name: 'labels.slipway.test',
        clientConfig: {
          service: { namespace: 'host', name: 'webhook', path: '/' },
          caBundle: Buffer.from(authority.certPem).toString('base64'),
        },
        objectSelector: { matchLabels: { ask: 'webhook' } },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] }],
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  };
  await kubectl.apply([secret, registration]);
}

describe('kubectl reaches into pods', () => {
  test('exec, with its exit code', async () => {
    expect(await inClient('echo', 'hello')).toBe('hello\n');
    expect((await kubectl.attempt(['exec', 'client', '--', '/testapp', 'read', '/nothing'])).code).toBe(1);
  });

  test('exec with megabytes on stdin, and back on stdout', async () => {
    const data = randomBytes(4 << 20);
    const { bytes } = await kubectl.attempt(['exec', '-i', 'client', '--', '/testapp', 'copy'], data);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(createHash('sha256').update(data).digest('hex'));
  });

  test('logs: of a running pod, of a finished one, of all pods of a label', async () => {
    expect(await kubectl('logs', 'client')).toContain('listening on :8080');
    await kubectl('wait', 'job/indexed', '--for=condition=Complete', '--timeout=60s');
    // Complete says that the containers have ended; containerd may still be writing their last lines to the log.
    await eventually(async () => {
      expect(distinct(words(await kubectl('logs', '-l', 'job-name=indexed')))).toEqual(['0', '1', '2', 'index']);
    }, 10_000);
  });

  test('port-forward', async () => {
    const forward = kubectl.start('port-forward', 'pod/client', ':8080');
    try {
      const port = await new Promise<string>((done, failed) => {
        forward.stdout?.on('data', (data) => {
          const found = /127\.0\.0\.1:(\d+)/.exec(String(data))?.[1];
          if (found) done(found);
        });
        forward.on('close', (code) => failed(new Error(`port-forward ended with ${code}`)));
      });
      expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toContain('client');
    } finally {
      forward.kill();
    }
  });

  test('an ephemeral container beside a running one', async () => {
    await kubectl(
      'debug',
      'pod/client',
      '-q',
      `--image=${testapp.image}`,
      '--container=beside',
      '--profile=baseline',
      '--',
      '/testapp',
      'id',
    );
    await eventually(async () => expect(await kubectl('logs', 'client', '-c', 'beside')).toMatch(/^65532 /), soon);
  });
});

describe('Services and DNS', () => {
  test('a Service balances over the pods of both zones', async () => {
    const answers = await inClient('get', '--retry=20s', ...Array.from({ length: 24 }, () => 'http://web/'));
    expect(distinct(answers.match(/NODE_NAME=\S+/g) ?? [])).toEqual(workers.map((name) => `NODE_NAME=${name}`));
  });

  test('a pod reaches itself through its own Service', async () => {
    expect(await inClient('get', '--retry=20s', 'http://client.work/')).toContain('200 client');
  });

  test('a pod reaches pods of its own and of the other node, unmasked', async () => {
    await rolledOut('daemonset/each');
    const rows = await kubectl(
      'get',
      'pods',
      '-l',
      'app=each',
      '-o',
      'jsonpath={range .items[*]}http://{.status.podIP}:8080/client {end}',
    );
    const seen = await inClient('get', '--retry=20s', ...words(rows));
    const own = await kubectl.read('pod/client', '.status.podIP');
    expect(seen.trim().split('\n')).toEqual(nodes.map(() => `200 ${own}`));
  });

  test('sessionAffinity keeps a client at one pod', async () => {
    const answers = await inClient('get', '--retry=20s', ...Array.from({ length: 8 }, () => 'http://web-sticky/'));
    expect(distinct(answers.match(/200 \S+/g) ?? [])).toHaveLength(1);
  });

  test('a Service without endpoints refuses at once', async () => {
    const begin = performance.now();
    const { stderr } = await kubectl.attempt(['exec', 'client', '--', '/testapp', 'get', '--timeout=20s', 'http://web-empty/']);
    expect(stderr).toMatch(/refused|unreachable/);
    expect(performance.now() - begin).toBeLessThan(15_000);
  });

  test('names: short, full, of another namespace, external by CNAME, of a headless Service with its SRV records', async () => {
    const address = await kubectl.read('svc/web', '.spec.clusterIP');
    const names = ['web', 'web.work', 'web.work.svc.cluster.local.', 'web-external'];
    expect((await inClient('lookup', '--retry=20s', ...names)).trim().split('\n')).toEqual(
      names.map((name) => `${name} ${address}`),
    );
    expect(await inClient('lookup', 'kube-dns.kube-system.svc')).toContain('10.96.0.10');
    const pods = words(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.podIP}'));
    await eventually(
      async () =>
        expect(
          words(await inClient('lookup', 'web-headless'))
            .slice(1)
            .sort(),
        ).toEqual([...pods].sort()),
      soon,
    );
    const records = await inClient('srv', '_http._tcp.web-headless.work.svc.cluster.local');
    expect(records.trim().split('\n')).toHaveLength(4);
    expect(records).toMatch(/web-headless\.work\.svc\.cluster\.local\. 8080/);
  });

  test('names outside the cluster are resolved through the host', async () => {
    expect(await inClient('lookup', '--retry=20s', `${cluster.name}-etcd-a.`)).toMatch(/ 10\.215\./);
    const missing = await kubectl.attempt(['exec', 'client', '--', '/testapp', 'lookup', 'no-such-name.invalid.']);
    expect(missing.stderr).toContain('no such host');
  });

  test('a NodePort answers another machine at every node, and with externalTrafficPolicy: Local sees the client itself', async () => {
    const addresses = await Promise.all(nodes.map((name) => kubectl.read(`node/${name}`, '.status.addresses[0].address')));
    const [, ...ofWorkers] = addresses;
    const ask = (address: string, port: number, path: string): string =>
      `curl -sS --max-time 10 --retry 5 --retry-connrefused http://${address}:${port}${path}`;
    const answers = await cluster.ssh(
      'bastion',
      [
        ...addresses.map((address) => ask(address, 30080, '/')),
        ...ofWorkers.map((address) => ask(address, 30081, '/client')),
        'hostname -I',
      ].join(' && '),
    );
    expect(answers.match(/VERSION=1/g)).toHaveLength(3);
    const [own = '?'] = words(answers).slice(-1);
    expect(words(answers).filter((word) => word === own)).toHaveLength(3);
    // And from a node itself, at its own address.
    expect(await cluster.ssh(workers[0], ask(ofWorkers[0] ?? '', 30080, '/'))).toContain('VERSION=1');
  });

  test('host network, host port and host path', async () => {
    await Promise.all(['pod/network', 'pod/port', 'pod/path'].map((pod) => ready(pod, 'host')));
    const node = (name: string): Promise<string> => kubectl.read(`node/${name}`, '.status.addresses[0].address');
    const [b, c] = await Promise.all(workers.map(node));
    expect(await kubectl.read('pod/network', '.status.podIP', 'host')).toBe(b);
    expect(await inClient('get', '--retry=20s', `http://${b}:18080/`, `http://${c}:18081/`)).toMatch(
      /200 workers-b-1(.|\n)*200 port/,
    );
    const onHost = (...args: string[]): Promise<string> => kubectl('exec', '-n', 'host', ...args);
    // Services by name, from the network of the host.
    expect(await onHost('network', '--', '/testapp', 'get', '--retry=20s', 'http://web.work/')).toContain('VERSION=1');
    expect(await onHost('path', '--', '/testapp', 'read', '/host/etc/hostname')).toBe(`${workers[1]}\n`);
    expect(await onHost('path', '--', '/testapp', 'read', '/proc/1/comm')).toBe('systemd\n');
  });
});

describe('pods', () => {
  test('probes: startup holds back the others, readiness is in the endpoints, liveness restarts', async () => {
    const endpoints = (): Promise<string> =>
      kubectl(
        'get',
        'endpointslices',
        '-l',
        'kubernetes.io/service-name=probed',
        '-o',
        'jsonpath={.items[*].endpoints[*].conditions.ready}',
      );
    const state = (path: string): Promise<string> => kubectl.read('pod/probed', `.status.containerStatuses[0].${path}`);
    const file = (...args: string[]): Promise<string> => kubectl('exec', 'probed', '-c', 'app', '--', '/testapp', ...args);
    await eventually(async () => expect(await state('state.running.startedAt')).not.toBe(''), soon);
    // Not alive, but not started either: nothing happens to it.
    expect(await state('started')).toBe('false');
    await file('write', '/state/started', 'ok');
    await eventually(async () => expect(await state('started')).toBe('true'), soon);
    expect(await endpoints()).toBe('false');
    await file('write', '/state/ready', 'ok');
    await eventually(async () => expect(await endpoints()).toBe('true'), soon);
    await file('remove', '/state/ready');
    await eventually(async () => expect(await endpoints()).toBe('false'), soon);
    expect(await state('restartCount')).toBe('0');
    await file('remove', '/state/alive');
    await eventually(async () => expect(await state('restartCount')).toMatch(/^[1-9]/), soon);
    await eventually(async () => expect(await kubectl('logs', 'probed', '-c', 'app', '--previous')).toContain('stopping'), soon);
    expect(await kubectl('events', '--for', 'pod/probed')).toContain('failed liveness probe');
  });

  test('volumes: emptyDir, memory, ConfigMap, Secret, projected; sidecar; as a user without rights', async () => {
    await ready('pod/volumes');
    const app = (...args: string[]): Promise<string> => kubectl('exec', 'volumes', '-c', 'app', '--', '/testapp', ...args);
    expect(await app('id')).toBe('1000 1000 [1000 2000]\n');
    expect(await app('read', '/scratch/greeting')).toBe('from init\n');
    expect(await app('read', '/settings/colour')).toBe('blue');
    expect(await app('read', '/password/word')).toBe('swordfish-in-the-clear');
    expect(await app('read', '/everything/paint')).toBe('blue');
    expect(await app('read', '/everything/labels')).toMatch(/app="volumes"\n(.*\n)*topology.kubernetes.io\/zone="[bc]"/);
    expect(await app('read', '/everything/ca.crt')).toContain('BEGIN CERTIFICATE');
    expect(claims(await app('read', '/everything/token'))).toMatchObject({
      aud: ['vault'],
      sub: 'system:serviceaccount:work:default',
    });
    await app('write', '/memory/file', 'kept');
    expect(await app('read', '/proc/mounts')).toMatch(/tmpfs \/memory tmpfs .*size=8192k/);
    expect((await kubectl.attempt(['exec', 'volumes', '-c', 'app', '--', '/testapp', 'write', '/file', 'x'])).stderr).toContain(
      'read-only',
    );
    const env = await app('get', 'http://localhost:8080/env', 'http://localhost:8081/healthz');
    expect(env).toContain('WORD=swordfish');
    expect(env).toContain('CPUS=200');
    expect(env).toContain(`POD_IP=${await kubectl.read('pod/volumes', '.status.podIP')}`);
  });

  test('a changed ConfigMap reaches the volumes of running pods', async () => {
    await ready('pod/volumes');
    await kubectl('patch', 'configmap/settings', '-p', '{"data":{"colour":"green"}}');
    // An annotation has the kubelet look at the pod now, and not in its next round (a minute and more).
    await kubectl('annotate', 'pod/volumes', 'look=now');
    const colour = (): Promise<string> => kubectl('exec', 'volumes', '-c', 'app', '--', '/testapp', 'read', '/settings/colour');
    await eventually(async () => expect(await colour()).toBe('green'), 150_000);
  });

  test('a stopping pod ends what it does', async () => {
    await ready('pod/graceful');
    const begin = performance.now();
    await kubectl('delete', 'pod/graceful');
    expect(performance.now() - begin).toBeGreaterThan(1900);
    expect(performance.now() - begin).toBeLessThan(50_000);
  });

  test('limits: who takes more memory is killed, alone', async () => {
    // It is killed again and again: containerd may miss the reason of one of its lives where systemd has its cgroup removed first (containerd#12714).
    await eventually(
      async () =>
        expect(
          words(
            await kubectl(
              'get',
              'pod/eater',
              '-o',
              'jsonpath={.status.containerStatuses[0].state.terminated.reason} {.status.containerStatuses[0].lastState.terminated.reason}',
            ),
          ),
        ).toContain('OOMKilled'),
      120_000,
    );
    expect(await kubectl.read('pod/volumes', '.status.qosClass')).toBe('Burstable');
  });

  test('taints and requests: who does not tolerate or fit stays pending, and is told why', async () => {
    await ready('pod/tolerating');
    expect(await kubectl.read('pod/tolerating', '.spec.nodeName')).toBe(master);
    const why = (pod: string): Promise<string> =>
      kubectl.read(`pod/${pod}`, '.status.conditions[?(@.type=="PodScheduled")].message');
    await eventually(async () => expect(await why('not-tolerating')).toContain('untolerated taint'), soon);
    await eventually(async () => expect(await why('too-big')).toContain('Insufficient cpu'), soon);
  });
});

describe('controllers', () => {
  test('a Deployment is spread over zones, rolls out and back', async () => {
    const where = words(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].spec.nodeName}'));
    expect([...where].sort()).toEqual([workers[0], workers[0], workers[1], workers[1]]);
    await kubectl('set', 'env', 'deployment/web', 'VERSION=2');
    await rolledOut('deployment/web');
    await eventually(async () => expect(await inClient('get', 'http://web/')).toContain('VERSION=2'), soon);
    await kubectl('rollout', 'undo', 'deployment/web');
    await rolledOut('deployment/web');
    await eventually(async () => expect(await inClient('get', 'http://web/')).toContain('VERSION=1'), soon);
  });

  test('a DaemonSet is on every node, and rolls out', async () => {
    await rolledOut('daemonset/each');
    await kubectl('set', 'env', 'daemonset/each', 'VERSION=2');
    await rolledOut('daemonset/each');
    const rows = await kubectl('get', 'pods', '-l', 'app=each', '-o', 'jsonpath={.items[*].spec.nodeName}');
    expect(distinct(words(rows))).toEqual(nodes);
  });

  test('a StatefulSet gives a pod back its name and its volume', async () => {
    await rolledOut('statefulset/db');
    await kubectl.inPod('db-0', 'write', '/data/name', 'first');
    await kubectl('delete', 'pod/db-0');
    await rolledOut('statefulset/db');
    expect(await kubectl.inPod('db-0', 'read', '/data/name')).toBe('first\n');
    const address = await kubectl.read('pod/db-0', '.status.podIP');
    await eventually(async () => expect(await inClient('lookup', 'db-0.db')).toContain(address), soon);
  });

  test('Jobs complete or fail; a CronJob starts them', async () => {
    await kubectl('wait', 'job/failing', '--for=condition=Failed', '--timeout=60s');
    await eventually(
      async () => expect(await kubectl.read('cronjob/minutely', '.status.lastSuccessfulTime')).not.toBe(''),
      150_000,
    );
  });

  test('CoreDNS is in both zones, and evictions leave one of it', async () => {
    const pods = words(
      await kubectl('get', 'pods', '-n', 'kube-system', '-l', 'k8s-app=kube-dns', '-o', 'jsonpath={.items[*].metadata.name}'),
    );
    const on = (): Promise<string> =>
      kubectl('get', 'pods', '-n', 'kube-system', '-l', 'k8s-app=kube-dns', '-o', 'jsonpath={.items[*].spec.nodeName}');
    expect(distinct(words(await on()))).toEqual(workers);
    const evict = (name: string) =>
      kubectl.attempt(
        ['create', '--raw', `/api/v1/namespaces/kube-system/pods/${name}/eviction`, '-f', '-'],
        JSON.stringify({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: 'kube-system' } }),
      );
    const [first, second] = [await evict(pods[0] ?? ''), await evict(pods[1] ?? '')];
    expect(first.code).toBe(0);
    expect(second.stderr).toContain('disruption budget');
    expect(await inClient('lookup', 'web')).toContain('web');
    await rolledOut('deployment/coredns', 'kube-system');
    await eventually(async () => expect(distinct(words(await on()))).toEqual(workers), soon);
  });

  test('custom resources are validated', async () => {
    await kubectl('wait', 'crd/ships.slipway.test', '--for=condition=Established', '--timeout=30s');
    const ship = (masts: number) =>
      JSON.stringify({ apiVersion: 'slipway.test/v1', kind: 'Ship', metadata: { name: 'one' }, spec: { masts } });
    expect((await kubectl.attempt(['apply', '-f', '-'], ship(9))).stderr).toContain('no ship has so many masts');
    await kubectl.apply(ship(3));
    expect(await kubectl.read('ship/one', '.spec.masts')).toBe('3');
  });
});

describe('metrics', () => {
  test('kubectl top, through the aggregated API', async () => {
    await eventually(async () => {
      const top = await kubectl('top', 'nodes', '--no-headers');
      expect(
        top
          .trim()
          .split('\n')
          .filter((line) => !line.includes('unknown')),
      ).toHaveLength(3);
    }, soon);
    await eventually(async () => expect(await kubectl('top', 'pods', '--no-headers')).toContain('web-'), soon);
    expect(await kubectl.read('apiservice/v1beta1.metrics.k8s.io', '.spec.insecureSkipTLSVerify')).toBe('');
  });

  test('an autoscaler reads them', async () => {
    await eventually(
      async () => expect(await kubectl.read('hpa/web', '.status.conditions[?(@.type=="ScalingActive")].status')).toBe('True'),
      120_000,
    );
  });

  test('Node Allocatable keeps back what cluster.yaml reserves', async () => {
    for (const name of nodes) {
      const [cpu, allocatable, memory, memoryAllocatable] = words(
        await kubectl.read(
          `node/${name}`,
          '.status.capacity.cpu} {.status.allocatable.cpu} {.status.capacity.memory} {.status.allocatable.memory',
        ),
      );
      // 100m + 100m; 128Mi + 128Mi and 100Mi for eviction.
      expect(allocatable).toBe(`${Number(cpu) * 1000 - 200}m`);
      expect(Number.parseInt(memory ?? '', 10) - Number.parseInt(memoryAllocatable ?? '', 10)).toBe(356 * 1024);
    }
  });

  test('nodes renew their leases, and say where they are', async () => {
    for (const name of nodes) {
      await eventually(async () => {
        const renewed = Date.parse(await kubectl.read(`lease/${name}`, '.spec.renewTime', 'kube-node-lease'));
        expect(Date.now() - renewed).toBeLessThan(20_000);
      }, soon);
      expect(await kubectl.read(`node/${name}`, '.metadata.labels.topology\\.kubernetes\\.io/zone')).toBe(name.split('-')[1]);
    }
  });
});

describe('who may do what', () => {
  test('strangers: 401 everywhere but at the health checks', async () => {
    const server = (await kubectl('config', 'view', '--minify', '-o', 'jsonpath={.clusters[0].cluster.server}')).trim();
    const status = (path: string): Promise<number | undefined> =>
      new Promise((done, failed) => {
        const asked = request(`${server}${path}`, { rejectUnauthorized: false, agent: false }, (answer) => {
          answer.resume();
          done(answer.statusCode);
        });
        asked.on('error', failed).end();
      });
    expect(await Promise.all(['/api', '/version', '/api/v1/secrets', '/openid/v1/jwks', '/metrics'].map(status))).toEqual([
      401, 401, 401, 401, 401,
    ]);
    expect(await Promise.all(['/readyz', '/livez', '/healthz'].map(status))).toEqual([200, 200, 200]);
    const { port } = new URL(server);
    const old = new Promise((done, failed) => {
      const socket = connect({
        port: Number(port),
        host: '127.0.0.1',
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
        ciphers: 'DEFAULT@SECLEVEL=0',
        rejectUnauthorized: false,
      });
      socket.on('secureConnect', () => done(socket.end())).on('error', failed);
    });
    await expect(old).rejects.toThrow(/protocol version/);
  });

  test('profiling is off', async () => {
    expect((await kubectl.attempt(['get', '--raw', '/debug/pprof/'])).stderr).toContain('not find');
  });

  test('kubelets ask who it is: no read-only port, nothing for strangers', async () => {
    const address = await kubectl.read(`node/${workers[0]}`, '.status.addresses[0].address');
    const answers = await cluster.ssh(
      'bastion',
      ['http://ADDRESS:10255/pods', 'https://ADDRESS:10250/pods', 'https://ADDRESS:10250/metrics']
        .map((url) => `curl -sk -o /dev/null -w '%{http_code} ' ${url.replace('ADDRESS', address)}`)
        .join(';'),
    );
    expect(words(answers)).toEqual(['000', '401', '401']);
  });

  test('a service account may what its role says', async () => {
    const get = (path: string) =>
      kubectl.attempt([
        'exec',
        'client',
        '--',
        '/testapp',
        'get',
        `--ca=${account}/ca.crt`,
        `--token=${account}/token`,
        `${api}${path}`,
      ]);
    expect((await get('/api/v1/namespaces/work/pods?limit=1')).stdout).toContain('200');
    expect((await get('/api/v1/namespaces/work/secrets')).stderr).toContain('403');
    expect((await get('/api/v1/namespaces/kube-system/pods')).stderr).toContain('403');
  });

  test('tokens name issuer, audience and pod; the published keys verify them', async () => {
    const token = await inClient('read', `${account}/token`);
    const issuer = 'https://kubernetes.default.svc.cluster.local';
    expect(claims(token)).toMatchObject({
      iss: issuer,
      aud: [issuer],
      'kubernetes.io': { namespace: 'work', pod: { name: 'client' }, serviceaccount: { name: 'default' } },
    });
    // As a pod finds them: every service account may.
    const published = async (path: string): Promise<Record<string, unknown>> => {
      const answer = await inClient('get', `--ca=${account}/ca.crt`, `--token=${account}/token`, `${api}${path}`);
      return JSON.parse(answer.replace(/^200 /, ''));
    };
    expect(await published('/.well-known/openid-configuration')).toMatchObject({ issuer, jwks_uri: `${issuer}/openid/v1/jwks` });
    const { keys } = await published('/openid/v1/jwks');
    if (!Array.isArray(keys)) throw new Error('no keys are published');
    const [header = '', payload = '', signature = ''] = token.trim().split('.');
    const { kid, alg } = JSON.parse(Buffer.from(header, 'base64url').toString());
    const jwk = keys.find((key) => key.kid === kid);
    expect(jwk).toMatchObject({ use: 'sig', alg });
    const key = { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' as const };
    expect(verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'))).toBe(true);
  });

  test('TokenReview: for its audience only', async () => {
    const token = (await kubectl('create', 'token', 'default', '--audience=vault', '--duration=10m')).trim();
    const review = async (audience: string): Promise<unknown> => {
      const asked = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences: [audience] } };
      return JSON.parse((await kubectl.attempt(['create', '-o', 'json', '-f', '-'], JSON.stringify(asked))).stdout).status;
    };
    expect(await review('vault')).toMatchObject({
      authenticated: true,
      audiences: ['vault'],
      user: { username: 'system:serviceaccount:work:default' },
    });
    expect(await review('bank')).not.toMatchObject({ authenticated: true });
  });

  test('a kubelet renews its client certificate: its request is approved and signed by the authority of nodes, for itself only', async () => {
    const [node, other] = workers;
    const script = readFileSync(new URL('../support/renew-certificate.sh', import.meta.url), 'utf8');
    const renew = (name: string) => cluster.run('ssh', node, '--', 'sh', '-c', script, 'sh', name, '600');
    const [own, foreign, authority] = await Promise.all([
      renew(node),
      renew(other),
      cluster.ssh(master, 'cat /etc/slipway/pki/nodes.ca.pem'),
    ]);
    expect(foreign.stderr).toContain('403');
    const issued = new X509Certificate(own.stdout);
    expect(issued.subject).toBe(`O=system:nodes\nCN=system:node:${node}`);
    expect(issued.verify(new X509Certificate(authority).publicKey)).toBe(true);
  });
});

describe('admission', () => {
  test('a webhook in the cluster decides, verified by its CA bundle', async () => {
    await rolledOut('deployment/webhook', 'host');
    const configMap = (name: string, deny: string) =>
      JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { ask: 'webhook', deny } } });
    await kubectl.apply(configMap('allowed', 'false'));
    expect((await kubectl.attempt(['apply', '-f', '-'], configMap('denied', 'true'))).stderr).toContain('denied by testapp');
  });

  test("PodSecurity: the cluster's default holds in namespaces without labels", async () => {
    const refused = await kubectl.attempt(['run', 'refused', `--image=${testapp.image}`, '--privileged']);
    expect(refused.stderr).toContain('violates PodSecurity "baseline:latest"');
    const warned = await kubectl.attempt(['run', 'warned', `--image=${testapp.image}`, '--dry-run=server']);
    expect({ code: warned.code, warned: warned.stderr.includes('restricted:latest') }).toEqual({ code: 0, warned: true });
  });

  test('quotas and limit ranges', async () => {
    const run = (name: string) =>
      kubectl.attempt(['run', name, '-n', 'quota', `--image=${testapp.image}`, '-o', 'jsonpath={.spec.containers[0].resources}']);
    expect(JSON.parse((await run('first')).stdout)).toEqual({ limits: { memory: '64Mi' }, requests: { memory: '16Mi' } });
    expect((await run('second')).stderr).toContain('exceeded quota');
    await eventually(async () => expect(await kubectl.read('quota/one-pod', '.status.used.pods', 'quota')).toBe('1'), soon);
  });
});

describe('records', () => {
  test('Secrets are encrypted in etcd', async () => {
    const stored = await inEtcd(2379, '/registry/secrets/work/password');
    expect(stored).toContain('k8s:enc:secretbox');
    expect(stored).not.toContain('swordfish');
  });

  test('events are in the etcd for events, and only there', async () => {
    expect(await inEtcd(2381, '/registry/events/work', '--prefix --keys-only --limit=5')).toContain('/registry/events/work/');
    expect(await inEtcd(2379, '/registry/events', '--prefix --keys-only --limit=5')).toBe('');
  });

  test('the audit log says who did what, without what is secret', async () => {
    const log = await cluster.ssh(
      master,
      'grep -E "\\"resource\\":\\"secrets\\"|pods/client/exec" /var/log/kubernetes/audit.log | tail -200; stat -c %a /var/log/kubernetes/audit.log',
    );
    const lines = log.trim().split('\n');
    expect(lines.pop()).toBe('600');
    const records = lines.map((line) => JSON.parse(line));
    expect(records.some((r) => r.objectRef.subresource === 'exec' && r.user.groups.includes('slipway:admins'))).toBe(true);
    expect(records.some((r) => r.objectRef.name === 'password' && ['create', 'patch'].includes(r.verb))).toBe(true);
    expect(log).not.toContain('swordfish');
  });

  test('a namespace goes with all that is in it', async () => {
    await kubectl('delete', 'namespace/quota', '--timeout=90s');
  });
});

function claims(token: string): unknown {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
}
