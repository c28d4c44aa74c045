import { describe, expect, it } from 'vitest';
import { partOf } from '../../../src/plan/part.ts';
import type { Change, Plan, Step } from '../../../src/plan/plan.ts';
import type { Address } from '../../../src/plan/resource.ts';

const deletion = (address: Address): Change => ({
  address,
  action: 'delete',
  fields: [],
  impact: 'none',
  reason: 'not in cluster.yaml',
  when: { now: true },
});
const step = (address: Address, after: readonly Address[] = [], action: Step['params']['action'] = 'delete'): Step => ({
  id: `${action} ${address}`,
  kind: 'apply',
  params: { address, action, hold: [] },
  after: after.map((before) => `${action} ${before}`),
  timeoutMs: 1000,
});
const aPlan = (steps: readonly Step[]): Plan => ({
  formatVersion: 1,
  tool: 'test',
  cluster: 'c',
  command: 'upgrade',
  specDigest: '',
  worldDigest: '',
  changes: steps.filter(({ params }) => params.action === 'delete').map(({ params }) => deletion(params.address)),
  steps: [...steps],
});
const afterOf = (plan: Plan): Record<string, readonly string[]> =>
  Object.fromEntries(plan.steps.map(({ params, after }) => [params.address, after]));
const only =
  (...addresses: readonly Address[]) =>
  (address: Address): boolean =>
    addresses.includes(address);

describe('partOf', () => {
  const plan = aPlan([step('m/a'), step('m/b', ['m/a']), step('m/c', ['m/b'])]);

  it('holds the changes and steps of the chosen addresses, in the order of the plan', () => {
    const part = partOf(plan, only('m/c', 'm/b'));
    expect(part.changes.map(({ address }) => address)).toEqual(['m/b', 'm/c']);
    expect(afterOf(part)).toEqual({ 'm/b': [], 'm/c': ['delete m/b'] });
  });

  it('keeps an order that went through steps which are no part of it', () => {
    expect(afterOf(partOf(plan, only('m/a', 'm/c')))).toEqual({ 'm/a': [], 'm/c': ['delete m/a'] });
  });

  it('names a predecessor once, however many ways lead to it', () => {
    const wide = aPlan([step('m/a'), step('m/b', ['m/a']), step('m/c', ['m/a']), step('m/d', ['m/b', 'm/c', 'm/a'])]);
    expect(afterOf(partOf(wide, only('m/a', 'm/d')))).toEqual({ 'm/a': [], 'm/d': ['delete m/a'] });
  });

  it('holds back the fields that it does not carry out, and drops an update of which nothing is left', () => {
    const update: Change = {
      ...deletion('m/balancer'),
      action: 'update',
      impact: 'restart',
      fields: ['a', 'b'].map((name) => ({ path: `backends.${name}`, before: name, after: null, impact: 'restart' })),
    };
    const steps = [step('m/balancer', [], 'update'), { ...step('m/a'), after: ['update m/balancer'] }];
    const both = { ...aPlan(steps), changes: [update, deletion('m/a')] };
    const mine = partOf(
      both,
      () => true,
      (_, path) => path === 'backends.a',
    );
    expect(mine.changes[0]?.fields.map(({ path }) => path)).toEqual(['backends.a']);
    expect(mine.steps.map(({ id, params: { hold }, after }) => [id, hold, after])).toEqual([
      ['update m/balancer', ['backends.b'], []],
      ['delete m/a', [], ['update m/balancer']],
    ]);
    const none = partOf(
      both,
      () => true,
      () => false,
    );
    expect(none.changes.map(({ address }) => address)).toEqual(['m/a']);
    expect(none.steps.map(({ id, after }) => [id, after])).toEqual([['delete m/a', []]]);
  });

  it('takes verifications of chosen addresses along, and nothing where nothing is chosen', () => {
    const verified = aPlan([step('m/a', [], 'verify'), step('m/b', [], 'verify')]);
    expect(partOf(verified, only('m/a')).steps.map(({ id }) => id)).toEqual(['verify m/a']);
    expect(partOf(plan, () => false)).toEqual({ ...plan, changes: [], steps: [] });
    expect(partOf(plan, () => true)).toEqual(plan);
  });
});
