import { describe, expect, test } from 'vitest';
import type { MachineSpec } from '../../../src/cluster/topology.ts';
import type { Finding } from '../../../src/config/finding.ts';
import { capacityFindings } from '../../../src/health/capacity.ts';
import { certificateFindings } from '../../../src/health/certificates.ts';
import { clockFindings } from '../../../src/health/clocks.ts';
import { etcdFindings, etcdStatuses } from '../../../src/health/etcd.ts';
import { machineFindings } from '../../../src/health/machines.ts';
import { type DesignedNode, nodeFindings, nodeStatuses } from '../../../src/health/nodes.ts';
import { versionFindings, versionStatus } from '../../../src/health/versions.ts';
import type { Seen } from '../../../src/host/facts.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { aHost, anEtcdHost, aUnit } from './facts.ts';

/** `error etcd.quorum etcd main`: what one reads first. */
const short = (findings: readonly Finding[]): readonly string[] =>
  findings.map(({ severity, check, where }) => [severity, check, where].filter(Boolean).join(' '));

describe('etcd', () => {
  const hosts = ['etcd-1', 'etcd-2', 'etcd-3'];
  const ids = [1, 2, 3];
  const look = (...seen: readonly (readonly [string, Seen])[]) => etcdStatuses(new Map(seen), hosts, 10_000);
  const whole = ids.map((id): readonly [string, Seen] => [`etcd-${id}`, anEtcdHost(id, ids)]);

  test('three healthy members are healthy', () => {
    const [main] = look(...whole);
    expect(main?.members.map(({ state, leader }) => [state, leader])).toEqual([
      ['healthy', true],
      ['healthy', false],
      ['healthy', false],
    ]);
    expect(short(etcdFindings(look(...whole)))).toEqual(['ok etcd.quorum etcd main']);
  });

  test('a member that does not answer is an error, and quorum is at risk', () => {
    const status = look(...whole.slice(0, 2), ['etcd-3', aHost({ probes: new Map([['etcd-main', { code: 7, stdout: '' }]]) })]);
    expect(status[0]?.quorum).toBe('at-risk');
    expect(short(etcdFindings(status))).toEqual(['warning etcd.quorum etcd main', 'error etcd.member etcd main on etcd-3']);
  });

  test('a member on a machine that cannot be reached is unknown, not unhealthy', () => {
    const status = look(...whole.slice(0, 2), ['etcd-3', { state: 'unknown', why: 'no route' }]);
    expect(status[0]?.members[2]).toMatchObject({ state: 'unknown', why: 'no route' });
    expect(etcdFindings(status).filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  test('without quorum it is lost; with every machine silent it is unknown', () => {
    const dead = aHost({ probes: new Map([['etcd-main', { code: 7, stdout: '' }]]) });
    expect(look(['etcd-1', dead], ['etcd-2', dead], ['etcd-3', dead])[0]?.quorum).toBe('lost');
    const silent: Seen = { state: 'unknown', why: 'the bastion is gone' };
    const blind = look(['etcd-1', silent], ['etcd-2', silent], ['etcd-3', silent]);
    expect(short(etcdFindings(blind))[0]).toBe('error etcd.unreachable etcd main');
  });

  test('an alarm is an error that says what to do', () => {
    const alarms = [{ memberID: '2', alarm: 'NOSPACE' }];
    const raised = ids.map((id): readonly [string, Seen] => [`etcd-${id}`, anEtcdHost(id, ids, { alarms })]);
    const findings = etcdFindings(look(...raised)).filter(({ check }) => check === 'etcd.alarm');
    expect(short(findings)).toEqual(['error etcd.alarm etcd main on etcd-2']);
    expect(findings[0]?.next).toContain('defragment');
  });

  test('a database near its quota is a warning, then an error', () => {
    const fill = (dbSize: number) => look(['etcd-1', anEtcdHost(1, ids, { dbSize })], ...whole.slice(1));
    expect(short(capacityFindings([], fill(7_900)))).toEqual([]);
    expect(short(capacityFindings([], fill(8_000)))).toEqual(['warning capacity.etcd etcd main on etcd-1']);
    expect(short(capacityFindings([], fill(9_500)))).toEqual(['error capacity.etcd etcd main on etcd-1']);
  });
});

describe('machines', () => {
  const spec = (name: string): MachineSpec => ({
    name,
    role: 'worker',
    zone: 'a',
    address: '10.0.0.1',
    instanceType: 'local',
    bundle: 'pool-workers',
  });
  const thing = (running: boolean) => ({ state: 'present', props: { running }, outputs: {} }) as const;

  test('absent, stopped and unreachable are three things', () => {
    const findings = machineFindings([
      { spec: spec('w-1'), thing: undefined, host: { state: 'absent' } },
      { spec: spec('w-2'), thing: thing(false), host: { state: 'unknown', why: 'not running' } },
      { spec: spec('w-3'), thing: thing(true), host: { state: 'unknown', why: 'timed out' } },
    ]);
    expect(short(findings)).toEqual([
      'error machines.absent w-1',
      'error machines.stopped w-2',
      'error machines.unreachable w-3',
    ]);
  });

  test('one cause is one finding, however many machines it hides', () => {
    const behind = ['w-1', 'w-2'].map((name) => ({
      spec: spec(name),
      thing: thing(true),
      host: { state: 'unknown', why: `${name}: the bastion does not answer` } as const,
    }));
    expect(short(machineFindings(behind))).toEqual(['error machines.unreachable w-1, w-2']);
  });

  test('a unit that does not run is told with where its log is; one that restarts is not', () => {
    const units = new Map([
      ['kubelet.service', aUnit('failed')],
      ['kube-proxy.service', aUnit('activating')],
    ]);
    const [finding, ...rest] = machineFindings([{ spec: spec('w-1'), thing: thing(true), host: aHost({ units }) }]);
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({ severity: 'error', check: 'machines.unit', where: 'w-1' });
    expect(finding?.next).toContain('cluster logs w-1 -u kubelet');
  });
});

describe('nodes', () => {
  const designed: DesignedNode = { name: 'w-1', zone: 'a', role: 'worker', pool: 'workers', taints: ['gpu:NoSchedule'] };
  const node = (name: string, ready: string, over: { spec?: object; conditions?: readonly object[] } = {}): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    spec: over.spec ?? {},
    status: {
      conditions: [{ type: 'Ready', status: ready, message: 'kubelet says so' }, ...(over.conditions ?? [])],
      nodeInfo: { kubeletVersion: 'v1.36.3' },
    },
  });
  const look = (...nodes: KubeObject[]) => nodeStatuses([designed], { state: 'present', nodes });

  test('Ready is well, and its declared taints are not worth a note', () => {
    const [status] = look(node('w-1', 'True', { spec: { taints: [{ key: 'gpu', effect: 'NoSchedule' }] } }));
    expect(status).toMatchObject({ ready: true, kubelet: '1.36.3', notes: [] });
    expect(short(nodeFindings(status ? [status] : []))).toEqual(['ok nodes.ready']);
  });

  test('without a pod network a node is not Ready: a warning where `plugin` is none, and an error where it is ours', () => {
    const message =
      'container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized';
    const waiting = (said: string): KubeObject => ({
      ...node('w-1', 'False'),
      status: { conditions: [{ type: 'Ready', status: 'False', message: said }] },
    });
    expect(short(nodeFindings(look(waiting(message)), 'none'))).toEqual(['warning nodes.network']);
    expect(short(nodeFindings(look(waiting(message)), 'flannel'))).toEqual(['error nodes.ready node w-1']);
    expect(short(nodeFindings(look(waiting(`[${message}, PLEG is not healthy]`)), 'none'))).toEqual([
      'error nodes.ready node w-1',
    ]);
    expect(short(nodeFindings(look(node('w-1', 'True')), 'none'))).toEqual(['ok nodes.ready']);
  });

  test('not Ready, and never registered, are errors; cordoned is a warning', () => {
    expect(short(nodeFindings(look(node('w-1', 'Unknown'))))).toEqual(['error nodes.ready node w-1']);
    expect(nodeFindings(look())[0]?.why).toBe('no kubelet has registered it');
    expect(short(nodeFindings(look(node('w-1', 'True', { spec: { unschedulable: true } }))))).toContain(
      'warning nodes.cordoned node w-1',
    );
  });

  test("a cordon that an upgrade left behind is that upgrade's to take away", () => {
    const theirs = node('w-1', 'True', { spec: { unschedulable: true } });
    const ours = { ...theirs, metadata: { ...theirs.metadata, annotations: { 'slipway.dev/cordoned-by-run': 'r' } } };
    expect(nodeFindings(look(theirs))[0]?.next).toContain('uncordon w-1');
    expect(nodeFindings(look(ours))[0]?.next).toContain('cluster upgrade --abort');
  });

  test('while the API gives no answer nodes are unknown, and nothing is said to be wrong with them', () => {
    const nodes = nodeStatuses([designed], { state: 'unknown', why: 'refused' });
    expect(nodes).toMatchObject([{ ready: 'unknown', notes: ['refused'] }]);
    expect(nodeFindings(nodes)).toEqual([]);
  });

  test('nodes of an autoscaled pool have no name in the design; one that comes or goes is no error', () => {
    const pools = new Map([['scaled', { taints: ['gpu:NoSchedule'] }]]);
    const member = (name: string, ready: string): KubeObject => {
      const made = node(name, ready, { spec: { taints: [{ key: 'gpu', effect: 'NoSchedule' }] } });
      return { ...made, metadata: { name, labels: { 'slipway.dev/pool': 'scaled', 'topology.kubernetes.io/zone': 'a' } } };
    };
    const nodes = nodeStatuses([], { state: 'present', nodes: [member('i-1', 'True'), member('i-2', 'False')] }, pools);
    expect(nodes).toMatchObject([
      { name: 'i-1', pool: 'scaled', zone: 'a', ready: true, notes: [] },
      { name: 'i-2', pool: 'scaled', ready: false },
    ]);
    expect(short(nodeFindings(nodes, 'flannel', pools))).toEqual(['warning nodes.ready node i-2']);
  });

  test('a node that nobody designed is shown as such', () => {
    expect(look(node('w-1', 'True'), node('stranger', 'True'))[1]).toMatchObject({
      name: 'stranger',
      notes: ['not in cluster.yaml'],
    });
  });

  test('pressure is a warning of capacity', () => {
    const nodes = look(node('w-1', 'True', { conditions: [{ type: 'DiskPressure', status: 'True' }] }));
    expect(short(capacityFindings(nodes, []))).toEqual(['warning capacity.node node w-1']);
  });

  test('a kubelet newer than the API, or four versions older, breaks the skew policy', () => {
    const [base] = look(node('w-1', 'True'));
    const skew = (kubelet: string) =>
      versionFindings(
        versionStatus({
          wanted: '1.36.3',
          inForce: '1.36.3',
          servers: new Map([['master-a', '1.36.3']]),
          nodes: base ? [{ ...base, kubelet }] : [],
          components: [],
          etcd: [],
        }),
      );
    expect(skew('1.36.3')).toEqual([]);
    expect(skew('1.33.0')).toEqual([]);
    expect(short(skew('1.32.9'))).toEqual(['error versions.skew']);
    expect(short(skew('1.37.0'))).toEqual(['error versions.skew']);
  });

  test('each API server counts for itself; of one that does not say its version, nothing is guessed', () => {
    const of = (kubelet: string, ...servers: readonly (readonly [string, string | undefined])[]) => {
      const nodes = look(node('w-1', 'True')).map((each) => ({ ...each, kubelet }));
      return versionStatus({ wanted: '1.36.3', inForce: '1.36.3', servers: new Map(servers), nodes, components: [], etcd: [] });
    };
    const between = of('1.36.3', ['master-a', '1.36.3'], ['master-b', '1.35.4']);
    expect(between.running.slice(0, 2)).toEqual([
      { component: 'kube-apiserver', version: '1.36.3', on: ['master-a'] },
      { component: 'kube-apiserver', version: '1.35.4', on: ['master-b'] },
    ]);
    expect(between.skew).toEqual(['kubelet 1.36.3 on w-1 is newer than the API server (1.35.4)']);
    const silent = of('1.36.3', ['master-a', '1.36.3'], ['master-b', undefined]);
    expect([silent.skew, silent.silent]).toEqual([[], ['master-b']]);
    expect(short(versionFindings(silent))).toEqual(['warning versions.unknown master-b']);
    expect(of('1.36.3', ['master-a', undefined]).skew).toEqual([]);
  });
});

describe('clocks', () => {
  const at = (clockMs: number, from: number, to: number): Seen => aHost({ clockMs }, { from, to });

  test('those that agree within what the answers took are well', () => {
    const hosts = new Map([
      ['a', at(1000, 900, 1200)],
      ['b', at(9000, 1000, 9500)],
    ]);
    expect(short(clockFindings(hosts))).toEqual(['ok clocks.skew']);
  });

  test('one that is certainly more than 2 s off is named', () => {
    const hosts = new Map([
      ['a', at(1000, 900, 1200)],
      ['b', at(1100, 900, 1200)],
      ['c', at(6000, 900, 1200)],
    ]);
    expect(short(clockFindings(hosts))).toEqual(['warning clocks.skew c']);
    expect(clockFindings(hosts)[0]?.what).toMatch(/4\.9|5\.0 s ahead/);
  });

  test('all of them a minute off means our own clock', () => {
    const hosts = new Map([
      ['a', at(101_000, 900, 1200)],
      ['b', at(101_000, 900, 1200)],
    ]);
    expect(short(clockFindings(hosts))).toEqual(['warning clocks.ours']);
  });

  test('nobody who answers is nothing to say', () => {
    expect(clockFindings(new Map([['a', { state: 'unknown', why: 'x' }]]))).toEqual([]);
  });
});

describe('certificates', () => {
  const of = (state: 'fresh' | 'due' | 'expired' | 'missing' | 'unknown') =>
    short(certificateFindings([{ name: 'w-1.kubelet', authority: 'kubernetes', notAfter: 1, state }]));
  test('due is a warning, expired or missing an error, and unknown is said with its machine', () => {
    expect(of('fresh')).toEqual(['ok certificates.fresh']);
    expect(of('due')).toEqual(['warning certificates.due certificate w-1.kubelet']);
    expect(of('expired')).toEqual(['error certificates.expired certificate w-1.kubelet']);
    expect(of('missing')).toEqual(['error certificates.missing certificate w-1.kubelet']);
    expect(of('unknown')).toEqual([]);
  });
});
