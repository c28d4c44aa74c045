import { z } from 'zod';
import file from './prices.json' with { type: 'json' };

const pricesSchema = z.strictObject({
  machines: z.record(z.string(), z.number()),
  gp3: z.number(),
  nat: z.number(),
  balancer: z.number(),
  address: z.number(),
  zone: z.number(),
});
const tableSchema = z.strictObject({
  date: z.iso.date(),
  note: z.string(),
  hoursPerMonth: z.number(),
  regions: z.record(z.string(), z.union([pricesSchema, z.strictObject({ like: z.string() })])),
});

/** What a region's things cost, in US dollars; undefined: not known here. */
export interface Prices {
  /** Of what day; `today` where they were asked for. */
  readonly date: string;
  readonly hoursPerMonth: number;
  /** Of a machine an hour. */
  machine(type: string): number | undefined;
  /** `gp3` a GiB and month; `zone` a month; the rest an hour. */
  readonly other: Readonly<Record<'gp3' | 'nat' | 'balancer' | 'address' | 'zone', number>> | undefined;
}

const small: Readonly<Record<string, number>> = { nano: 1 / 16, micro: 1 / 8, small: 1 / 4, medium: 1 / 2, large: 1 };
/** A size as a multiple of `large`: AWS's prices of a family are in proportion. */
function sizeOf(size: string): number | undefined {
  const [, steps] = /^(\d*)xlarge$/.exec(size) ?? [];
  return small[size] ?? (steps === undefined ? undefined : 2 * Number(steps || 1));
}

/** The table of the repository. `live`: prices an hour of types that were asked for just now. */
export function pricesIn(region: string, live: ReadonlyMap<string, number> = new Map()): Prices {
  const { date, hoursPerMonth, regions } = tableSchema.parse(file);
  const found = regions[region];
  const like = found && 'like' in found ? regions[found.like] : found;
  const prices = like && 'machines' in like ? like : undefined;
  return {
    date: live.size > 0 ? 'today' : date,
    hoursPerMonth,
    machine(type) {
      const [family = '', size = ''] = type.split('.');
      const large = prices?.machines[family];
      const times = sizeOf(size);
      return live.get(type) ?? (large === undefined || times === undefined ? undefined : large * times);
    },
    other: prices,
  };
}
