import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { versionsFor } from '../../src/assets/catalogue.ts';
import type { UpgradePlan } from '../../src/rollout/upgrade-plan.ts';
import { dockerClient, type RunEvent, removeLeftovers, TestCluster } from '../support/cli.ts';
import { explained, type Load, openLoad, summary } from '../support/load/load.ts';
import { assetCache } from '../support/local-etcd.ts';
import { inMachine } from '../support/overheard.ts';
import { ensureTestapp } from '../support/testapp.ts';
import { upgradeAnd } from '../support/upgrading.ts';
import { eventually } from '../support/workloads.ts';

/**
 * Everything but Kubernetes, from older versions that cluster.yaml chooses to those that go with its version: etcd by a minor version, containerd and runc
 * under running pods, CNI plugins, flannel, CoreDNS. Tests follow one another on one cluster.
 */
const kubernetes = '1.36.3';
const older = { etcd: '3.5.35', containerd: '2.3.7', runc: '1.4.3', cni: '1.9.0', flannel: '0.28.4', coredns: '1.14.7' };
const newer = versionsFor(kubernetes);
const machines = '10.232.0.0/16';
const yaml = (name: string, components: object): string => `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [a, b, c]
network: { machines: ${machines} }
kubernetes: { version: ${kubernetes}, components: ${JSON.stringify(components)} }
etcd: { events: false }
masters: { count: 1 }
pools:
  - name: workers
    count: 2
    upgrade: { drain: { timeout: 60s } }
`;
const cluster = new TestCluster('components', (name) => yaml(name, older));
const choose = (components: object): void => cluster.write(yaml(cluster.name, components));
const members = ['etcd-a', 'etcd-b', 'etcd-c'] as const;
const nodes = ['master-a', 'workers-a-1', 'workers-b-1'] as const;
let load: Load;

const inside = (machine: string, command: string): Promise<string> =>
  inMachine(dockerClient.getContainer(`${cluster.name}-${machine}`), command);
/** What the program of a running process says of itself, and the path that it was started by. */
async function running(machine: string, program: string): Promise<{ readonly path: string; readonly says: string }> {
  const pid = (await inside(machine, `pgrep -o -x ${program}`)).trim();
  const path = (await inside(machine, `readlink /proc/${pid}/exe`)).trim();
  return { path, says: await inside(machine, `/proc/${pid}/exe --version 2>&1`) };
}
async function expectRunning(machine: string, directory: string, program: string, version: string): Promise<void> {
  const { path, says } = await running(machine, program);
  expect(path).toBe(`/opt/slipway/${directory}/${version}/${program}`);
  expect(says).toContain(version);
}
async function expectVersions(want: typeof older): Promise<void> {
  const ofNode = async (node: string): Promise<void> => {
    await expectRunning(node, 'containerd', 'containerd', want.containerd);
    await expectRunning(node, 'flannel', 'flanneld', want.flannel);
    const config = await inside(node, 'cat /etc/containerd/config.toml');
    expect(config).toContain(`/opt/slipway/runc/${want.runc}/runc`);
    expect(config).toContain(`/opt/slipway/cni/${want.cni}`);
    expect(await load.kubectl.read(`node/${node}`, '.status.nodeInfo.containerRuntimeVersion')).toBe(
      `containerd://${want.containerd}`,
    );
  };
  await Promise.all([...members.map((member) => expectRunning(member, 'etcd', 'etcd', want.etcd)), ...nodes.map(ofNode)]);
  expect(await load.kubectl('logs', '-n', 'kube-system', 'deployment/coredns')).toContain(`CoreDNS-${want.coredns}`);
}

interface MemberStatus {
  readonly header: { readonly member_id: string };
  readonly version: string;
  readonly storageVersion?: string;
  readonly leader: string;
}
const ask = async <T>(member: string, path: string, body = ''): Promise<T> =>
  JSON.parse(
    await inside(
      member,
      `cd /etc/slipway/pki && curl -sS --cacert etcd.ca.pem --cert etcd-server.pem --key etcd-server-key.pem ${body} https://127.0.0.1:2379${path}`,
    ),
  );
const statuses = (): Promise<readonly MemberStatus[]> =>
  Promise.all(members.map((member) => ask<MemberStatus>(member, '/v3/maintenance/status', "-d '{}'")));
async function leader(): Promise<string | undefined> {
  const all = await statuses();
  return members[all.findIndex(({ header, leader: id }) => header.member_id === id)];
}
const stays = async () => {
  const [status] = JSON.parse(await load.kubectl('get', 'pod/stays', '-o', 'json')).status.containerStatuses;
  return { id: status.containerID, restarts: status.restartCount, since: status.state.running?.startedAt };
};

