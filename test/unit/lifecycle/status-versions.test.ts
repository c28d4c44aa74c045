import { describe, expect, test } from 'vitest';
import type { Bundle } from '../../../src/components/bundle.ts';
import type { Cluster } from '../../../src/config/schema.ts';
import { aCluster } from '../../support/builders.ts';
import { standingAs } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

const at = (version: string): Cluster => aCluster({ kubernetes: { version } });
/** As if only this program of a machine had been brought to another version. */
const moved =
  (program: string, from: string, to: string) =>
  (bundle: Bundle): Bundle => ({
    ...bundle,
    assets: bundle.assets.map((asset) => ({
      ...asset,
      path: asset.path.replace(`kubernetes/${from}/${program}`, `kubernetes/${to}/${program}`),
    })),
  });
const standing = standingAs(at('1.35.4'), time);

describe('versions of the API servers, each asked for itself', () => {
  test('masters between two versions are all named, whoever answers behind the balancer', async () => {
    const cluster = await standing();
    const stopping = new AbortController();
    cluster.onAct = (act) => {
      if (act === 'uncordon master-a') stopping.abort();
    };
    const result = await cluster.upgrade(at('1.36.3'), { stopping: stopping.signal });
    expect(result.outcome).toBe('stopped');
    const { versions } = await cluster.status(at('1.36.3'));
    expect(versions.running.slice(0, 2)).toEqual([
      { component: 'kube-apiserver', version: '1.36.3', on: ['master-a'] },
      { component: 'kube-apiserver', version: '1.35.4', on: ['master-b', 'master-c'] },
    ]);
    expect([versions.silent, versions.skew]).toEqual([[], []]);
  });
  test('a master that is gone is told with the machines, and not as one that says nothing', async () => {
    const cluster = await standing();
    cluster.lose('master-c');
    const { versions, findings } = await cluster.status(at('1.35.4'));
    expect([versions.silent, findings.filter(({ check }) => check === 'versions.unknown')]).toEqual([[], []]);
  });
  test('one that gives no answer is named by status and by the dry run, and nothing is said of its version', async () => {
    const cluster = await standing();
    cluster.deaf.add('master-b');
    const { versions } = await cluster.status(at('1.35.4'));
    expect(versions.running[0]).toEqual({ component: 'kube-apiserver', version: '1.35.4', on: ['master-a', 'master-c'] });
    expect(versions.silent).toEqual(['master-b']);
    const { rollout } = await cluster.dryRun(at('1.36.3'));
    expect(
      rollout?.obstacles.filter(({ where }) => where === 'master-b').map(({ severity, what }) => `${severity} ${what}`),
    ).toEqual([
      'warning its API server does not say its version: whether it fits the others is not known',
      'warning which deprecated APIs are in use could not be asked there',
    ]);
  });
});

describe('versions of what talks to the API servers', () => {
  test.each([
    ['kube-proxy', 'workers-a-1', '1.36.3', 'kube-proxy 1.36.3 on workers-a-1 is newer than the API server (1.35.4)'],
    [
      'kube-proxy',
      'workers-a-1',
      '1.31.9',
      'kube-proxy 1.31.9 on workers-a-1 is more than three minor versions older than 1.35.4',
    ],
    ['kube-scheduler', 'master-b', '1.36.2', 'kube-scheduler 1.36.2 on master-b is newer than the API server (1.35.4)'],
    [
      'kube-controller-manager',
      'master-b',
      '1.33.13',
      'kube-controller-manager 1.33.13 on master-b is more than one minor version older than 1.35.4',
    ],
  ])('%s of %s at %s: told by status, and no upgrade begins', async (program, machine, version, what) => {
    const cluster = await standing();
    cluster.holds(machine, moved(program, '1.35.4', version));
    const { versions } = await cluster.status(at('1.35.4'));
    expect(versions.skew).toEqual([what]);
    const { rollout } = await cluster.dryRun(at('1.36.3'));
    expect(rollout?.obstacles.filter(({ severity }) => severity === 'error').map(({ where, what }) => [where, what])).toEqual([
      [machine, what],
    ]);
  });
  test.each([
    ['kube-proxy', 'workers-a-1', '1.32.9'],
    ['kube-scheduler', 'master-b', '1.34.4'],
  ])('%s of %s at %s is as old as it may be', async (program, machine, version) => {
    const cluster = await standing();
    cluster.holds(machine, moved(program, '1.35.4', version));
    expect((await cluster.status(at('1.35.4'))).versions.skew).toEqual([]);
  });
});
