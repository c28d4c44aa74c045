import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  DescribeSecurityGroupsCommand,
  EC2Client,
  RunInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2';
import { DescribeLoadBalancersCommand, ElasticLoadBalancingV2Client } from '@aws-sdk/client-elastic-load-balancing-v2';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { cloudControllerStatements } from '../../../providers/aws/policies/cloud-controller.ts';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import { awsCloudController } from '../../../src/components/aws-cloud-controller.ts';
import { nodeLabels } from '../../../src/components/host-env.ts';
import { type KubeApi, openKube } from '../../../src/kube/client.ts';
import { openHttp } from '../../../src/kube/http.ts';
import { type KubeObject, kubeObjectSchema } from '../../../src/kube/objects.ts';
import { issueClient } from '../../../src/pki/admin.ts';
import {
  cloudControllerArchive,
  programOf,
  startMetadata,
  startProgram,
  startWithoutTopology,
} from '../../support/aws/cloud-controller.ts';
import { type Moto, motoHome, startMoto } from '../../support/aws/moto.ts';
import { aCluster } from '../../support/builders.ts';
import { apiName, type LocalApi, missingApi, startLocalApi, untilAllowed } from '../../support/local-api.ts';

const missing =
  missingApi ??
  missingMoto() ??
  (existsSync(cloudControllerArchive) ? undefined : 'no cloud controller (cluster assets build aws-cloud-controller)');
function missingMoto(): string | undefined {
  try {
    motoHome();
    return undefined;
  } catch (error) {
    return String(error);
  }
}

const region = 'eu-central-1';
const zone = 'eu-central-1a';
const uninitialized = { key: 'node.cloudprovider.kubernetes.io/uninitialized', value: 'true', effect: 'NoSchedule' };

/**
 * The real cloud controller with the arguments, configuration and rights of our manifest, between a real API server and moto. What moto
 * cannot show: that a balancer reaches anything (targets are healthy at once); classic load balancers (moto gives a new one no health check,
 * as AWS does, and the controller crashes on that); throttling; whether AWS would take the signature, or the policy's conditions.
 */