beforeAll(async () => {
  await Promise.all([removeLeftovers(cluster.name), ensureTestapp(assetCache)]);
  await cluster.must('up', '--yes');
  load = await openLoad(cluster, {
    version: kubernetes,
    machines,
    zones: ['a', 'b'],
    pool: 'workers',
    workers: 2,
    perZone: 1,
  });
  await load.kubectl('scale', 'deployment/web', '--replicas=2');
  await load.kubectl('create', 'configmap', 'kept', '--from-literal=since=3.5');
  await load.kubectl.apply([
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'stays', annotations: { 'slipway.dev/drain': 'skip' } },
      spec: { nodeName: 'workers-b-1', containers: [{ name: 'stays', image: 'registry.slipway.test/testapp:1' }] },
    },
  ]);
  await load.kubectl('wait', '--for=condition=Ready', 'pod/stays', '--timeout=60s');
});
afterAll(async () => {
  await load?.remove();
  await cluster.remove();
});

test('the versions that the file chooses run', async () => {
  await expectVersions(older);
  expect((await ask<{ etcdcluster: string }>('etcd-a', '/version')).etcdcluster).toBe('3.5.0');
});

describe('without them in the file', () => {
  beforeAll(() => choose({}));

  test('plan leaves it to upgrade, and a dry run says which machine moves from what to what', async () => {
    const plan = JSON.parse((await cluster.must('plan', '-o', 'json')).stdout);
    expect(plan.changes.map(({ address, when }: UpgradePlan['changes'][number]) => [address, 'left' in when])).toEqual([
      ['rollout/kubernetes', true],
    ]);
    const { rollout }: UpgradePlan = JSON.parse((await cluster.must('upgrade', '--dry-run', '-o', 'json')).stdout);
    const turns = rollout.waves.flatMap(({ lanes }) => lanes.flatMap(({ turns: own }) => own));
    const moves = Object.fromEntries(
      turns.map(({ machine, versions }) => [
        machine,
        versions.map(({ what, before, after }) => `${what} ${before} ${after}`).sort(),
      ]),
    );
    const change = (what: string, key: keyof typeof older): string => `${what} ${older[key]} ${newer[key]}`;
    const ofNode = [
      change('cni', 'cni'),
      change('containerd', 'containerd'),
      change('flanneld', 'flannel'),
      change('runc', 'runc'),
    ];
    expect(moves).toEqual({
      ...Object.fromEntries(members.map((member) => [member, [change('etcd', 'etcd')]])),
      ...Object.fromEntries(nodes.map((node) => [node, ofNode])),
    });
    expect(rollout.versions).toContainEqual({ what: 'CoreDNS', before: older.coredns, after: newer.coredns });
    expect(rollout.waves.map(({ name }) => name)).toEqual(['etcd', 'masters', 'addons', 'pools']);
    await expectVersions(older);
  });

  test('upgrade moves all of it, etcd with its leader last, and no request to an application fails', async () => {
    const before = await stays();
    const traffic = await load.start();
    let first = '';
    // Whoever leads when the run looks: a busy machine may have elected another one by then.
    const looked = ({ type, task }: RunEvent): boolean => type === 'started' && task === 'preflight';
    const run = await upgradeAnd(cluster, [], looked, async () => {
      first = (await leader()) ?? '';
    });
    expect({ code: run.code, stderr: run.code === 0 ? '' : run.stderr.slice(-3000) }).toEqual({ code: 0, stderr: '' });
    const { events } = run;
    const result = await traffic.stop();
    console.log(summary(result));
    expect(explained(result.app.failures, events)).toEqual([]);
    expect(result.app.requests).toBeGreaterThan(500);
    const order = events.flatMap(({ type, task }) => (type === 'started' ? (/\/(etcd-[abc])$/.exec(task)?.[1] ?? []) : []));
    expect([...new Set(order)]).toHaveLength(3);
    expect(order.at(-1)).toBe(first);
    // Its containerd was restarted, and its shim is the one that it was started with.
    expect(await stays()).toEqual(before);
    const shims = await inside('workers-b-1', 'for p in $(pgrep containerd-shim); do readlink /proc/$p/exe; done');
    expect(shims).toContain(`/opt/slipway/containerd/${older.containerd}/containerd-shim-runc-v2`);
  });

  test('what runs is what the file says, etcd has risen with all of its data, and the plan is empty', async () => {
    await expectVersions(newer);
    expect((await ask<{ etcdcluster: string }>('etcd-a', '/version')).etcdcluster).toBe('3.6.0');
    // Its leader marks the data as of the new version some seconds after the cluster has risen.
    await eventually(async () => {
      expect((await statuses()).map(({ version, storageVersion }) => [version, storageVersion])).toEqual(
        members.map(() => [newer.etcd, '3.6.0']),
      );
    }, 30_000);
    expect(await load.kubectl.read('configmap/kept', '.data.since')).toBe('3.5');
    const plan = await cluster.run('plan', '--detailed-exitcode');
    expect({ code: plan.code, out: plan.code === 0 ? '' : plan.stdout }).toEqual({ code: 0, out: '' });
  });
});

test('etcd does not go back by a minor version: refused by upgrade, said by plan, and nothing is touched', async () => {
  choose({ etcd: older.etcd });
  await cluster.must('validate');
  expect((await cluster.must('plan')).stdout).toContain('etcd cannot go back from 3.6.16 to 3.5.35');
  const refused = await cluster.run('upgrade', '--yes');
  expect(refused.code).toBe(65);
  expect(refused.stderr).toContain('restore a recovery point');
  await expectVersions(newer);
});
