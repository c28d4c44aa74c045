import type { ChildProcess } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { AutoScalingClient, DescribeAutoScalingGroupsCommand, SetDesiredCapacityCommand } from '@aws-sdk/client-auto-scaling';
import {
  AuthorizeSecurityGroupIngressCommand,
  DescribeSecurityGroupsCommand,
  EC2Client,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { imageName, versionsFor } from '../../src/assets/catalogue.ts';
import { inventory } from '../support/aws/inventory.ts';
import { docker } from '../support/aws/lab/docker.ts';
import type { Instance } from '../support/aws/lab/instances.ts';
import { type Lab, startLab } from '../support/aws/lab/lab.ts';
import { type Storm, startStorm } from '../support/aws/storm.ts';
import { leftovers, removeLeftovers, root, TestCluster } from '../support/cli.ts';
import { assetCache } from '../support/local-etcd.ts';
import { ensureTestapp, testapp } from '../support/testapp.ts';
import { eventually, type Kubectl, openKubectl } from '../support/workloads.ts';

/**
 * examples/aws/ha.yaml, for real as far as it can be here: the API is emulated (moto behind the fault proxy), every instance is a machine
 * that boots from its user data, and what runs on it is Kubernetes. AWS fails all the while (test/support/aws/storm.ts). Tests follow one another.
 */
const region = 'eu-central-1';
const range = '172.29.0.0/16';
const cluster = new TestCluster('aws', (name) => {
  const file = parseDocument(readFileSync(join(root, 'examples/aws/ha.yaml'), 'utf8'));
  file.set('name', name);
  file.setIn(['network', 'machines'], range);
  // Machines that AWS may take back: they get a notice.
  file.setIn(['pools', 0, 'spot'], true);
  // An image that the emulator knows; addons whose images no registry here has.
  file.setIn(['provider', 'aws', 'image'], { owner: 'amazon', name: 'amzn2-ami-hvm-2.*-x86_64-*' });
  file.setIn(['provider', 'aws', 'addons'], { ebsCsi: false, clusterAutoscaler: false });
  return String(file);
});
let lab: Lab;
let storm: Storm;
let kubectl: Kubectl;
/** What the account holds before there is a cluster. */
let empty: readonly string[];
let tunnel: ChildProcess | undefined;
let groups: AutoScalingClient;
const options = () => ({ region, endpoint: lab.proxy.url, credentials: lab.account.credentials, maxAttempts: 10 });
/** The seed of the storm that AWS fails in, or `none`. */
const seed = process.env.SLIPWAY_LAB_STORM ?? '7';
const sent = async (...args: string[]) => {
  const result = await cluster.run(...args);
  return { code: result.code, plan: JSON.parse(result.stdout) };
};
const planned = () => sent('plan', '--detailed-exitcode', '-o', 'json');
/** The one running instance of this name of the design. */
const instanceOf = async (name: string): Promise<Instance> => {
  const { instances } = await lab.world();
  const found = instances.filter(
    ({ tags, state }) => tags['slipway.dev/resource'] === `aws.machine/${name}` && state === 'running',
  );
  expect(found, name).toHaveLength(1);
  return found[0] ?? expect.fail(`no ${name}`);
};
const workers = async (): Promise<readonly Instance[]> => {
  const { instances } = await lab.world();
  return instances.filter(({ tags, state }) => tags['slipway.dev/pool'] === 'workers' && state === 'running');
};
/** Keeps the way through the bastion open; its URL. */
function openTunnel(): Promise<string> {
  const child = cluster.start('tunnel', '--port', '0');
  tunnel = child;
  return new Promise((done, fail) => {
    child.stdout?.once('data', (line) => done(String(line).trim()));
    child.once('close', (code) => fail(new Error(`the tunnel ended with ${code}`)));
  });
}
const readyNodes = async (): Promise<readonly string[]> =>
  (await kubectl('get', 'nodes', '--no-headers'))
    .split('\n')
    .filter((line) => / Ready /.test(line))
    .map((line) => line.split(/\s+/)[0] ?? '');

/** Its image, as if from a registry. */
async function giveTestapp(instance: string): Promise<void> {
  const to = lab.containerOf(instance);
  await docker('cp', join(assetCache, 'images/testapp-1.tar'), `${to}:/root/testapp.tar`);
  const load = '$(ls -d /opt/slipway/containerd/*/ctr | tail -1) -n k8s.io images import /root/testapp.tar';
  await docker('exec', to, 'sh', '-c', load);
}
/** Pods of the test's deployment on a node. */
const webOn = async (node: string): Promise<readonly string[]> =>
  (await kubectl('get', 'pods', '-l', 'app=web', '--field-selector', `spec.nodeName=${node}`, '-o', 'name'))
    .split('\n')
    .filter(Boolean);
/** What the agents of all masters have logged. */
const agentsSay = async (): Promise<string> => {
  const { instances } = await lab.world();
  const masters = instances.filter(
    ({ tags, state }) => /\/master-/.test(tags['slipway.dev/resource'] ?? '') && state === 'running',
  );
  const said = masters.map(({ id }) => docker('exec', lab.containerOf(id), 'journalctl', '-u', 'slipway-agent', '-o', 'cat'));
  return (await Promise.all(said)).join('\n');
};
/** The workers' group of a zone, and what all members of groups are at. */
const groupOf = (zone: string): string => `${cluster.name}-workers-${region}${zone}`;
const members = async (): Promise<readonly string[]> => {
  const { AutoScalingGroups = [] } = await groups.send(new DescribeAutoScalingGroupsCommand({}));
  return AutoScalingGroups.flatMap(({ Instances = [] }) => Instances).map(({ LifecycleState }) => LifecycleState ?? '');
};

beforeAll(async () => {
  await removeLeftovers(cluster.name);
  await ensureTestapp(assetCache);
  lab = await startLab({ name: cluster.name, range, region });
  Object.assign(cluster.environment, lab.environment);
  empty = await inventory(lab.proxy, lab.account.id, region);
  groups = new AutoScalingClient(options());
  storm = startStorm(lab, seed === 'none' ? undefined : Number(seed));
}, 120_000);
afterAll(async () => {
  tunnel?.kill('SIGKILL');
  await lab?.close();
  await removeLeftovers(cluster.name);
  rmSync(cluster.directory, { recursive: true, force: true });
}, 120_000);

describe(`examples/aws/ha.yaml on emulated AWS with real machines (storm ${seed})`, () => {
  test('meets a quota on its way up, and says which and what to ask for; goes on when it is raised, and the plan is empty then', async () => {
    storm.lowerQuota(6);
    const { code: failed, stderr } = await cluster.run('up', '--yes');
    expect(failed).toBe(1);
    expect(stderr).toContain('a quota of the account is used up: Running On-Demand Standard');
    expect(stderr).toMatch(/request-service-quota-increase --service-code ec2 --quota-code L-1216C47A/);
    storm.raiseQuota();
    await cluster.must('up', '--yes');
    const { code, plan } = await planned();
    expect(plan.changes).toEqual([]);
    expect(code).toBe(0);
  });
  test('asked nothing that AWS would refuse by its form', () => {
    expect(lab.proxy.violations).toEqual([]);
    expect(lab.proxy.accidents).toEqual([]);
    expect(lab.accidents).toEqual([]);
  });
  test('has three masters and three workers that joined by themselves, one a zone, labelled by the cloud controller', async () => {
    const proxy = await openTunnel();
    kubectl = await openKubectl(cluster, '1.36.3', 'default', ['--proxy-url', proxy]);
    expect(await readyNodes()).toHaveLength(6);
    const zones = await kubectl(
      'get',
      'nodes',
      '-l',
      'slipway.dev/pool=workers',
      '-o',
      'jsonpath={.items[*].metadata.labels.topology\\.kubernetes\\.io/zone}',
    );
    expect(zones.split(' ').sort()).toEqual(['a', 'b', 'c'].map((zone) => `${region}${zone}`));
    const taints = await kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].spec.taints[*].key}');
    expect(taints).not.toContain('uninitialized');
  });
  test('pods in all zones answer through a Service', async () => {
    for (const { id } of await workers()) await giveTestapp(id);
    const app = { app: 'web' };
    const container = { name: 'web', image: testapp.image, args: ['serve'], ports: [{ containerPort: 8080 }] };
    const spread = {
      maxSkew: 1,
      topologyKey: 'topology.kubernetes.io/zone',
      whenUnsatisfiable: 'DoNotSchedule',
      labelSelector: { matchLabels: app },
    };
    await kubectl.apply([
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'web' },
        spec: {
          replicas: 3,
          selector: { matchLabels: app },
          template: { metadata: { labels: app }, spec: { containers: [container], topologySpreadConstraints: [spread] } },
        },
      },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web' },
        spec: { selector: app, ports: [{ port: 80, targetPort: 8080 }] },
      },
    ]);
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=90s');
    const address = await kubectl.read('service/web', '.spec.clusterIP');
    const from = lab.containerOf((await workers())[0]?.id ?? '');
    await eventually(async () => {
      expect(await docker('exec', from, 'curl', '-sf', '--max-time', '3', `http://${address}/`)).not.toBe('');
    }, 30_000);
  });
  test("a spot machine's notice cordons and drains it; with no CLI running the group's new instances join", async () => {
    const [noticed = expect.fail('no worker')] = (await workers()).filter(({ zone }) => zone === `${region}c`);
    await storm.sparing(() =>
      groups.send(new SetDesiredCapacityCommand({ AutoScalingGroupName: groupOf('b'), DesiredCapacity: 2 })),
    );
    const end = lab.giveSpotNotice(noticed.id);
    await eventually(async () => {
      expect(await kubectl.read(`node/${noticed.id}`, '.spec.unschedulable')).toBe('true');
      expect(await webOn(noticed.id)).toEqual([]);
    }, 60_000);
    expect(end.getTime() - Date.now()).toBeGreaterThan(30_000);
    // AWS takes it back, and its group makes another.
    await storm.sparing(() => new EC2Client(options()).send(new TerminateInstancesCommand({ InstanceIds: [noticed.id] })));
    await eventually(async () => {
      expect(await workers()).toHaveLength(4);
      expect((await readyNodes()).filter((node) => node !== noticed.id)).toHaveLength(7);
    }, 240_000);
    // Launch hooks were waited for: the agent let each into service.
    await eventually(async () => expect((await members()).filter((state) => state !== 'InService')).toEqual([]), 30_000);
    expect((await planned()).plan.changes).toEqual([]);
  }, 480_000);
  test('a group made smaller drains the machine first, as disruption budgets allow', async () => {
    for (const { id } of await workers()) await giveTestapp(id);
    const budget = (allowed: number) => ({
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'web' },
      spec: { maxUnavailable: allowed, selector: { matchLabels: { app: 'web' } } },
    });
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
    await kubectl.apply([budget(0)]);
    await storm.sparing(() =>
      groups.send(new SetDesiredCapacityCommand({ AutoScalingGroupName: groupOf('b'), DesiredCapacity: 1 })),
    );
    const leaving = async (): Promise<readonly string[]> => (await members()).filter((state) => state === 'Terminating:Wait');
    expect(await leaving()).toHaveLength(1);
    const inB = (await workers()).filter(({ zone }) => zone === `${region}b`).map(({ id }) => id);
    let [going, held] = ['', [] as readonly string[]];
    await eventually(async () => {
      for (const id of inB) if ((await kubectl.read(`node/${id}`, '.spec.unschedulable')) === 'true') going = id;
      expect(going).not.toBe('');
    }, 30_000);
    held = await webOn(going);
    expect(held).toHaveLength(1);
    // The eviction is refused, and the machine runs on.
    await eventually(
      async () => expect(await agentsSay()).toContain(`${going}: default/${held[0]?.replace('pod/', '')} stays`),
      20_000,
    );
    expect([await leaving(), await webOn(going)]).toEqual([['Terminating:Wait'], held]);
    await kubectl.apply([budget(1)]);
    await eventually(async () => expect((await workers()).map(({ id }) => id)).not.toContain(going), 60_000);
    // The cloud controller deletes its Node, and what ran on it runs elsewhere.
    await eventually(
      async () => expect((await kubectl('get', 'nodes', '-o', 'name')).trim().split('\n')).toHaveLength(6),
      120_000,
    );
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
    await eventually(async () => expect((await planned()).plan.changes).toEqual([]), 120_000);
  }, 480_000);
  test('a firewall rule by hand is shown, and taken back', async () => {
    const ec2 = new EC2Client(options());
    const { SecurityGroups = [] } = await ec2.send(new DescribeSecurityGroupsCommand({}));
    const etcd = SecurityGroups.find(({ Tags = [] }) => Tags.some(({ Value }) => Value === 'aws.security-group/etcd'));
    const rule = { IpProtocol: 'tcp', FromPort: 2379, ToPort: 2379, IpRanges: [{ CidrIp: '0.0.0.0/0' }] };
    await storm.sparing(() =>
      ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId: etcd?.GroupId, IpPermissions: [rule] })),
    );
    const { plan } = await planned();
    expect(plan.changes.map(({ address }: { address: string }) => address)).toEqual(['aws.firewall/etcd']);
    await cluster.must('up', '--yes');
    expect((await planned()).plan.changes).toEqual([]);
  });
  test('terminated instances of a master and of an etcd member come back, with their addresses, their volumes and their data', async () => {
    await kubectl('create', 'configmap', 'kept', '--from-literal=word=kept');
    const before = await Promise.all([instanceOf(`master-${region}b`), instanceOf(`etcd-${region}c`)]);
    await storm.sparing(() =>
      new EC2Client(options()).send(new TerminateInstancesCommand({ InstanceIds: before.map(({ id }) => id) })),
    );
    await eventually(async () => {
      const running = (await lab.world()).instances.filter(({ state }) => state === 'running').map(({ id }) => id);
      expect(running).not.toContain(before[0]?.id);
    }, 30_000);
    await cluster.must('up', '--yes');
    const after = await Promise.all([instanceOf(`master-${region}b`), instanceOf(`etcd-${region}c`)]);
    expect(after.map(({ address }) => address)).toEqual(before.map(({ address }) => address));
    expect(after[1]?.volumes.toSorted()).toEqual(before[1]?.volumes.toSorted());
    expect(await kubectl.read('configmap/kept', '.data.word')).toBe('kept');
    // The Node is the new machine's: by the old one's ID the cloud controller would delete it.
    expect(await kubectl.read(`node/master-${region}b`, '.spec.providerID')).toBe(`aws:///${region}b/${after[0]?.id}`);
    expect((await planned()).code).toBe(0);
  });
  test('Services get balancers, classic and network, and what the cloud controller opened for them is no drift', async () => {
    const annotation = (name: string) => `service.beta.kubernetes.io/aws-load-balancer-${name}`;
    const service = (name: string, annotations: Readonly<Record<string, string>>) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, annotations },
      spec: { type: 'LoadBalancer', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
    });
    await storm.sparing(async () => {
      await kubectl.apply([
        service('plain', {}),
        service('network', { [annotation('type')]: 'nlb', [annotation('internal')]: 'true' }),
      ]);
      await eventually(async () => {
        for (const name of ['plain', 'network'])
          expect(await kubectl.read(`service/${name}`, '.status.loadBalancer.ingress[0].hostname'), name).not.toBe('');
      }, 120_000);
    });
    const { plan } = await planned();
    expect(plan.changes).toEqual([]);
  }, 180_000);
  test.skipIf(process.env.SLIPWAY_E2E_LONG === undefined)(
    'a pool of Auto Scaling groups is upgraded: each instance has its successor, pods move, nothing is there twice (SLIPWAY_E2E_LONG=1 runs this)',
    async () => {
      await kubectl('delete', 'deployment', 'web', '--ignore-not-found', '--wait=true');
      const app = { app: 'moving' };
      // Its image is on every node: new ones have nothing but what their bundle brings.
      const image = imageName('pause', versionsFor('1.36.3'));
      await kubectl.apply([
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'moving' },
          spec: {
            replicas: 3,
            selector: { matchLabels: app },
            template: {
              metadata: { labels: app },
              spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'pause', image }] },
            },
          },
        },
        {
          apiVersion: 'policy/v1',
          kind: 'PodDisruptionBudget',
          metadata: { name: 'moving' },
          spec: { maxUnavailable: 1, selector: { matchLabels: app } },
        },
      ]);
      await kubectl('rollout', 'status', 'deployment/moving', '--timeout=60s');
      const podsNow = async () => (await kubectl('get', 'pods', '-l', 'app=moving', '-o', 'name')).split('\n').filter(Boolean);
      const [before, pods] = [await workers(), await podsNow()];
      cluster.edit((yaml) => {
        const file = parseDocument(yaml);
        file.setIn(['pools', 0, 'machine', 'type'], 'm6i.large');
        file.setIn(['pools', 0, 'alternatives'], ['m7i.large', 'm5.large']);
        // All at once: balancers are given half a minute to notice that a machine leaves.
        file.setIn(['pools', 0, 'upgrade'], { maxSurge: 3 });
        file.set('upgrade', { maxDrains: 3, canary: false });
        return String(file);
      });
      await cluster.must('upgrade', '--yes');
      const after = await workers();
      expect(after.map(({ type, zone }) => `${type} ${zone}`).sort()).toEqual(
        ['a', 'b', 'c'].map((zone) => `m6i.large ${region}${zone}`),
      );
      expect(after.map(({ id }) => id).filter((id) => before.some((old) => old.id === id))).toEqual([]);
      expect((await readyNodes()).filter((node) => node.startsWith('i-')).sort()).toEqual(after.map(({ id }) => id).sort());
      const kept = await podsNow();
      expect(kept).toHaveLength(3);
      // A pod may have moved twice, from one that was still to go to another; those of the beginning have all gone.
      expect(kept.filter((pod) => pods.includes(pod))).toEqual([]);
      expect((await planned()).code).toBe(0);
    },
    600_000,
  );
  test('down leaves nothing, of what Kubernetes made neither', async () => {
    tunnel?.kill('SIGINT');
    const there = (await inventory(lab.proxy, lab.account.id, region)).filter((line) => /^(classic )?balancer/.test(line));
    expect(there.map((line) => line.split(' ')[0]).sort()).toEqual(['balancer', 'balancer', 'classic']);
    await cluster.must('down', '--yes', '--allow-data-loss');
    expect(await inventory(lab.proxy, lab.account.id, region)).toEqual(empty);
    expect([lab.proxy.violations, lab.proxy.accidents, lab.accidents]).toEqual([[], [], []]);
    // Every kind of fault has been met, also with a seed that draws them seldom.
    if (seed !== 'none') expect(Object.entries(storm.met()).filter(([, times]) => times === 0)).toEqual([]);
    await eventually(async () => {
      expect((await leftovers(cluster.name)).filter((left) => left.startsWith('container') && !left.endsWith('-nlb'))).toEqual(
        [],
      );
    }, 60_000);
  });
});
