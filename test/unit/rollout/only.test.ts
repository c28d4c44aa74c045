import { describe, expect, test } from 'vitest';
import { type Only, only, onlyOfHops, parseOnly } from '../../../src/rollout/only.ts';
import type { Wave } from '../../../src/rollout/rollout.ts';
import { aLane, aTurn, aWave, surge, workers } from '../../support/rehearsal.ts';

const known = { pools: ['workers', 'gpu'], zones: ['a', 'b'] };
const masters = (zones = ['a', 'b', 'c']) =>
  aLane(
    'masters',
    zones.map((zone) => aTurn(`master-${zone}`, { role: 'master', zone })),
  );
const waves = () => [
  aWave('etcd', [aLane('etcd', [aTurn('etcd-a', { role: 'etcd' })])]),
  aWave('masters', [masters()], { changes: ['local.balancer/api'] }),
  aWave('addons', [], { changes: ['kube.addon/coredns'] }),
  aWave('pools', [aLane('pool workers', workers('workers', 4, ['a', 'b'])), aLane('pool gpu', workers('gpu', 2, ['a', 'b']))]),
];
const at = (...versions: readonly string[]) => new Map(versions.map((version, i) => [`master-${'abc'[i]}`, version]));
const turns = (all: readonly Wave[]) =>
  all.map((wave) => [
    wave.name,
    ...wave.lanes.flatMap((lane) => [...lane.first, ...lane.turns, ...lane.last].map((t) => t.machine)),
  ]);

