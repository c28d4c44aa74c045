import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { assetsOf, forProvider, imageName, knownKubernetes, versionsFor } from '../../../src/assets/catalogue.ts';
import { pinsOf } from '../../../src/assets/go-build.ts';
import { recipeFor, recipesOf } from '../../../src/assets/recipes.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import type { Topology } from '../../../src/cluster/topology.ts';
import { designAddons } from '../../../src/components/addons.ts';
import { designBundles, identityOf } from '../../../src/components/bundles.ts';
import { nodeLabels } from '../../../src/components/host-env.ts';
import type { ClusterInput } from '../../../src/config/schema.ts';
import { type BundleProps, hostResources } from '../../../src/host/design.ts';
import { ObservedMap } from '../../../src/plan/observed.ts';
import { resolve } from '../../../src/plan/resolve.ts';
import { ref } from '../../../src/plan/resource.ts';
import { aCluster } from '../../support/builders.ts';

const zones = ['eu-central-1a', 'eu-central-1b'];
const pools = [{ name: 'workers', min: 2, max: 9 }];
const topologyOf = (over: Partial<ClusterInput>): Topology => designTopology(aCluster(over), noIdentity, versionsFor('1.36.3'));
const onAws = (aws: object = {}, over: Partial<ClusterInput> = {}): Topology =>
  topologyOf({ provider: { aws: { region: 'eu-central-1', ...aws } }, zones, pools, ...over });

