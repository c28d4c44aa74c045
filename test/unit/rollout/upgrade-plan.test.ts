import { describe, expect, it } from 'vitest';
import type { Change } from '../../../src/plan/plan.ts';
import type { Turn } from '../../../src/rollout/rollout.ts';
import {
  isUpgradeRemainder,
  sameUpgrade,
  type UpgradePlan,
  upgradeDifferences,
  upgradePlanSchema,
} from '../../../src/rollout/upgrade-plan.ts';
import { sampleUpgrade } from '../../support/rollout.ts';

const plan = await sampleUpgrade();

/** The plan with each turn changed, or left out. */
const withTurns = (change: (turn: Turn) => Turn | undefined): UpgradePlan => {
  const each = (turns: readonly Turn[]) => turns.flatMap((turn) => change(turn) ?? []);
  const waves = plan.rollout.waves.map((wave) => ({
    ...wave,
    lanes: wave.lanes.map((lane) => ({ ...lane, first: each(lane.first), turns: each(lane.turns), last: each(lane.last) })),
  }));
  return { ...plan, rollout: { ...plan.rollout, waves } };
};
const only = (machine: string, change: (turn: Turn) => Turn | undefined): UpgradePlan =>
  withTurns((turn) => (turn.machine === machine ? change(turn) : turn));
const aChange: Change = {
  address: 'kube.addon/metrics-server',
  action: 'update',
  fields: [{ path: 'units.kubelet.service', before: 'a', after: 'b', impact: 'none' }],
  impact: 'none',
  reason: 'another version',
  when: { now: true },
};

it('a saved upgrade is read as it was written', () => {
  expect(upgradePlanSchema.parse(JSON.parse(JSON.stringify(plan)))).toEqual(plan);
  expect(upgradePlanSchema.safeParse({ ...plan, formatVersion: 2 }).success).toBe(false);
  expect(upgradePlanSchema.safeParse({ ...plan, command: 'up' }).success).toBe(false);
});

describe('an upgrade is the same', () => {
  it.each<[string, UpgradePlan]>([
    [
      'when other pods move, others block, and it takes longer',
      { ...plan, rollout: { ...plan.rollout, pods: 3, obstacles: [], estimateSeconds: null } },
    ],
    [
      'with another order inside a lane: another member leads',
      {
        ...plan,
        rollout: {
          ...plan.rollout,
          waves: plan.rollout.waves.map((wave) => ({
            ...wave,
            lanes: wave.lanes.map((lane) => ({ ...lane, turns: lane.turns.toReversed() })),
          })),
        },
      },
    ],
    ['when a unit does not run any more', withTurns((turn) => ({ ...turn, restarts: [], because: ['another reason'] }))],
    ['by another look at the world', { ...plan, worldDigest: 'another', steps: [] }],
  ])('%s', (_, other) => expect(sameUpgrade(plan, other)).toBe(true));
});

describe('an upgrade is another one', () => {
  it.each<[string, UpgradePlan]>([
    ['of another file', { ...plan, specDigest: 'another' }],
    ['without a machine', only('master-b', () => undefined)],
    ['that treats a machine another way', only('batch-a-1', (turn) => ({ ...turn, how: 'in-place' }))],
    ['that drains', only('master-a', (turn) => ({ ...turn, drain: true }))],
    ['with another diff', only('master-a', (turn) => ({ ...turn, files: turn.files.slice(1) }))],
    [
      'under another cap',
      {
        ...plan,
        rollout: {
          ...plan.rollout,
          waves: plan.rollout.waves.map((wave) => ({
            ...wave,
            lanes: wave.lanes.map((lane) => ({ ...lane, maxUnavailable: 2 })),
          })),
        },
      },
    ],
    ['in other waves', { ...plan, rollout: { ...plan.rollout, waves: plan.rollout.waves.toReversed() } }],
    ['that changes more besides', { ...plan, changes: [aChange] }],
  ])('%s', (_, other) => expect(sameUpgrade(plan, other)).toBe(false));
});

