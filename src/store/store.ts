/** Where a cluster's own records live. Implementations: directory (now), S3 and GCS (with their providers). Keys are `/`-separated, relative. */
export interface Store {
  /** For messages: `file:///...`, `s3://bucket`. */
  readonly url: string;
  get(key: string): Promise<StoredObject | undefined>;
  /** Atomic. Throws StoreConflict when the condition does not hold. Returns the new version. */
  put(key: string, body: Uint8Array | NodeJS.ReadableStream, condition?: PutCondition): Promise<string>;
  /** Keys with that prefix, sorted. */
  list(prefix: string): Promise<readonly string[]>;
  /** Their versions in the same answer, where a listing tells them. */
  versions?(prefix: string): Promise<ReadonlyMap<string, string>>;
  delete(key: string, condition?: { readonly ifMatch: string }): Promise<void>;
  /** Many in one call, where there is one. */
  deleteAll?(keys: readonly string[]): Promise<void>;
  /** A condition costs a process here: who has the cluster's lock, and writes alone by that, does without. */
  readonly dearConditions?: true;
}
export type PutCondition = { readonly ifAbsent: true } | { readonly ifMatch: string };
export interface StoredObject {
  /** An opaque version (ETag) for ifMatch. */
  readonly version: string;
  bytes(): Promise<Uint8Array>;
  stream(): NodeJS.ReadableStream;
}
/** The record of the cluster: every command reads it first. */
export const recordKey = 'cluster.json';

export class StoreConflict extends Error {
  override readonly name = 'StoreConflict';
}