const workloadSchema = z.looseObject({
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({
    replicas: z.number().optional(),
    template: z.looseObject({
      spec: z.looseObject({
        hostNetwork: z.boolean().optional(),
        dnsPolicy: z.string().optional(),
        nodeSelector: z.record(z.string(), z.string()).optional(),
        tolerations: z.array(z.looseObject({ key: z.string().optional() })).optional(),
        containers: z.array(
          z.looseObject({
            name: z.string(),
            image: z.string(),
            args: z.array(z.string()).default([]),
            env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })).default([]),
          }),
        ),
      }),
    }),
  }),
});
const workloads = (topology: Topology, options: Parameters<typeof designAddons>[1] = {}) =>
  designAddons(topology, options)
    .flatMap((addon) => addon.objects)
    .filter(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet')
    .map((object) => workloadSchema.parse(object));
const names = (topology: Topology) => designAddons(topology).map(({ name }) => name);

describe('the catalogue', () => {
  test.each(knownKubernetes)('cloud controller and autoscaler are of the minor version of %s', (version) => {
    const minor = version.split('.').slice(0, 2).join('.');
    const { aws } = forProvider(versionsFor(version), { aws: {} });
    expect([aws?.cloudController, aws?.clusterAutoscaler].map((each) => each?.startsWith(`${minor}.`))).toEqual([true, true]);
  });

  test.each(knownKubernetes)('the cloud controller of %s has a recipe, and pins to build it by', (version) => {
    const versions = forProvider(versionsFor(version), { aws: {} });
    const asset = assetsOf(versions).find(({ name }) => name === 'aws-cloud-controller');
    expect(asset).toMatchObject({ path: `images/aws-cloud-controller-${versions.aws?.cloudController}.tar` });
    const recipe = asset && recipeFor(asset);
    expect(recipesOf(versions).map(({ group }) => group)).toContain(recipe?.group);
    expect(recipe?.image?.name).toBe(imageName('aws-cloud-controller', versions));
    expect(recipe?.build && existsSync(join(pinsOf(recipe.build), 'go.sum'))).toBe(true);
  });

  test('other clusters neither have nor fetch any of it', () => {
    const topology = topologyOf({});
    expect(topology.versions.aws).toBeUndefined();
    const mine = JSON.stringify([assetsOf(topology.versions), [...designBundles(topology).values()], designAddons(topology)]);
    expect(mine).not.toMatch(/aws|cloud-provider|autoscaler|ebs/);
  });
});

describe('what runs in a cluster on AWS', () => {
  test('the cloud controller comes first, its image lies on masters only', () => {
    expect(names(onAws())).toEqual([
      'rbac',
      'aws-cloud-controller',
      'coredns',
      'metrics-server',
      'ebs-csi',
      'cluster-autoscaler',
    ]);
    const holders = [...designBundles(onAws())].filter(([, { assets }]) =>
      assets.some(({ name }) => name === 'aws-cloud-controller'),
    );
    expect(holders.map(([name]) => name)).toEqual(['master']);
  });

  test('CSI driver and autoscaler can be left out; without an autoscaled pool there is nothing to scale', () => {
    expect(names(onAws({ addons: { ebsCsi: false, clusterAutoscaler: false } }))).not.toContain('ebs-csi');
    expect(names(onAws({ addons: { ebsCsi: false, clusterAutoscaler: false } }))).not.toContain('cluster-autoscaler');
    expect(names(onAws({}, { pools: [{ name: 'fixed', count: 2 }] }))).not.toContain('cluster-autoscaler');
  });

  test('what needs credentials runs on masters, with the host network, and talks to its own API server', () => {
    for (const name of ['aws-cloud-controller-manager', 'ebs-csi-controller', 'cluster-autoscaler']) {
      const spec = workloads(onAws()).find(({ metadata }) => metadata.name === name)?.spec.template.spec;
      expect(spec).toMatchObject({
        hostNetwork: true,
        dnsPolicy: 'Default',
        nodeSelector: { 'node-role.kubernetes.io/control-plane': '' },
      });
      for (const { env, name: container } of spec?.containers ?? [])
        if (container !== 'liveness-probe') expect(env).toContainEqual({ name: 'KUBERNETES_SERVICE_HOST', value: '127.0.0.1' });
      expect(JSON.stringify(spec)).not.toMatch(/secretKeyRef|AWS_ACCESS_KEY|AWS_SECRET/);
    }
  });

  test('the cloud controller tolerates what it is there to end', () => {
    const spec = workloads(onAws()).find(({ metadata }) => metadata.name === 'aws-cloud-controller-manager')?.spec.template.spec;
    expect(spec?.tolerations?.map(({ key }) => key)).toEqual(
      expect.arrayContaining([
        'node.cloudprovider.kubernetes.io/uninitialized',
        'node-role.kubernetes.io/control-plane',
        'node.kubernetes.io/not-ready',
      ]),
    );
  });

  test('no two programs with the host network listen at one port of a master', () => {
    const ports = workloads(onAws())
      .filter(({ spec }) => spec.template.spec.hostNetwork)
      .map(({ spec }) => new Set(JSON.stringify(spec).match(/127\.0\.0\.1:(?!6443)\d+/g) ?? []))
      .flatMap((each) => [...each]);
    expect(new Set(ports).size).toBe(ports.length);
  });

  test('an endpoint of tests reaches the cloud controller, and is nowhere else', () => {
    const said = (options: Parameters<typeof designAddons>[1]) =>
      workloads(onAws(), options).flatMap(({ spec }) =>
        spec.template.spec.containers.flatMap(({ env }) => env.map((e) => e.value)),
      );
    expect(said({ cloudEndpoints: { api: 'http://10.0.0.2:5000' } })).toContain('http://10.0.0.2:5000');
    expect(said({})).not.toContain('http://10.0.0.2:5000');
    expect(JSON.stringify(designAddons(onAws()))).not.toContain('AWS_ENDPOINT_URL');
  });

  test('volumes of pods carry the tags of cluster.yaml that the flag can hold, and the key', () => {
    const kmsKey = 'arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab';
    const topology = onAws({ kmsKey, tags: { team: 'platform', odd: 'a=b' } });
    const driver = workloads(topology).find(({ metadata }) => metadata.name === 'ebs-csi-controller')?.spec.template.spec
      .containers[0];
    expect(driver?.args).toEqual(
      expect.arrayContaining(['--k8s-tag-cluster-id=demo', '--extra-tags=team=platform,slipway.dev/cluster=demo']),
    );
    const storageClass = designAddons(topology)
      .flatMap(({ objects }) => objects)
      .find(({ kind }) => kind === 'StorageClass');
    expect(storageClass).toMatchObject({
      volumeBindingMode: 'WaitForFirstConsumer',
      parameters: { type: 'gp3', encrypted: 'true', kmsKeyId: kmsKey },
    });
  });
});

describe('nodes on AWS', () => {
  const unitText = (bundle: string, unit: string, topology = onAws()): string =>
    designBundles(topology)
      .get(bundle)
      ?.units.find(({ name }) => name === unit)?.text ?? '';

  test('kubelets register with what the cloud calls their machine, and leave the rest to its controller', () => {
    for (const bundle of ['master', 'pool-workers']) {
      expect(unitText(bundle, 'kubelet.service')).toContain('--cloud-provider=external');
      expect(unitText(bundle, 'kubelet.service')).toContain('--provider-id=${PROVIDER_ID}');
    }
    expect(unitText('master', 'kube-controller-manager.service')).toContain('--cloud-provider=external');
  });

  test('labels that the cloud controller sets are neither registered nor applied by us', () => {
    const master = onAws().machines.find(({ role }) => role === 'master')!;
    expect(nodeLabels(master, onAws())).toEqual({
      'node-role.kubernetes.io/control-plane': '',
      'node.kubernetes.io/exclude-from-external-load-balancers': '',
    });
    expect(nodeLabels(master, onAws({}, { pools: [] }))).toEqual({ 'node-role.kubernetes.io/control-plane': '' });
    expect(identityOf(master, onAws()).NODE_LABELS).toBe('node.kubernetes.io/exclude-from-external-load-balancers=');
    const local = topologyOf({});
    expect(nodeLabels(local.machines.find(({ role }) => role === 'master')!, local)).toHaveProperty(
      'topology.kubernetes.io/zone',
      'a',
    );
  });

  test('the provider ID is an output of the machine: pending until it is made, then a value', () => {
    const topology = onAws();
    const master = topology.machines.find(({ role }) => role === 'master')!;
    const machine = `aws.machine/${master.name}` as const;
    const identity = identityOf(master, topology, ref<string>(machine, 'providerId'));
    const bastion = topology.machines.find(({ role }) => role === 'bastion')!;
    expect(identityOf(bastion, topology, ref<string>(machine, 'providerId'))).not.toHaveProperty('PROVIDER_ID');
    const [resource] = hostResources(master, designBundles(topology).get('master')!, identity, [machine]);
    const seen = new ObservedMap();
    expect(resolve(resource.props, seen).pending.get('identity')).toBe(machine);
    seen.set(machine, { state: 'present', props: {}, outputs: { providerId: 'aws:///eu-central-1a/i-1' } });
    const resolved: Partial<BundleProps> = resolve(resource.props, seen).props;
    expect(resolved.identity).toMatchObject({ NODE_NAME: master.name, PROVIDER_ID: 'aws:///eu-central-1a/i-1' });
  });

  test('pods that use the host resolver get the one of the VPC where the host names none', () => {
    const fallback = (topology: Topology) => {
      const file = designBundles(topology)
        .get('master')
        ?.files.find(({ path }) => path === '/etc/slipway/kubelet-prepare');
      return /printf 'nameserver %s\\n' (.*)$/m.exec(file && 'text' in file.content ? file.content.text : '')?.[1];
    };
    expect(fallback(onAws({}, { network: { machines: '10.9.0.0/16' } }))).toBe('10.9.0.2 169.254.169.253');
    expect(fallback(onAws({ vpc: { id: 'vpc-0123456789abcdef0' } }))).toBe('169.254.169.253');
  });
});
