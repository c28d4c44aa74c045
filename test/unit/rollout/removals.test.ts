import { describe, expect, test } from 'vitest';
import { diffBalancer } from '../../../providers/local/balancer.ts';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import { whyNotLeave } from '../../../src/etcd/remove.ts';
import { etcdMember } from '../../../src/etcd/types/member.ts';
import type { Seen } from '../../../src/host/facts.ts';
import { hostBundle } from '../../../src/host/types/bundle.ts';
import { hostUnits } from '../../../src/host/types/units.ts';
import { kubeNode } from '../../../src/kube/types/node.ts';
import { choose } from '../../../src/plan/choose.ts';
import { diff } from '../../../src/plan/diff.ts';
import { ObservedMap } from '../../../src/plan/observed.ts';
import { order } from '../../../src/plan/order.ts';
import type { Change, Plan, Step } from '../../../src/plan/plan.ts';
import { type Address, addressOf, type ResourceType } from '../../../src/plan/resource.ts';
import { planRemovals, removalPart, removalWaves, whyNotAll } from '../../../src/rollout/removals.ts';
import { aCluster } from '../../support/builders.ts';

const machineAddress = (name: string): Address => addressOf('local.machine', name);
const topologyOf = (over: Parameters<typeof aCluster>[0] = {}) =>
  designTopology(aCluster(over), noIdentity, versionsFor('1.36.3'));

/** The real types' words on who goes before whom, over what is said to be there. */
const typed = (type: object, over: object = {}) => ({ ...type, ...over }) as unknown as ResourceType<object, object, unknown>;
const types = new Map(
  [
    typed(hostBundle, { dependsOn: ['local.machine'] }),
    typed(hostUnits),
    typed(etcdMember(async () => new Map())),
    typed(kubeNode, { deletedAfter: ['local.machine'] }),
    {
      name: 'local.machine',
      dependsOn: ['local.volume'],
      observe: async () => new Map(),
      diff: () => [],
      delete: async () => {},
    },
    {
      name: 'local.volume',
      shrink: 'data-loss' as const,
      observe: async () => new Map(),
      diff: () => [],
      delete: async () => {},
    },
    {
      ...typed({ name: 'local.balancer', observe: async () => new Map(), diff: diffBalancer }),
      update: async () => ({}),
    },
  ].map((type): [string, ResourceType<object, object, unknown>] => [type.name, type]),
);

const status = (id: string, leader: string, members: readonly string[]) =>
  JSON.stringify({
    members: { members: members.map((name) => ({ ID: idOf(name), name, peerURLs: [`https://${name}:2380`] })) },
    status: { header: { member_id: id }, version: '3.6.16', leader, raftAppliedIndex: '5', raftTerm: '2' },
    alarms: null,
  });
const idOf = (name: string): string => String(100 + name.charCodeAt(name.length - 1));

