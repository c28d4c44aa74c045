import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cronProblem, isTimezone, openSchedule } from '../../../src/config/cron.ts';

const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const field = (least: number, most: number, words: readonly string[]): fc.Arbitrary<string> => {
  const value = fc.integer({ min: least - 1, max: most + 1 });
  const word = words.length === 0 ? value.map(String) : fc.oneof(value.map(String), fc.constantFrom(...words));
  const range = fc.tuple(word, word).map(([a, b]) => `${a}-${b}`);
  const step = fc.tuple(fc.oneof(fc.constant('*'), range, word), fc.integer({ min: 0, max: 70 })).map(([a, b]) => `${a}/${b}`);
  return fc.array(fc.oneof(fc.constant('*'), word, range, step), { minLength: 1, maxLength: 3 }).map((parts) => parts.join(','));
};
const cron = fc
  .tuple(field(0, 59, []), field(0, 23, []), field(1, 31, []), field(1, 12, months), field(0, 7, days))
  .map((fields) => fields.join(' '));

test('whatever is not complained of can be asked when it begins', () => {
  fc.assert(
    fc.property(fc.oneof(cron, fc.string()), (text) => {
      if (cronProblem(text) === undefined)
        expect(openSchedule(text).after(new Date('2026-11-21T10:00:00Z'))).toBeInstanceOf(Date);
    }),
    { numRuns: 2000 },
  );
});

describe('what programs read differently is refused', () => {
  test.each(['5/15 * * * *', '0 3 L * *', '0 3 ? * *', '0 3 15W * *', '0 3 * * fri#2', '0 22-2 * * *', '@reboot', '0 0 0 * * *'])(
    '%s',
    (text) => expect(cronProblem(text)).toBeDefined(),
  );
});

test('a leap day comes, however long it takes', () => {
  expect(cronProblem('0 3 29 2 *')).toBeUndefined();
  expect(cronProblem('0 3 30 2 *')?.what).toBe('names a day that never comes');
});

test('a schedule follows the clocks of its time zone', () => {
  const berlin = openSchedule('0 2 * * sat-sun', 'Europe/Berlin');
  expect(berlin.after(new Date('2026-11-21T10:00:00Z'))).toEqual(new Date('2026-11-22T01:00:00Z'));
  expect(berlin.after(new Date('2026-07-04T10:00:00Z'))).toEqual(new Date('2026-07-05T00:00:00Z'));
});

test('time zones are those of the IANA database', () => {
  expect(['UTC', 'Europe/Berlin', 'America/New_York', 'Mars/Olympus', ''].map(isTimezone)).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
});
