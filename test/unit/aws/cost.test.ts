import { describe, expect, test } from 'vitest';
import { costOf, type Priced } from '../../../providers/aws/cost.ts';
import { hourIn } from '../../../providers/aws/price-list.ts';
import { pricesIn } from '../../../providers/aws/prices.ts';
import { awsSize } from '../../../src/config/instance-types.ts';
import { planView } from '../../../src/ui/plan-view.ts';
import { plainLook } from '../../../src/ui/style.ts';
import { aPlan } from '../ui/plan.ts';

const prices = pricesIn('eu-central-1');
const machine = (name: string, type = 't3.large', running = true): Priced => ({
  address: `aws.machine/${name}`,
  props: { type, rootGb: 40, running, tags: { 'slipway.dev/role': name.split('-')[0] } },
});
const pool = (zone: string, over: object = {}): readonly Priced[] => [
  { address: 'aws.launch-template/web', props: { rootGb: 50 } },
  {
    address: `aws.pool/web-${zone}`,
    props: { types: ['m7i.large', 'm6i.large'], spot: false, min: 1, max: 10, tags: { 'slipway.dev/pool': 'web' }, ...over },
  },
];
const lineOf = (things: readonly Priced[], of: string) => costOf([], things, prices).lines.find((line) => line.of === of);

test('machines of a role are one line: hours of a month, and their disks', () => {
  const line = lineOf([machine('master-a'), machine('master-b')], 'masters');
  const least = 2 * (0.096 * 730 + 40 * 0.0952);
  expect(line).toMatchObject({ what: '2 × t3.large, 80 GiB gp3', unknown: [], spot: false });
  expect(line?.after.least).toBeCloseTo(least, 1);
  expect(line?.before).toEqual({ least: 0, most: 0 });
});

test('a pool is one line over its zones, from its least to its most', () => {
  const line = lineOf([...pool('a'), ...pool('b').slice(1)], 'pool web');
  expect(line?.what).toBe('2 to 20 × m7i.large, 100 to 1000 GiB gp3');
  expect(line?.after.most).toBeCloseTo(10 * (line?.after.least ?? 0), 0);
});

test('spot machines are said to be, at the full price', () => {
  const [full, spot] = [lineOf(pool('a'), 'pool web'), lineOf(pool('a', { spot: true }), 'pool web')];
  expect(spot).toMatchObject({ spot: true, after: full?.after });
});

test('a type without a known price is named, and the rest is counted', () => {
  const line = lineOf([machine('master-a', 'p5.48xlarge')], 'masters');
  expect(line).toMatchObject({ unknown: ['p5.48xlarge'], after: { least: 3.81, most: 3.81 } });
  const elsewhere = costOf([], [machine('master-a')], pricesIn('ap-southeast-9'));
  expect(elsewhere).toMatchObject({ after: { least: 0 }, lines: [{ unknown: ['gp3', 't3.large'] }] });
});

test('the network: gateways, balancers, public addresses also of a public balancer', () => {
  const things: Priced[] = [
    { address: 'aws.nat-gateway/a', props: {} },
    { address: 'aws.elastic-ip/nat-a', props: {} },
    { address: 'aws.balancer/public', props: { scheme: 'internet-facing', subnets: ['a', 'b'] } },
    { address: 'aws.zone/internal', props: {} },
  ];
  expect(lineOf(things, 'network')?.what).toBe('1 × NAT gateway, 3 × public address, 1 × load balancer, 1 × private zone');
  expect(lineOf(things, 'network')?.after.least).toBeCloseTo((0.052 + 3 * 0.005 + 0.027) * 730 + 0.5, 1);
});

test('a machine that is stopped costs its disk; one that goes, nothing afterwards', () => {
  const cost = costOf([machine('master-a', 't3.large', false), machine('master-b')], [machine('master-a')], prices);
  expect(cost.before.least).toBeCloseTo(0.096 * 730 + 2 * 3.808, 1);
  expect(cost.after.least).toBeCloseTo(0.096 * 730 + 3.808, 1);
});

describe('the price table', () => {
  test.each(['us-east-1', 'us-east-2', 'us-west-2', 'eu-west-1', 'eu-central-1'])(
    '%s has every type whose size is known',
    (region) => {
      const known = ['t3.nano', 't3a.micro', 't4g.small', 'm5.large', 'm7i.24xlarge', 'c7a.xlarge', 'r8g.2xlarge', 'c6g.medium'];
      for (const type of known) {
        expect(awsSize(type)).toBeDefined();
        expect(pricesIn(region).machine(type)).toBeGreaterThan(0);
      }
      // Dollars an hour and vCPU: a slip of a digit shows.
      for (const family of [
        't3',
        'm5',
        'm6i',
        'm7i',
        'm7a',
        'm7g',
        'c5',
        'c6i',
        'c7i',
        'c7g',
        'r5',
        'r6i',
        'r7i',
        'r7g',
        'm8g',
        'c8g',
        'r8g',
      ]) {
        const cpu = (pricesIn(region).machine(`${family}.xlarge`) ?? 0) / 4;
        expect(cpu).toBeGreaterThan(0.03);
        expect(cpu).toBeLessThan(0.1);
      }
    },
  );
  test('prices that were asked for come first', () => {
    const asked = pricesIn('eu-central-1', new Map([['t3.large', 1]]));
    expect([asked.machine('t3.large'), asked.machine('t3.medium'), asked.date]).toEqual([1, 0.048, 'today']);
  });
  test('the price of an hour in an answer of the Price List API', () => {
    const answer = (USD: string) =>
      JSON.stringify({ terms: { OnDemand: { a: { priceDimensions: { b: { pricePerUnit: { USD } } } } } } });
    expect([hourIn(answer('0.0960000000')), hourIn(answer('0')), hourIn('{}')]).toEqual([0.096, undefined, undefined]);
  });
});

describe('a plan shows it', () => {
  const plan = { ...aPlan(), cost: costOf([], [machine('master-a', 'p5.48xlarge'), ...pool('a', { spot: true })], prices) };
  test('for people: what changes, in all, and what is not in it', () => {
    const text = planView.human(plan, plainLook);
    expect(text).toMatch(/pool web +0 → 93 to 929 +1 to 10 × m7i.large, 50 to 500 GiB gp3 \(spot\)/);
    expect(text).toMatch(/in all +0 → 97 to 933/);
    expect(text).toContain('Not in it, as the price is not known here: p5.48xlarge');
  });
  test('for a pull request, folded', () => {
    expect(planView.markdown?.(plan)).toContain('<summary>0 → 97 to 933 US dollars a month, about');
  });
  test('nothing changes: one line', () => {
    const things = [machine('master-a')];
    const text = planView.human({ ...aPlan(), cost: costOf(things, things, prices) }, plainLook);
    expect(text.split('\n')).toEqual([
      '✔ demo: nothing differs from cluster.yaml',
      '  74 US dollars a month, about (list prices on demand of 2025-06-01, without traffic)',
    ]);
  });
});
