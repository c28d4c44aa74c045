import { constraintsOf } from './constraints.ts';
import { inputOf, type Member, type Model, type Shape } from './model.ts';
import type { Decoded, Value } from './wire.ts';

/** A request that AWS would refuse, whatever moto makes of it. */
export interface Violation {
  readonly service: string;
  readonly action: string;
  /** `TagSpecifications.0.Tags.3.Key` */
  readonly at: string;
  readonly why: string;
}

/** Everything that is wrong with a request, by AWS's model and by the constraints that the model does not carry. */
export function violationsOf(decoded: Decoded): Violation[] {
  const { service, action, model, params } = decoded;
  const found: [string, string][] = decoded.unknown.map((at) => [at, 'no such member']);
  if (!model.operations[action]) found.push(['', 'no such action']);
  const shape = inputOf(model, action);
  if (shape) checkStructure(model, shape, params, '', found);
  found.push(...constraintsOf(service, action, params));
  return found.map(([at, why]) => ({ service, action, at, why }));
}

type Found = [at: string, why: string][];

function checkStructure(model: Model, shape: Shape, value: Readonly<Record<string, Value>>, at: string, found: Found): void {
  for (const name of shape.required ?? []) if (value[name] === undefined) found.push([`${at}${name}`, 'is required']);
  for (const [name, of] of Object.entries(value)) {
    const member = shape.members?.[name];
    if (member && !member.streaming) check(model, member, of, `${at}${name}`, found);
  }
}

function check(model: Model, member: Member, value: Value, at: string, found: Found): void {
  const shape = model.shapes[member.shape];
  if (!shape || value === null) return;
  for (const why of wrongWith(shape, value)) found.push([at, why]);
  if (shape.type === 'structure' && isRecord(value)) checkStructure(model, shape, value, `${at}.`, found);
  const inner = shape.member;
  if (shape.type === 'list' && isList(value) && inner)
    for (const [n, entry] of value.entries()) check(model, inner, entry, `${at}.${n}`, found);
}

/** What is wrong with the value itself, whatever it holds. */
function wrongWith(shape: Shape, value: Value): string[] {
  switch (shape.type) {
    case 'structure':
    case 'map':
      return isRecord(value) ? [] : [`is no ${shape.type}`];
    case 'list':
      return isList(value) ? sizeProblem(shape, value.length, ' entries') : ['is no list'];
    case 'string': {
      if (typeof value !== 'string') return [`is no string: ${String(value)}`];
      const given = JSON.stringify(value.slice(0, 60));
      return [
        ...(shape.enum && !shape.enum.includes(value) ? [`${given} is none of ${shape.enum.slice(0, 8).join(', ')}`] : []),
        ...sizeProblem(shape, value.length, ' characters'),
        ...(shape.pattern !== undefined && !patternOf(shape.pattern).test(value)
          ? [`${given} does not match ${shape.pattern}`]
          : []),
      ];
    }
    case 'integer':
    case 'long':
    case 'float':
    case 'double':
      if (typeof value !== 'number') return [`is no number: ${JSON.stringify(value)}`];
      return shape.type === 'integer' && !Number.isInteger(value)
        ? [`is no whole number: ${value}`]
        : sizeProblem(shape, value, '');
    case 'boolean':
      return typeof value === 'boolean' ? [] : [`is neither true nor false: ${JSON.stringify(value)}`];
    case 'timestamp':
    case 'blob':
      return [];
  }
}

const isList = (value: Value): value is readonly Value[] => Array.isArray(value);
const isRecord = (value: Value): value is Readonly<Record<string, Value>> =>
  typeof value === 'object' && value !== null && !isList(value);

function sizeProblem({ min, max }: Shape, size: number, unit: string): string[] {
  if (max !== undefined && size > max) return [`${size}${unit}, at most ${max} are allowed`];
  return min !== undefined && size < min ? [`${size}${unit}, at least ${min} are needed`] : [];
}

const patterns = new Map<string, RegExp | undefined>();
/** AWS's patterns are Java's, and match the whole. What JavaScript cannot read allows anything. */
function patternOf(source: string): RegExp {
  if (!patterns.has(source)) {
    // Surrogate pairs as AWS writes them are no ranges to JavaScript: with the flag u, a character is a code point.
    const readable = source.replaceAll('\\uD800\\uDC00-\\uDBFF\\uDFFF', '\\u{10000}-\\u{10FFFF}');
    patterns.set(source, compile(`^(?:${readable})$`, 'u') ?? compile(`^(?:${readable})$`, ''));
  }
  return patterns.get(source) ?? /^/;
}
function compile(source: string, flags: string): RegExp | undefined {
  try {
    return new RegExp(source, flags);
  } catch {
    return undefined;
  }
}
