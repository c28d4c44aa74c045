import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import type { Finding } from '../../../src/config/finding.ts';
import { withoutRefused } from '../../../src/config/kubernetes-options.ts';
import type { EtcdStatus } from '../../../src/health/status.ts';
import { type KubeObject, marks } from '../../../src/kube/objects.ts';
import type { Plan } from '../../../src/plan/plan.ts';
import { estimateSeconds, turnHistory, turnTimes } from '../../../src/rollout/estimate.ts';
import { upgradePath } from '../../../src/rollout/path.ts';
import { deprecatedApis, requestedApis, storedObjects } from '../../../src/rollout/preflight/apis.ts';
import { capacityForDrain } from '../../../src/rollout/preflight/capacity.ts';
import { nodeRoom, podDemand } from '../../../src/rollout/preflight/demand.ts';
import { healthObstacles } from '../../../src/rollout/preflight/health.ts';
import { optionObstacles } from '../../../src/rollout/preflight/options.ts';
import { preflightObstacles, readApiWorld } from '../../../src/rollout/preflight/preflight.ts';
import { skewObstacles } from '../../../src/rollout/preflight/skew.ts';
import type { Obstacle, Turn, Wave } from '../../../src/rollout/rollout.ts';
import type { Event } from '../../../src/run/events.ts';
import { newRunId, openJournal } from '../../../src/run/journal.ts';
import { directoryStore } from '../../../src/store/directory.ts';
import { aCluster, aVersionStatus } from '../../support/builders.ts';

const short = (obstacles: readonly Obstacle[]): readonly string[] =>
  obstacles.map(({ severity, where, what }) => `${severity} ${where}: ${what}`);