interface Standing {
  readonly machines: readonly string[];
  readonly leader?: string;
  readonly dead?: readonly string[];
}
function world({ machines, leader = 'etcd-a', dead = [] }: Standing) {
  const seen = new ObservedMap();
  const facts = new Map<string, Seen>();
  const members = machines.filter((name) => name.startsWith('etcd'));
  for (const name of machines) {
    const role = name.startsWith('etcd') ? 'etcd' : name.startsWith('master') ? 'master' : 'worker';
    const alive = !dead.includes(name);
    const zone = name.split('-')[1] ?? '';
    const address = `10.0.0.${machines.indexOf(name) + 10}`;
    seen.set(machineAddress(name), { state: 'present', props: { zone, running: alive }, outputs: { role, address } });
    seen.set(`host.units/${name}`, { state: 'present', props: { units: {} }, outputs: { stale: [], running: ['x.service'] } });
    if (role === 'etcd') {
      const probes = new Map(
        ['etcd-main', 'etcd-events'].map((probe) => [probe, { code: 0, stdout: status(idOf(name), idOf(leader), members) }]),
      );
      if (alive) facts.set(name, { state: 'present', asked: { from: 0, to: 0 }, facts: { probes } } as unknown as Seen);
      for (const cluster of ['main', 'events']) {
        seen.set(`etcd.member/${cluster}.${name}`, { state: 'present', props: {}, outputs: { id: idOf(name) } });
        seen.set(`local.volume/${name}.${cluster}`, { state: 'present', props: {}, outputs: {} });
      }
    } else {
      const labels = role === 'worker' ? { 'slipway.dev/pool': name.split('-')[0] } : {};
      seen.set(`kube.node/${name}`, { state: 'present', props: { labels, taints: [], ready: true, ours: true }, outputs: {} });
      if (role === 'master') seen.set(`kube.api/${name}`, { state: 'present', props: { ready: alive }, outputs: {} });
    }
  }
  seen.set('kube.node/by-hand', { state: 'present', props: { labels: {}, taints: [], ready: true, ours: false }, outputs: {} });
  const masters = machines.filter((name) => name.startsWith('master'));
  const backends = Object.fromEntries(masters.map((name) => [name, `10.0.0.${machines.indexOf(name) + 10}`]));
  const balancer = { image: 'i', network: 'n', address: 'a', port: 6443, publish: 0, running: true };
  seen.set('local.balancer/api', { state: 'present', props: { ...balancer, backends }, outputs: {} });
  return { seen, facts, balancer, backends };
}
/** What `upgrade` would do of machines alone, with these staying. */
function planOf({ seen, balancer, backends }: ReturnType<typeof world>, staying: readonly string[], allowDataLoss = false): Plan {
  const kept = Object.fromEntries(Object.entries(backends).filter(([name]) => staying.includes(name)));
  const observed = new ObservedMap();
  const own = (address: Address): boolean =>
    staying.some((name) => address.endsWith(`/${name}`) || address.includes(`${name}.`) || address.endsWith(`.${name}`));
  for (const [address, found] of seen.entries()) if (!own(address)) observed.set(address, found);
  const desired = [
    { address: 'local.balancer/api' as Address, type: 'local.balancer', props: { ...balancer, backends: kept }, after: [] },
  ];
  const changes: readonly Change[] = choose(diff(desired, observed, types), desired, types, {
    command: 'upgrade',
    allowDataLoss,
  });
  const steps: readonly Step[] = order(changes, desired, types);
  return {
    formatVersion: 1,
    tool: 't',
    cluster: 'demo',
    command: 'upgrade',
    specDigest: '',
    worldDigest: '',
    changes: [...changes],
    steps: [...steps],
  };
}

const whole = ['etcd-a', 'etcd-b', 'etcd-c', 'master-a', 'master-b', 'master-c', 'workers-a-1', 'workers-b-1', 'workers-c-1'];
const small = ['etcd-a', 'master-a', 'workers-a-1'];

const idsOf = (plan: Plan) => plan.steps.map(({ id }) => id);

