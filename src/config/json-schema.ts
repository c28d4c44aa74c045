import { z } from 'zod';
import { expectation, unwrap } from './issues.ts';
import { clusterSchema } from './schema.ts';

/** The JSON Schema of cluster.yaml (draft 2020-12), for editors: what a person writes, so that everything with a default may be missing. */
export function clusterJsonSchema(): Readonly<Record<string, unknown>> {
  const schema = z.toJSONSchema(clusterSchema, { io: 'input' });
  return {
    $schema: schema.$schema,
    title: 'Slipway cluster.yaml',
    description: 'A Kubernetes cluster, as Slipway builds it',
    ...schema,
  };
}

/** The text of schema/cluster.schema.json. */
export const renderJsonSchema = (): string => `${JSON.stringify(clusterJsonSchema(), undefined, 2)}\n`;

/** docs/config.md: every key with what it must be, its default and what it does. */
export function renderConfigReference(): string {
  return `${[
    '# cluster.yaml',
    '',
    'Every key of cluster.yaml. Generated from `src/config/schema.ts`: change that, not this page. Keys without a default must be given, unless they are',
    'marked optional. What depends on more than one key (overlapping ranges, unknown zones, ...) is checked by `cluster validate`, which needs no network.',
    '',
    'The first line of a file made by `cluster init` names the JSON Schema, so that editors complete and check keys as you type.',
    '',
    ...sections(clusterSchema, [], 'The file', undefined),
  ]
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trimEnd()}\n`;
}

interface Row {
  readonly key: string;
  readonly mustBe: string;
  readonly byDefault: string;
  readonly what: string;
}

function sections(schema: z.ZodObject, path: readonly string[], title: string, what: string | undefined): readonly string[] {
  const entries = Object.entries(schema.shape);
  const rows = entries.map(([key, inner]): Row => row(key, inner));
  const own = [
    `## ${title}`,
    '',
    ...(what ? [`${what}.`, ''] : []),
    '| Key | Must be | Default | |',
    '|---|---|---|---|',
    ...rows.map(
      ({ key, mustBe, byDefault, what: text }) => `| \`${key}\` | ${cell(mustBe)} | ${cell(byDefault)} | ${cell(text)} |`,
    ),
    '',
  ];
  const below = entries.flatMap(([key, inner]) => {
    const bare = unwrap(inner);
    const isList = bare instanceof z.ZodArray;
    const child = isList ? unwrap(bare.element) : bare;
    const childPath = [...path, isList ? `${key}[]` : key];
    return child instanceof z.ZodObject ? sections(child, childPath, `\`${childPath.join('.')}\``, descriptionOf(inner)) : [];
  });
  return [...own, ...below];
}

function row(key: string, schema: z.core.$ZodType): Row {
  const bare = unwrap(schema);
  const child = bare instanceof z.ZodArray ? unwrap(bare.element) : bare;
  const nested = child instanceof z.ZodObject;
  const mustBe = nested
    ? bare instanceof z.ZodArray
      ? 'a list, see below'
      : 'see below'
    : bare instanceof z.ZodArray
      ? listOf(bare)
      : expectation(bare);
  return { key, mustBe, byDefault: defaultOf(schema), what: descriptionOf(schema) ?? '' };
}

const listOf = (schema: z.ZodArray): string => {
  const element = unwrap(schema.element);
  return `${expectation(schema)}; each ${expectation(element)}`;
};

/** Descriptions may be on the wrapper or on what it wraps. */
function descriptionOf(schema: unknown): string | undefined {
  let current = schema;
  while (current instanceof z.ZodType) {
    if (current.description !== undefined) return current.description;
    if (current instanceof z.ZodOptional || current instanceof z.ZodDefault || current instanceof z.ZodPrefault)
      current = current.unwrap();
    else return undefined;
  }
  return undefined;
}

function defaultOf(schema: unknown): string {
  if (schema instanceof z.ZodDefault) return `\`${JSON.stringify(schema.def.defaultValue)}\``;
  if (schema instanceof z.ZodPrefault) return '';
  return schema instanceof z.ZodOptional ? 'optional' : '**required**';
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
