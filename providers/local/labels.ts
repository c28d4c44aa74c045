import { z } from 'zod';
import { canonicalJson } from '../../src/plan/canonical.ts';
import type { Address } from '../../src/plan/resource.ts';

/** Ownership lies on the thing itself: with these, one query finds everything of a cluster, whatever the CLI remembers. */
export const label = {
  cluster: 'slipway.cluster',
  /** State directory of who made it: another user's cluster may have the same name. */
  owner: 'slipway.owner',
  resource: 'slipway.resource',
  /** The props that it was made with, as canonical JSON. */
  props: 'slipway.props',
  /** Public host key of a machine, pinned. */
  hostKey: 'slipway.host-key',
  /** Port on 127.0.0.1 that was chosen for it. */
  port: 'slipway.port',
} as const;

export type Labels = Readonly<Record<string, string>>;

export const ownedBy = (
  { cluster, owner }: { readonly cluster: string; readonly owner: string },
  address: Address,
  props: object,
): Record<string, string> => ({
  [label.cluster]: cluster,
  [label.owner]: owner,
  [label.resource]: address,
  [label.props]: canonicalJson(props),
});

/** The props in a thing's label, as `schema` reads them; undefined for a thing that is not that cluster's resource or that another version made differently. */
export function propsIn<T>(labels: Labels | undefined, schema: z.ZodType<T>): T | undefined {
  const text = labels?.[label.props];
  if (text === undefined) return undefined;
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

const addressSchema = z.templateLiteral([z.string(), '/', z.string()]);
/** Address of a thing of that type; undefined for any other. */
export function resourceIn(labels: Labels | undefined, type: string): Address | undefined {
  const address = addressSchema.safeParse(labels?.[label.resource]);
  return address.success && address.data.startsWith(`${type}/`) ? address.data : undefined;
}
export const filterOf = (cluster: string) => ({ label: [`${label.cluster}=${cluster}`] });
