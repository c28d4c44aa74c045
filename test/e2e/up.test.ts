import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dockerClient, leftovers, removeLeftovers, TestCluster } from '../support/cli.ts';
import { applyYaml, eventually, importTestImage } from '../support/workloads.ts';

/**
 * The main job on real machines: from nothing to a highly available cluster, healed after each kind of damage, and gone again.
 * Tests of this file follow one another on one cluster.
 */
const file = (name: string): string => `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [a, b, c]
network: { machines: 10.211.0.0/16 }
pools:
  - name: workers
    count: 3
`;
const cluster = new TestCluster('up', file);
const workers = ['workers-a-1', 'workers-b-1', 'workers-c-1'];
const masters = ['master-a', 'master-b', 'master-c'];

interface PlanJson {
  readonly changes: readonly {
    address: string;
    action: string;
    when: Record<string, unknown>;
    fields: readonly { path: string }[];
  }[];
}
const plan = async (): Promise<PlanJson> => JSON.parse((await cluster.must('plan', '-o', 'json')).stdout);
/** What `plan` shows, as `action address`, sorted. */
const planned = async (): Promise<readonly string[]> =>
  (await plan()).changes.map((c) => `${'left' in c.when ? `${c.when.left}: ` : ''}${c.action} ${c.address}`).sort();
const container = (machine: string) => dockerClient.getContainer(`${cluster.name}-${machine}`);

beforeAll(async () => {
  await removeLeftovers('t-up');
});
afterAll(async () => {
  await cluster.remove();
});

describe('cluster up, from nothing', () => {
  test('ends with three masters and three workers ready in three zones', async () => {
    await cluster.must('up', '--yes');
    const nodes = JSON.parse(await cluster.kubectl('get', 'nodes', '-o', 'json'));
    const ready = nodes.items.map(
      (n: {
        metadata: { name: string; labels: Record<string, string> };
        status: { conditions: { type: string; status: string }[] };
      }) => ({
        name: n.metadata.name,
        zone: n.metadata.labels['topology.kubernetes.io/zone'],
        ready: n.status.conditions.find((c) => c.type === 'Ready')?.status,
      }),
    );
    expect(ready.sort((a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1))).toEqual(
      [...masters, ...workers].map((name) => ({ name, zone: name.split('-')[1], ready: 'True' })),
    );
  });

  test('and a new plan is empty: --detailed-exitcode says 0', async () => {
    const result = await cluster.run('plan', '--detailed-exitcode');
    expect({ code: result.code, out: result.code === 0 ? '' : result.stdout }).toEqual({ code: 0, out: '' });
  });

  test('up again does nothing', async () => {
    expect((await cluster.must('up', '--yes')).stdout).toContain('nothing to do');
  });

  test('only the bastion and the API are published, on loopback', async () => {
    const containers = await dockerClient.listContainers({ filters: { label: [`slipway.cluster=${cluster.name}`] } });
    expect(containers).toHaveLength(11);
    const published = containers
      .flatMap((c) => c.Ports.filter((p) => p.PublicPort).map((p) => `${c.Names[0]} ${p.IP} ${p.PrivatePort}`))
      .sort();
    expect(published).toEqual([`/${cluster.name}-balancer 127.0.0.1 6443`, `/${cluster.name}-bastion 127.0.0.1 22`].sort());
  });

  test('a Deployment spread over zones answers through a Service, by its DNS name', async () => {
    await importTestImage(cluster, [...masters, ...workers]);
    await applyYaml(cluster, webApp);
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
    const zones = await cluster.kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].spec.nodeName}');
    expect(new Set(zones.split(' ')).size).toBe(3);
    await applyYaml(cluster, client);
    await eventually(
      async () => expect(await cluster.kubectl('get', 'pod', 'client', '-o', 'jsonpath={.status.phase}')).toBe('Succeeded'),
      60_000,
    );
    expect(await cluster.kubectl('logs', 'client')).toContain('200');
  });

  test('kubectl top works: the aggregated API is verified by its CA', async () => {
    await eventually(async () => expect(await cluster.kubectl('top', 'nodes')).toContain('master-a'), 60_000);
    expect(
      await cluster.kubectl('get', 'apiservice', 'v1beta1.metrics.k8s.io', '-o', 'jsonpath={.spec.insecureSkipTLSVerify}'),
    ).not.toBe('true');
  });

  test('secrets are encrypted in etcd', async () => {
    await cluster.kubectl('create', 'secret', 'generic', 'probe', '--from-literal=word=swordfish-in-the-clear');
    const raw = await cluster.ssh(
      'etcd-a',
      'e=$(ls -d /opt/slipway/etcd/*/etcdctl | tail -1); $e --endpoints https://127.0.0.1:2379 --cacert /etc/slipway/pki/etcd.ca.pem --cert /etc/slipway/pki/etcd-probe.pem --key /etc/slipway/pki/etcd-probe-key.pem get /registry/secrets/default/probe | tr -cd "[:print:]"',
    );
    expect(raw).toContain('k8s:enc:secretbox');
    expect(raw).not.toContain('swordfish');
  });

  test('no generated secret is in the journal, the plan or any process argument', async () => {
    const saved = `${cluster.directory}/plan.json`;
    await cluster.must('plan', '--out', saved);
    const pattern = /BEGIN (EC |RSA |OPENSSH )?PRIVATE KEY|AGE-SECRET-KEY/;
    // The age identity is the one file that holds a secret, and only its owner reads it.
    const leaking = cluster
      .files()
      .filter((f) => pattern.test(f.content) && !/config\/slipway\/identity/.test(f.path) && !f.path.endsWith('/kubeconfig'));
    expect(leaking.map((f) => f.path)).toEqual([]);
    for (const host of ['master-a', 'etcd-a']) {
      const material = (await cluster.ssh(host, 'cat /etc/slipway/pki/*-key.pem | grep -v PRIVATE | cut -c1-40'))
        .split('\n')
        .filter((line) => line.length === 40);
      expect(material.length).toBeGreaterThan(2);
      const args = await cluster.ssh(host, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; journalctl --no-pager -q | cat");
      for (const line of material) expect(args.includes(line)).toBe(false);
    }
  });
});

