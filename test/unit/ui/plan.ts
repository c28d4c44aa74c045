import type { Change, Plan } from '../../../src/plan/plan.ts';

/** A plan with these changes; everything else is filled in. */
export const aPlan = (...changes: readonly Change[]): Plan => ({
  formatVersion: 1,
  tool: 'slipway 0.1.0',
  cluster: 'demo',
  command: 'up',
  specDigest: 'a'.repeat(64),
  worldDigest: 'b'.repeat(64),
  changes: [...changes],
  steps: [],
});

export const aChange = (address: Change['address'], change: Partial<Change> = {}): Change => ({
  address,
  action: 'create',
  fields: [],
  impact: 'none',
  reason: 'does not exist',
  when: { now: true },
  ...change,
});