describe.skipIf(missing)(`the AWS cloud controller${missing ? `: skipped, ${missing}` : ''}`, { timeout: 90_000 }, () => {
  const topology = designTopology(
    aCluster({ provider: { aws: { region } }, zones: [zone], pools: [{ name: 'workers', min: 1, max: 3 }] }),
    noIdentity,
    versionsFor('1.36.3'),
  );
  const credentials = { accessKeyId: 'AKIATEST', secretAccessKey: 'secret' };
  const directory = mkdtempSync(join(tmpdir(), 'slipway-ccm-'));
  const account = 'system:serviceaccount:kube-system:cloud-controller-manager';
  const groups = ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'];
  let lab: LocalApi;
  let moto: Moto;
  let kube: KubeApi;
  let ec2: EC2Client;
  let network: { readonly vpc: string; readonly subnet: string; readonly group: string };
  let master: { readonly id: string; readonly address: string };
  const ends: (() => void)[] = [];
  let controller: ReturnType<typeof startProgram>;
  let cloud: Awaited<ReturnType<typeof startWithoutTopology>>;

  beforeAll(async () => {
    [lab, moto] = await Promise.all([startLocalApi(91), startMoto()]);
    kube = openKube({ server: lab.server, tlsServerName: apiName, ...lab.credentials });
    ec2 = new EC2Client({ region, endpoint: moto.url, credentials });
    network = await makeNetwork();
    master = await launch('master-eu-central-1a');
    const metadata = await startMetadata({ id: master.id, region });
    ends.push(() => metadata.close());
    cloud = await startWithoutTopology(moto.url);
    ends.push(() => cloud.close());
    const addon = awsCloudController(topology, { api: cloud.url, metadata: metadata.url });
    const objects = addon.objects.map((object) => kubeObjectSchema.parse(object));
    for (const object of objects) await kube.apply(object);
    // It ends where it may not do this at its start. In a cluster its pod is then started again.
    await untilAllowed(lab, account, groups, [
      { verb: 'get', resource: 'configmaps', namespace: 'kube-system', name: 'extension-apiserver-authentication' },
      { verb: 'create', group: 'authentication.k8s.io', resource: 'tokenreviews' },
      { verb: 'create', group: 'coordination.k8s.io', resource: 'leases', namespace: 'kube-system' },
      { verb: 'watch', resource: 'nodes' },
    ]);
    controller = await start(objects);
  }, 120_000);
  afterAll(async () => {
    controller?.close();
    for (const end of ends) end();
    kube?.close();
    lab?.close();
    await moto?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const tags = (kind: 'vpc' | 'subnet' | 'security-group' | 'instance', more: Readonly<Record<string, string>> = {}) => [
    {
      ResourceType: kind,
      Tags: Object.entries({ 'kubernetes.io/cluster/demo': 'owned', ...more }).map(([Key, Value]) => ({ Key, Value })),
    },
  ];
  async function makeNetwork() {
    const vpc =
      (await ec2.send(new CreateVpcCommand({ CidrBlock: '10.0.0.0/16', TagSpecifications: tags('vpc') }))).Vpc?.VpcId ?? '';
    const subnet = await ec2.send(
      new CreateSubnetCommand({
        VpcId: vpc,
        CidrBlock: '10.0.0.0/20',
        AvailabilityZone: zone,
        TagSpecifications: tags('subnet', { 'kubernetes.io/role/internal-elb': '1' }),
      }),
    );
    const group = await ec2.send(
      new CreateSecurityGroupCommand({
        VpcId: vpc,
        GroupName: 'nodes',
        Description: 'nodes',
        TagSpecifications: tags('security-group'),
      }),
    );
    return { vpc, subnet: subnet.Subnet?.SubnetId ?? '', group: group.GroupId ?? '' };
  }
  async function launch(name: string): Promise<{ id: string; address: string }> {
    const { Instances = [] } = await ec2.send(
      new RunInstancesCommand({
        ImageId: 'ami-12c6146b',
        InstanceType: 't3.large',
        MinCount: 1,
        MaxCount: 1,
        SubnetId: network.subnet,
        SecurityGroupIds: [network.group],
        TagSpecifications: tags('instance', { Name: name }),
      }),
    );
    return { id: Instances[0]?.InstanceId ?? '', address: Instances[0]?.PrivateIpAddress ?? '' };
  }

  /** As the pod of the manifest would run, with the rights of its service account. */
  async function start(objects: readonly KubeObject[]) {
    const program = await programOf(
      cloudControllerArchive,
      join(tmpdir(), 'slipway-aws-cloud-controller-1.36.1'),
      'aws-cloud-controller',
    );
    const own = await issueClient({ authority: lab.authority, cn: account, o: groups, hours: 1, now: Date.now() });
    const file = (name: string, text: string): string => {
      writeFileSync(join(directory, name), text, { mode: 0o600 });
      return join(directory, name);
    };
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const kubeconfig = file(
      'kubeconfig',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [
          {
            name: 'demo',
            cluster: {
              server: lab.server,
              'tls-server-name': apiName,
              'certificate-authority-data': base64(lab.authority.certPem),
            },
          },
        ],
        users: [
          {
            name: 'me',
            user: { 'client-certificate-data': base64(own.certPem), 'client-key-data': base64(own.keyPem) },
          },
        ],
        contexts: [{ name: 'demo', context: { cluster: 'demo', user: 'me' } }],
        'current-context': 'demo',
      }),
    );
    const { args, env } = containerOf(objects);
    const config = z
      .looseObject({ data: z.object({ 'cloud.conf': z.string() }) })
      .parse(objects.find(({ kind }) => kind === 'ConfigMap')).data['cloud.conf'];
    return startProgram(
      program,
      [
        ...args.map((arg) => (arg.startsWith('--cloud-config=') ? `--cloud-config=${file('cloud.conf', config)}` : arg)),
        ...['kubeconfig', 'authentication-kubeconfig', 'authorization-kubeconfig'].map((flag) => `--${flag}=${kubeconfig}`),
        '--secure-port=21258',
      ],
      {
        ...Object.fromEntries(env.map(({ name, value }) => [name, value])),
        AWS_ACCESS_KEY_ID: credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      },
    );
  }
  const containerOf = (objects: readonly KubeObject[]) => {
    const container = z.looseObject({
      args: z.array(z.string()),
      env: z.array(z.object({ name: z.string(), value: z.string() })),
    });
    const { spec } = z
      .looseObject({
        spec: z.looseObject({ template: z.looseObject({ spec: z.looseObject({ containers: z.tuple([container]) }) }) }),
      })
      .parse(objects.find(({ kind }) => kind === 'DaemonSet'));
    return spec.template.spec.containers[0];
  };

  /** A Node as a kubelet with --cloud-provider=external registers it. */
  async function register(name: string, instance: { id: string; address: string }): Promise<void> {
    await kube.apply(
      {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, annotations: { 'alpha.kubernetes.io/provided-node-ip': instance.address } },
        spec: { providerID: `aws:///${zone}/${instance.id}`, taints: [uninitialized, control] },
      },
      { manager: 'kubelet' },
    );
    await setReady(name, 'True');
  }
  const control = { key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' };
  async function setReady(name: string, status: string): Promise<void> {
    const http = openHttp({ server: lab.server, tlsServerName: apiName, ...lab.credentials });
    await http.json(`/api/v1/nodes/${name}/status`, {
      method: 'PATCH',
      contentType: 'application/strategic-merge-patch+json',
      body: { status: { conditions: [{ type: 'Ready', status, reason: 'Test', message: 'as the test says' }] } },
    });
    http.close();
  }
  const nodeSchema = z.looseObject({
    metadata: z.looseObject({ labels: z.record(z.string(), z.string()).default({}) }),
    spec: z.looseObject({ taints: z.array(z.looseObject({ key: z.string() })).default([]) }),
    status: z.looseObject({ addresses: z.array(z.object({ type: z.string(), address: z.string() })).default([]) }).prefault({}),
  });
  const nodeOf = async (name: string) => {
    const node = await kube.get({ apiVersion: 'v1', kind: 'Node', name });
    return node && nodeSchema.parse(node);
  };
  async function until(done: () => Promise<boolean>, what: string, timeoutMs = 40_000): Promise<number> {
    const start = performance.now();
    while (!(await done())) {
      if (performance.now() - start > timeoutMs || controller.child.exitCode !== null)
        throw new Error(
          `${what} within ${timeoutMs / 1000} s. The end of what the cloud controller said:\n${controller.said().slice(-6000)}`,
        );
      await sleep(100);
    }
    return Math.round(performance.now() - start);
  }

  test('a node gets zone, region, type and addresses from EC2, and loses the taint of the unknown', async () => {
    await register('master-eu-central-1a', master);
    const ms = await until(
      async () => (await nodeOf('master-eu-central-1a'))?.spec.taints.every(({ key }) => key !== uninitialized.key) ?? false,
      'the node was not initialised',
    );
    console.log(`initialised ${ms} ms after it was registered`);
    const node = await nodeOf('master-eu-central-1a');
    expect(node?.metadata.labels).toMatchObject({
      'topology.kubernetes.io/zone': zone,
      'topology.kubernetes.io/region': region,
      'node.kubernetes.io/instance-type': 't3.large',
    });
    expect(node?.spec.taints).toContainEqual(control);
    expect(node?.status.addresses).toContainEqual({ type: 'InternalIP', address: master.address });
  });

  test('what kube.node applies and what it sets are different fields', async () => {
    const machine = topology.machines.find(({ role }) => role === 'master');
    if (!machine) throw new Error('no master');
    const labels = nodeLabels(machine, topology);
    const before = await nodeOf('master-eu-central-1a');
    await kube.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'master-eu-central-1a', labels } });
    await sleep(1_000);
    expect((await nodeOf('master-eu-central-1a'))?.metadata.labels).toEqual({ ...before?.metadata.labels, ...labels });
  });

  const annotation = (name: string) => `service.beta.kubernetes.io/aws-load-balancer-${name}`;
  async function makeService(name: string, annotations: Readonly<Record<string, string>>): Promise<void> {
    await kube.apply(
      kubeObjectSchema.parse({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace: 'default', annotations: { [annotation('internal')]: 'true', ...annotations } },
        spec: { type: 'LoadBalancer', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
      }),
    );
    const statusSchema = z.looseObject({
      status: z.looseObject({
        loadBalancer: z.looseObject({ ingress: z.array(z.looseObject({ hostname: z.string().default('') })).default([]) }),
      }),
    });
    const hostname = async () =>
      statusSchema.parse(await kube.get({ apiVersion: 'v1', kind: 'Service', namespace: 'default', name })).status.loadBalancer
        .ingress[0]?.hostname;
    const ms = await until(async () => (await hostname()) !== undefined, `the Service ${name} has no balancer`);
    console.log(`balancer ${await hostname()} ${ms} ms after the Service`);
  }

  test('a Service of type LoadBalancer gets a balancer, for which the group of the workers is opened, and which goes with it', async () => {
    const elb = new ElasticLoadBalancingV2Client({ region, endpoint: moto.url, credentials });
    const balancers = async () => (await elb.send(new DescribeLoadBalancersCommand({}))).LoadBalancers ?? [];
    const openings = async () => {
      const { SecurityGroups = [] } = await ec2.send(new DescribeSecurityGroupsCommand({ GroupIds: [network.group] }));
      return (SecurityGroups[0]?.IpPermissions ?? []).flatMap(({ IpRanges = [], UserIdGroupPairs = [] }) => [
        ...IpRanges.map(({ Description = '' }) => Description),
        ...UserIdGroupPairs.map(({ Description = 'a group' }) => Description),
      ]);
    };
    await register('worker', await launch('worker'));
    await until(
      async () => (await nodeOf('worker'))?.spec.taints.every(({ key }) => key !== uninitialized.key) ?? false,
      'the worker was not initialised',
    );
    await makeService('network', { [annotation('type')]: 'nlb' });
    expect(await balancers()).toMatchObject([{ Type: 'network', Scheme: 'internal', VpcId: network.vpc }]);
    expect((await openings()).sort()).toEqual([
      expect.stringMatching(/^kubernetes.io\/rule\/nlb\/client=/),
      'kubernetes.io/rule/nlb/mtu',
    ]);
    const service = { apiVersion: 'v1', kind: 'Service', namespace: 'default', name: 'network' };
    await kube.delete(service);
    await until(async () => (await kube.get(service)) === undefined, 'the Service is still there');
    expect([await balancers(), await openings()]).toEqual([[], []]);
  });

  test('the Node of an instance that is gone is deleted', async () => {
    const lost = await launch('lost');
    await register('lost', lost);
    await until(
      async () => (await nodeOf('lost'))?.spec.taints.every(({ key }) => key !== uninitialized.key) ?? false,
      'the node was not initialised',
    );
    await ec2.send(new TerminateInstancesCommand({ InstanceIds: [lost.id] }));
    await setReady('lost', 'Unknown');
    console.log(`deleted after ${await until(async () => (await nodeOf('lost')) === undefined, 'the Node is still there')} ms`);
  });

  test('its rights suffice, in the cluster and at AWS', () => {
    expect(controller.said().match(/^.*(forbidden|cannot (get|list|watch|create|update|patch)).*$/gim) ?? []).toEqual([]);
    const may = new Set(
      cloudControllerStatements({ cluster: 'demo', region, account: '123456789012', kmsKey: undefined }).flatMap(
        ({ Action }) => Action,
      ),
    );
    expect([...cloud.asked].filter((action) => !may.has(action))).toEqual([]);
    console.log(`${cloud.asked.size} of the ${may.size} actions of its policy were used: ${[...cloud.asked].sort().join(' ')}`);
  });
});