describe('flags and feature gates', () => {
  const cluster = (kubernetes: object, pool: object = {}) =>
    aCluster({ kubernetes, pools: [{ name: 'workers', count: 1, kubelet: { extraArgs: pool as Record<string, string> } }] });
  const of = (kubernetes: object, pool: object, ...versions: readonly string[]) =>
    optionObstacles(
      cluster(kubernetes, pool),
      versions.map((version) => ({ versions: { ...versionsFor('1.36.3'), kubernetes: version }, moves: ['masters', 'pools'] })),
    );

  test('a flag that a version on the way removed is an error with its field and the remedy', () => {
    const [obstacle, ...others] = of({}, { 'pod-infra-container-image': 'pause', v: '2' }, '1.34.4', '1.35.4', '1.36.3');
    expect(others).toEqual([]);
    expect(obstacle).toEqual({
      severity: 'error',
      where: 'pools[0].kubelet.extraArgs.pod-infra-container-image',
      what: 'kubelet of Kubernetes 1.35 has no flag --pod-infra-container-image',
      why: 'it went away in 1.35; with it the kubelet does not start',
      next: 'remove it from pools[0].kubelet.extraArgs',
    });
    expect(of({}, { 'pod-infra-container-image': 'pause' }, '1.34.4')).toEqual([]);
  });
  test('an API version that the target no longer has stops its API servers where runtime-config names it', () => {
    const runtime = (value: string) => ({ extraArgs: { apiserver: { 'runtime-config': value } } });
    const value = 'api/beta=true, scheduling.k8s.io/v1alpha1=true,resource.k8s.io/v1beta1=true';
    expect(of(runtime(value), {}, '1.35.4')).toEqual([]);
    expect(of(runtime(value), {}, '1.35.4', '1.36.3')).toEqual([
      {
        severity: 'error',
        where: 'kubernetes.extraArgs.apiserver.runtime-config',
        what: 'kube-apiserver of Kubernetes 1.36 has no API version scheduling.k8s.io/v1alpha1',
        why: 'it went away in 1.36; with --runtime-config of it the kube-apiserver does not start',
        next: 'remove scheduling.k8s.io/v1alpha1=true from kubernetes.extraArgs.apiserver.runtime-config',
      },
    ]);
    expect(of(runtime('autoscaling/v2beta2/horizontalpodautoscalers=false'), {}, '1.36.3')).toHaveLength(1);
    expect(short(of(runtime('scheduling.k8s.io/v1alpha2=true'), {}, '1.35.4'))).toHaveLength(1);
  });
  test('what comes with the last hop is asked of that version only', () => {
    const extraArgs = { apiserver: { 'tls-curve-preferences': 'X25519' } };
    expect(of({ extraArgs }, {}, '1.35.4', '1.36.3')).toEqual([]);
    expect(short(of({ extraArgs }, {}, '1.34.4', '1.35.4'))).toEqual([
      'error kubernetes.extraArgs.apiserver.tls-curve-preferences: kube-apiserver of Kubernetes 1.35 has no flag --tls-curve-preferences',
    ]);
  });
  test('versions that are only passed through go without what they do not take', () => {
    const { kubernetes } = cluster({
      featureGates: { MemoryManager: true, AnyVolumeDataSource: true },
      extraArgs: { kubelet: { 'pod-infra-container-image': 'pause', v: '2' } },
    });
    const passed = withoutRefused(kubernetes, '1.36.3');
    expect(passed.featureGates).toEqual({ AnyVolumeDataSource: true });
    expect(passed.extraArgs.kubelet).toEqual({ v: '2' });
    expect(withoutRefused(kubernetes, '1.34.4')).toEqual(kubernetes);
  });
  test('a feature gate that was removed, one that is locked, one that nobody knows', () => {
    const featureGates = {
      MemoryManager: true,
      AnyVolumeDataSource: false,
      CustomCPUCFSQuotaPeriod: true,
      Nonsense: true,
      AllBeta: false,
    };
    expect(short(of({ featureGates }, {}, '1.36.3'))).toEqual([
      'error kubernetes.featureGates.MemoryManager: Kubernetes 1.36 has no feature gate MemoryManager',
      'error kubernetes.featureGates.AnyVolumeDataSource: The feature gate AnyVolumeDataSource can no longer be false in Kubernetes 1.36',
      'warning kubernetes.featureGates.Nonsense: Kubernetes 1.36 has no feature gate Nonsense',
    ]);
    expect(of({ featureGates: { MemoryManager: true, AnyVolumeDataSource: true } }, {}, '1.35.4')).toEqual([]);
  });
  test('of a version that these tables do not know nothing is said', () =>
    expect(of({ featureGates: { MemoryManager: true } }, {}, '1.40.0')).toEqual([]));
});

describe('version skew', () => {
  const servers = [
    { name: 'master-a', version: '1.35.4' },
    { name: 'master-b', version: '1.35.4' },
  ];
  const kubelet = (name: string, version: string, away = false) => ({
    name,
    version,
    role: name.startsWith('master') ? ('master' as const) : ('worker' as const),
    away,
  });
  const hops = upgradePath(versionsFor('1.35.4'), versionsFor('1.36.3'));

  test('a cluster as designed has no obstacle, nor has one stopped between two masters', () => {
    const kubelets = [kubelet('master-a', '1.35.4'), kubelet('worker-a-1', '1.33.13')];
    expect(skewObstacles({ apiServers: servers, kubelets, etcd: [] }, hops)).toEqual([]);
    const between = [{ name: 'master-a', version: '1.36.3' }, ...servers.slice(1)];
    expect(skewObstacles({ apiServers: between, kubelets: [kubelet('master-a', '1.36.3')], etcd: [] }, hops)).toEqual([]);
  });
  test('a node that was away and is too old now is named, with what to do', () => {
    const [obstacle] = skewObstacles({ apiServers: servers, kubelets: [kubelet('worker-a-1', '1.31.2', true)], etcd: [] }, hops);
    expect(obstacle).toMatchObject({
      severity: 'error',
      where: 'worker-a-1',
      what: expect.stringContaining('more than three minor versions older'),
    });
    expect(obstacle?.next).toContain('delete node worker-a-1');
  });
  test('so is one that would be too old once the masters have moved; one that is there comes along', () => {
    const of = (away: boolean) =>
      skewObstacles({ apiServers: servers, kubelets: [kubelet('worker-a-1', '1.32.9', away)], etcd: [] }, hops);
    expect(short(of(true))).toEqual([
      'error node worker-a-1: the node is away with kubelet 1.32.9, and would be more than three minor versions older than the API servers at 1.36.3',
    ]);
    expect(of(false)).toEqual([]);
  });
  test('a worker newer than an API server, a controller manager newer than its own, API servers and etcd members too far apart', () => {
    const found = skewObstacles(
      {
        apiServers: [...servers, { name: 'master-c', version: '1.33.13' }],
        others: [{ component: 'kube-controller-manager', name: 'master-a', version: '1.36.3', server: 'master-a' }],
        kubelets: [kubelet('worker-a-1', '1.34.4')],
        etcd: [
          [
            { name: 'etcd-a', version: '3.4.9' },
            { name: 'etcd-b', version: '3.6.16' },
          ],
        ],
      },
      hops,
    );
    expect(found.map(({ where }) => where)).toEqual(['master-c', 'worker-a-1', 'master-a', 'etcd-a']);
  });
  test('on a machine whose turn was cut, going on brings the versions together', () => {
    const others = [
      { component: 'kube-scheduler' as const, name: 'master-a', version: '1.36.3', server: 'master-a' },
      { component: 'kube-proxy' as const, name: 'worker-a-1', version: '1.36.3' },
    ];
    const found = skewObstacles({ apiServers: servers, others, kubelets: [], underWay: new Set(['master-a']), etcd: [] }, hops);
    expect(found.map(({ severity, where }) => `${severity} ${where}`)).toEqual(['warning master-a', 'error worker-a-1']);
  });
});

