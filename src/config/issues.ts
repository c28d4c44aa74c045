import { distance } from 'fastest-levenshtein';
import { z } from 'zod';
import { nearest } from './nearest.ts';
import { type Path, pathText, shown } from './path.ts';
import type { RuleFinding } from './rules/rule.ts';
import { expectations } from './schema/words.ts';
import { clusterSchema } from './schema.ts';
import type { Source } from './source.ts';

/** More are never shown: what a hostile file has beyond that is not worth the time to look for near words. */
const mostExplained = 200;

/** What the schema found, in words: what is there, what must be there, and how to get there. */
export function explainIssues(issues: readonly z.core.$ZodIssue[], source: Source): readonly RuleFinding[] {
  const all = issues.flatMap((issue): readonly { readonly path: Path; readonly key: string | undefined }[] => {
    const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
    return issue.code === 'unrecognized_keys' ? issue.keys.map((key) => ({ path, key })) : [{ path, key: undefined }];
  });
  const keys = new Set(issues.filter(({ code }) => code === 'invalid_key').map(({ path }) => path.map(String).join(' ')));
  return all.slice(0, mostExplained).map(({ path, key }) => {
    if (key !== undefined) return unknownKey(path, key);
    return keys.has(path.map(String).join(' ')) ? wrongKey(path) : wrongValue(path, valueAt(source.value, path), source);
  });
}

function wrongKey(path: Path): RuleFinding {
  const schema = schemaAt(path.slice(0, -1));
  const mustBe = schema instanceof z.ZodRecord ? expectation(schema.keyType) : 'another';
  return {
    severity: 'error',
    check: 'config.key',
    path,
    onKey: true,
    what: `${pathText(path.slice(0, -1))} has the key ${shown(path.at(-1))}; it must be ${mustBe}`,
  };
}

function unknownKey(parent: Path, key: string): RuleFinding {
  const schema = schemaAt(parent);
  const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  const where = parent.length === 0 ? 'at the top' : `in ${pathText(parent)}`;
  return {
    severity: 'error',
    check: 'config.unknown-key',
    path: [...parent, key],
    onKey: true,
    what: `Unknown key ${shown(key)} ${where}; known: ${known.join(', ')}`,
    ...(moved[pathText([...parent, key])] ?? suggestKey(key, known)),
  };
}

/** What people call things elsewhere. */
const synonyms: Readonly<Record<string, string>> = {
  workers: 'pools',
  nodePools: 'pools',
  nodes: 'pools',
  controlPlane: 'masters',
  controlplane: 'masters',
  k8s: 'kubernetes',
  networking: 'network',
};

/** Where people look for it. */
const moved: Readonly<Record<string, { readonly next: string }>> = {
  'etcd.version': { next: "etcd's version is kubernetes.components.etcd" },
};

function suggestKey(key: string, known: readonly string[]): { readonly next?: string } {
  if (key === '<<')
    return { next: 'merge keys are not part of YAML 1.2: write the values out, or use an alias for a whole value' };
  const near = nearest(key, known);
  const elsewhere = homesOf(key);
  if (near !== undefined && (elsewhere.length === 0 || distance(key, near) < 3)) return { next: `did you mean ${near}?` };
  const synonym = synonyms[key];
  if (synonym !== undefined && known.includes(synonym)) return { next: `did you mean ${synonym}?` };
  return elsewhere.length > 0 ? { next: `${key} belongs in ${elsewhere.join(' or ')}` } : {};
}

/** Every part of the file that has a key of this name. */
function homesOf(key: string, schema: unknown = clusterSchema, path = ''): readonly string[] {
  const bare = unwrap(schema);
  if (bare instanceof z.ZodArray) return homesOf(key, bare.element, `${path}[]`);
  if (!(bare instanceof z.ZodObject)) return [];
  const here = path !== '' && key in bare.shape ? [path] : [];
  return [
    ...here,
    ...Object.entries(bare.shape).flatMap(([name, inner]) => homesOf(key, inner, path === '' ? name : `${path}.${name}`)),
  ].slice(0, 3);
}

function wrongValue(path: Path, value: unknown, source: Source): RuleFinding {
  const schema = schemaAt(path);
  const what = path.length === 0 ? 'The file' : pathText(path);
  const mustBe = expectation(schema);
  const missing = value === undefined;
  return {
    severity: 'error',
    check: missing ? 'config.missing' : 'config.value',
    path,
    what: `${what} is ${typeof value === 'number' || typeof value === 'boolean' ? (source.written(path) ?? shown(value)) : shown(value)}; it must be ${mustBe}`,
    ...suggestValue(path, value, schema, source),
  };
}

