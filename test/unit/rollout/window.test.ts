import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { durationMs } from '../../../src/config/duration.ts';
import { type InWindow, inWindow } from '../../../src/rollout/window.ts';

const at = (text: string): Date => new Date(text);
const window = (cron: string, duration: string, timezone = 'UTC') => ({ cron, duration, timezone });
const open = (until: string | undefined): InWindow => ({ open: true, until: until === undefined ? undefined : at(until) });
const shut = (opens: string): InWindow => ({ open: false, opens: at(opens) });
// A Saturday.
const night = window('0 2 * * 6', '4h');

test('without windows it is always open', () => {
  expect(inWindow([], at('2026-11-21T10:00:00Z'))).toEqual(open(undefined));
});

describe('a window is open from its first moment to before its last', () => {
  test.each([
    ['2026-11-21T01:59:59.999Z', shut('2026-11-21T02:00:00Z')],
    ['2026-11-21T02:00:00Z', open('2026-11-21T06:00:00Z')],
    ['2026-11-21T05:59:59.999Z', open('2026-11-21T06:00:00Z')],
    ['2026-11-21T06:00:00Z', shut('2026-11-28T02:00:00Z')],
  ])('%s', (now, expected) => expect(inWindow([night], at(now))).toEqual(expected));
});

test('of several windows the first that opens counts, and those that touch are one', () => {
  const windows = [night, window('0 6 * * sat', '1h'), window('30 6 * * sat', '3h'), window('0 0 * * mon', '1h')];
  expect(inWindow(windows, at('2026-11-21T03:00:00Z'))).toEqual(open('2026-11-21T09:30:00Z'));
  expect(inWindow(windows, at('2026-11-21T09:30:00Z'))).toEqual(shut('2026-11-23T00:00:00Z'));
});

test('windows without a break between them have no end', () => {
  expect(inWindow([window('* * * * *', '2m')], at('2026-11-21T10:00:30Z'))).toEqual(open(undefined));
  expect(inWindow([window('@daily', '24h')], at('2026-11-21T10:00:30Z'))).toEqual(open(undefined));
});

describe('when clocks change', () => {
  const berlin = window('30 2 * * *', '1h', 'Europe/Berlin');
  test('a window in the hour that is left out opens after it', () => {
    expect(inWindow([berlin], at('2026-03-29T00:59:00Z'))).toEqual(shut('2026-03-29T01:00:00Z'));
    expect(inWindow([berlin], at('2026-03-29T01:30:00Z'))).toEqual(open('2026-03-29T02:00:00Z'));
  });
  test('a window in the hour that comes twice opens once, and lasts as long as ever', () => {
    expect(inWindow([berlin], at('2026-10-25T00:45:00Z'))).toEqual(open('2026-10-25T01:30:00Z'));
    expect(inWindow([berlin], at('2026-10-25T01:45:00Z'))).toEqual(shut('2026-10-26T01:30:00Z'));
  });
});

test('what it says of a moment holds at every minute up to the one it names', () => {
  const hours = fc.integer({ min: 0, max: 23 });
  const one = fc
    .tuple(fc.integer({ min: 0, max: 59 }), hours, fc.constantFrom('*', 'mon', '6-7', '1,3'), fc.integer({ min: 1, max: 900 }))
    .map(([minute, hour, day, minutes]) => window(`${minute} ${hour} * * ${day}`, `${minutes}m`));
  const start = at('2026-11-16T00:00:00Z').getTime();
  /** By brute force: which minutes of three weeks lie in a window. */
  const minutesOf = (windows: readonly ReturnType<typeof window>[]): ReadonlySet<number> => {
    const found = new Set<number>();
    for (const { cron, duration } of windows) {
      const [minute = '', hour = '', , , day = ''] = cron.split(' ');
      for (let d = -2; d < 21; d++) {
        const midnight = new Date(start + d * 86_400_000);
        const weekday = midnight.getUTCDay();
        const fits = {
          '*': true,
          mon: weekday === 1,
          '6-7': weekday === 6 || weekday === 0,
          '1,3': weekday === 1 || weekday === 3,
        };
        if (!Object.entries(fits).some(([name, is]) => name === day && is)) continue;
        const first = midnight.getTime() / 60_000 + Number(hour) * 60 + Number(minute);
        for (let m = 0; m < durationMs(duration) / 60_000; m++) found.add(first + m);
      }
    }
    return found;
  };
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 3 }), fc.integer({ min: 0, max: 7 * 1440 }), (windows, offset) => {
      const minutes = minutesOf(windows);
      const now = start / 60_000 + offset;
      const said = inWindow(windows, new Date(now * 60_000));
      expect(said.open).toBe(minutes.has(now));
      const change = said.open ? said.until : said.opens;
      const last = change === undefined ? now + 7 * 1440 : change.getTime() / 60_000;
      for (let m = now; m < last; m++) expect(minutes.has(m)).toBe(said.open);
      if (change !== undefined) expect(minutes.has(last)).toBe(!said.open);
    }),
    { numRuns: 200 },
  );
});
