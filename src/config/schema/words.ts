import { z } from 'zod';

/** What a value must be, in words, for error messages: kept outside of the JSON Schema. */
export const expectations = z.registry<{ readonly text: string }>();

export const text = (pattern: RegExp, mustBe: string) => z.string().regex(pattern).register(expectations, { text: mustBe });
export const any = (mustBe: string) => z.string().min(1).max(1000).register(expectations, { text: mustBe });

/** A DNS label, short enough that machine, balancer and bucket names made from it fit everywhere. */
export const name = text(
  /^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$/,
  'a DNS label: lower-case letters, digits and dashes, beginning with a letter, ending with a letter or digit, at most 40 characters',
);
export const zone = text(
  /^[a-z]([-a-z0-9]{0,22}[a-z0-9])?$/,
  'the name of a zone: lower-case letters, digits and dashes, beginning with a letter, at most 24 characters',
);
export const cidr = z.cidrv4().register(expectations, { text: 'an IPv4 range such as 10.0.0.0/16' });
export const extraArgs = z
  .record(z.string(), z.string())
  .default({})
  .describe('Flags passed on as they are: `{ v: "2" }` becomes --v=2. Flags that Slipway sets itself are refused');
export const duration = text(/^(\d+(ms|s|m|h))+$/, 'a duration such as 90s, 5m or 1h30m');
const quantity = text(
  /^\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$/,
  'a quantity of Kubernetes, as text: "100m" or "2" of CPU, "128Mi" or "2Gi" of memory',
);
export const amount = z
  .union([z.int().min(0).max(5000), z.string().regex(/^(100|\d{1,2})%$/)])
  .register(expectations, { text: 'a whole number from 0 to 5000, or a percentage such as 25%' });
export const resources = z.strictObject({
  cpu: quantity.default('100m'),
  memory: quantity.default('128Mi'),
  'ephemeral-storage': quantity.optional(),
});
export const machine = z.strictObject({
  type: any('a machine type of the provider')
    .default('local')
    .describe(
      "The provider's machine type. Default: `local` on the local provider; on AWS t3.micro (bastion), t3.medium (etcd) or t3.large; on Google Cloud e2-micro, e2-medium or e2-standard-2",
    ),
});
