import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { resolveAmounts, resolveCap } from '../../../src/rollout/amounts.ts';

const size = fc.integer({ min: 0, max: 5000 });
const amount = fc.oneof(
  fc.integer({ min: 0, max: 5000 }),
  fc.integer({ min: 0, max: 100 }).map((percent) => `${percent}%`),
);

describe('shares round as Kubernetes does', () => {
  test.each([
    [10, '25%', '25%', { maxUnavailable: 2, maxSurge: 3 }],
    [3, '25%', 0, { maxUnavailable: 1, maxSurge: 0 }],
    [3, '25%', '25%', { maxUnavailable: 0, maxSurge: 1 }],
    [6, '50%', 0, { maxUnavailable: 3, maxSurge: 0 }],
    [7, '100%', 0, { maxUnavailable: 7, maxSurge: 0 }],
    [7, 0, 0, { maxUnavailable: 1, maxSurge: 0 }],
    [3, 10, 10, { maxUnavailable: 3, maxSurge: 3 }],
    [1000, '29%', '29%', { maxUnavailable: 290, maxSurge: 290 }],
    [0, '25%', '25%', { maxUnavailable: 1, maxSurge: 0 }],
  ])('%d machines, %s away, %s more', (machines, maxUnavailable, maxSurge, expected) => {
    expect(resolveAmounts(machines, { maxUnavailable, maxSurge })).toEqual(expected);
  });
});

test('there is always a way on, and never more than the pool has', () => {
  fc.assert(
    fc.property(size, amount, amount, (machines, maxUnavailable, maxSurge) => {
      const resolved = resolveAmounts(machines, { maxUnavailable, maxSurge });
      expect(resolved.maxUnavailable + resolved.maxSurge).toBeGreaterThanOrEqual(1);
      for (const value of [resolved.maxUnavailable, resolved.maxSurge]) {
        expect(Number.isInteger(value) && value >= 0).toBe(true);
        expect(value).toBeLessThanOrEqual(Math.max(machines, 1));
      }
    }),
  );
});

test('unavailable is never rounded up, surge never down', () => {
  fc.assert(
    fc.property(size, fc.integer({ min: 0, max: 100 }), (machines, percent) => {
      const share = `${percent}%`;
      const { maxSurge, maxUnavailable } = resolveAmounts(machines, { maxUnavailable: share, maxSurge: share });
      expect(maxSurge * 100).toBeGreaterThanOrEqual(machines * percent);
      expect((maxSurge - 1) * 100).toBeLessThan(Math.max(machines * percent, 1));
      if (maxSurge > 0) expect(maxUnavailable * 100).toBeLessThanOrEqual(machines * percent);
    }),
  );
});

test('one node may always drain', () => {
  expect([resolveCap(0, '20%'), resolveCap(3, '20%'), resolveCap(6, '20%'), resolveCap(1000, '20%'), resolveCap(3, 5)]).toEqual([
    1, 1, 2, 200, 5,
  ]);
});