describe('--only', () => {
  test.each([
    ['pool=gpu', { what: 'pool', name: 'gpu' }],
    ['role=masters', { what: 'role', name: 'masters' }],
    ['zone=a', { what: 'zone', name: 'a' }],
  ])('%s', (text, parsed) => expect(parseOnly(text, known)).toEqual(parsed));

  test.each([
    ['gpu', 'it takes pool=NAME, role=NAME or zone=NAME'],
    ['pool=', 'it takes pool=NAME, role=NAME or zone=NAME'],
    ['machine=x', 'it takes pool=NAME, role=NAME or zone=NAME'],
    ['pool=worker', 'there is no pool worker; did you mean pool=workers?'],
    ['role=master', 'did you mean role=masters?'],
    ['zone=q7', 'there is no zone q7\nNext: one of zone=a, zone=b'],
  ])('%s is a usage error that says what there is', (text, message) => {
    expect(() => parseOnly(text, known)).toThrow(
      expect.objectContaining({ exitCode: 64, message: expect.stringContaining(message) }),
    );
  });

  test('a pool, when the masters are there already', () => {
    expect(turns(only({ what: 'pool', name: 'gpu' }, waves(), at('1.36.3', '1.36.3', '1.36.3')))).toEqual([
      ['addons'],
      ['pools', 'gpu-1', 'gpu-2'],
    ]);
  });

  test('a pool may not go before the masters', () => {
    const refused = () => only({ what: 'pool', name: 'gpu' }, waves(), at('1.36.3', '1.35.4', '1.36.3'));
    expect(refused).toThrow(/kubelets to 1\.36\.3 while the API server of master-b runs 1\.35\.4/);
    expect(refused).toThrow(/--only role=masters/);
  });

  test('nor within the same minor version', () => {
    expect(() => only({ what: 'pool', name: 'gpu' }, waves(), at('1.36.1'))).toThrow(/1\.36\.1/);
  });

  test('masters, with what else is changed in their wave', () => {
    const part = only({ what: 'role', name: 'masters' }, waves(), at('1.35.4', '1.35.4', '1.35.4'));
    expect(turns(part)).toEqual([['masters', 'master-a', 'master-b', 'master-c']]);
    expect(part[0]?.changes).toEqual(['local.balancer/api']);
  });

  test('a zone: its workers may not go before the masters of other zones', () => {
    expect(() => only({ what: 'zone', name: 'a' }, waves(), at('1.35.4', '1.35.4', '1.35.4'))).toThrow(/API server of master-b/);
    const part = only({ what: 'zone', name: 'a' }, waves(), at('1.36.3', '1.36.3', '1.36.3'));
    expect(turns(part).map(([name]) => name)).toEqual(['etcd', 'masters', 'addons', 'pools']);
    expect(part.find(({ name }) => name === 'masters')?.changes).toEqual([]);
  });

  test('chained minor versions: masters of one zone may not leave the others two behind', () => {
    const chained = [
      aWave('masters', [masters()], { kubernetes: '1.35.4' }),
      aWave('masters', [masters()], { kubernetes: '1.36.3' }),
    ];
    const old = at('1.34.4', '1.34.4', '1.34.4');
    expect(() => only({ what: 'zone', name: 'a' }, chained, old)).toThrow(
      /to 1\.36\.3 while the API server of master-b stays at 1\.34\.4/,
    );
    expect(only({ what: 'role', name: 'masters' }, chained, old)).toHaveLength(2);
  });

  test('chained minor versions: a master that goes after the first is beside none of the later ones', () => {
    const leaving = aLane('masters', [], { last: [aTurn('master-b', { role: 'master', how: 'remove' })] });
    const chained = ['1.34.4', '1.35.4', '1.36.3'].map((kubernetes) => [aWave('masters', [masters(['a'])], { kubernetes })]);
    const [first = [], ...others] = chained;
    const hops = [[...first, aWave('shrink masters', [leaving], { kubernetes: '1.34.4' })], ...others];
    expect(onlyOfHops({ what: 'role', name: 'masters' }, hops, at('1.33.13'))).toHaveLength(3);
  });

  test('a part that has its turn on a later hop only is refused, and says who goes first', () => {
    const hops = [[aWave('masters', [masters()], { kubernetes: '1.35.4' })], waves()];
    const refused =
      (filter: Only, all: readonly (readonly Wave[])[] = hops) =>
      () =>
        onlyOfHops(filter, all, at('1.34.4'));
    for (const filter of [
      { what: 'pool', name: 'gpu' },
      { what: 'role', name: 'etcd' },
    ] as const) {
      expect(refused(filter)).toThrow(`--only ${filter.what}=${filter.name} cannot go yet: masters go first, to 1.35.4`);
      expect(refused(filter)).toThrow(/Next: cluster upgrade --only role=masters, then this again/);
    }
    const [, last = []] = hops;
    const etcdFirst = [[aWave('etcd', [aLane('etcd', [aTurn('etcd-a', { role: 'etcd' })])]), ...(hops[0] ?? [])], last];
    expect(refused({ what: 'role', name: 'workers' }, etcdFirst)).toThrow(
      /--only role=etcd, then cluster upgrade --only role=masters, then this again/,
    );
  });

  test('who has a turn on this hop goes, and waits for the others with the next', () => {
    const hops = [[aWave('masters', [masters()], { kubernetes: '1.35.4' })], waves()];
    expect(onlyOfHops({ what: 'zone', name: 'a' }, hops, at('1.34.4', '1.34.4', '1.34.4')).map(turns)).toEqual([
      [['masters', 'master-a']],
    ]);
    expect(onlyOfHops({ what: 'zone', name: 'z' }, hops, at('1.34.4'))).toEqual([[]]);
  });

  test('addons go before a pool that goes alone, and on the way back after all of them', () => {
    const standing = at('1.36.3', '1.36.3', '1.36.3');
    const [etcd, , addons, pools] = waves();
    if (!etcd || !addons || !pools) throw new Error('four waves');
    const names = (all: readonly Wave[]) => only({ what: 'pool', name: 'gpu' }, all, standing).map(({ name }) => name);
    expect(names([etcd, addons, pools])).toEqual(['addons', 'pools']);
    expect(names([pools, addons, etcd])).toEqual(['pools']);
  });

  test('surge machines come and go with the turns of a zone, whatever their own', () => {
    const lane = aLane('pool x', workers('x', 4, ['a', 'b']), {
      maxUnavailable: 0,
      maxSurge: 2,
      first: surge('x', 2, 'add'),
      last: [...surge('x', 2, 'remove'), aTurn('old-a', { how: 'remove' }), aTurn('old-b', { how: 'remove', zone: 'b' })],
    });
    expect(turns(only({ what: 'zone', name: 'b' }, [aWave('pools', [lane])], at('1.36.3')))).toEqual([
      ['pools', 'x-surge-1', 'x-surge-2', 'x-2', 'x-4', 'x-surge-1', 'x-surge-2', 'old-b'],
    ]);
  });

  test('a part in which nothing is to be done has no waves', () => {
    expect(only({ what: 'zone', name: 'z' }, waves(), at('1.35.4'))).toEqual([]);
  });
});
