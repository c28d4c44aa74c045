import { GetProductsCommand, PricingClient } from '@aws-sdk/client-pricing';
import { z } from 'zod';
import type { SdkOptions } from './clients.ts';

/** The Price List API is in few regions, and knows the prices of all. */
const home = 'us-east-1';
/** A plan waits for no price. */
const patienceMs = 1000;

const priceSchema = z.object({
  terms: z.object({
    OnDemand: z.record(
      z.string(),
      z.object({ priceDimensions: z.record(z.string(), z.object({ pricePerUnit: z.object({ USD: z.string() }) })) }),
    ),
  }),
});

/** Prices an hour of machine types, asked for just now. What is not known within a second, or may not be asked, is missing. */
export async function priceList(
  types: ReadonlySet<string>,
  { region, endpoint, credentials }: SdkOptions,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const pricing = new PricingClient({
    region: home,
    maxAttempts: 1,
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials && { credentials }),
  });
  const abortSignal = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]);
  const fixed = { operatingSystem: 'Linux', tenancy: 'Shared', capacitystatus: 'Used', preInstalledSw: 'NA', regionCode: region };
  const asked = [...types].map(async (instanceType): Promise<readonly (readonly [string, number])[]> => {
    const Filters = Object.entries({ ...fixed, instanceType }).map(([Field, Value]) => ({
      Type: 'TERM_MATCH' as const,
      Field,
      Value,
    }));
    try {
      const { PriceList: [text] = [] } = await pricing.send(
        new GetProductsCommand({ ServiceCode: 'AmazonEC2', Filters, MaxResults: 1 }),
        { abortSignal },
      );
      const hour = text === undefined ? undefined : hourIn(String(text));
      return hour === undefined ? [] : [[instanceType, hour]];
    } catch {
      return [];
    }
  });
  const found = new Map((await Promise.all(asked)).flat());
  pricing.destroy();
  return found;
}

/** The price of an hour in one product of the list; undefined: it has another shape. */
export function hourIn(text: string): number | undefined {
  const parsed = priceSchema.safeParse(JSON.parse(text));
  if (!parsed.success) return undefined;
  const [term] = Object.values(parsed.data.terms.OnDemand);
  const [dimension] = Object.values(term?.priceDimensions ?? {});
  const hour = Number(dimension?.pricePerUnit.USD);
  return hour > 0 ? hour : undefined;
}