describe('machines that are no longer designed', () => {
  const toSmall = (standing: Partial<Standing> = {}) => {
    const found = world({ machines: whole, ...standing });
    const topology = topologyOf({ masters: { count: 1 }, etcd: { count: 1 }, pools: [{ name: 'workers', count: 1 }] });
    return planRemovals({ plan: planOf(found, small), topology, machineAddress, ...found });
  };

  test('workers go first, then masters, then etcd members, whoever leads last; nodes are drained', () => {
    const { turns, obstacles } = toSmall({ leader: 'etcd-b' });
    expect(obstacles).toEqual([]);
    expect(turns.map(({ machine, how, drain }) => [machine, how, drain])).toEqual([
      ['workers-b-1', 'remove', true],
      ['workers-c-1', 'remove', true],
      ['master-b', 'remove', true],
      ['master-c', 'remove', true],
      ['etcd-c', 'remove', false],
      ['etcd-b', 'remove', false],
    ]);
    expect(turns[0]).toMatchObject({ role: 'worker', zone: 'b', pool: 'workers' });
    const waves = removalWaves(turns, '1.36.3', () => 2);
    expect(
      waves.map(({ name, lanes }) => [name, lanes.map((lane) => [lane.name, lane.maxUnavailable, lane.last.length])]),
    ).toEqual([
      ['shrink', [['pool workers', 2, 2]]],
      ['shrink masters', [['masters', 1, 2]]],
      ['shrink etcd', [['etcd', 1, 2]]],
    ]);
  });

  test('a machine that does not run goes first of its kind, and nobody waits for its drain', () => {
    const { turns, obstacles } = toSmall({ dead: ['workers-c-1', 'etcd-c'] });
    expect(obstacles).toEqual([]);
    expect(turns.map(({ machine, drain }) => `${machine} ${drain}`)).toEqual([
      'workers-c-1 false',
      'workers-b-1 true',
      'master-b true',
      'master-c true',
      'etcd-c false',
      'etcd-b false',
    ]);
  });

  test('a member whose machine is gone leaves before the others of its kind', () => {
    const found = world({ machines: whole, dead: ['etcd-b'], leader: 'etcd-c' });
    const lost = (address: Address): boolean => !/^etcd.member\//.test(address) && /\/etcd-b(\.|$)/.test(address);
    const seen = new ObservedMap();
    for (const [address, one] of found.seen.entries()) if (!lost(address)) seen.set(address, one);
    const gone = { ...found, seen };
    const topology = topologyOf({ masters: { count: 1 }, etcd: { count: 1 }, pools: [{ name: 'workers', count: 1 }] });
    const plan = planOf(gone, small);
    const { turns, obstacles } = planRemovals({ plan, topology, machineAddress, ...gone });
    expect(obstacles).toEqual([]);
    expect(turns.filter(({ role }) => role === 'etcd').map(({ machine, drain }) => `${machine} ${drain}`)).toEqual([
      'etcd-b false',
      'etcd-c false',
    ]);
    expect(idsOf(removalPart(plan, 'etcd-b', { seen, machineAddress })).toSorted()).toEqual([
      'delete etcd.member/events.etcd-b',
      'delete etcd.member/main.etcd-b',
    ]);
  });

  test('a member that is to stay and is not healthy, or a master that is to stay and is not ready, forbids it', () => {
    expect(
      toSmall({ dead: ['etcd-a'], leader: 'etcd-b' }).obstacles.map(({ where, what, why }) => `${where}: ${what}: ${why}`),
    ).toEqual(
      [
        'etcd main: etcd-b, etcd-c may not leave: etcd-a is to stay, and is not healthy',
        'etcd events: etcd-b, etcd-c may not leave: etcd-a is to stay, and is not healthy',
      ].map((line) => line.replace('etcd-b, etcd-c', 'etcd-c, etcd-b')),
    );
    expect(toSmall({ dead: ['etcd-b', 'etcd-c'] }).obstacles[0]).toMatchObject({
      why: 'quorum is lost: 1 of 3 voters healthy, 2 needed',
    });
    expect(toSmall({ dead: whole.slice(0, 3) }).obstacles[0]).toMatchObject({
      why: expect.stringContaining('no member knows a leader'),
    });
    expect(toSmall({ dead: ['master-a'] }).obstacles).toMatchObject([
      { severity: 'error', where: 'master-b, master-c', what: 'these masters may not go: none of those that stay is ready' },
    ]);
  });

  test('a node that nobody designed and that is not ours stays', () => {
    const found = world({ machines: whole });
    expect(planOf(found, small).changes.some(({ address }) => address === 'kube.node/by-hand')).toBe(false);
  });

  const comesFirst = (plan: Plan, first: string, then: string): boolean => {
    const after = (id: string): readonly string[] => plan.steps.find((step) => step.id === id)?.after ?? [];
    const reach = (id: string): boolean => after(id).some((earlier) => earlier === first || reach(earlier));
    return reach(then);
  };

  test('a master is out of the balancer before its units stop, then its machine goes, then its node; other masters stay where they are', () => {
    const found = world({ machines: whole });
    const part = removalPart(planOf(found, small), 'master-b', { seen: found.seen, machineAddress });
    const order = [
      'update local.balancer/api',
      'delete host.units/master-b',
      'delete local.machine/master-b',
      'delete kube.node/master-b',
    ];
    expect(idsOf(part).toSorted()).toEqual(order.toSorted());
    for (const [i, id] of order.slice(1).entries()) expect(comesFirst(part, order[i] ?? '', id), id).toBe(true);
    expect(part.steps.find(({ id }) => id === order[0])?.params.hold).toEqual(['backends.master-c']);
    expect(part.changes.find(({ address }) => address === 'local.balancer/api')?.fields).toMatchObject([
      { path: 'backends.master-b', after: null },
    ]);
  });

  test('an etcd host leaves both clusters before its units stop; its volumes stay unless their loss is allowed', () => {
    const found = world({ machines: whole });
    const part = (allowDataLoss: boolean) =>
      removalPart(planOf(found, small, allowDataLoss), 'etcd-b', { seen: found.seen, machineAddress });
    const kept = part(false);
    expect(idsOf(kept).toSorted()).toEqual([
      'delete etcd.member/events.etcd-b',
      'delete etcd.member/main.etcd-b',
      'delete host.units/etcd-b',
      'delete local.machine/etcd-b',
    ]);
    expect(kept.changes.filter(({ when }) => 'left' in when).map(({ address }) => address)).toEqual([
      'local.volume/etcd-b.main',
      'local.volume/etcd-b.events',
    ]);
    for (const member of ['main', 'events'])
      expect(comesFirst(kept, `delete etcd.member/${member}.etcd-b`, 'delete host.units/etcd-b')).toBe(true);
    expect(comesFirst(kept, 'delete host.units/etcd-b', 'delete local.machine/etcd-b')).toBe(true);
    expect(comesFirst(part(true), 'delete local.machine/etcd-b', 'delete local.volume/etcd-b.main')).toBe(true);
  });

  test('a worker takes nothing of the balancer along', () => {
    const found = world({ machines: whole });
    const part = removalPart(planOf(found, small), 'workers-b-1', { seen: found.seen, machineAddress });
    expect(idsOf(part).toSorted()).toEqual([
      'delete host.units/workers-b-1',
      'delete kube.node/workers-b-1',
      'delete local.machine/workers-b-1',
    ]);
  });
});

