import { describe, expect, test } from 'vitest';
import { decide } from '../../../src/etcd/bootstrap.ts';
import { bestView, gatewayError, isHealthy, parseView } from '../../../src/etcd/gateway.ts';
import {
  type Bootstrap,
  parseBootstrap,
  parseTwoLines,
  parseVolume,
  readableLog,
  renderBootstrap,
  type Volume,
} from '../../../src/etcd/on-host.ts';

const token = 'uid-1-main';
const members = new Map(['a', 'b', 'c'].map((name) => [name, `https://${name}:2380`]));
const ours: Bootstrap = { state: 'new', token, members };
const empty: Volume = { mounted: true, data: false, marker: 'none', bootstrap: undefined };
const prepared: Volume = { ...empty, bootstrap: ours };
const marked: Volume = { ...prepared, marker: 'ours' };
const living: Volume = { ...marked, data: true };
const of = (a: Volume, b: Volume, c: Volume) =>
  decide(
    new Map([
      ['a', a],
      ['b', b],
      ['c', c],
    ]),
    token,
  );

describe('bootstrapping, without a record that the cluster was initialised', () => {
  test('begins on empty volumes, and again where a kill fell between the files', () => {
    expect(of(empty, empty, empty)).toEqual({ kind: 'begin' });
    expect(of(prepared, empty, prepared)).toEqual({ kind: 'begin' });
  });
  test('goes on where markers or data are: every host had its bootstrap.env before the first marker', () => {
    for (const volumes of [
      [marked, prepared, prepared],
      [marked, marked, marked],
      [living, marked, prepared],
      [living, living, living],
    ] as const)
      expect(of(...volumes)).toEqual({ kind: 'continue', hosts: ['a', 'b', 'c'] });
  });
  test('goes on with a quorum where one volume was lost, and never gives the lost one a new log', () => {
    expect(of(living, empty, living)).toEqual({ kind: 'continue', hosts: ['a', 'c'] });
    expect(of(living, empty, empty)).toMatchObject({ kind: 'refuse' });
  });
  test.each<[string, Volume]>([
    ['not mounted', { ...empty, mounted: false }],
    ['belongs to another', { ...living, marker: 'foreign' }],
    ['no marker says whose', { ...empty, data: true }],
    ['not of this cluster', { ...living, bootstrap: { ...ours, token: 'uid-2-main' } }],
  ])('refuses a volume that is or has: %s', (what, volume) => {
    expect(of(empty, volume, empty)).toMatchObject({ kind: 'refuse', what: expect.stringContaining(what), where: 'b' });
  });
});

describe('what etcd hosts say', () => {
  test('bootstrap.env reads as it was written', () => {
    expect(parseBootstrap(renderBootstrap(ours))).toEqual(ours);
    expect(parseVolume(`mounted yes\ndata no\nmarker uid-1 a\n${renderBootstrap(ours)}`, 'uid-1 a')).toEqual(marked);
    expect(parseVolume('mounted no\ndata no\n', 'uid-1 a')).toEqual({ ...empty, mounted: false });
    expect(parseVolume('mounted yes\ndata yes\nmarker uid-1 b\n', 'uid-1 a').marker).toBe('foreign');
  });
  const status = (leader?: string, applied = '1') => ({
    header: { member_id: '18446744073709551615' },
    version: '3.6.16',
    raftTerm: '2',
    raftAppliedIndex: applied,
    ...(leader && { leader }),
  });
  const list = { members: [{ ID: '18446744073709551615', name: 'a', peerURLs: ['https://a:2380'] }] };
  test('IDs beyond 2^53 stay what they are', () => {
    const view = parseView(JSON.stringify({ members: list, status: status('18446744073709551615'), alarms: null }));
    expect(view?.members[0]?.ID).toBe('18446744073709551615');
    expect(isHealthy(view)).toBe(true);
  });
  test('no answer is no view; no leader is no health and no list to believe', () => {
    for (const text of ['', 'null', '{"members":null,"status":null}', '<html>']) expect(parseView(text)).toBeUndefined();
    const alone = parseView(JSON.stringify({ members: list, status: status() }));
    expect(isHealthy(alone)).toBe(false);
    expect(bestView([alone])).toBeUndefined();
  });
  test('of two lists that of the member that has applied more is believed', () => {
    const [older, newer] = ['5', '9'].map((applied) =>
      parseView(JSON.stringify({ members: list, status: status('1', applied) })),
    );
    expect(bestView([newer, older])).toBe(newer);
    expect(bestView([older, newer])).toBe(newer);
  });
  test('a learner that lists no members still has a status', () => {
    const refused = '{"error":"etcdserver: rpc not supported for learner","code":14}';
    expect(gatewayError(refused)).toMatch(/not supported/);
    expect(parseTwoLines(`${refused}\n${JSON.stringify(status('1'))}\n`)?.members).toEqual([]);
    expect(parseTwoLines(`curl: (28) timed out\n${JSON.stringify(status('1'))}\n`)?.status.leader).toBe('1');
  });
  test('log lines are shown as time, level, message and error', () => {
    expect(readableLog('{"level":"warn","ts":"T","msg":"lost","error":"refused","x":1}\nplain\n')).toEqual([
      'T warn lost: refused',
      'plain',
    ]);
  });
});
