import { z } from 'zod';
import type { Versions } from '../assets/catalogue.ts';
import { forProvider, versionsAsked } from '../assets/catalogue.ts';
import { noSlots } from '../cluster/addresses.ts';
import { type ClusterIdentity, noIdentity, slotsFor } from '../cluster/design.ts';
import type { Cluster } from '../config/schema.ts';
import { initialisedKey } from '../etcd/bootstrap.ts';
import type { Address } from '../plan/resource.ts';
import type { Lock } from '../run/lock.ts';
import { changeRecord, notReadable, parseRecord, recordText } from '../store/record.ts';
import type { Store } from '../store/store.ts';
import { type Foundation, foundationSchema } from './foundation.ts';
import { type Settings, settingsSchema } from './settings.ts';

/**
 * What the store remembers of a cluster and no machine can tell: who it is, where its zones lie, what it was founded on, and which versions and
 * settings are in force.
 */
const versionsSchema = z.strictObject({
  kubernetes: z.string(),
  etcd: z.string(),
  containerd: z.string(),
  runc: z.string(),
  cni: z.string(),
  flannel: z.string(),
  coredns: z.string(),
  metricsServer: z.string(),
  pause: z.string(),
  /** On AWS only. */
  aws: z
    .strictObject({
      cloudController: z.string(),
      clusterAutoscaler: z.string(),
      ebsCsi: z.string(),
      csiProvisioner: z.string(),
      csiAttacher: z.string(),
      csiResizer: z.string(),
      csiNodeDriverRegistrar: z.string(),
      livenessProbe: z.string(),
    })
    .optional(),
});
/** Where an upgrade has come to. */
const rolloutRecordSchema = z.strictObject({
  /** What the cluster moves to, hop by hop: the first is one hop away from `versions` and `settings`. */
  hops: z.array(
    z.strictObject({
      versions: versionsSchema,
      settings: settingsSchema,
      moves: z.array(z.enum(['etcd', 'masters', 'addons', 'pools'])),
    }),
  ),
  /** How many hops a machine (or `addons`, or `pool NAME` where pools are groups) has made. */
  at: z.record(z.string(), z.int().min(0)),
  /** Machines of etcd and masters whose turn was begun and has not come to its end: what is not well there is what going on mends. Workers say so themselves, by our cordon. */
  turning: z.array(z.string()).exactOptional(),
  /** Machines whose replacement was begun, and how many hops their successors have made: one that is gone is made there; see replaced.ts. */
  replacing: z.record(z.string(), z.int().min(0)).exactOptional(),
  /** Machines, and whole waves, that have moved and whose gates have not succeeded yet, Slipway's own and the user's: asked before anything else moves. */
  ungated: z
    .array(
      z.strictObject({
        wave: z.string(),
        machine: z.string().exactOptional(),
        /** DaemonSets of users that were not ready on it before its turn: they need not be after it. */
        unready: z.array(z.string()).exactOptional(),
      }),
    )
    .exactOptional(),
});
export type RolloutRecord = z.infer<typeof rolloutRecordSchema>;

const recordSchema = z.strictObject({
  formatVersion: z.literal(1),
  cluster: z.string(),
  uid: z.string().min(1),
  slots: z.strictObject({ zones: z.record(z.string(), z.int()), pools: z.record(z.string(), z.int()) }),
  /** The rollout record (hard part 2): `up` heals and grows at these versions; only `upgrade` moves them. */
  versions: versionsSchema,
  /** Written before the first machine is made: from then on it stays. */
  foundation: foundationSchema.optional(),
  /** Written when `up` has come to its end, since only then every machine has them: `up` heals and grows at these; see in-force.ts. */
  settings: settingsSchema.optional(),
  /** An upgrade under way: machines move to the variants one by one; see rollout-record.ts. Taken away when the last one has moved. */
  rollout: rolloutRecordSchema.optional(),
  /** Authorities and secrets that were there then: one that is missing later is lost, and never made anew. */
  keys: z.array(z.templateLiteral([z.string(), '/', z.string()])).optional(),
  /** What the provider has found and keeps for itself: it reads and writes this, and nobody else. */
  provider: z.unknown().optional(),
});
export type ClusterRecord = z.infer<typeof recordSchema>;

