import { z } from 'zod';

/** What a run says while it goes on: to views and to the journal. `task` is a step's id, or a name for observing, fetching, building. */
const amount = z.strictObject({ done: z.number(), of: z.number(), unit: z.string() });
export const eventSchema = z.discriminatedUnion('type', [
  z.strictObject({ at: z.number(), task: z.string(), type: z.literal('started'), title: z.string() }),
  z.strictObject({
    at: z.number(),
    task: z.string(),
    type: z.literal('progress'),
    message: z.string(),
    amount: amount.optional(),
  }),
  z.strictObject({ at: z.number(), task: z.string(), type: z.literal('done') }),
  z.strictObject({ at: z.number(), task: z.string(), type: z.literal('failed'), what: z.string(), log: z.array(z.string()) }),
  z.strictObject({ at: z.number(), task: z.string(), type: z.literal('cut'), because: z.string() }),
]);
/** `at` is milliseconds since the epoch. */
export type Event = z.infer<typeof eventSchema>;
type WithoutAt<T> = T extends unknown ? Omit<T, 'at'> : never;
/** Never blocks and never throws; the bus adds `at`. */
export type Emit = (event: WithoutAt<Event>) => void;