describe('health', () => {
  const etcd = (state: 'healthy' | 'unhealthy'): readonly EtcdStatus[] => [
    {
      cluster: 'main',
      quorum: 'at-risk',
      members: [{ name: 'etcd-a', state, leader: false, version: '3.6.16', dbBytes: 1, quotaBytes: 10, alarms: [] }],
    },
  ];
  const of = (findings: readonly Finding[], underWay: readonly string[] = []) =>
    healthObstacles({ findings, etcd: etcd('unhealthy'), underWay: new Set(underWay) });
  const finding = (severity: Finding['severity'], check: string, where?: string): Finding => ({
    severity,
    check,
    what: check,
    ...(where && { where }),
  });

  test('errors of status stop an upgrade, warnings are told, what it brings about itself is not', () =>
    expect(
      short(
        of([
          finding('error', 'etcd.alarm', 'etcd main on etcd-a'),
          finding('error', 'nodes.ready', 'node worker-a-1'),
          finding('warning', 'capacity.etcd', 'etcd main on etcd-a'),
          finding('warning', 'versions.wanted'),
          finding('warning', 'drift'),
          finding('ok', 'api.ready'),
        ]),
      ),
    ).toEqual([
      'error etcd main on etcd-a: etcd.alarm',
      'error node worker-a-1: nodes.ready',
      'warning etcd main on etcd-a: capacity.etcd',
    ]));
  test('a member less and a learner are more than warnings now; a certificate near its end, which is renewed first, and an authority that is due are not', () =>
    expect(
      short(
        of([
          finding('warning', 'etcd.quorum', 'etcd main'),
          finding('warning', 'etcd.member', 'etcd main on etcd-a'),
          finding('warning', 'certificates.due', 'certificate master-a.apiserver'),
          finding('warning', 'certificates.due', 'certificate authority nodes'),
        ]),
      ).map((line) => line.split(' ')[0]),
    ).toEqual(['error', 'error', 'warning', 'warning']));
  test('a machine whose turn was cut does not keep the upgrade from going on there', () =>
    expect(
      short(
        of(
          [
            finding('warning', 'etcd.quorum', 'etcd main'),
            finding('error', 'etcd.member', 'etcd main on etcd-a'),
            finding('error', 'machines.unit', 'etcd-a'),
            finding('error', 'machines.unit', 'etcd-b'),
          ],
          ['etcd-a'],
        ),
      ).map((line) => line.split(':')[0]),
    ).toEqual(['warning etcd main', 'warning etcd main on etcd-a', 'warning etcd-a', 'error etcd-b']));
});

