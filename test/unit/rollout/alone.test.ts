import { expect, test } from 'vitest';
import { aloneObstacles } from '../../../src/rollout/preflight/alone.ts';
import type { Turn, Wave } from '../../../src/rollout/rollout.ts';

const turn = (role: Turn['role'], machine: string, over: Partial<Turn> = {}): Turn => ({
  machine,
  role,
  zone: 'a',
  how: 'in-place',
  drain: false,
  because: [],
  versions: [],
  restarts: [],
  files: [],
  ...over,
});
const wave = (name: string, turns: readonly Turn[], last: readonly Turn[] = []): Wave => ({
  name,
  kubernetes: '1.36.3',
  lanes: [{ name, strategy: 'in-place', maxUnavailable: 1, maxSurge: 0, first: [], turns: [...turns], last: [...last] }],
  changes: [],
});
const of = (machines: readonly string[], ...waves: readonly Wave[]) =>
  aloneObstacles(
    waves,
    machines.map((role) => ({ role })),
  ).map(({ severity, where, what }) => `${severity} ${where}: ${what}`);

test('the only master and the only etcd member: the API does not answer meanwhile, and that is said', () => {
  const replaced = wave('etcd', [turn('etcd', 'etcd-a', { how: 'replace' })]);
  const restarted = wave('masters', [turn('master', 'master-a', { restarts: ['kubelet', 'kube-apiserver'] })]);
  expect(of(['etcd', 'master', 'worker'], replaced, restarted)).toEqual([
    'warning etcd-a: the API does not answer until it is made anew: it is the only etcd member',
    'warning master-a: the API does not answer while it restarts: it is the only master',
  ]);
});
test('nothing is said of one of several, of one that goes on serving, nor of a worker', () => {
  const of3 = wave('masters', [turn('master', 'master-a', { how: 'replace' })]);
  expect(of(['master', 'master', 'master'], of3)).toEqual([]);
  const serving = wave('masters', [turn('master', 'master-a', { restarts: ['kubelet'] })]);
  expect(of(['master', 'worker'], serving, wave('pools', [turn('worker', 'workers-a-1', { how: 'replace' })]))).toEqual([]);
});
test('the one that stays is not alone before the others have gone', () => {
  const staying = wave('masters', [turn('master', 'master-a', { restarts: ['kube-apiserver'] })]);
  expect(of(['master'], staying, wave('shrink masters', [], [turn('master', 'master-b', { how: 'remove' })]))).toEqual([]);
});
