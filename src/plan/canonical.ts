import { createHash, createHmac } from 'node:crypto';

/** JSON with sorted keys and no `undefined`: equal data gives equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(sorted(value));
}
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, v]) => v !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => [k, sorted(v)]),
  );
}

/** Undefined where it is no JSON: whoever reads it with a schema says then what is wrong. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Lower-case hex. */
export const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
export const digestOf = (value: unknown): string => sha256(canonicalJson(value));
/** What plans show of a secret: comparable within one cluster, useless outside of it. */
export const keyedDigest = (uid: string, sha256Hex: string): string => createHmac('sha256', uid).update(sha256Hex).digest('hex');
