import { setImmediate as idle } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { pace } from '../../../providers/aws/pace.ts';
import { bucket } from '../../support/aws/faults.ts';

/** Time that passes only when everybody waits. */
function virtualTime() {
  let time = 0;
  const waiting: { at: number; go: () => void }[] = [];
  return {
    now: () => time,
    wait: (ms: number) => new Promise<void>((go) => waiting.push({ at: time + ms, go })),
    async until(done: () => boolean): Promise<void> {
      while (!done()) {
        await idle();
        const [next] = waiting.sort((a, b) => a.at - b.at).splice(0, 1);
        if (!next) continue;
        time = Math.max(time, next.at);
        next.go();
      }
    },
  };
}

/** Callers with so many calls each, against a service that lets so many a second through. */
async function race(perSecond: number, burst: number, callers: number, calls: number) {
  const clock = virtualTime();
  const pacer = pace(clock);
  const room = bucket({ perSecond, burst });
  let [finished, refused] = [0, 0];
  const caller = async (): Promise<void> => {
    for (let n = 0; n < calls; ) {
      await pacer.turn();
      await clock.wait(20);
      if (room(clock.now())) {
        pacer.passed();
        n++;
      } else {
        refused++;
        pacer.refused();
        await clock.wait(125);
      }
    }
    finished++;
  };
  for (let n = 0; n < callers; n++) void caller();
  await clock.until(() => finished === callers);
  return { seconds: clock.now() / 1000, refused };
}

test('nobody waits while nothing is refused', async () => {
  const { seconds, refused } = await race(10_000, 10_000, 8, 50);
  expect(refused).toBe(0);
  expect(seconds).toBeCloseTo(1, 1);
});

test.each([
  [20, 20, 0.25],
  // Sixteen at once, for five a second: the slowest pace is not much slower, and goes over it soon again.
  [5, 50, 0.35],
])('what a service gives (%d a second, %d at first) is used, and little is refused', async (perSecond, burst, most) => {
  const calls = 16 * 25;
  const { seconds, refused } = await race(perSecond, burst, 16, 25);
  const least = (calls - burst) / perSecond;
  expect(seconds / least).toBeLessThan(1.3);
  expect(refused / calls).toBeLessThan(most);
});

test('after a time without refusals nobody waits any more', async () => {
  const clock = virtualTime();
  const pacer = pace(clock);
  pacer.refused();
  let turns = 0;
  const take = async (): Promise<void> => {
    await pacer.turn();
    turns++;
  };
  void take().then(take);
  await clock.until(() => turns === 2);
  expect(clock.now()).toBeGreaterThan(100);
  const later = clock.wait(120_000);
  let over = false;
  void later.then(() => {
    over = true;
  });
  await clock.until(() => over);
  const before = clock.now();
  await Promise.all([pacer.turn(), pacer.turn(), pacer.turn()]);
  expect(clock.now()).toBe(before);
});
