import { z } from 'zod';
import { type RecoveryPoint, recoveryPointSchema } from './point.ts';

/** What is told of a recovery point: all but what is sealed in it. */
const summarySchema = z.strictObject({
  ...recoveryPointSchema.pick({ id: true, at: true, seconds: true, command: true, by: true, versions: true }).shape,
  snapshots: recoveryPointSchema.shape.snapshots,
  ageSeconds: z.int(),
  /** Bytes in the store. */
  size: z.int(),
  /** Where it lies. */
  where: z.string(),
  /** Names of the secrets that it carries. */
  secrets: z.array(z.string()),
});
export type PointSummary = z.infer<typeof summarySchema>;

/** What `cluster backup list -o json` writes. */
export const backupListSchema = z.strictObject({
  formatVersion: z.literal(1),
  cluster: z.string(),
  /** As many as cluster.yaml keeps. */
  keep: z.int(),
  /** Newest first. */
  points: z.array(summarySchema),
  /** IDs of those of which something is missing. */
  damaged: z.array(z.string()),
  /** IDs of those that are being taken, or were cut: the next one removes these. */
  unfinished: z.array(z.string()),
});
export type BackupList = Omit<z.infer<typeof backupListSchema>, 'points' | 'damaged' | 'unfinished'> & {
  readonly points: readonly PointSummary[];
  readonly damaged: readonly string[];
  readonly unfinished: readonly string[];
};

export interface BackupResult {
  readonly cluster: string;
  readonly point: PointSummary;
  /** IDs of older ones that `backup.keep` has no room for any more. */
  readonly pruned: readonly string[];
}

export function summaryOf(point: RecoveryPoint, now: number, where: string): PointSummary {
  const { id, at, seconds, command, by, versions, snapshots, secrets } = point;
  return {
    ...{ id, at, seconds, command, by, versions, snapshots, where },
    ageSeconds: Math.max(0, Math.floor((now - at) / 1000)),
    size: snapshots.reduce((sum, { sealedSize }) => sum + sealedSize, 0),
    secrets: Object.keys(secrets).sort(),
  };
}