describe('what goes anyway', () => {
  const finding = (where: string): Finding => ({ severity: 'error', check: 'nodes.ready', what: 'not well', where });
  test('is in nobody’s way when it is not well', () =>
    expect(
      short(
        healthObstacles({
          findings: [finding('node workers-c-1'), finding('node workers-a-1')],
          etcd: [],
          underWay: new Set(),
          leaving: new Set(['workers-c-1']),
        }),
      ),
    ).toEqual(['warning node workers-c-1: not well', 'error node workers-a-1: not well']));
});

describe('APIs that the target does not have', () => {
  const metrics = `# HELP apiserver_requested_deprecated_apis [STABLE] Gauge of deprecated APIs that have been requested
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="",removed_release="",resource="endpoints",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="networking.k8s.io",removed_release="1.36",resource="ipaddresses",subresource="",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="resource.k8s.io",removed_release="1.37",resource="deviceclasses",subresource="",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="resource.k8s.io",removed_release="1.39",resource="deviceclasses",subresource="",version="v1beta2"} 1
apiserver_requested_deprecated_apis{group="batch",removed_release="1.25",resource="cronjobs",subresource="",version="v1beta1"} 0
`;
  test('are read from what the API servers count', () =>
    expect(requestedApis(metrics).map(({ resource, version, removedIn }) => [resource, version, removedIn])).toEqual([
      ['ipaddresses', 'v1beta1', 36],
      ['deviceclasses', 'v1beta1', 37],
      ['deviceclasses', 'v1beta2', 39],
    ]));
  test('are errors where the target has removed them, warnings where the next one does; once, however many servers say so', () =>
    expect(short(deprecatedApis([metrics, metrics], '1.36.3'))).toEqual([
      'error networking.k8s.io/v1beta1 ipaddresses: this API is in use, and Kubernetes 1.36 does not have it: 1.36 removed it',
      'warning resource.k8s.io/v1beta1 deviceclasses: this API is in use, and Kubernetes 1.37 removes it',
    ]));
  test('are found in what objects were last written as', () => {
    const object = (kind: string, name: string, metadata: object): KubeObject => ({
      apiVersion: 'x/v1',
      kind,
      metadata: { name, ...metadata },
    });
    const applied = (apiVersion: string, kind: string) => ({
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ apiVersion, kind }) },
    });
    const found = storedObjects(
      [
        object('VolumeAttributesClass', 'fast', applied('storage.k8s.io/v1alpha1', 'VolumeAttributesClass')),
        object('ResourceClaim', 'gpu', {
          namespace: 'ml',
          managedFields: [{ manager: 'helm', apiVersion: 'resource.k8s.io/v1alpha3' }],
        }),
        object('ResourceClaim', 'own', {
          managedFields: [{ manager: 'kube-controller-manager', apiVersion: 'resource.k8s.io/v1alpha3' }],
        }),
        object('ResourceClaim', 'fine', applied('resource.k8s.io/v1', 'ResourceClaim')),
        object('ConfigMap', 'odd', { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{' } }),
        {
          ...object('CustomResourceDefinition', 'things.example.com', {}),
          spec: {
            versions: [
              { name: 'v1', served: true },
              { name: 'v1alpha1', served: false },
            ],
          },
          status: { storedVersions: ['v1alpha1', 'v1'] },
        },
      ],
      '1.36.3',
    );
    expect(short(found)).toEqual([
      'warning CustomResourceDefinition/things.example.com: objects may be stored as v1alpha1, which it does not serve',
      'warning ResourceClaim/ml/gpu: it was last written as resource.k8s.io/v1alpha3, which Kubernetes 1.34 removed',
      'warning VolumeAttributesClass/fast: it was last written as storage.k8s.io/v1alpha1, which Kubernetes 1.35 removed',
    ]);
  });
});

