import { describe, expect, test } from 'vitest';
import { forProvider, versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import { withProviderDefaults } from '../../../src/config/provider-defaults.ts';
import { clusterSchema } from '../../../src/config/schema.ts';
import { UnreachableError } from '../../../src/errors.ts';
import type { KubeObject, ObjectName } from '../../../src/kube/objects.ts';
import type { Change, Plan } from '../../../src/plan/plan.ts';
import { groupRoll } from '../../../src/rollout/group-roll.ts';
import { planGroupLanes } from '../../../src/rollout/groups.ts';
import type { Lane } from '../../../src/rollout/rollout.ts';
import { runWaves } from '../../../src/rollout/schedule.ts';
import { MemoryApi } from '../../support/memory-api.ts';
import { MemoryGroups } from '../../support/memory-groups.ts';

const zones = ['eu-west-1a', 'eu-west-1b'];
const kubernetes = '1.36.3';
type Upgrade = Readonly<Record<string, unknown>>;
function clusterOf(upgrade: Upgrade = {}) {
  return clusterSchema.parse(
    withProviderDefaults({
      apiVersion: 'slipway/v1',
      kind: 'Cluster',
      name: 'demo',
      provider: { aws: { region: 'eu-west-1' } },
      zones,
      pools: [{ name: 'workers', count: 4, upgrade }],
    }),
  );
}
const signal = new AbortController().signal;
const idle = { seconds: 0, emit: () => undefined };

/** Two groups of two machines, one a zone, each machine a Node. */
class Pool {
  readonly groups = new MemoryGroups();
  readonly topology;
  readonly api: MemoryApi;
  /** Least and most Ready nodes at any time since it was published. */
  least = Number.POSITIVE_INFINITY;
  most = 0;
  acts = 0;
  readonly drained: string[] = [];
  /** Every so many looks at the nodes get no answer. */
  deafEvery = Number.POSITIVE_INFINITY;
  #looks = 0;

  constructor(upgrade: Upgrade = {}) {
    const cluster = clusterOf(upgrade);
    this.topology = designTopology(cluster, noIdentity, forProvider(versionsFor(kubernetes), cluster.provider));
    const versions = new Map<string, string>();
    this.api = new MemoryApi({
      version: () => kubernetes,
      kubelet: (node) => versions.get(node),
      act: async (what, change) => {
        change();
        this.#count(what);
      },
    });
    this.groups.onMade = (machine, group) => {
      versions.set(machine, this.groups.group(group).version === 1 ? '1.35.4' : kubernetes);
      this.api.register(machine, { 'slipway.dev/pool': 'workers' });
    };
    this.groups.onEnded = (machine) => versions.delete(machine);
    this.groups.onAct = (act) => this.#count(act);
    for (const { name } of this.topology.groups) this.groups.add(name, 2);
    this.ready = () => versions.size;
  }
  readonly ready: () => number;
  onAct: (act: string) => void = () => undefined;
  /** What runs on every node is asked about on this one. */
  onDaemons: (machine: string) => void = () => undefined;
  /** A pod is tried on this one. */
  onTrial: (machine: string) => void = () => undefined;
  #count(act: string): void {
    this.acts++;
    this.least = Math.min(this.least, this.ready());
    this.most = Math.max(this.most, this.ready());
    this.onAct(act);
  }

  async lanes(changes: readonly Change[] = [], goes = true) {
    return planGroupLanes({
      plan: { changes } as unknown as Plan,
      topology: this.topology,
      groups: await this.groups.read(),
      port: this.groups,
      nodes: new Set(this.api.nodes.keys()),
      goes: () => goes,
      contentOf: () => ({ versions: [{ what: 'kubelet', before: '1.35.4', after: kubernetes }], restarts: [], files: [] }),
    });
  }
  publish(): void {
    for (const group of this.groups.held.values()) group.version = 2;
  }

  /** One run over what is old now. */
  async roll(): Promise<void> {
    const { lanes } = await this.lanes();
    const nodes = {
      next: async () => {
        if (++this.#looks % this.deafEvery === 0) throw new UnreachableError({ what: 'the Kubernetes API gives no answer' });
        return new Map([...this.api.nodes.keys()].map((name) => [name, this.api.node(name) as KubeObject]));
      },
    };
    const roll = groupRoll({
      port: this.groups,
      groups: this.topology.groups,
      api: async () => Object.assign(this.api, { delete: async ({ name }: ObjectName) => this.api.forget(name) }),
      nodes,
      stableMs: 0,
      drain: async (machine) => void this.drained.push(machine),
      leave: async () => undefined,
      daemonsReady: async (machine) => this.onDaemons(machine),
      podStarts: async (machine) => this.onTrial(machine),
      signal,
      emit: idle.emit,
      pollMs: 0,
    });
    const outcome = await runWaves(
      [{ name: 'pools', kubernetes, lanes: [...lanes], changes: [] }],
      {
        turn: (turn, wave, own) => roll.turn(turn, wave, own),
        gate: async () => undefined,
        wave: async (_, at, own) => (at === 'end' ? roll.end(own) : undefined),
        emit: idle.emit,
      },
      { maxDrains: 10, canary: true, stopping: signal, signal },
    );
    if (outcome.failures[0]) throw outcome.failures[0].error;
  }
  /** For each group: what it wants, whether that is raised, and how many of its members are old. */
  state() {
    return [...this.groups.held.values()].map(({ desired, before, members, version }) => ({
      desired,
      before,
      members: members.length,
      old: members.filter((one) => one.version !== String(version)).length,
    }));
  }
}
const settled = Array(2).fill({ desired: 2, before: undefined, members: 2, old: 0 });
const bundle: Change = {
  address: 'pool.bundle/workers',
  action: 'update',
  fields: [{ path: 'files./etc/x', before: 'a', after: 'b', impact: 'drain' }],
  impact: 'drain',
  reason: '',
  when: { now: true },
};

describe('who takes a turn', () => {
  test('every member, by its name, where what they are made by changes; by surge on AWS unless the file says otherwise', async () => {
    const { lanes, changes, refused } = await new Pool().lanes([bundle]);
    expect(refused).toEqual([]);
    expect(changes).toEqual([bundle]);
    expect(
      lanes.map(({ turns, ...lane }) => ({ ...lane, machines: turns.map(({ machine, zone, how }) => [machine, zone, how]) })),
    ).toEqual([
      {
        name: 'pool workers',
        strategy: 'replace',
        maxUnavailable: 0,
        maxSurge: 1,
        surge: 'each turn',
        first: [],
        last: [],
        machines: [
          ['i-01', zones[0], 'replace'],
          ['i-02', zones[0], 'replace'],
          ['i-03', zones[1], 'replace'],
          ['i-04', zones[1], 'replace'],
        ],
      },
    ]);
  });
  test('members that are old by themselves, where nothing changes any more', async () => {
    const pool = new Pool();
    expect((await pool.lanes()).lanes).toEqual([]);
    pool.publish();
    expect((await pool.lanes()).lanes[0]?.turns).toHaveLength(4);
    expect((await pool.lanes([], false)).lanes).toEqual([]);
  });
  test('in place is refused by the field and with the remedy', async () => {
    const { refused } = await new Pool({ strategy: 'in-place' }).lanes([bundle]);
    expect(refused).toEqual([
      {
        severity: 'error',
        where: 'pools[0].upgrade.strategy',
        what: "pool workers cannot be upgraded in place: a cloud's group makes its machines, and its 4 old ones can only be replaced",
        next: 'set pools[0].upgrade.strategy: replace in cluster.yaml, or put the change back',
      },
    ]);
  });
});

describe('a pool is replaced', () => {
  const amounts: readonly (readonly [string, Upgrade, number, number])[] = [
    ['a spare machine first', {}, 4, 5],
    ['two spares at once', { maxSurge: 2 }, 4, 6],
    ['one missing at a time', { maxSurge: 0 }, 4, 4],
    ['one spare and one missing', { maxSurge: 1, maxUnavailable: 1 }, 3, 5],
  ];
  test.each(amounts)('%s', async (_, upgrade, least, most) => {
    const pool = new Pool(upgrade);
    pool.publish();
    await pool.roll();
    expect(pool.state()).toEqual(settled);
    expect(pool.drained.toSorted()).toEqual(['i-01', 'i-02', 'i-03', 'i-04']);
    expect(pool.least).toBeGreaterThanOrEqual(least);
    expect(pool.most).toBeLessThanOrEqual(most);
    expect([...pool.api.nodes.keys()].filter((name) => pool.drained.includes(name))).toEqual([]);
  });

  test('while looks at the nodes get no answer now and then', async () => {
    const pool = new Pool({ maxSurge: 2 });
    pool.deafEvery = 3;
    pool.publish();
    await pool.roll();
    expect(pool.state()).toEqual(settled);
  });

  test.each([{}, { maxSurge: 2 }, { maxSurge: 0 }])(
    'killed after any act, the next run ends as if nothing had been: %o',
    async (upgrade) => {
      const whole = new Pool(upgrade);
      whole.publish();
      await whole.roll();
      expect(whole.acts).toBeGreaterThanOrEqual(4);
      for (let act = 1; act <= whole.acts; act++) {
        const pool = new Pool(upgrade);
        pool.publish();
        let dead = false;
        pool.onAct = () => {
          if (pool.acts === act) dead = true;
          if (dead) throw new Error('killed');
        };
        await pool.roll().catch((error: unknown) => {
          if (!dead) throw error;
        });
        pool.onAct = () => undefined;
        await pool.roll();
        // Nothing is left to turn: then it is the group's own drift, which the last look of an upgrade takes back.
        for (const { name } of pool.topology.groups) await pool.groups.settle(name, pool.groups.group(name).before);
        expect(pool.state(), `act ${act}`).toEqual(settled);
        expect(pool.most).toBeLessThanOrEqual(whole.most);
      }
    },
  );
});

test('a lane of which each turn makes a machine of its own lets as many go at once', async () => {
  const pool = new Pool({ maxSurge: 2 });
  pool.publish();
  const [lane] = (await pool.lanes()).lanes;
  const running = { now: 0, most: 0 };
  const wave = { name: 'pools', kubernetes, lanes: [lane as Lane], changes: [] };
  const ports = {
    turn: async () => {
      running.most = Math.max(running.most, ++running.now);
      await Promise.resolve();
      running.now--;
    },
    gate: async () => undefined,
    wave: async () => undefined,
    emit: idle.emit,
  };
  await runWaves([wave], ports, { maxDrains: 10, canary: false, stopping: signal, signal });
  expect(running.most).toBe(2);
});

test.each(['onDaemons', 'onTrial'] as const)(
  'no old member goes while what every node must do is not done on a new one (%s)',
  async (what) => {
    const pool = new Pool();
    const asked: string[] = [];
    pool[what] = (machine) => {
      asked.push(machine);
      expect(pool.drained).toEqual([]);
      throw new Error(`kube-system/csi on ${machine}`);
    };
    const old = new Set([...pool.groups.held.values()].flatMap(({ members }) => members.map(({ machine }) => machine)));
    pool.publish();
    await expect(pool.roll()).rejects.toThrow('kube-system/csi');
    expect(pool.drained).toEqual([]);
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter((machine) => old.has(machine))).toEqual([]);
  },
);

test('a pod is tried once on each new member, and on none that goes', async () => {
  const pool = new Pool();
  const old = new Set([...pool.groups.held.values()].flatMap(({ members }) => members.map(({ machine }) => machine)));
  const tried: string[] = [];
  pool.onTrial = (machine) => void tried.push(machine);
  pool.publish();
  await pool.roll();
  expect(tried.filter((machine) => old.has(machine))).toEqual([]);
  expect(new Set(tried).size).toBe(tried.length);
  const now = [...pool.groups.held.values()].flatMap(({ members }) => members.map(({ machine }) => machine));
  expect(now.filter((machine) => !tried.includes(machine))).toEqual([]);
});
