import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { knownKubernetes, type Versions, versionsFor } from '../../../src/assets/catalogue.ts';
import { compareVersions, minorOf } from '../../../src/assets/version-order.ts';
import { UserError } from '../../../src/errors.ts';
import { skewOf } from '../../../src/health/skew.ts';
import { type Hop, type Standing, upgradePath } from '../../../src/rollout/path.ts';

const at = (kubernetes: string, over: Partial<Versions> = {}): Versions => ({ ...versionsFor('1.36.3'), kubernetes, ...over });
const short = (hops: readonly Hop[]): readonly string[] =>
  hops.map(({ versions, moves }) => `${versions.kubernetes} etcd ${versions.etcd}: ${moves.join(' ')}`);
const refusal = (act: () => unknown): UserError => {
  try {
    act();
  } catch (error) {
    if (error instanceof UserError) return error;
  }
  throw new Error('not refused');
};
const all = 'etcd masters addons pools';

describe('the way of an upgrade', () => {
  test('one minor version is one hop', () =>
    expect(short(upgradePath(versionsFor('1.35.4'), versionsFor('1.36.3')))).toEqual([`1.36.3 etcd 3.6.16: ${all}`]));

  test('masters go through every minor version, workers hop, etcd moves once', () =>
    expect(short(upgradePath(versionsFor('1.33.13'), versionsFor('1.36.3')))).toEqual([
      '1.34.4 etcd 3.6.16: etcd masters addons',
      '1.35.4 etcd 3.6.16: masters addons',
      `1.36.3 etcd 3.6.16: ${all}`,
    ]));

  test('an early etcd 3.5 goes through a late one', () =>
    expect(short(upgradePath(at('1.33.13', { etcd: '3.5.16' }), versionsFor('1.34.4')))).toEqual([
      '1.33.13 etcd 3.5.35: etcd',
      `1.34.4 etcd 3.6.16: ${all}`,
    ]));

  test('etcd goes one minor version at a time', () => {
    const known = [at('1.34.4', { etcd: '3.7.1' }), at('1.33.13', { etcd: '3.6.16' }), at('1.32.0', { etcd: '3.5.35' })];
    expect(short(upgradePath(at('1.33.13', { etcd: '3.4.9' }), at('1.34.4', { etcd: '3.7.1' }), known))).toEqual([
      '1.33.13 etcd 3.5.35: etcd',
      '1.33.13 etcd 3.6.16: etcd',
      `1.34.4 etcd 3.7.1: ${all}`,
    ]);
  });

  test('workers stop on the way where they would be left too far behind', () => {
    const known = ['1.33.1', '1.34.1', '1.35.1', '1.36.1', '1.37.1', '1.38.1'].map((version) => at(version));
    expect(short(upgradePath(at('1.33.1'), at('1.38.1'), known))).toEqual([
      '1.34.1 etcd 3.6.16: masters addons',
      '1.35.1 etcd 3.6.16: masters addons',
      '1.36.1 etcd 3.6.16: masters addons pools',
      '1.37.1 etcd 3.6.16: masters addons',
      `1.38.1 etcd 3.6.16: ${all}`,
    ]);
  });

  test('workers that were left far behind come before the masters', () => {
    const known = ['1.33.1', '1.36.1', '1.37.1'].map((version) => at(version));
    const standing = { etcd: [at('1.36.1')], masters: [at('1.36.1')], pools: [at('1.36.1'), at('1.33.1')] };
    expect(short(upgradePath(standing, at('1.37.1'), known))).toEqual([
      '1.36.1 etcd 3.6.16: pools',
      `1.37.1 etcd 3.6.16: ${all}`,
    ]);
  });

  test('an upgrade that was stopped among the masters is finished first', () => {
    const standing = { etcd: [at('1.35.4')], masters: [at('1.35.2'), at('1.34.4')], pools: [at('1.34.4')] };
    expect(short(upgradePath(standing, versionsFor('1.36.3')))).toEqual([
      '1.35.2 etcd 3.6.16: masters addons',
      `1.36.3 etcd 3.6.16: ${all}`,
    ]);
  });

  test('a change of settings is one hop to where it stands', () =>
    expect(short(upgradePath(versionsFor('1.36.3'), versionsFor('1.36.3')))).toEqual([`1.36.3 etcd 3.6.16: ${all}`]));

  test('back within a minor version it goes the other way round', () =>
    expect(short(upgradePath(versionsFor('1.36.3'), versionsFor('1.36.2')))).toEqual([
      '1.36.2 etcd 3.6.16: pools masters addons etcd',
    ]));
  test('back within a minor version, with an early etcd that goes on at the same time', () =>
    expect(short(upgradePath(at('1.36.3', { etcd: '3.5.16' }), versionsFor('1.36.2')))).toEqual([
      '1.36.3 etcd 3.5.35: etcd',
      '1.36.2 etcd 3.6.16: pools masters addons etcd',
    ]));

  test('etcd alone goes on by a minor version, from a late patch at once and from an early one by way of it', () => {
    const to = versionsFor('1.36.3');
    expect(short(upgradePath(versionsFor('1.36.3', { etcd: '3.5.34' }), to))).toEqual([`1.36.3 etcd 3.6.16: ${all}`]);
    expect(short(upgradePath(at('1.36.3', { etcd: '3.5.24' }), to))).toEqual([
      '1.36.3 etcd 3.5.35: etcd',
      `1.36.3 etcd 3.6.16: ${all}`,
    ]);
  });
  test('an etcd that the file chooses is not passed by on the way', () =>
    expect(short(upgradePath(versionsFor('1.33.13'), versionsFor('1.36.3', { etcd: '3.5.35' })))).toEqual([
      '1.34.4 etcd 3.5.35: masters addons',
      '1.35.4 etcd 3.5.35: masters addons',
      `1.36.3 etcd 3.5.35: ${all}`,
    ]));
  test('everything else moves once, with the last hop: up, down, or not at all', () => {
    const from = versionsFor('1.34.4', { containerd: '2.3.7', runc: '1.4.3', cni: '1.9.0' });
    const hops = upgradePath(from, versionsFor('1.36.3', { containerd: '2.3.7', cni: '1.9.0', coredns: '1.14.7' }));
    expect(
      hops.map(({ versions: { containerd, runc, cni, coredns, pause } }) => [containerd, runc, cni, coredns, pause]),
    ).toEqual([
      ['2.3.7', '1.4.3', '1.9.0', '1.15.0', '3.10.1'],
      ['2.3.7', '1.5.2', '1.9.0', '1.14.7', '3.10.2'],
    ]);
  });

  test('on AWS what runs there goes along', () => {
    const aws = { cloudController: '1', clusterAutoscaler: '1' } as unknown as NonNullable<Versions['aws']>;
    const hops = upgradePath(versionsFor('1.34.4'), { ...versionsFor('1.36.3'), aws });
    expect(hops[0]?.versions.aws?.cloudController).toBe('1.35.0');
  });
});

