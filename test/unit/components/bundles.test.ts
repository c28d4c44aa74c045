import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import type { Topology } from '../../../src/cluster/topology.ts';
import { designAddons } from '../../../src/components/addons.ts';
import type { Bundle, BundleUnit } from '../../../src/components/bundle.ts';
import { designBundles, identityOf } from '../../../src/components/bundles.ts';
import { type ClusterInput, clusterSchema } from '../../../src/config/schema.ts';
import { isRef } from '../../../src/plan/resource.ts';

const aTopology = (input: Partial<ClusterInput> = {}, kubernetes = '1.36.3'): Topology =>
  designTopology(
    clusterSchema.parse({
      apiVersion: 'slipway/v1',
      kind: 'Cluster',
      name: 'demo',
      provider: { local: {} },
      zones: ['a', 'b', 'c'],
      pools: [{ name: 'workers', count: 3 }],
      ...input,
    }),
    noIdentity,
    versionsFor(kubernetes),
  );
const bundleOf = (name: string, topology = aTopology()): Bundle => designBundles(topology).get(name)!;
const unitOf = (bundle: Bundle, name: string): BundleUnit => bundle.units.find((unit) => unit.name === name)!;
const flagOf = (unit: BundleUnit, flag: string): string | undefined =>
  new RegExp(`^  "?--${flag}=(.*?)"?(?: \\\\)?$`, 'm').exec(unit.text)?.[1];
const textOf = (bundle: Bundle, path: string): string => {
  const content = bundle.files.find((file) => file.path === path)!.content;
  if (!('text' in content)) throw new Error(`${path} is no text`);
  return content.text;
};

