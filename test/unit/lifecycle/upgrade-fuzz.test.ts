import { describe, expect, test } from 'vitest';
import type { Cluster, ClusterInput } from '../../../src/config/schema.ts';
import { UserError } from '../../../src/errors.ts';
import type { UpgradeOptions } from '../../../src/lifecycle/upgrade.ts';
import { aCluster } from '../../support/builders.ts';
import { standingAs, type UpgradableCluster } from '../../support/memory-upgrade.ts';
import { random } from '../../support/random.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

/** What a person edits, between one command and the next. */
interface Edits {
  readonly version: string;
  readonly masters: number;
  readonly workers: number;
  readonly strategy: 'in-place' | 'replace';
  readonly inflight: number;
  readonly maxPods: number;
}
const first: Edits = { version: '1.34.4', masters: 2, workers: 2, strategy: 'in-place', inflight: 400, maxPods: 110 };
const versions = ['1.34.4', '1.35.3', '1.35.4', '1.36.2', '1.36.3'];
const fileOf = ({ version, masters, workers, strategy, inflight, maxPods }: Edits): Cluster => {
  const upgrade: NonNullable<ClusterInput['pools']>[number]['upgrade'] = { strategy };
  return aCluster({
    kubernetes: { version, maxPods, extraArgs: { apiserver: { 'max-requests-inflight': `${inflight}` } } },
    masters: { count: masters },
    etcd: { count: 3 },
    pools: [{ name: 'workers', count: workers, upgrade }],
    upgrade: { stableFor: '0s', maxDrains: 1 },
  });
};
const standing = standingAs(fileOf(first), time);

const seeds = process.env.SLIPWAY_TEST_SEED
  ? [Number(process.env.SLIPWAY_TEST_SEED)]
  : process.env.SLIPWAY_E2E_LONG === undefined
    ? [1, 2, 3, 4]
    : Array.from({ length: Number(process.env.SLIPWAY_TEST_FUZZ ?? 200) }, (_, i) => i + 1);

/** What a command may end with: a refusal that says what to do. Anything else is a bug. */
async function refusable(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.problem.what;
  }
}

class Walk {
  readonly said: string[] = [];
  edits = first;
  readonly #cluster: UpgradableCluster;
  readonly #next: () => number;
  constructor(cluster: UpgradableCluster, seed: number) {
    this.#cluster = cluster;
    this.#next = random(seed);
  }
  told(seed: number): string {
    return `SLIPWAY_TEST_SEED=${seed}: ${this.said.join('; ')}`;
  }
  async step(): Promise<void> {
    const act = this.#pick(['edit', 'edit', 'up', 'upgrade', 'part', 'part', 'killed', 'killed', 'killed up'] as const);
    const file = fileOf(this.edits);
    const options = this.#options();
    const acts = 1 + Math.floor(this.#next() * 40);
    this.said.push(`${act} ${JSON.stringify(act === 'part' ? options : act.startsWith('killed') ? acts : '')}`);
    if (act === 'edit') this.#edit();
    else if (act === 'up') this.said.push(await refusable(this.#cluster.up(file)));
    else if (act === 'upgrade') this.said.push(await refusable(this.#cluster.upgrade(file)));
    else if (act === 'part') this.said.push(await refusable(this.#cluster.upgrade(file, options)));
    else if (act === 'killed')
      this.said.push(await refusable(this.#cluster.killedAfter(acts, (over) => this.#cluster.upgrade(file, {}, over))));
    else this.said.push(await refusable(this.#cluster.killedAfter(acts, (over) => this.#cluster.up(file, over))));
  }
  #pick<T>(all: readonly [T, ...T[]]): T {
    return all[Math.floor(this.#next() * all.length)] ?? all[0];
  }
  #options(): Partial<UpgradeOptions> {
    return this.#pick<Partial<UpgradeOptions>>([
      { pauseAfter: 'masters' },
      { pauseAfter: 'wave' },
      { only: { what: 'role', name: 'masters' } },
      { only: { what: 'pool', name: 'workers' } },
      { only: { what: 'zone', name: 'b' } },
    ]);
  }
  #edit(): void {
    const at = versions.indexOf(this.edits.version);
    const later = versions[Math.min(versions.length - 1, at + 1 + Math.floor(this.#next() * 2))] ?? this.edits.version;
    this.edits = {
      ...this.edits,
      ...this.#pick<Partial<Edits>>([
        { version: later },
        { version: later },
        { masters: this.#pick([1, 2, 3]) },
        { workers: this.#pick([2, 3, 4]) },
        { strategy: this.#pick(['in-place', 'replace']) },
        { inflight: this.#pick([400, 500]) },
        { maxPods: this.#pick([110, 90]) },
      ]),
    };
    this.said.push(JSON.stringify(this.edits));
  }
}

describe('edits of the file, kills, up and upgrades in parts, in any order', () => {
  test.each(seeds)('seed %i: the policy and quorum at every moment, and in the end all is as the file says', async (seed) => {
    const cluster = await standing();
    const walk = new Walk(cluster, seed);
    for (let i = 0; i < 10; i++) {
      await walk.step();
      expect(cluster.broken, walk.told(seed)).toEqual([]);
    }
    const file = fileOf(walk.edits);
    const told = walk.told(seed);
    await cluster.up(file);
    await cluster.upgrade(file);
    expect(cluster.broken, told).toEqual([]);
    expect(await cluster.left(file), told).toEqual([]);
    expect([cluster.api.cordoned(), cluster.api.tainted()], told).toEqual([[], []]);
    expect([...new Set(cluster.running('kubelet').values())], told).toEqual([walk.edits.version]);
    expect((await cluster.record()).rollout, told).toBeUndefined();
    expect(cluster.api.pods.size, told).toBe(4);
  });
});
