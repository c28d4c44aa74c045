import { UserError } from '../errors.ts';
import { readKept } from '../recovery/kept.ts';
import type { RecoveryPoint } from '../recovery/point.ts';
import { type BackupList, type BackupResult, summaryOf } from '../recovery/result.ts';
import { during } from '../run/during.ts';
import type { Store } from '../store/store.ts';
import { readRecord } from './identity.ts';
import { lookBelow } from './look.ts';
import type { Opened } from './opened.ts';
import { placeOf, recoveryTask, takePoint } from './recovery-point.ts';
import { withLockedSession } from './session.ts';

/** Takes a recovery point now. Asks the etcd machines and nobody else: also of a cluster whose API is down. */
export async function backup(opened: Opened, { lockWaitMs }: { readonly lockWaitMs: number }): Promise<BackupResult> {
  const store = await opened.provider.store(opened.cluster, { create: false }, opened.signal);
  // Before the lock: a cluster that was never made gets no records by this.
  if (!(await readRecord(store))?.settings)
    throw new UserError({ what: 'there is no cluster to take a recovery point of', next: 'cluster up' });
  return withLockedSession(opened, { command: 'backup', waitMs: lockWaitMs }, async (session) => {
    await lookBelow(session);
    const { point, pruned } = await during(recoveryTask, session.emit, () =>
      takePoint(session, { command: 'backup', signal: session.signal }),
    );
    return { cluster: opened.cluster.name, point: summaryOf(point, opened.now(), placeIn(session.store)(point)), pruned };
  });
}

const placeIn =
  (store: Store | undefined) =>
  ({ id }: RecoveryPoint): string =>
    store ? placeOf(store, id) : '';

/** Takes no lock: what a run is writing just now is no point yet, and is not listed. */
export async function listBackups({ cluster, provider, signal, now }: Opened): Promise<BackupList> {
  const store = await provider.store(cluster, { create: false }, signal);
  const { points, damaged, leftovers } = store ? await readKept(store) : { points: [], damaged: [], leftovers: [] };
  return {
    formatVersion: 1,
    cluster: cluster.name,
    keep: cluster.backup.keep,
    points: points.map((point) => summaryOf(point, now(), placeIn(store)(point))),
    damaged,
    unfinished: leftovers,
  };
}