export async function readRecord(store: Store | undefined): Promise<ClusterRecord | undefined> {
  return store && recordOf(store, await recordText(store));
}
function recordOf(store: Store, text: string | undefined): ClusterRecord | undefined {
  if (text === undefined) return undefined;
  const known = written.get(store);
  if (known?.text === text) return known.record;
  const parsed = recordSchema.safeParse(parseRecord(store, text));
  if (parsed.success) return parsed.data;
  throw notReadable(store, z.prettifyError(parsed.error));
}
/** What this process wrote last: an upgrade reads it again after each of its machines, and what it knows need not be checked. */
const written = new WeakMap<Store, { readonly text: string; readonly record: ClusterRecord }>();

/**
 * Under the lock, before the first step: gives the cluster its identity, or adds slots for new zones and pools. As long as nothing was made, the
 * file may still say otherwise; the versions follow it until the first etcd member has run.
 */
export async function ensureRecord(store: Store, cluster: Cluster, newUid: () => string): Promise<ClusterRecord> {
  return writeRecord(store, async (before) => {
    const hasRun = before?.settings !== undefined || (await store.get(`records/${initialisedKey('main')}`)) !== undefined;
    return {
      ...before,
      formatVersion: 1,
      cluster: cluster.name,
      uid: before?.uid ?? newUid(),
      slots: slotsFor(cluster, identityFrom(before).slots),
      versions: versionsFrom(hasRun ? before : undefined, cluster),
    };
  });
}

interface Reached {
  readonly foundation?: Foundation;
  readonly settings?: Settings | undefined;
  readonly keys?: Address[];
  readonly versions?: Versions;
  readonly rollout?: RolloutRecord | undefined;
}
/** Under the lock: adds what a run has reached, or (undefined) takes it away. */
export async function amendRecord(
  { store, lock }: { readonly store: Store | undefined; readonly lock: Pick<Lock, 'check'> | undefined },
  reached: Reached,
): Promise<ClusterRecord | undefined> {
  if (!store || !lock) throw new Error('records are written under the lock');
  return writeRecord(store, async (before) => {
    await lock.check();
    if (!before) return undefined;
    const { settings, rollout, ...rest } = { ...before, ...reached };
    return { ...rest, ...(settings !== undefined && { settings }), ...(rollout !== undefined && { rollout }) };
  });
}

/** Writes what `change` makes of it, if it makes something else of it. */
async function writeRecord<T extends ClusterRecord | undefined>(
  store: Store,
  change: (before: ClusterRecord | undefined) => T | Promise<T>,
): Promise<T> {
  let changed: { readonly text: string | undefined; readonly record: T } | undefined;
  await changeRecord(
    store,
    async (there) => {
      const before = recordOf(store, there);
      const known = written.get(store);
      const textBefore = known && known.record === before ? known.text : JSON.stringify(before, null, 2);
      const record = await change(before);
      const text = record && JSON.stringify(record, null, 2);
      changed = { text, record };
      return text === textBefore ? undefined : text;
    },
    { fresh: true },
  );
  if (!changed) throw new Error('a change of the record was never asked');
  const { text, record } = changed;
  if (text !== undefined && record !== undefined) written.set(store, { text, record });
  return record;
}

/** Slots count once something stands in them. */
export const identityFrom = (record: ClusterRecord | undefined): ClusterIdentity =>
  record ? { uid: record.uid, slots: record.foundation ? record.slots : noSlots } : noIdentity;
/** Those in force. A record from before a provider's own versions were kept gets those that go with its Kubernetes. */
export const versionsFrom = (record: ClusterRecord | undefined, cluster: Cluster): Versions =>
  record ? forProvider(record.versions, cluster.provider) : versionsAsked(cluster);