describe('free capacity', () => {
  const node = (name: string, over: { readonly taints?: readonly object[]; readonly cordoned?: boolean } = {}) =>
    nodeRoom({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, labels: { 'kubernetes.io/hostname': name } },
      spec: { unschedulable: over.cordoned ?? false, taints: over.taints ?? [] },
      status: { allocatable: { cpu: '2', memory: '4Gi', pods: '110' }, conditions: [{ type: 'Ready', status: 'True' }] },
    } as KubeObject);
  const pod = (name: string, on: string, cpu: string, over: { readonly spec?: object; readonly kind?: string } = {}) =>
    podDemand({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'shop', ownerReferences: [{ kind: over.kind ?? 'ReplicaSet', name: 'r', controller: true }] },
      spec: { nodeName: on, containers: [{ resources: { requests: { cpu, memory: '128Mi' } } }], ...over.spec },
      status: { phase: 'Running' },
    } as KubeObject);
  const masterTaint = { key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' };
  const lane = (nodes: readonly string[], atOnce = 1, surge = 0) => [{ name: 'pool workers', nodes, atOnce, surge }];
  const of = (
    nodes: readonly ReturnType<typeof node>[],
    pods: readonly ReturnType<typeof pod>[],
    lanes = lane(nodes.map(({ name }) => name)),
  ) => capacityForDrain({ nodes, pods, waves: [lanes], maxDrains: 10 });

  test('what a pod asks for is counted as the scheduler does', () => {
    const demand = pod('a', 'w', '100m', {
      spec: {
        containers: [{ resources: { requests: { cpu: '100m' } } }, { resources: { requests: { cpu: 1, memory: '1e3' } } }],
        initContainers: [
          { resources: { requests: { cpu: '500m' } } },
          { restartPolicy: 'Always', resources: { requests: { cpu: '200m' } } },
        ],
        overhead: { cpu: '50m' },
      },
    });
    expect(demand.asks.cpu).toBeCloseTo(1.35);
  });
  test('what a pod asks for as a whole counts instead of its containers', () => {
    const { cpu, memory } = pod('a', 'w', '100m', {
      spec: { resources: { requests: { cpu: '2' } }, overhead: { cpu: '50m' } },
    }).asks;
    expect([cpu, memory]).toEqual([2.05, 128 * 1024 ** 2]);
  });
  test('pods that fit on the others are no obstacle', () =>
    expect(of([node('w1'), node('w2')], [pod('a', 'w1', '1'), pod('b', 'w2', '1')])).toEqual([]));
  test('those that do not are named', () => {
    const two = [pod('a', 'w1', '1500m'), pod('b', 'w2', '1')];
    const [obstacle, ...others] = of([node('w1'), node('w2')], two, lane(['w1']));
    expect(others).toEqual([]);
    expect(obstacle).toMatchObject({
      severity: 'error',
      where: 'pool workers',
      what: 'while w1 is away one pod finds no room on the other nodes',
      why: 'shop/a',
    });
  });
  test('unless the pool surges', () =>
    expect(of([node('w1'), node('w2')], [pod('a', 'w1', '1500m'), pod('b', 'w2', '1')], lane(['w1', 'w2'], 1, 1))).toEqual([]));
  test('two at once need more room than one', () => {
    const nodes = [node('w1'), node('w2'), node('w3')];
    const pods = ['w1', 'w2', 'w3'].map((name) => pod(`on-${name}`, name, '900m'));
    expect(of(nodes, pods, lane(['w1', 'w2', 'w3'], 1))).toEqual([]);
    expect(of(nodes, pods, lane(['w1', 'w2', 'w3'], 2))[0]?.next).toContain('maxUnavailable');
  });
  test('a single worker is a warning, though CoreDNS could run on the master', () => {
    const tolerations = [{ key: masterTaint.key, operator: 'Exists' }];
    expect(
      of(
        [node('m', { taints: [masterTaint] }), node('w1')],
        [pod('a', 'w1', '1'), pod('coredns', 'w1', '100m', { spec: { tolerations } })],
        lane(['w1']),
      ),
    ).toMatchObject([{ severity: 'warning', what: 'while w1 is away one pod finds no other node to run on', why: 'shop/a' }]);
  });
  test('DaemonSets stay, and a node that somebody cordoned takes nothing', () => {
    expect(of([node('w1')], [pod('ds', 'w1', '1', { kind: 'DaemonSet' })])).toEqual([]);
    expect(short(of([node('w1'), node('w2', { cordoned: true })], [pod('a', 'w1', '1')], lane(['w1'])))).toEqual([
      'warning pool workers: while w1 is away one pod finds no other node to run on',
    ]);
  });
  test('one that an upgrade has cordoned before it was killed comes back before another one goes; not where somebody else keeps it', () => {
    const cordoned = (others: boolean) =>
      nodeRoom({
        apiVersion: 'v1',
        kind: 'Node',
        metadata: {
          name: 'w1',
          annotations: { [marks.cordon]: 'run-1' },
          managedFields: others ? [{ manager: 'kubectl-cordon', fieldsV1: { 'f:spec': { 'f:unschedulable': {} } } }] : [],
        },
        spec: {
          unschedulable: true,
          taints: [{ key: 'ToBeDeletedByClusterAutoscaler', value: 'slipway', effect: 'NoSchedule' }],
        },
        status: { allocatable: { cpu: '2', memory: '4Gi', pods: '110' }, conditions: [{ type: 'Ready', status: 'False' }] },
      } as KubeObject);
    const pods = ['w2', 'w3'].map((name) => pod(`on-${name}`, name, '1500m'));
    const find = (others: boolean) => of([cordoned(others), node('w2'), node('w3')], pods, lane(['w1', 'w2', 'w3']));
    expect(find(false)).toEqual([]);
    expect(short(find(true))).toEqual(['error pool workers: while w2 is away one pod finds no room on the other nodes']);
  });
  test('machines that go are away all at once', () => {
    const nodes = ['w1', 'w2', 'w3'].map((name) => node(name));
    const pods = ['w1', 'w2', 'w3'].map((name) => pod(`on-${name}`, name, '900m'));
    const going = (machine: string): Turn => ({
      ...{ machine, role: 'worker', zone: 'a', how: 'remove', drain: true },
      ...{ because: [], versions: [], restarts: [], files: [] },
    });
    const shrink = (names: readonly string[]): Wave => ({
      ...{ name: 'shrink', kubernetes: '1.36.3', changes: [] },
      lanes: [
        {
          name: 'pool workers',
          strategy: 'in-place',
          maxUnavailable: 1,
          maxSurge: 0,
          first: [],
          turns: [],
          last: names.map(going),
        },
      ],
    });
    const find = (names: readonly string[]) =>
      preflightObstacles({
        file: aCluster(),
        hops: upgradePath(versionsFor('1.36.3'), versionsFor('1.36.3')),
        waves: [shrink(names)],
        maxDrains: 1,
        findings: [],
        etcd: [],
        nodes: [],
        underWay: new Set(),
        versions: aVersionStatus(),
        api: { metrics: [], objects: [], nodes },
        pods,
      });
    expect(find(['w3'])).toEqual([]);
    expect(find(['w2', 'w3'])).toMatchObject([
      {
        severity: 'error',
        what: 'once w2, w3 are gone one pod finds no room on the nodes that stay',
        next: expect.stringContaining('keep more'),
      },
    ]);
  });
});

