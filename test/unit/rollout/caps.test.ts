import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Lane, Turn } from '../../../src/rollout/rollout.ts';
import { aLane, aWave, Rehearsal, surge, workers } from '../../support/rehearsal.ts';

/** What a lane has at one moment, counted from outside: from what begins and ends. */
interface Count {
  readonly lane: Lane;
  away: number;
  /** Machines in their turn by zone. */
  readonly zones: Map<string, number>;
  surges: number;
  making: number;
  begun: Set<Turn>;
  ended: Set<Turn>;
}
const newCount = (lane: Lane): Count => ({
  lane,
  away: 0,
  zones: new Map(),
  surges: 0,
  making: 0,
  begun: new Set(),
  ended: new Set(),
});

const amounts = fc
  .record({ maxUnavailable: fc.integer({ min: 0, max: 6 }), maxSurge: fc.integer({ min: 0, max: 4 }) })
  .filter(({ maxUnavailable, maxSurge }) => maxUnavailable + maxSurge > 0);
const lanes = fc
  .array(
    fc.record({
      amounts,
      count: fc.integer({ min: 0, max: 25 }),
      zones: fc.integer({ min: 1, max: 4 }),
      blocks: fc.boolean(),
      unwanted: fc.integer({ min: 0, max: 5 }),
    }),
    { minLength: 1, maxLength: 5 },
  )
  .map((rows) =>
    rows.map(({ amounts: { maxUnavailable, maxSurge }, count, zones, blocks, unwanted }, i) => {
      const pool = `p${i}`;
      const names = ['a', 'b', 'c', 'd'].slice(0, zones);
      const gone = workers(`${pool}-old`, unwanted, names).map((turn) => ({ ...turn, how: 'remove' as const }));
      return aLane(`pool ${pool}`, workers(pool, count, names, blocks), {
        maxUnavailable,
        maxSurge,
        first: surge(pool, maxSurge, 'add'),
        last: [...surge(pool, maxSurge, 'remove'), ...gone],
      });
    }),
  );
const settings = fc.record({
  lanes,
  maxDrains: fc.integer({ min: 1, max: 12 }),
  canary: fc.boolean(),
  durations: fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 50 }),
});

/** Runs the lanes as one wave; `moment` sees the counts whenever time is about to go on. */
async function count(
  { lanes, maxDrains, canary, durations }: typeof settings extends fc.Arbitrary<infer T> ? T : never,
  moment: (counts: readonly Count[], total: number) => void,
) {
  const counts = lanes.map(newCount);
  const of = new Map(counts.flatMap((each) => [...each.lane.first, ...each.lane.turns, ...each.lane.last].map((t) => [t, each])));
  const rehearsal = new Rehearsal();
  let at = 0;
  let total = 0;
  const outcome = await rehearsal.run([aWave('pools', lanes)], {
    maxDrains,
    canary,
    turn: async (turn) => {
      const mine = of.get(turn);
      if (!mine || mine.begun.has(turn)) throw new Error(`${turn.machine} begins twice`);
      mine.begun.add(turn);
      if (turn.how === 'add') mine.making++;
      else {
        mine.away++;
        total++;
        mine.zones.set(turn.zone, (mine.zones.get(turn.zone) ?? 0) + 1);
      }
      held(mine);
      expect(total).toBeLessThanOrEqual(maxDrains);
      await rehearsal.time.sleep(durations[at++ % durations.length] ?? 1);
    },
    gate: async (turn) => {
      await rehearsal.time.sleep(durations[at++ % durations.length] ?? 1);
      const mine = of.get(turn);
      if (!mine) throw new Error(turn.machine);
      mine.ended.add(turn);
      if (turn.how === 'add') {
        mine.making--;
        mine.surges++;
        return;
      }
      mine.away--;
      total--;
      mine.zones.set(turn.zone, (mine.zones.get(turn.zone) ?? 1) - 1);
      if (turn.how === 'remove' && mine.lane.first.some(({ machine }) => machine === turn.machine)) mine.surges--;
    },
    moment: () => moment(counts, total),
  });
  for (const { error } of outcome.failures) throw error;
  return { rehearsal, outcome, counts };
}

/** Ready capacity never below size − maxUnavailable, machines never above size + maxSurge. */
function held({ lane, away, surges, making, begun }: Count): void {
  const size = lane.turns.length;
  const unwanted = lane.last.length - lane.first.length;
  const lost = lane.last.filter((turn) => begun.has(turn)).length;
  if (lost === 0) expect(size + surges - away).toBeGreaterThanOrEqual(size - lane.maxUnavailable);
  // What is no longer wanted may go when all the others are back.
  else expect(size + lane.first.length + unwanted - lost).toBeGreaterThanOrEqual(size - lane.maxUnavailable);
  expect(surges + making).toBeLessThanOrEqual(lane.maxSurge);
  expect(away).toBeLessThanOrEqual(Math.max(1, lane.maxUnavailable + lane.first.length));
}

/** How many more turns the lane could begin now. */
function room({ lane, begun, ended }: Count, canary: boolean): { count: number; adds: boolean } {
  for (const turns of [lane.first, lane.turns, lane.last]) {
    if (turns.every((turn) => ended.has(turn))) continue;
    const left = turns.filter((turn) => !begun.has(turn)).length;
    const running = turns.filter((turn) => begun.has(turn) && !ended.has(turn)).length;
    const alone = canary && turns !== lane.last && turns.length > 1 && !turns.some((turn) => ended.has(turn));
    const cap = lane.maxUnavailable + lane.first.length;
    const most = alone ? 1 : turns === lane.first ? turns.length : turns === lane.last ? Math.max(1, cap) : cap;
    return { count: Math.min(left, most - running), adds: turns === lane.first };
  }
  return { count: 0, adds: false };
}

