import { z } from 'zod';

/** What a month costs: with every autoscaled group at its least, and at its most. */
const moneySchema = z.strictObject({ least: z.number(), most: z.number() });
export type Money = z.infer<typeof moneySchema>;

const costLineSchema = z.strictObject({
  /** `masters`, `pool workers`, `network` */
  of: z.string(),
  /** `3 × t3.large, 120 GiB gp3` */
  what: z.string(),
  before: moneySchema,
  after: moneySchema,
  /** Its machines are interruptible: counted at the full price, they cost less. */
  spot: z.boolean(),
  /** What is in it and has no known price: not in the sums. */
  unknown: z.array(z.string()),
});
export type CostLine = z.infer<typeof costLineSchema>;

/** An estimate: what stands now, and what stands when all is as cluster.yaml says. */
export const costSchema = z.strictObject({
  currency: z.literal('USD'),
  per: z.literal('month'),
  /** The day of the prices. */
  pricesOf: z.string(),
  lines: z.array(costLineSchema),
  before: moneySchema,
  after: moneySchema,
});
export type Cost = z.infer<typeof costSchema>;