describe('every bundle', () => {
  const bundles = [
    ...designBundles(aTopology()).values(),
    ...designBundles(aTopology({ provider: { aws: { region: 'eu-central-1' } } })).values(),
  ];

  it.each(bundles.flatMap((bundle) => bundle.units.map((unit) => [`${bundle.name} ${unit.name}`, bundle, unit] as const)))(
    '%s: its inputs and certificates are in the bundle, its programs are assets',
    (_, bundle, unit) => {
      const files = bundle.files.map((file) => file.path);
      expect(files).toEqual(expect.arrayContaining([...unit.inputs]));
      expect(bundle.certificates.map((certificate) => certificate.name)).toEqual(expect.arrayContaining([...unit.certificates]));
      const programs = [...unit.text.matchAll(/\/opt\/slipway\/([^\s:]+\/[^\s:/]+\/[^\s:/]+)/g)].map((match) => match[1]);
      expect(bundle.assets.map((asset) => asset.path)).toEqual(expect.arrayContaining(programs));
    },
  );

  it('names no file under pki that is neither trust, secret nor certificate', () => {
    for (const bundle of bundles) {
      const there = new Set([
        ...bundle.files.map((file) => file.path),
        ...bundle.certificates.flatMap((certificate) => Object.values(certificate.files)),
      ]);
      const texts = [
        ...bundle.units.map((unit) => unit.text),
        ...bundle.files.map((file) => ('text' in file.content ? file.content.text : '')),
      ];
      const named = texts.flatMap((text) => [...text.matchAll(/\/etc\/slipway\/pki\/[\w.-]+/g)].map((match) => match[0]));
      expect(named.filter((path) => !there.has(path))).toEqual([]);
    }
  });

  it('renders YAML and JSON that parses, and leaves no placeholder', () => {
    for (const bundle of bundles) {
      for (const unit of bundle.units) expect(unit.text).not.toMatch(/\{\{/);
      for (const { path, content } of bundle.files) {
        if (!('text' in content)) continue;
        if (path.endsWith('.yaml') || path.endsWith('.kubeconfig')) expect(parse(content.text)).toBeTypeOf('object');
        if (path.endsWith('.json')) expect(JSON.parse(content.text)).toBeTypeOf('object');
        expect(content.text).not.toMatch(/\{\{[a-zA-Z]/);
      }
    }
  });

  it('has secrets on masters only, readable by root only', () => {
    for (const bundle of bundles) {
      const secret = bundle.files.filter((file) => 'secret' in file.content);
      if (bundle.name !== 'master') expect(secret).toEqual([]);
      for (const file of secret) expect(file.mode).toBe('0600');
    }
  });
});

describe('etcd', () => {
  it('starts on no volume that is unmounted or unmarked', () => {
    for (const [name, home] of [
      ['etcd.service', '/var/lib/etcd-main'],
      ['etcd-events.service', '/var/lib/etcd-events'],
    ] as const) {
      const { text } = unitOf(bundleOf('etcd'), name);
      expect(text).toContain(`RequiresMountsFor=${home}\n`);
      expect(text).toContain(`ConditionPathIsMountPoint=${home}\n`);
      expect(text).toContain(`ConditionPathExists=${home}/.slipway-member\n`);
      expect(text).not.toContain('--initial-cluster');
    }
  });

  it('keeps events out of the main cluster, and without an events cluster there is no trace of it', () => {
    const master = unitOf(bundleOf('master'), 'kube-apiserver.service');
    expect(flagOf(master, 'etcd-servers')?.split(',')).toHaveLength(3);
    expect(flagOf(master, 'etcd-servers-overrides')).toMatch(/^\/events#(https:\/\/[\d.]+:2381;?){3}$/);
    const single = aTopology({ etcd: { count: 1, events: false } });
    expect(flagOf(unitOf(bundleOf('master', single), 'kube-apiserver.service'), 'etcd-servers-overrides')).toBeUndefined();
    expect(bundleOf('etcd', single).units.map((unit) => unit.name)).toEqual(['etcd.service']);
    expect(bundleOf('etcd', single).probes.map((probe) => probe.name)).toEqual(['etcd-main']);
  });

  it('uses one authority for clients and another for peers', () => {
    const authority = (name: string) => bundleOf('etcd').certificates.find((certificate) => certificate.name === name)?.authority;
    expect([authority('etcd-server'), authority('etcd-probe'), authority('etcd-peer')]).toEqual(['etcd', 'etcd', 'etcd-peer']);
  });
});

describe('masters', () => {
  it('talk to their own API server, workers to the balancer', () => {
    const topology = aTopology();
    const server = (bundle: string, name: string): unknown =>
      parse(textOf(bundleOf(bundle, topology), `/etc/kubernetes/${name}.kubeconfig`)).clusters[0].cluster.server;
    for (const name of ['kubelet', 'kube-proxy', 'flanneld', 'kube-controller-manager', 'kube-scheduler'])
      expect(server('master', name)).toBe('https://127.0.0.1:6443');
    for (const name of ['kubelet', 'kube-proxy', 'flanneld'])
      expect(server('pool-workers', name)).toBe(`https://${topology.api.address}:6443`);
    const [master] = topology.machines.filter((machine) => machine.role === 'master');
    expect(identityOf(master!, topology).API_SERVER).toBe('https://127.0.0.1:6443');
  });

  it('let strangers ask for health and nothing else', () => {
    const { anonymous } = parse(textOf(bundleOf('master'), '/etc/kubernetes/authentication.yaml'));
    expect(anonymous).toEqual({ enabled: true, conditions: [{ path: '/livez' }, { path: '/readyz' }, { path: '/healthz' }] });
    expect(flagOf(unitOf(bundleOf('master'), 'kube-apiserver.service'), 'anonymous-auth')).toBeUndefined();
  });

  it('serve under every name by which they are called', () => {
    const topology = aTopology({ kubernetes: { api: { extraSans: ['k8s.example.com', '192.0.2.10'] } } });
    const { sans } = bundleOf('master', topology).certificates.find((certificate) => certificate.name === 'apiserver')!;
    expect(sans.dns).toEqual(
      expect.arrayContaining([
        'kubernetes',
        'kubernetes.default',
        'kubernetes.default.svc',
        'kubernetes.default.svc.cluster.local',
        'api.demo.internal',
        'k8s.example.com',
      ]),
    );
    expect(sans.ip).toEqual(expect.arrayContaining(['${NODE_IP}', '127.0.0.1', '10.96.0.1', topology.api.address, '192.0.2.10']));
  });

  it('are tainted, and their kubelets register no role label', () => {
    const topology = aTopology();
    const config = parse(textOf(bundleOf('master', topology), '/etc/kubernetes/kubelet.yaml'));
    expect(config.registerWithTaints).toEqual([{ key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' }]);
    for (const machine of topology.machines) expect(identityOf(machine, topology).NODE_LABELS).not.toContain('node-role');
  });

  it('read OIDC from structured authentication, in the version that the release has', () => {
    const kubernetes = { oidc: { issuerUrl: 'https://id.example.com', clientId: 'k8s', groupsClaim: 'groups' } };
    const config = (version: string) =>
      parse(textOf(bundleOf('master', aTopology({ kubernetes }, version)), '/etc/kubernetes/authentication.yaml'));
    expect(config('1.36.3').apiVersion).toBe('apiserver.config.k8s.io/v1');
    expect(config('1.33.13').apiVersion).toBe('apiserver.config.k8s.io/v1beta1');
    expect(config('1.36.3').jwt[0].issuer).toEqual({ url: 'https://id.example.com', audiences: ['k8s'] });
    expect(config('1.36.3').jwt[0].claimMappings.username).toEqual({ claim: 'sub', prefix: 'https://id.example.com#' });
  });
});

describe('what cluster.yaml says', () => {
  it('extra args replace flags of ours, and reach only their program', () => {
    const topology = aTopology({
      kubernetes: { extraArgs: { apiserver: { profiling: 'true', v: '2' }, kubelet: { v: '4' } } },
      pools: [{ name: 'big', count: 1, kubelet: { extraArgs: { v: '6', 'image-credential-provider-bin-dir': '/opt/a b/$x%' } } }],
    });
    const master = bundleOf('master', topology);
    const server = unitOf(master, 'kube-apiserver.service');
    expect([flagOf(server, 'profiling'), flagOf(server, 'v')]).toEqual(['true', '2']);
    expect(server.text.match(/--profiling=/g)).toHaveLength(1);
    expect(flagOf(unitOf(master, 'kube-scheduler.service'), 'v')).toBeUndefined();
    expect(flagOf(unitOf(master, 'kubelet.service'), 'v')).toBe('4');
    const kubelet = unitOf(bundleOf('pool-big', topology), 'kubelet.service');
    expect(flagOf(kubelet, 'v')).toBe('6');
    expect(kubelet.text).toContain('"--image-credential-provider-bin-dir=/opt/a b/$$x%%"');
  });

  it('a pool has its taints, labels and reserved resources', () => {
    const topology = aTopology({
      pools: [
        {
          name: 'gpu',
          count: 1,
          labels: { team: 'ml', 'node-restriction.kubernetes.io/gpu': 'yes' },
          taints: [
            { key: 'gpu', value: 'yes', effect: 'NoSchedule' },
            { key: 'slow', effect: 'PreferNoSchedule' },
          ],
          kubelet: { kubeReserved: { cpu: '1', memory: '1Gi' } },
        },
      ],
    });
    const config = parse(textOf(bundleOf('pool-gpu', topology), '/etc/kubernetes/kubelet.yaml'));
    expect(config.registerWithTaints).toEqual([
      { key: 'gpu', value: 'yes', effect: 'NoSchedule' },
      { key: 'slow', effect: 'PreferNoSchedule' },
    ]);
    expect(config.kubeReserved).toEqual({ cpu: '1', memory: '1Gi' });
    const worker = topology.machines.find((machine) => machine.pool === 'gpu')!;
    const labels = identityOf(worker, topology).NODE_LABELS!.split(',');
    expect(labels).toContain('team=ml');
    expect(labels).toContain('topology.kubernetes.io/zone=a');
    // The kubelet would refuse to start with it.
    expect(labels.join()).not.toContain('node-restriction');
  });

  it('network.plugin none leaves the pod network to others', () => {
    const worker = bundleOf('pool-workers', aTopology({ network: { plugin: 'none' } }));
    expect(worker.units.map((unit) => unit.name)).not.toContain('flanneld.service');
    expect(textOf(worker, '/etc/containerd/config.toml')).toContain("conf_template = ''");
  });

  it('settings of the whole kernel are for machines that have one of their own', () => {
    expect(textOf(bundleOf('pool-workers'), '/etc/sysctl.d/90-slipway.conf')).not.toContain('inotify');
    const cloud = aTopology({ provider: { aws: { region: 'eu-central-1' } } });
    expect(textOf(bundleOf('etcd', cloud), '/etc/sysctl.d/90-slipway.conf')).toContain('inotify');
    expect(bundleOf('pool-workers', cloud).units.map((unit) => unit.name)).not.toContain('slipway-dns.service');
  });
});

describe('addons', () => {
  it('come with rbac first, each with what must be ready', () => {
    expect(designAddons(aTopology()).map((addon) => addon.name)).toEqual(['rbac', 'coredns', 'metrics-server']);
    expect(designAddons(aTopology({ addons: { metricsServer: false } })).map((addon) => addon.name)).toEqual(['rbac', 'coredns']);
    for (const addon of designAddons(aTopology()))
      for (const { kind, name } of addon.ready)
        expect(addon.objects.some((object) => object.kind === kind && object.metadata.name === name)).toBe(true);
  });

  it('metrics-server is verified and verifies, by authorities that stand as references', () => {
    const { objects } = designAddons(aTopology()).find((addon) => addon.name === 'metrics-server')!;
    const object = (kind: string) => objects.find((each) => each.kind === kind)!;
    expect(JSON.stringify(objects)).not.toMatch(/insecure/i);
    expect(object('ConfigMap').data).toEqual({ 'ca.crt': { ref: 'pki.authority/nodes', field: 'certificate' } });
    const spec = object('APIService').spec;
    expect(spec !== null && typeof spec === 'object' && 'caBundle' in spec && isRef(spec.caBundle)).toBe(true);
  });

  it('CoreDNS waits for as many zones as it has replicas, and no more than there are', () => {
    const minDomains = (zones: string[], replicas: number): unknown => {
      const { objects } = designAddons(
        aTopology({ zones, etcd: { count: 1 }, masters: { count: 1 }, addons: { coredns: { replicas } } }),
      ).find((addon) => addon.name === 'coredns')!;
      const text = JSON.stringify(objects.find((object) => object.kind === 'Deployment'));
      return parseAllDocuments(text)[0]!.getIn(['spec', 'template', 'spec', 'topologySpreadConstraints', 0, 'minDomains']);
    };
    expect(minDomains(['a'], 2)).toBe(1);
    expect(minDomains(['a', 'b', 'c'], 2)).toBe(2);
    expect(minDomains(['a', 'b', 'c'], 5)).toBe(3);
  });

  it('run on workers, and on masters only where there are no others, which alone hold their images', () => {
    const images = (name: string, topology: Topology) =>
      bundleOf(name, topology)
        .assets.filter((asset) => asset.path.startsWith('images/'))
        .map((asset) => asset.name);
    const tolerated = (topology: Topology) =>
      JSON.stringify(designAddons(topology)).includes('node-role.kubernetes.io/control-plane');
    const usual = aTopology();
    expect(images('master', usual)).toEqual(['pause']);
    expect(images('pool-workers', usual)).toEqual(['pause', 'coredns', 'metrics-server']);
    expect(tolerated(usual)).toBe(false);
    const mastersOnly = aTopology({ pools: [] });
    expect(images('master', mastersOnly)).toEqual(['pause', 'coredns', 'metrics-server']);
    expect(tolerated(mastersOnly)).toBe(true);
  });
});