describe('caps', () => {
  test('are held at every moment, and every turn is taken exactly once, in the order of its lane', async () => {
    await fc.assert(
      fc.asyncProperty(settings, async (setting) => {
        const { outcome, counts } = await count(setting, (now) => now.forEach(held));
        expect(outcome.end).toBe('done');
        for (const { lane, begun } of counts) {
          expect(begun.size).toBe(lane.first.length + lane.turns.length + lane.last.length);
          const phases = [...begun].map((turn) => (lane.first.includes(turn) ? 0 : lane.turns.includes(turn) ? 1 : 2));
          expect(phases).toEqual(phases.toSorted());
        }
        expect(outcome.done).toHaveLength(counts.reduce((sum, { begun }) => sum + begun.size, 0));
      }),
      { numRuns: 150 },
    );
  });

  test('are used up: no turn waits that might go on', async () => {
    await fc.assert(
      fc.asyncProperty(settings, async (setting) => {
        await count(setting, (now, total) => {
          for (const each of now) {
            const { count, adds } = room(each, setting.canary);
            if (adds || total < setting.maxDrains) expect(count).toBe(0);
          }
        });
      }),
      { numRuns: 150 },
    );
  });

  test('are held beside machines that are lost, at whatever time that is; when they are back all has its turn', async () => {
    const losses = fc.array(
      fc.record({ lane: fc.nat(4), machine: fc.nat(24), from: fc.nat(100), forMs: fc.integer({ min: 1, max: 5_000 }) }),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(settings, losses, async ({ lanes, maxDrains, canary, durations }, rows) => {
        const rehearsal = new Rehearsal();
        const isLost = (name: string): boolean =>
          rows.some(({ lane, machine, from, forMs }) => {
            const { now } = rehearsal.time;
            return lanes[lane]?.turns[machine]?.machine === name && now >= from && now < from + forMs;
          });
        const turns = lanes.flatMap((lane) => lane.turns);
        const away = (pool?: string): number => {
          const running = [...rehearsal.away].filter(({ how }) => how !== 'add');
          const gone = turns.filter((turn) => isLost(turn.machine)).map(({ machine }) => machine);
          const of = (name: string) => pool === undefined || name.startsWith(`${pool}-`);
          return new Set([...running.map(({ machine }) => machine), ...gone].filter(of)).size;
        };
        let at = 0;
        const outcome = await rehearsal.run([aWave('pools', lanes)], {
          maxDrains,
          canary,
          lost: async () => new Map(turns.flatMap(({ machine, pool = '' }) => (isLost(machine) ? [[machine, pool]] : []))),
          turn: async ({ machine, pool = '', how }) => {
            if (how !== 'add' && !isLost(machine)) {
              const lane = lanes.find(({ name }) => name === `pool ${pool.replace('-old', '')}`);
              expect(away()).toBeLessThanOrEqual(maxDrains);
              expect(away(pool.replace('-old', ''))).toBeLessThanOrEqual(
                Math.max(1, (lane?.maxUnavailable ?? 0) + (lane?.first.length ?? 0)),
              );
            }
            await rehearsal.time.sleep(durations[at++ % durations.length] ?? 1);
          },
        });
        for (const { error } of outcome.failures) throw error;
        expect([outcome.end, outcome.notBegun]).toEqual(['done', []]);
      }),
      { numRuns: 100 },
    );
  });

  test('the order is the same each time', async () => {
    await fc.assert(
      fc.asyncProperty(settings, async (setting) => {
        const [one, other] = [await count(setting, () => undefined), await count(setting, () => undefined)];
        expect(one.rehearsal.log).toEqual(other.rehearsal.log);
      }),
      { numRuns: 30 },
    );
  });

  test('machines away are spread over the zones as evenly as what is left allows', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          zones: fc.integer({ min: 2, max: 4 }),
          perZone: fc.integer({ min: 2, max: 8 }),
          cap: fc.integer({ min: 1, max: 8 }),
          blocks: fc.boolean(),
        }),
        async ({ zones, perZone, cap, blocks }) => {
          const lane = aLane('pool x', workers('x', zones * perZone, ['a', 'b', 'c', 'd'].slice(0, zones), blocks), {
            maxUnavailable: cap,
          });
          const setting = { lanes: [lane], maxDrains: 1000, canary: false, durations: [10] };
          await count(setting, (now) => {
            for (const { zones: away } of now)
              for (const count of away.values()) expect(count).toBeLessThanOrEqual(Math.ceil(cap / zones));
          });
        },
      ),
      { numRuns: 50 },
    );
  });

  test('1,000 machines in 20 pools: the cap is reached and never passed, and the schedule itself costs next to nothing', async () => {
    const lanes = Array.from({ length: 20 }, (_, i) =>
      aLane(`pool p${i}`, workers(`p${i}`, 50, ['a', 'b', 'c']), { maxUnavailable: 5 }),
    );
    const rehearsal = new Rehearsal();
    const before = process.cpuUsage();
    const heap = process.memoryUsage().heapUsed;
    const outcome = await rehearsal.run([aWave('pools', lanes)], { maxDrains: 40 });
    const { user, system } = process.cpuUsage(before);
    expect(outcome.end).toBe('done');
    expect(outcome.done).toHaveLength(1000);
    expect(rehearsal.peak).toBe(40);
    // 25 rounds of 40.
    expect(rehearsal.time.now).toBe(250);
    expect((user + system) / 1e6).toBeLessThan(1);
    expect((process.memoryUsage().heapUsed - heap) / 1e6).toBeLessThan(50);
  });
});
