import { describe, expect, test } from 'vitest';
import { compareVersions } from '../../../src/assets/version-order.ts';
import type { Cluster, ClusterInput } from '../../../src/config/schema.ts';
import { aCluster } from '../../support/builders.ts';
import { UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

async function standing(file: Cluster): Promise<UpgradableCluster> {
  const cluster = new UpgradableCluster(time);
  await cluster.up(file);
  cluster.populate();
  cluster.stands();
  return cluster;
}

const small = (version: string, over: Partial<ClusterInput> = {}): Cluster =>
  aCluster({
    etcd: { count: 1 },
    masters: { count: 2 },
    pools: [{ name: 'workers', count: 2 }],
    ...over,
    kubernetes: { version },
  });
const replacing = { strategy: 'replace', maxSurge: 1, maxUnavailable: 0 } as const;

/** `npm run test:all` kills after each of them. */
const all = process.env.SLIPWAY_E2E_LONG !== undefined;
const seed = Number(process.env.SLIPWAY_TEST_SEED ?? Math.floor(Math.random() * 1000));
const kindOf = (act: string | undefined): string | undefined => act?.split('/')[0];

function unlessNotDesigned(error: unknown): void {
  if (!(error instanceof Error && error.message.includes('not in cluster.yaml'))) throw error;
}

describe('an upgrade that is killed after each of its acts', () => {
  const smallest: Partial<ClusterInput> = { masters: { count: 1 }, pools: [{ name: 'workers', count: 1 }] };
  const ways: readonly (readonly [string, string, Partial<ClusterInput>, Partial<ClusterInput>?])[] = [
    ['in place', '1.35.4', {}],
    ['in place, etcd 3.5 → 3.6, two hops', '1.33.13', smallest],
    ['in place, two minor versions', '1.34.4', { masters: { count: 1 } }],
    [
      'shrinking: two masters, two etcd members and two workers go',
      '1.36.3',
      {
        etcd: { count: 3 },
        masters: { count: 3 },
        pools: [
          { name: 'workers', count: 2 },
          { name: 'batch', count: 1 },
        ],
      },
      smallest,
    ],
    [
      'etcd 3.5 → 3.6, three members by replacement',
      '1.33.13',
      { etcd: { count: 3, upgrade: { strategy: 'replace' } }, masters: { count: 1 }, pools: [] },
    ],
    [
      'etcd 3.5 → 3.6, the only member by replacement',
      '1.33.13',
      { etcd: { count: 1, upgrade: { strategy: 'replace' } }, masters: { count: 1 }, pools: [] },
    ],
    [
      'by replacement, with a spare',
      '1.35.4',
      {
        etcd: { count: 1, upgrade: { strategy: 'replace' } },
        masters: { count: 2, upgrade: { strategy: 'replace' } },
        pools: [{ name: 'workers', count: 2, upgrade: replacing }],
      },
    ],
  ];
  test.each(ways.map(([name, from, over, becomes = over]) => [name, from, over, becomes] as const))(
    '%s: `up` heals without bringing anything further, and the same command ends as if nothing had been',
    async (_, from, over, becomes) => {
      const [before, after] = [small(from, over), small(from === '1.33.13' ? '1.34.4' : '1.36.3', becomes)];
      const ready = await standing(before);
      const whole = ready.copy();
      await whole.upgrade(after);
      expect(whole.broken).toEqual([]);
      const wrong: string[] = [];
      // Of a machine's many certificates, made at once, one is as good as another.
      const kills = [...whole.acts.keys()].filter(
        (at) =>
          at === 0 ||
          kindOf(whole.acts[at]) !== 'create pki.certificate' ||
          kindOf(whole.acts[at - 1]) !== kindOf(whole.acts[at]),
      );
      // All of them take minutes: some, others each time, and the way it goes on from there by turns.
      const every = all ? 1 : Math.ceil(kills.length / 16);
      const some = kills.filter((at, index) => (index + seed) % every === 0 || kindOf(whole.acts[at]) === 'delete local.machine');
      for (const [index, at] of some.entries()) {
        const cluster = ready.copy();
        await cluster.killedAfter(at + 1, (signal) => cluster.upgrade(after, {}, signal));
        try {
          // A spare whose units have stopped is on its way out: `up` says that it is not well, and leaves it.
          const reached = cluster.running('kubelet');
          if (index % 2 === 0) await cluster.up(after).catch(unlessNotDesigned);
          // A kubelet that its turn has brought on is not brought back under pods.
          const now = cluster.running('kubelet');
          expect([...reached].filter(([machine, version]) => compareVersions(now.get(machine) ?? version, version) < 0)).toEqual(
            [],
          );
          await cluster.upgrade(after);
          expect(cluster.broken.join('; ')).toBe('');
          expect(cluster.digest()).toBe(whole.digest());
          // By the killed run, by `up` and by the one that went on: no machine was made once more than without the kill.
          expect(cluster.made.toSorted()).toEqual(whole.made.toSorted());
          expect([cluster.api.cordoned(), cluster.api.tainted()]).toEqual([[], []]);
          expect((await cluster.record()).rollout).toBeUndefined();
          expect(cluster.api.pods.size).toBe(whole.api.pods.size);
          // No pod was evicted for nothing: from a machine that stays, and had been brought to its version before.
          const machines = cluster.machines();
          const done = ({ node, kubelet }: (typeof cluster.api.evictions)[number]): boolean =>
            machines.includes(node) && kubelet === after.kubernetes.version;
          expect(JSON.stringify(cluster.api.evictions.filter(done))).toBe('[]');
        } catch (error) {
          wrong.push(
            `seed ${seed}: killed after ${at + 1}, ${whole.acts[at]}: ${error instanceof Error ? error.message.slice(0, 600) : error}`,
          );
        }
      }
      expect(wrong).toEqual([]);
    },
    100_000,
  );
});
