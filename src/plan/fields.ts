import { canonicalJson } from './canonical.ts';
import type { FieldChange, Impact, Json, Resolved } from './resource.ts';

/** Impact of each prop; `ignore` for what only creation reads. */
export type FieldImpacts<P> = { readonly [K in keyof Required<P>]: Impact | 'ignore' };

/** The usual diff: compares each prop as JSON. Every prop must say its impact, so a new one does not compile until somebody has thought. */
export function fields<P extends object>(table: FieldImpacts<P>) {
  return (desired: Resolved<P>, observed: Resolved<P>): readonly FieldChange[] => {
    const changes: FieldChange[] = [];
    const before = entriesOf(observed);
    const after = entriesOf(desired);
    for (const [path, impact] of Object.entries<Impact | 'ignore'>(table)) {
      if (impact === 'ignore') continue;
      const [a, b] = [toJson(before.get(path)), toJson(after.get(path))];
      if (canonicalJson(a) !== canonicalJson(b)) changes.push({ path, before: a, after: b, impact });
    }
    return changes;
  };
}

const entriesOf = (value: unknown): ReadonlyMap<string, unknown> =>
  new Map(typeof value === 'object' && value !== null ? Object.entries(value) : []);

/** Plain data as JSON; what is not plain (functions, undefined) reads as null. */
export function toJson(value: unknown): Json {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value === 'object')
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, v]) => v !== undefined)
        .map(([k, v]) => [k, toJson(v)]),
    );
  return null;
}