describe('quorum', () => {
  const of = (healthy: string, sick = '') => [
    ...[...healthy].map((name) => ({ id: name, name, learner: false, healthy: true })),
    ...[...sick].map((name) => ({ id: name, name, learner: false, healthy: false })),
  ];

  test.each([
    ['5 → 3', of('abcde'), ['d', 'e'], undefined],
    ['3 → 1, through 2, while all are healthy', of('abc'), ['b', 'c'], undefined],
    ['3 → 1 with one that goes dead', of('ab', 'c'), ['c', 'b'], undefined],
    [
      'the living one first would lose quorum',
      of('ab', 'c'),
      ['b', 'c'],
      'b: quorum would be lost: 1 of 2 voters healthy, 2 needed after it',
    ],
    ['one that stays is dead', of('ab', 'c'), ['b'], 'c is to stay, and is not healthy'],
    ['nobody would stay', of('abc'), ['a', 'b', 'c'], 'no member would stay'],
    ['those that left already count no more', of('abc'), ['x', 'c'], undefined],
  ])('%s', (_, members, going, why) => expect(whyNotAll(members, going)).toBe(why));

  test('a healthy member waits for those that stay; a dead one may go', () => {
    expect(whyNotLeave(of('ab', 'c'), 'b')).toBe('c is not healthy');
    expect(whyNotLeave(of('ab', 'c'), 'c')).toBeUndefined();
    expect(whyNotLeave(of('abc'), 'c')).toBeUndefined();
  });
});