describe('refused', () => {
  test('back by a minor version: restore', () => {
    const { problem } = refusal(() => upgradePath(versionsFor('1.36.3'), versionsFor('1.35.4')));
    expect(problem.what).toBe('Kubernetes cannot go back from 1.36.3 to 1.35.4');
    expect(problem.next).toContain('restore a recovery point');
  });
  test('back by a minor version of etcd, also where the file chooses it', () => {
    const { problem } = refusal(() => upgradePath(versionsFor('1.36.3'), versionsFor('1.36.3', { etcd: '3.5.35' })));
    expect(problem.what).toBe('etcd cannot go back from 3.6.16 to 3.5.35');
    expect(problem.next).toContain('restore a recovery point');
    expect(problem.next).toContain('kubernetes.components.etcd: 3.6.16');
    expect(refusal(() => upgradePath(at('1.36.3', { etcd: '3.7.1' }), versionsFor('1.36.3'))).problem.what).toBe(
      'etcd cannot go back from 3.7.1 to 3.6.16',
    );
  });
  test('back to where some masters still are, after others have moved', () =>
    expect(
      refusal(() =>
        upgradePath(
          { etcd: [at('1.35.4')], masters: [at('1.35.4'), at('1.36.3')], pools: [at('1.35.4')] },
          versionsFor('1.35.4'),
        ),
      ).problem.next,
    ).toContain('restore'));
  test('an unknown version', () =>
    expect(refusal(() => upgradePath(versionsFor('1.36.3'), at('1.36.99'))).problem.what).toContain('1.36.99'));
  test('a way on which a minor version is not in the catalogue', () => {
    const { problem } = refusal(() => upgradePath(at('1.31.5'), versionsFor('1.34.4')));
    expect(problem.what).toContain('does not have 1.32');
    expect(problem.next).toContain('older version of Slipway');
  });
  test('an etcd from which no late patch is known', () => {
    const known = [at('1.34.4', { etcd: '3.6.16' }), at('1.33.13', { etcd: '3.5.30' })];
    expect(refusal(() => upgradePath(at('1.33.13', { etcd: '3.5.16' }), at('1.34.4'), known)).problem.what).toContain('3.5.32');
  });
});