function suggestValue(path: Path, value: unknown, schema: unknown, source: Source): { readonly next?: string } {
  const key = path.at(-1);
  if (value === undefined) return typeof key === 'string' ? { next: `add ${pathText(path)}` } : {};
  if (value === null) {
    const empty =
      schema instanceof z.ZodObject || schema instanceof z.ZodRecord ? '{}' : schema instanceof z.ZodArray ? '[]' : undefined;
    return { next: empty === undefined ? 'give it a value, or remove the key' : `write ${key}: ${empty}, or remove the key` };
  }
  if (schema instanceof z.ZodString && (typeof value === 'number' || typeof value === 'boolean')) {
    const written = source.written(path) ?? String(value);
    // A duration without a unit is none in quotes either.
    if (!schema.safeParse(written).success && schema.safeParse(`${written}s`).success)
      return { next: `give it a unit, such as ${written}s` };
    return { next: `put it in quotes: ${JSON.stringify(written)}` };
  }
  if (
    (schema instanceof z.ZodNumber || schema instanceof z.ZodBoolean) &&
    typeof value === 'string' &&
    schema.safeParse(plain(value)).success
  )
    return { next: `write it without quotes: ${value}` };
  if (schema instanceof z.ZodArray && typeof value !== 'object') return { next: `write a list: [${String(value).slice(0, 80)}]` };
  if (schema instanceof z.ZodEnum && typeof value === 'string') {
    const near = nearest(value, schema.options.map(String));
    return near === undefined ? {} : { next: `did you mean ${near}?` };
  }
  return {};
}

const plain = (value: string): unknown =>
  value === 'true' ? true : value === 'false' ? false : value.trim() === '' ? value : Number(value);

/** What a value must be, in words. */
export function expectation(schema: unknown): string {
  const bare = unwrap(schema);
  const said = bare instanceof z.ZodType ? expectations.get(bare)?.text : undefined;
  if (said !== undefined) return said;
  if (bare instanceof z.ZodNumber) {
    const [least, most] = [bare.minValue, bare.maxValue];
    return least !== null && most !== null ? `a whole number from ${least} to ${most}` : 'a whole number';
  }
  if (bare instanceof z.ZodEnum) return `one of ${bare.options.join(', ')}`;
  if (bare instanceof z.ZodLiteral) return [...bare.values].map(String).join(' or ');
  if (bare instanceof z.ZodBoolean) return 'true or false';
  if (bare instanceof z.ZodArray) {
    const { minLength: least, maxLength: most } = lengthsOf(bare);
    return `a list${least !== undefined && least > 0 ? ` with at least ${least} ${least === 1 ? 'entry' : 'entries'}` : ''}${most === undefined ? '' : `${least ? ' and' : ' with'} at most ${most} entries`}`;
  }
  if (bare instanceof z.ZodObject) return `a mapping of ${Object.keys(bare.shape).join(', ')}`;
  if (bare instanceof z.ZodRecord)
    return `a mapping of names to ${bare.valueType instanceof z.ZodString ? 'texts' : expectation(bare.valueType)}`;
  return 'a text';
}

function lengthsOf(schema: z.ZodArray): { readonly minLength?: number; readonly maxLength?: number } {
  const checks = schema.def.checks ?? [];
  const least = checks.find((check) => check instanceof z.core.$ZodCheckMinLength)?._zod.def.minimum;
  const most = checks.find((check) => check instanceof z.core.$ZodCheckMaxLength)?._zod.def.maximum;
  return { ...(least === undefined ? {} : { minLength: least }), ...(most === undefined ? {} : { maxLength: most }) };
}

/** Without what says only "may be left out". */
export function unwrap(schema: unknown): unknown {
  let bare = schema;
  while (bare instanceof z.ZodOptional || bare instanceof z.ZodDefault || bare instanceof z.ZodPrefault) bare = bare.unwrap();
  return bare;
}

function schemaAt(path: Path): unknown {
  let schema: unknown = clusterSchema;
  for (const part of path) {
    const bare = unwrap(schema);
    if (bare instanceof z.ZodObject) schema = bare.shape[part];
    else if (bare instanceof z.ZodArray) schema = bare.element;
    else if (bare instanceof z.ZodRecord) schema = bare.valueType;
    else return undefined;
  }
  return unwrap(schema);
}

/** undefined where there is nothing. */
export function valueAt(value: unknown, path: Path): unknown {
  let current = value;
  for (const part of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, part)) return undefined;
    current = Reflect.get(current, part);
  }
  return current;
}
