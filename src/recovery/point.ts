import { z } from 'zod';
import { parseJson } from '../plan/canonical.ts';

/** One etcd cluster's data at one moment, as it lies in the store: sealed. Sizes in bytes, digests SHA-256 in hex. */
const snapshotSchema = z.strictObject({
  cluster: z.enum(['main', 'events']),
  /** Where it lies in the store. */
  key: z.string(),
  /** Machine whose member it was taken of. */
  member: z.string(),
  /** etcd's version there. */
  etcd: z.string(),
  /** Of the last change that it holds. */
  revision: z.int(),
  /** As `etcdutl snapshot status` shows it. */
  hash: z.int(),
  keys: z.int(),
  /** Of the snapshot itself, as etcdutl restores it. */
  size: z.int(),
  sha256: z.string(),
  /** Of the object in the store. */
  sealedSize: z.int(),
  sealedSha256: z.string(),
});
export type StoredSnapshot = z.infer<typeof snapshotSchema>;

/** All that a cluster needs to come back from nothing. This object is written last: what it names is whole. */
export const recoveryPointSchema = z.strictObject({
  formatVersion: z.literal(1),
  /** Sorts by time. */
  id: z.string(),
  cluster: z.string(),
  /** The cluster's, not its name's. */
  uid: z.string(),
  /** When it was begun, in milliseconds since the epoch. */
  at: z.number(),
  seconds: z.number(),
  /** By hand, or before an upgrade. */
  command: z.enum(['backup', 'upgrade']),
  /** Digest of where that upgrade leads: a run that goes on with it needs no other point. */
  rollout: z.string().optional(),
  by: z.string(),
  tool: z.string(),
  /** In force then. */
  versions: z.record(z.string(), z.unknown()),
  snapshots: z.array(snapshotSchema),
  /** age recipients that can open the snapshots. */
  recipients: z.array(z.string()),
  /** Objects below `secrets/` of the store: in base64 what is sealed, as text its public part. */
  secrets: z.record(z.string(), z.strictObject({ sealed: z.string(), open: z.string().optional() })),
  /** `cluster.json` of the store: which versions and settings are in force, identity, slots. */
  record: z.string(),
  /** cluster.yaml, as it lay there. */
  file: z.string(),
});
export type RecoveryPoint = z.infer<typeof recoveryPointSchema>;

/** Not below `backups/`, where etcd machines of a cloud may write. */
export const recoveryPrefix = 'recovery/';
export const folderOf = (id: string): string => `${recoveryPrefix}${id}/`;
export const manifestKey = (id: string): string => `${folderOf(id)}recovery-point.json`;
export const snapshotKey = (id: string, cluster: StoredSnapshot['cluster']): string => `${folderOf(id)}etcd-${cluster}.db.age`;
export const idOf = (key: string): string => key.slice(recoveryPrefix.length).split('/')[0] ?? '';

/** Undefined: this version cannot read it. */
export function parsePoint(bytes: Uint8Array): RecoveryPoint | undefined {
  const parsed = recoveryPointSchema.safeParse(parseJson(new TextDecoder().decode(bytes)));
  return parsed.success ? parsed.data : undefined;
}