describe('damage is shown exactly, and healed exactly', () => {
  test('a machine that was stopped', async () => {
    await container('workers-b-1').stop({ t: 0 });
    const changes = await planned();
    expect(changes.filter((c) => !c.startsWith('unseen'))).toEqual(['update local.machine/workers-b-1']);
    expect(changes.filter((c) => c.startsWith('unseen')).every((c) => c.includes('workers-b-1'))).toBe(true);
    await cluster.must('up', '--yes');
    expect(await planned()).toEqual([]);
  });

  test('a machine that was deleted', async () => {
    await container('workers-c-1').remove({ force: true, v: true });
    expect((await planned()).every((c) => c.includes('workers-c-1'))).toBe(true);
    await cluster.must('up', '--yes');
    expect(await planned()).toEqual([]);
    await cluster.kubectl('wait', 'node/workers-c-1', '--for=condition=Ready', '--timeout=10s');
  });

  test('a unit that was stopped', async () => {
    await cluster.ssh('workers-a-1', 'systemctl stop kube-proxy');
    expect(await planned()).toEqual(['update host.units/workers-a-1']);
    await cluster.must('up', '--yes');
    expect((await cluster.ssh('workers-a-1', 'systemctl is-active kube-proxy')).trim()).toBe('active');
  });

  test('a managed file that was edited', async () => {
    await cluster.ssh('workers-a-1', 'echo "# by hand" >> /etc/kubernetes/kubelet.yaml');
    const { changes } = await plan();
    expect(
      changes.flatMap((c) => c.fields.map((f) => `${c.address} ${f.path}`)).filter((f) => f.startsWith('host.bundle')),
    ).toEqual(['host.bundle/workers-a-1 files./etc/kubernetes/kubelet.yaml']);
    await cluster.must('up', '--yes');
    expect(await cluster.ssh('workers-a-1', 'tail -1 /etc/kubernetes/kubelet.yaml')).not.toContain('by hand');
  });

  test('a file of a serving API server is left to upgrade, and not written', async () => {
    await cluster.ssh('master-a', 'echo "# by hand" >> /etc/kubernetes/audit-policy.yaml');
    // The file itself, and that the API server runs with other content than lies there now: both are upgrade's.
    expect(await planned()).toEqual(['upgrade: update host.bundle/master-a', 'upgrade: update host.units/master-a']);
    await cluster.must('up', '--yes');
    expect(await cluster.ssh('master-a', 'tail -1 /etc/kubernetes/audit-policy.yaml')).toContain('by hand');
    await cluster.ssh('master-a', 'sed -i "$ d" /etc/kubernetes/audit-policy.yaml');
    expect(await planned()).toEqual([]);
  });

  test('an API server that only crashes is mended, since it serves nobody', async () => {
    await cluster.ssh(
      'master-b',
      'sed -i s/--secure-port=6443/--no-such-flag=1/ /etc/systemd/system/kube-apiserver.service && systemctl daemon-reload && systemctl restart --no-block kube-apiserver',
    );
    await eventually(async () => expect(await planned()).toContain('update host.bundle/master-b'), 30_000);
    await cluster.must('up', '--yes');
    expect(await planned()).toEqual([]);
  });

  test('an edit of what the cluster stands on is refused, and one that would restart what serves is left', async () => {
    const edited = async (yaml: string) => {
      cluster.write(yaml);
      try {
        return await cluster.run('plan');
      } finally {
        cluster.write(file(cluster.name));
      }
    };
    const moved = await edited(file(cluster.name).replace('10.211.0.0/16', '10.211.0.0/16, pods: 10.240.0.0/16'));
    expect({ code: moved.code, said: moved.stderr }).toMatchObject({
      code: 65,
      said: expect.stringContaining('network.pods is 10.244.0.0/16 in the cluster, and 10.240.0.0/16 in the file'),
    });
    const gate = await edited(`${file(cluster.name)}kubernetes: { featureGates: { GracefulNodeShutdown: false } }\n`);
    expect(gate.stdout).toContain('rollout/settings');
    expect(gate.stdout).toContain('nothing to do now; 1 left');
  });

  test('a certificate that was deleted', async () => {
    await cluster.ssh('workers-a-1', 'rm /etc/slipway/pki/kubelet-server.pem');
    expect(await planned()).toContain('create pki.certificate/workers-a-1.kubelet-server');
    await cluster.must('up', '--yes');
    expect(await planned()).toEqual([]);
  });

  test('an etcd member that was lost with its volume comes back as a healthy member', async () => {
    await container('etcd-b').remove({ force: true, v: true });
    for (const volume of await dockerClient
      .listVolumes({ filters: { label: [`slipway.cluster=${cluster.name}`] } })
      .then((v) => v.Volumes)) {
      if (volume.Name.includes('etcd-b')) await dockerClient.getVolume(volume.Name).remove();
    }
    await cluster.must('up', '--yes');
    expect(await planned()).toEqual([]);
    const status = JSON.parse((await cluster.must('status', '-o', 'json')).stdout);
    const main = status.etcd.find((etcd: { cluster: string }) => etcd.cluster === 'main');
    expect(main.members.map((member: { state: string }) => member.state)).toEqual(['healthy', 'healthy', 'healthy']);
  });

  test('one zone stopped: the API still answers through the balancer, and what cannot be seen is unknown, never to be created', async () => {
    const zone = ['etcd-c', 'master-c', 'workers-c-1'];
    await Promise.all(zone.map((machine) => container(machine).stop({ t: 0 })));
    await eventually(async () => expect(await cluster.kubectl('get', '--raw', '/readyz')).toBe('ok'), 60_000);
    // Workloads in the other zones serve on: asked from a pod of one of them, by the Service's name. Until the dead Node is noticed (50 s, and
    // they begin anew where the dead zone had the controllers' leader) its endpoints get their share of the requests: asked again and again, and
    // not by restarts, which wait longer and longer.
    await applyYaml(
      cluster,
      client
        .replaceAll('client', 'client-of-b')
        .replace('restartPolicy: OnFailure', 'nodeName: workers-b-1\n  restartPolicy: Never')
        .replace('[get,', '[get, -retry, 120s, -timeout, 2s,'),
    );
    await eventually(
      async () => expect(await cluster.kubectl('get', 'pod', 'client-of-b', '-o', 'jsonpath={.status.phase}')).toBe('Succeeded'),
      140_000,
    );
    const changes = await planned();
    expect(changes.filter((c) => c.startsWith('update local.machine'))).toEqual(
      zone.map((machine) => `update local.machine/${machine}`),
    );
    expect(changes.filter((c) => c.includes('create'))).toEqual([]);
    expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(69);
    await cluster.must('up', '--yes');
    expect(await planned()).toEqual([]);
  });
});

describe('cluster down', () => {
  test('leaves nothing of the cluster on this host', async () => {
    await cluster.must('down', '--yes', '--allow-data-loss');
    expect(await leftovers(cluster.name)).toEqual([]);
  });
});

const webApp = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: default }
spec:
  replicas: 3
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: { matchLabels: { app: web } } }]
      containers:
        - name: web
          image: registry.slipway.test/testapp:1
          imagePullPolicy: Never
          readinessProbe: { httpGet: { path: /readyz, port: 8080 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] }
`;
const client = `
apiVersion: v1
kind: Pod
metadata: { name: client, namespace: default }
spec:
  restartPolicy: OnFailure
  containers: [{ name: client, image: registry.slipway.test/testapp:1, imagePullPolicy: Never, args: [get, 'http://web.default.svc.cluster.local/'] }]
`;