// A cluster as it goes through a path, moment by moment.
interface Master {
  api: string;
  rest: string;
}
interface World {
  etcd: string[];
  masters: (Master | undefined)[];
  workers: (string | undefined)[];
}
const compose = (versions: Versions, masters: number, workers: number): World => ({
  etcd: Array.from({ length: 3 }, () => versions.etcd),
  masters: Array.from({ length: masters }, () => ({ api: versions.kubernetes, rest: versions.kubernetes })),
  workers: Array.from({ length: workers }, () => versions.kubernetes),
});

/** Calls `look` at every moment of the upgrade; stopped after `moments`, it says where it stood. */
function walk(world: World, hops: readonly Hop[], strategy: 'in-place' | 'replace', look: (world: World) => void): void {
  for (const { versions, moves } of hops) {
    for (const part of moves) {
      if (part === 'etcd')
        for (const i of world.etcd.keys()) {
          world.etcd[i] = versions.etcd;
          look(world);
        }
      if (part === 'masters')
        for (const [i, master] of world.masters.entries()) {
          if (strategy === 'replace') {
            world.masters[i] = undefined;
            look(world);
            world.masters[i] = { api: versions.kubernetes, rest: versions.kubernetes };
          } else if (master) {
            // The API server first: the others of its machine are its clients.
            master.api = versions.kubernetes;
            look(world);
            master.rest = versions.kubernetes;
          }
          look(world);
        }
      if (part === 'pools')
        for (const i of world.workers.keys()) {
          if (strategy === 'replace') {
            // The new one first.
            world.workers.push(versions.kubernetes);
            look(world);
            world.workers[i] = undefined;
            look(world);
            world.workers[i] = world.workers.pop();
          } else world.workers[i] = versions.kubernetes;
          look(world);
        }
    }
  }
}

