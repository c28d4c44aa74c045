import type { RecoveryPoint } from './point.ts';

/** What a rollout does about a recovery point before it touches etcd or a master. */
export interface Need {
  /** `take`: before the first machine. `have`: there is one that is young enough, or of this very rollout. `skip`: the command said so. */
  readonly what: 'take' | 'have' | 'skip';
  readonly newest: { readonly id: string; readonly at: number; readonly ageSeconds: number } | null;
}

/** An upgrade that was stopped for longer is another one. */
const rolloutMs = 24 * 3_600_000;

export interface NeedInput {
  readonly newest: RecoveryPoint | undefined;
  readonly now: number;
  /** A younger one spares another. */
  readonly maxAgeMs: number;
  readonly skip: boolean;
  /** Digest of a rollout that is under way already. */
  readonly rollout: string | undefined;
}
/** Pure. */
export function needOf({ newest, now, maxAgeMs, skip, rollout }: NeedInput): Need {
  const ageMs = newest ? Math.max(0, now - newest.at) : 0;
  const said = newest ? { id: newest.id, at: newest.at, ageSeconds: Math.floor(ageMs / 1000) } : null;
  if (skip) return { what: 'skip', newest: said };
  const young = newest !== undefined && ageMs < maxAgeMs;
  const own = rollout !== undefined && newest?.rollout === rollout && ageMs < rolloutMs;
  return { what: young || own ? 'have' : 'take', newest: said };
}
