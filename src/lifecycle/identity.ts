import { z } from 'zod';
import type { Versions } from '../assets/catalogue.ts';
import { versionsFor } from '../assets/catalogue.ts';
import { noSlots } from '../cluster/addresses.ts';
import { type ClusterIdentity, noIdentity, slotsFor } from '../cluster/design.ts';
import type { Cluster } from '../config/schema.ts';
import { UserError } from '../errors.ts';
import type { Change } from '../plan/plan.ts';
import type { Store } from '../store/store.ts';

/** What the store remembers of a cluster and no machine can tell: who it is, where its zones lie, and which versions are in force. */
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
});
const recordSchema = z.strictObject({
  formatVersion: z.literal(1),
  cluster: z.string(),
  uid: z.string().min(1),
  slots: z.strictObject({ zones: z.record(z.string(), z.int()), pools: z.record(z.string(), z.int()) }),
  /** The rollout record (hard part 2): `up` heals and grows at these versions; only `upgrade` moves them. */
  versions: versionsSchema,
});
export type ClusterRecord = z.infer<typeof recordSchema>;
const key = 'cluster.json';

export async function readRecord(store: Store | undefined): Promise<ClusterRecord | undefined> {
  const found = await store?.get(key);
  if (!store || !found) return undefined;
  const parsed = recordSchema.safeParse(JSON.parse(new TextDecoder().decode(await found.bytes())));
  if (parsed.success) return parsed.data;
  throw new UserError({
    what: 'the record of this cluster cannot be read',
    where: `${store.url}/${key}`,
    why: z.prettifyError(parsed.error),
    next: 'use the Slipway version that wrote it, or restore the store from a backup',
  });
}

/** Under the lock, before the first step: gives the cluster its identity, or adds slots for new zones and pools. */
export async function ensureRecord(store: Store, cluster: Cluster, newUid: () => string): Promise<ClusterRecord> {
  const before = await readRecord(store);
  const record: ClusterRecord = {
    formatVersion: 1,
    cluster: cluster.name,
    uid: before?.uid ?? newUid(),
    slots: slotsFor(cluster, before?.slots ?? noSlots),
    versions: before?.versions ?? versionsFor(cluster.kubernetes.version),
  };
  const text = JSON.stringify(record, null, 2);
  if (text !== JSON.stringify(before, null, 2)) await store.put(key, new TextEncoder().encode(text));
  return record;
}

export const identityFrom = (record: ClusterRecord | undefined): ClusterIdentity =>
  record ? { uid: record.uid, slots: record.slots } : noIdentity;
export const versionsFrom = (record: ClusterRecord | undefined, cluster: Cluster): Versions =>
  record?.versions ?? versionsFor(cluster.kubernetes.version);

/** The versions that the file asks for beyond those in force: `up` lists them, `upgrade` carries them out. */
export function versionsLeft(record: ClusterRecord | undefined, cluster: Cluster): readonly Change[] {
  if (!record || record.versions.kubernetes === cluster.kubernetes.version) return [];
  return [
    {
      address: 'rollout/kubernetes',
      action: 'update',
      fields: [{ path: 'version', before: record.versions.kubernetes, after: cluster.kubernetes.version, impact: 'drain' }],
      impact: 'drain',
      reason: 'cluster.yaml asks for another version than the one in force',
      when: { left: 'upgrade', because: 'a version moves machine by machine, gated' },
    },
  ];
}
