import { z } from 'zod';
import { costSchema } from './cost.ts';
import { impacts, type Json } from './resource.ts';

/** The published shapes: what a pipeline reads. The JSON Schemas under schema/ come from these (scripts/generate.ts). */

const address = z.templateLiteral([z.string(), '/', z.string()]);
const json: z.ZodType<Json> = z.json() as z.ZodType<Json>;

export const fieldChangeSchema = z.strictObject({
  path: z.string(),
  before: json,
  after: z.union([z.strictObject({ pending: address }), json]),
  impact: z.enum(impacts),
  note: z.string().optional(),
});

export const whenSchema = z.union([
  z.strictObject({ now: z.literal(true) }),
  z.strictObject({ left: z.enum(['upgrade', 'allow-data-loss', 'unseen']), because: z.string() }),
]);

export const changeSchema = z.strictObject({
  address,
  action: z.enum(['create', 'update', 'replace', 'delete', 'unknown']),
  fields: z.array(fieldChangeSchema),
  impact: z.enum(impacts),
  reason: z.string(),
  when: whenSchema,
});
/** One address may have two: what is carried out now, and what is left. */
export type Change = z.infer<typeof changeSchema>;

/** The vocabulary of steps; a new kind does not compile until it has a handler. */
export const stepSchema = z.strictObject({
  id: z.string(),
  kind: z.literal('apply'),
  params: z.strictObject({
    address,
    /** `verify`: nothing is changed; what stands on something that this plan changes is looked at again. */
    action: z.enum(['create', 'update', 'delete', 'verify']),
    /** Field paths that this update must not carry out: they are left to a later command. */
    hold: z.array(z.string()),
  }),
  after: z.array(z.string()),
  timeoutMs: z.int().positive(),
});
export type Step = z.infer<typeof stepSchema>;

export const planCommands = ['up', 'upgrade', 'down'] as const;
export const planSchema = z.strictObject({
  formatVersion: z.literal(1),
  tool: z.string(),
  cluster: z.string(),
  command: z.enum(planCommands),
  /** SHA-256 of cluster.yaml after defaults, as canonical JSON. */
  specDigest: z.string(),
  /** SHA-256 of the observed props that the changes read. */
  worldDigest: z.string(),
  changes: z.array(changeSchema),
  steps: z.array(stepSchema),
  /** For the reader: no part of what a saved plan promises. */
  cost: costSchema.optional(),
});
export type Plan = z.infer<typeof planSchema>;
