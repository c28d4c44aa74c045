import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { clusterJsonSchema, renderConfigReference, renderJsonSchema } from '../../../src/config/json-schema.ts';
import { clusterSchema } from '../../../src/config/schema.ts';

test('schema/cluster.schema.json is that of the code', () => {
  expect(readFileSync(join(import.meta.dirname, '../../../schema/cluster.schema.json'), 'utf8')).toBe(renderJsonSchema());
});

test('only what has no default is required, and unknown keys are refused', () => {
  expect(clusterJsonSchema()).toMatchObject({
    required: ['apiVersion', 'kind', 'name', 'provider', 'zones'],
    additionalProperties: false,
  });
});

test('the reference has every key of every mapping', () => {
  const reference = renderConfigReference();
  const keys = JSON.stringify(clusterJsonSchema()).matchAll(/"properties":\{"([^"]+)"/g);
  for (const [, key] of keys) expect(reference).toContain(`| \`${key}\` |`);
  for (const key of Object.keys(clusterSchema.shape)) expect(reference).toContain(`| \`${key}\` |`);
  expect(reference).toContain('## `pools[].upgrade.drain`');
});