/** The version skew policy, at any moment. */
function lawful({ etcd, masters, workers }: World): void {
  const standing = masters.filter((master) => master !== undefined);
  const named = standing.map((master, i) => ({ name: `master-${i}`, ...master }));
  const servers = named.map(({ name, api }) => ({ name, version: api }));
  const own = (component: 'kubelet' | 'kube-proxy' | 'kube-controller-manager' | 'kube-scheduler') =>
    named.map(({ name, rest }) => ({ component, name, version: rest, server: name }));
  const nodes = workers.flatMap((version, i) =>
    version === undefined
      ? []
      : (['kubelet', 'kube-proxy'] as const).map((component) => ({ component, name: `worker-${i}`, version })),
  );
  expect(
    skewOf({
      apiServers: servers,
      clients: [...own('kubelet'), ...own('kube-proxy'), ...own('kube-controller-manager'), ...own('kube-scheduler'), ...nodes],
      etcd: etcd.map((version, i) => ({ name: `etcd-${i}`, version })),
    }),
  ).toEqual([]);
  // Said once more, in the words of the policy.
  const apis = standing.map(({ api }) => minorOf(api));
  const kubelets = workers.flatMap((version) => (version === undefined ? [] : minorOf(version)));
  if (apis.length > 0) {
    expect(Math.max(...kubelets)).toBeLessThanOrEqual(Math.min(...apis));
    expect(Math.max(...apis) - Math.min(...kubelets)).toBeLessThanOrEqual(3);
    expect(Math.max(...apis) - Math.min(...apis)).toBeLessThanOrEqual(1);
  }
  for (const { api, rest } of standing) expect(minorOf(rest)).toBeLessThanOrEqual(minorOf(api));
  expect(Math.max(...etcd.map(minorOf)) - Math.min(...etcd.map(minorOf))).toBeLessThanOrEqual(1);
}

/** To every version that is not older, and back within a minor version. */
const ways = knownKubernetes.flatMap((from) =>
  knownKubernetes
    .filter((to) => compareVersions(from, to) <= 0 || minorOf(from) === minorOf(to))
    .map((to) => [from, to] as const),
);
const matrix = ways.flatMap(([from, to]) =>
  [1, 2, 3, 5].flatMap((masters) => (['in-place', 'replace'] as const).map((strategy) => ({ from, to, masters, strategy }))),
);

describe('upgrade matrix', () => {
  test.each(matrix)('$from → $to, $masters masters, $strategy', ({ from, to, masters, strategy }) => {
    const world = compose(versionsFor(from), masters, 2);
    let moments = 0;
    walk(world, upgradePath(versionsFor(from), versionsFor(to)), strategy, (now) => {
      moments++;
      lawful(now);
    });
    expect(moments).toBeGreaterThan(0);
    expect(world).toEqual(compose(versionsFor(to), masters, 2));
  });

  test('stopped at any moment and begun anew, also for a newer version, it arrives lawfully', () => {
    // A longer catalogue than today's, in which etcd moves too.
    const known = [33, 34, 35, 36, 37, 38].map((minor) =>
      at(`1.${minor}.4`, { etcd: ['3.5.35', '3.6.16', '3.7.2'][Math.floor((minor - 33) / 2)] ?? '' }),
    );
    const some = fc.constantFrom(...known);
    fc.assert(
      fc.property(
        some,
        some,
        some,
        fc.nat(40),
        fc.constantFrom(1, 2, 3, 5),
        fc.constantFrom('in-place' as const),
        (a, b, c, stop, masters, strategy) => {
          const [from, first, second] = [a, b, c].toSorted((x, y) => compareVersions(x.kubernetes, y.kubernetes)) as [
            Versions,
            Versions,
            Versions,
          ];
          const world = compose(from, masters, 2);
          let moments = 0;
          const halt = new Error('stopped');
          try {
            walk(world, upgradePath(from, first, known), strategy, (now) => {
              lawful(now);
              if (moments++ === stop) throw halt;
            });
          } catch (error) {
            if (error !== halt) throw error;
          }
          // A machine's turn is finished before anything else begins.
          for (const master of world.masters) if (master) master.rest = master.api;
          const versions = (kubernetes: string): Versions =>
            known.find((each) => each.kubernetes === kubernetes) ?? at(kubernetes);
          const standing: Standing = {
            etcd: world.etcd.map((etcd) => ({ ...from, etcd })),
            masters: world.masters.flatMap((master) => (master ? versions(master.api) : [])),
            pools: world.workers.flatMap((worker) => (worker === undefined ? [] : versions(worker))),
          };
          walk(world, upgradePath(standing, second, known), strategy, lawful);
          expect(world).toEqual(compose(second, masters, 2));
        },
      ),
      { numRuns: 300 },
    );
  });
});