describe('estimate', () => {
  const events = (
    wave: string,
    how: string,
    machine: string,
    from: number,
    to: number,
    end: 'done' | 'failed' = 'done',
    drained = true,
  ): readonly Event[] => [
    { at: from, type: 'started', task: `${wave} 1.36.3/${machine}`, title: `${how} ${machine}` },
    ...(drained ? [{ at: from, type: 'started' as const, task: `drain ${machine}`, title: `drain ${machine}` }] : []),
    end === 'done'
      ? { at: to, type: 'done', task: `${wave} 1.36.3/${machine}` }
      : { at: to, type: 'failed', task: `${wave} 1.36.3/${machine}`, what: 'no', log: [] },
  ];
  const history = turnTimes([
    ...events('masters', 'in-place', 'master-a', 0, 20_000),
    ...events('masters', 'in-place', 'master-b', 20_000, 50_000),
    ...events('masters', 'in-place', 'master-c', 50_000, 150_000, 'failed'),
    ...events('pools', 'in-place', 'w-1', 0, 10_000),
    // A setting that drains nobody: other turns take longer.
    ...events('pools', 'in-place', 'w-2', 10_000, 11_000, 'done', false),
    ...events('pools', 'in-place', 'w-3', 11_000, 12_000, 'done', false),
    { at: 0, type: 'started', task: 'host.bundle/master-a', title: 'converge' },
    { at: 9, type: 'done', task: 'host.bundle/master-a' },
  ]);
  const turn = (machine: string): Turn => ({
    machine,
    role: 'worker',
    zone: 'a',
    how: 'in-place',
    drain: true,
    because: [],
    versions: [],
    restarts: [],
    files: [],
  });
  const wave = (name: string, turns: number, maxUnavailable: number, lanes = 1): Wave => ({
    name,
    kubernetes: '1.36.3',
    changes: [],
    lanes: Array.from({ length: lanes }, (_, i) => ({
      name: `${name} ${i}`,
      strategy: 'in-place',
      maxUnavailable,
      maxSurge: 0,
      first: [],
      last: [],
      turns: Array.from({ length: turns }, (_, j) => turn(`m-${i}-${j}`)),
    })),
  });
  test('turns that ended well are history, by what they were', () =>
    expect(history).toEqual([
      { kind: 'masters in-place, drained', seconds: 20 },
      { kind: 'masters in-place, drained', seconds: 30 },
      { kind: 'pools in-place, drained', seconds: 10 },
      { kind: 'pools in-place', seconds: 1 },
      { kind: 'pools in-place', seconds: 1 },
    ]));
  test('history is read from the journals of upgrades', async () => {
    const digests = { specDigest: 'a', worldDigest: 'b' };
    const plan: Plan = {
      formatVersion: 1,
      tool: 'slipway',
      cluster: 'demo',
      command: 'upgrade',
      ...digests,
      changes: [],
      steps: [],
    };
    const store = directoryStore(mkdtempSync(join(tmpdir(), 'slipway-estimate-')));
    for (const [i, command] of ['cluster up --yes', 'cluster upgrade --to 1.36.3'].entries()) {
      const journal = openJournal(store, { runId: newRunId(1_000 * i, new Uint8Array([i, 0, 0])), plan, command, generation: 1 });
      for (const event of events('etcd', 'in-place', `etcd-${i}`, 0, 5_000 + i, 'done', false)) journal.record(event);
      await journal.close({ outcome: 'done', finishedAt: 1, done: [], failed: [], notStarted: [] });
    }
    expect(await turnHistory(store)).toEqual([{ kind: 'etcd in-place', seconds: 5.001 }]);
  });
  test('waves one after the other, lanes side by side, under the caps', () => {
    const caps = { maxDrains: 100, canary: true };
    expect(estimateSeconds(history, [wave('masters', 3, 1)], caps)).toBe(60);
    expect(estimateSeconds(history, [wave('masters', 3, 1), wave('pools', 9, 4, 2)], caps)).toBe(60 + 30);
    expect(estimateSeconds(history, [wave('pools', 9, 4, 2)], { maxDrains: 2, canary: false })).toBe(90);
  });
  const removing = (machines: number, maxUnavailable = 1): Wave => {
    const [lane] = wave('shrink', 0, maxUnavailable).lanes;
    if (!lane) throw new Error('a wave has a lane');
    const last = Array.from({ length: machines }, (_, i): Turn => ({ ...turn(`w-${i}`), how: 'remove' }));
    return { ...wave('shrink', 0, maxUnavailable), lanes: [{ ...lane, last }] };
  };
  test('machines that go are counted one by one, as those that change', () => {
    expect(estimateSeconds(history, [removing(4)], { maxDrains: 8, canary: true })).toBe(4 * 20);
    expect(estimateSeconds(history, [removing(4, 2)], { maxDrains: 8, canary: true })).toBe(2 * 20);
    expect(estimateSeconds(history, [removing(4, 4)], { maxDrains: 1, canary: true })).toBe(4 * 20);
  });
  test('members of groups go as many at once as their group has spares', () => {
    const [lane, ...lanes] = wave('pools', 9, 0).lanes;
    const grouped = (maxSurge: number): Wave => ({
      ...wave('pools', 9, 0),
      lanes: lane ? [{ ...lane, maxSurge, surge: 'each turn' }, ...lanes] : [],
    });
    expect(estimateSeconds(history, [grouped(1)], { maxDrains: 8, canary: true })).toBe(90);
    expect(estimateSeconds(history, [grouped(4)], { maxDrains: 8, canary: true })).toBe(30);
  });
  test('a wave of two words leaves its history, too', () =>
    expect(turnTimes(events('shrink masters', 'remove', 'master-c', 0, 7_000))).toEqual([
      { kind: 'shrink masters remove, drained', seconds: 7 },
    ]));
  test('of a kind that it never had, it takes the slowest other; without any history it says nothing', () => {
    expect(estimateSeconds(history, [wave('etcd', 1, 1)], { maxDrains: 1, canary: true })).toBe(20);
    expect(estimateSeconds([], [wave('etcd', 1, 1)], { maxDrains: 1, canary: true })).toBeNull();
    expect(estimateSeconds([], [], { maxDrains: 1, canary: true })).toBe(0);
  });
});

