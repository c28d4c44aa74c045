import { etcdClustersOf } from '../components/etcd.ts';
import { durationMs } from '../config/duration.ts';
import { takeSnapshot } from '../etcd/snapshot.ts';
import { canonicalJson, sha256 } from '../plan/canonical.ts';
import { newestPoint } from '../recovery/kept.ts';
import { needOf } from '../recovery/need.ts';
import { manifestKey, type RecoveryPoint } from '../recovery/point.ts';
import { type Taken, takeRecoveryPoint } from '../recovery/take.ts';
import type { Rollout, Wave } from '../rollout/rollout.ts';
import { turnsOfWave } from '../rollout/turns.ts';
import { newRunId } from '../run/journal.ts';
import { readRecord } from './identity.ts';
import type { Session } from './session.ts';
import { type Course, settingsAt } from './upgrade/course.ts';

/** Where hosts are must have been seen. */
export async function takePoint(
  session: Session,
  { command, rollout, signal }: Pick<RecoveryPoint, 'command' | 'rollout'> & { readonly signal: AbortSignal },
): Promise<Taken> {
  const { opened, store, lock, seal, emit } = session;
  if (!store || !lock) throw new Error('recovery points are taken under the lock');
  const record = await readRecord(store);
  if (!record) throw new Error('there is no record of this cluster');
  const hosts = session.reach.hosts();
  return takeRecoveryPoint({
    store,
    lock,
    seal,
    clusters: etcdClustersOf(session.design.topology),
    snapshot: (cluster, own) => takeSnapshot(hosts, cluster, own),
    about: {
      id: newRunId(opened.now(), opened.randomBytes(4)),
      cluster: opened.cluster.name,
      uid: record.uid,
      command,
      ...(rollout !== undefined && { rollout }),
      by: opened.holder,
      tool: opened.tool,
      versions: record.versions,
      file: opened.text,
    },
    keep: opened.cluster.backup.keep,
    signal,
    now: opened.now,
    progress: (message) => emit({ type: 'progress', task: recoveryTask, message }),
  });
}
export const recoveryTask = 'recovery point';

/** Told by where it leads: a run that goes on is told from one that begins anew by the record. */
export const rolloutDigest = (course: Course): string => sha256(canonicalJson({ to: course.to, settings: settingsAt(course) }));

/** What this upgrade is to do about a recovery point. Undefined: it touches neither etcd nor a master. */
export async function recoveryNeed(
  { opened, store, record }: Session,
  course: Course,
  waves: readonly Wave[],
  skip: boolean,
): Promise<Rollout['recoveryPoint']> {
  if (!waves.some(touchesControlPlane)) return undefined;
  return needOf({
    newest: store && (await newestPoint(store)),
    now: opened.now(),
    maxAgeMs: durationMs(opened.cluster.backup.maxAge),
    skip,
    rollout: record?.rollout && rolloutDigest(course),
  });
}
export const touchesControlPlane = (wave: Wave): boolean =>
  turnsOfWave(wave).some(({ role }) => role === 'etcd' || role === 'master');

/** For people: where it lies. */
export const placeOf = (store: { readonly url: string }, id: string): string =>
  `${store.url.replace(/\/$/, '')}/${manifestKey(id).split('/').slice(0, -1).join('/')}`;
