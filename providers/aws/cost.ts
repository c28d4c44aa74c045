import { z } from 'zod';
import type { Cost, CostLine, Money } from '../../src/plan/cost.ts';
import { type Address, nameOf, typeOf } from '../../src/plan/resource.ts';
import type { Prices } from './prices.ts';
import { poolTag, roleTag } from './tags.ts';

/** A thing as the design or the world has it. */
export interface Priced {
  readonly address: Address;
  readonly props: object;
}

/** What prices hang on. All of it is plain in the design, too. */
const tags = z.record(z.string(), z.string()).catch({});
const machineSchema = z.object({ type: z.string(), rootGb: z.number(), running: z.boolean(), tags });
const volumeSchema = z.object({ gb: z.number() });
const templateSchema = z.object({ rootGb: z.number() });
const poolSchema = z.object({ types: z.array(z.string()), spot: z.boolean(), min: z.number(), max: z.number(), tags });
const balancerSchema = z.object({ scheme: z.string(), subnets: z.array(z.unknown()) });

interface Sum {
  readonly counts: Map<string, { least: number; most: number }>;
  gb: { least: number; most: number };
  least: number;
  most: number;
  spot: boolean;
  readonly unknown: Set<string>;
}
const roleNames: Readonly<Record<string, string>> = { bastion: 'bastion', etcd: 'etcd', master: 'masters' };
const order = ['bastion', 'etcd', 'masters'];

/** What a month costs, a role and pool: before and as cluster.yaml says. Pure. Traffic, requests and what Kubernetes makes are not in it. */
export function costOf(before: readonly Priced[], after: readonly Priced[], prices: Prices): Cost {
  const [then, now] = [sums(before, prices), sums(after, prices)];
  const rank = (of: string): string => `${of === 'network' ? 9 : order.includes(of) ? order.indexOf(of) : 5} ${of}`;
  const names = [...new Set([...then.keys(), ...now.keys()])].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
  const lines = names.map((of): CostLine => {
    const [old, next] = [then.get(of), now.get(of)];
    return {
      of,
      what: whatOf(next ?? old),
      before: moneyOf(old),
      after: moneyOf(next),
      spot: next?.spot ?? old?.spot ?? false,
      unknown: [...new Set([...(old?.unknown ?? []), ...(next?.unknown ?? [])])].sort(),
    };
  });
  const total = (side: 'before' | 'after'): Money => ({
    least: cents(lines.reduce((sum, line) => sum + line[side].least, 0)),
    most: cents(lines.reduce((sum, line) => sum + line[side].most, 0)),
  });
  return { currency: 'USD', per: 'month', pricesOf: prices.date, lines, before: total('before'), after: total('after') };
}

const cents = (amount: number): number => Math.round(amount * 100) / 100;
const moneyOf = (sum: Sum | undefined): Money => ({ least: cents(sum?.least ?? 0), most: cents(sum?.most ?? 0) });
const range = (least: number, most: number): string => (least === most ? `${least}` : `${least} to ${most}`);
function whatOf(sum: Sum | undefined): string {
  if (!sum) return '';
  const counted = [...sum.counts].map(([name, { least, most }]) => `${range(least, most)} × ${name}`);
  const gb = sum.gb.most > 0 ? [`${range(sum.gb.least, sum.gb.most)} GiB gp3`] : [];
  return [...counted, ...gb].join(', ');
}

function sums(things: readonly Priced[], prices: Prices): ReadonlyMap<string, Sum> {
  const all = new Map<string, Sum>();
  const { other, hoursPerMonth } = prices;
  const sumOf = (of: string): Sum => {
    const found = all.get(of) ?? {
      counts: new Map(),
      gb: { least: 0, most: 0 },
      least: 0,
      most: 0,
      spot: false,
      unknown: new Set(),
    };
    all.set(of, found);
    return found;
  };
  const count = (of: string, name: string, price: number | undefined, least: number, most = least): void => {
    const sum = sumOf(of);
    const there = sum.counts.get(name) ?? { least: 0, most: 0 };
    sum.counts.set(name, { least: there.least + least, most: there.most + most });
    if (price === undefined) sum.unknown.add(name);
    sum.least += (price ?? 0) * least;
    sum.most += (price ?? 0) * most;
  };
  const disk = (of: string, least: number, most = least): void => {
    const sum = sumOf(of);
    sum.gb = { least: sum.gb.least + least, most: sum.gb.most + most };
    if (other === undefined) sum.unknown.add('gp3');
    sum.least += (other?.gp3 ?? 0) * least;
    sum.most += (other?.gp3 ?? 0) * most;
  };
  const monthly = (hour: number | undefined): number | undefined => (hour === undefined ? undefined : hour * hoursPerMonth);
  const roots = new Map(
    things.flatMap(({ address, props }) => {
      const parsed = typeOf(address) === 'aws.launch-template' ? templateSchema.safeParse(props) : undefined;
      return parsed?.success ? [[nameOf(address), parsed.data.rootGb] as const] : [];
    }),
  );
  for (const { address, props } of things) {
    switch (typeOf(address)) {
      case 'aws.machine': {
        const machine = machineSchema.parse(props);
        const role = machine.tags[roleTag] ?? '';
        const of = roleNames[role] ?? role;
        if (machine.running) count(of, machine.type, monthly(prices.machine(machine.type)), 1);
        disk(of, machine.rootGb);
        break;
      }
      case 'aws.volume':
        disk('etcd', volumeSchema.parse(props).gb);
        break;
      case 'aws.pool': {
        const group = poolSchema.parse(props);
        const name = group.tags[poolTag] ?? nameOf(address);
        const of = `pool ${name}`;
        const [type = ''] = group.types;
        sumOf(of).spot = group.spot;
        count(of, type, monthly(prices.machine(type)), group.min, group.max);
        const gb = roots.get(name) ?? 0;
        disk(of, gb * group.min, gb * group.max);
        break;
      }
      case 'aws.nat-gateway':
        count('network', 'NAT gateway', monthly(other?.nat), 1);
        break;
      case 'aws.balancer': {
        const { scheme, subnets } = balancerSchema.parse(props);
        count('network', 'load balancer', monthly(other?.balancer), 1);
        if (scheme === 'internet-facing') count('network', 'public address', monthly(other?.address), subnets.length);
        break;
      }
      case 'aws.elastic-ip':
        count('network', 'public address', monthly(other?.address), 1);
        break;
      case 'aws.zone':
        count('network', 'private zone', other?.zone, 1);
        break;
    }
  }
  return all;
}