test('all of it together, errors first', async () => {
  const asked: string[] = [];
  const metrics =
    'apiserver_requested_deprecated_apis{group="g",removed_release="1.36",resource="things",subresource="",version="v1beta1"} 1\n';
  // The one that the balancer chose has never seen such a client.
  const silent = { raw: async () => 'up 1\n' };
  const api = await readApiWorld(
    {
      raw: async (path) =>
        path === '/apis'
          ? JSON.stringify({
              groups: [
                {
                  name: 'storage.k8s.io',
                  versions: ['v1', 'v1beta1', 'v1alpha1'].map((version) => ({ groupVersion: `storage.k8s.io/${version}` })),
                },
              ],
            })
          : await silent.raw(),
      list: async (apiVersion, kind) => {
        asked.push(`${apiVersion} ${kind}`);
        return [];
      },
      kind: async () => undefined,
    },
    async (ask) =>
      new Map([
        ['master-a', await ask(silent)],
        ['master-b', await ask({ raw: async () => `${metrics}up 1\n` })],
        ['master-c', undefined],
      ]),
    { from: '1.34.4', to: '1.36.3', signal: new AbortController().signal },
  );
  expect(api.metrics).toEqual(['', metrics.trim()]);
  // Never by a version that goes: that would be counted as its use.
  expect(asked.filter((name) => name.startsWith('storage'))).toEqual(['storage.k8s.io/v1 VolumeAttributesClass']);
  const worker = {
    name: 'worker-a-1',
    zone: 'a',
    role: 'worker',
    ready: false,
    lacksPodNetwork: false,
    cordoned: false,
    kubelet: '1.32.9',
    notes: [],
  } as const;
  const found = preflightObstacles({
    file: aCluster({ kubernetes: { featureGates: { Nonsense: true } } }),
    hops: upgradePath(versionsFor('1.34.4'), versionsFor('1.36.3')),
    waves: [],
    maxDrains: 1,
    findings: [{ severity: 'warning', check: 'clocks.skew', what: 'apart', where: 'etcd-a' }],
    etcd: [],
    nodes: [worker],
    versions: aVersionStatus(),
    underWay: new Set(),
    api,
    pods: [],
  });
  expect(found.map(({ severity, where }) => `${severity} ${where}`)).toEqual([
    'error node worker-a-1',
    'error g/v1beta1 things',
    'warning etcd-a',
    'warning kubernetes.featureGates.Nonsense',
    'warning master-c',
  ]);
});
