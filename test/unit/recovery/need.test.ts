import { describe, expect, it } from 'vitest';
import { needOf } from '../../../src/recovery/need.ts';
import type { RecoveryPoint } from '../../../src/recovery/point.ts';

const hour = 3_600_000;
const point = (at: number, rollout?: string): RecoveryPoint => ({
  formatVersion: 1,
  id: 'p',
  cluster: 'demo',
  uid: 'u',
  at,
  seconds: 1,
  command: 'backup',
  ...(rollout !== undefined && { rollout }),
  by: 'anna',
  tool: 'test',
  versions: {},
  snapshots: [],
  recipients: [],
  secrets: {},
  record: '',
  file: '',
});
const now = 100 * hour;
const need = (over: Partial<Parameters<typeof needOf>[0]>) =>
  needOf({ newest: undefined, now, maxAgeMs: 600_000, skip: false, rollout: undefined, ...over });

describe('before an upgrade', () => {
  it('a recovery point is taken where there is none, or the newest is too old', () => {
    expect(need({})).toEqual({ what: 'take', newest: null });
    expect(need({ newest: point(now - 3 * hour) })).toEqual({
      what: 'take',
      newest: { id: 'p', at: now - 3 * hour, ageSeconds: 3 * 3600 },
    });
    expect(need({ newest: point(now - 1000), maxAgeMs: 0 }).what).toBe('take');
  });
  it('none is taken where the newest is young enough', () => {
    expect(need({ newest: point(now - 599_000) }).what).toBe('have');
    expect(need({ newest: point(now - 600_000) }).what).toBe('take');
  });
  it('a run that goes on needs no other than the one of its rollout, for a day', () => {
    expect(need({ newest: point(now - 3 * hour, 'there'), rollout: 'there' }).what).toBe('have');
    expect(need({ newest: point(now - 25 * hour, 'there'), rollout: 'there' }).what).toBe('take');
    expect(need({ newest: point(now - 3 * hour, 'there'), rollout: 'elsewhere' }).what).toBe('take');
    // No rollout is under way: it has led there before, and begins anew.
    expect(need({ newest: point(now - 3 * hour, 'there') }).what).toBe('take');
  });
  it('whoever has backups of their own may skip it', () => {
    expect(need({ skip: true }).what).toBe('skip');
    expect(need({ skip: true, newest: point(now) }).what).toBe('skip');
  });
});
