import type { Path } from '../path.ts';
import type { Cluster } from '../schema.ts';

/** A finding that knows where in cluster.yaml it is; load.ts makes the position of it. */
export interface RuleFinding {
  readonly severity: 'error' | 'warning';
  readonly check: string;
  readonly path: Path;
  /** The key is at fault, not its value. */
  readonly onKey?: boolean;
  readonly what: string;
  readonly why?: string;
  readonly next?: string;
}
/** One thing that a shape alone cannot say. Pure: neither clock nor world. */
export type Rule = (cluster: Cluster) => Iterable<RuleFinding>;

type Details = { readonly why?: string; readonly next?: string; readonly onKey?: boolean };
export const error = (check: string, path: Path, what: string, details: Details = {}): RuleFinding => ({
  severity: 'error',
  check,
  path,
  what,
  ...details,
});
export const warning = (check: string, path: Path, what: string, details: Details = {}): RuleFinding => ({
  severity: 'warning',
  check,
  path,
  what,
  ...details,
});

/** `a, b and c`. */
export const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