describe('after a crash', () => {
  const half = withTurns((turn) => {
    if (turn.role === 'etcd' || turn.machine === 'master-a') return undefined;
    return turn.machine === 'master-b' ? { ...turn, files: turn.files.slice(2), restarts: ['kubelet'] } : turn;
  });
  it('what is left of the saved upgrade goes on', () => {
    expect(sameUpgrade(half, plan)).toBe(false);
    expect(isUpgradeRemainder(half, plan)).toBe(true);
    expect(isUpgradeRemainder(plan, half)).toBe(false);
  });
  it('something that was not promised does not', () => {
    const other = only('master-c', (turn) => ({
      ...turn,
      files: turn.files.map((file) => ({ ...file, diff: `${file.diff}+more\n` })),
    }));
    expect(isUpgradeRemainder(other, plan)).toBe(false);
    expect(isUpgradeRemainder({ ...plan, changes: [aChange] }, plan)).toBe(false);
    expect(isUpgradeRemainder(plan, { ...plan, changes: [aChange] })).toBe(true);
    expect(isUpgradeRemainder({ ...plan, specDigest: 'another' }, plan)).toBe(false);
  });
  it('a machine that was cut in its turn is brought to its end', () => {
    const cut = only('workers-a-1', (turn) => ({ ...turn, drain: false, files: [], versions: [] }));
    const of = (address: Change['address'], over: Partial<Change> = {}): UpgradePlan => ({
      ...cut,
      changes: [{ ...aChange, address, ...over }],
    });
    expect(isUpgradeRemainder(of('host.units/workers-a-1'), plan)).toBe(true);
    expect(isUpgradeRemainder(of('kube.node/workers-a-1'), plan)).toBe(true);
    expect(isUpgradeRemainder(of('pki.certificate/batch-a-1.kubelet', { action: 'create' }), plan)).toBe(true);
    // Deleted, and not made anew yet.
    expect(isUpgradeRemainder(of('local.machine/batch-a-1', { action: 'create' }), plan)).toBe(true);
    expect(isUpgradeRemainder(of('local.machine/workers-a-1', { action: 'create' }), plan)).toBe(false);
    const made = only('batch-a-1', (turn) => ({ ...turn, how: 'in-place', drain: false, files: [] }));
    expect(isUpgradeRemainder(made, plan)).toBe(true);
  });
  it('nothing is deleted that was not promised', () => {
    const gone = (address: Change['address']): UpgradePlan => ({ ...plan, changes: [{ ...aChange, address, action: 'delete' }] });
    expect(isUpgradeRemainder(gone('local.volume/etcd-a.main'), plan)).toBe(false);
    expect(isUpgradeRemainder(gone('local.machine/batch-a-1'), plan)).toBe(false);
    expect(isUpgradeRemainder(gone('local.machine/batch-a-1'), gone('local.machine/batch-a-1'))).toBe(true);
  });
  it('the differences are named', () => {
    expect(upgradeDifferences({ ...plan, cluster: 'other' }, plan)).toEqual([
      'it was made for the cluster shop, and this one is other',
    ]);
    const other = only('workers-a-1', (turn) => ({ ...turn, how: 'replace' }));
    expect(upgradeDifferences(other, plan)).toEqual([
      '+ pools 1.36.3: workers-a-1 replace, drained',
      '- pools 1.36.3: workers-a-1 in-place, drained',
    ]);
    const files = only('etcd-a', (turn) => ({ ...turn, files: turn.files.map(({ path }) => ({ path, diff: 'x' })) }));
    expect(upgradeDifferences(files, plan)[0]).toBe(
      '+ etcd 1.36.3: etcd-a in-place: /etc/systemd/system/etcd.service, /etc/systemd/system/etcd-events.service',
    );
  });
});
