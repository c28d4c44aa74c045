import type { Policy } from '../plan/choose.ts';
import { makePlan } from '../plan/make.ts';
import { ObservedMap } from '../plan/observed.ts';
import type { Plan } from '../plan/plan.ts';
import type { Resource, Secrets } from '../plan/resource.ts';
import type { Emit } from '../run/events.ts';
import { type Journal, openJournal } from '../run/journal.ts';
import { acquireLock, type Lock } from '../run/lock.ts';
import { type Connected, closeAll, connectAll, observe } from '../run/observe.ts';
import type { Store } from '../store/store.ts';
import { type ClusterDesign, designCluster } from './design.ts';
import { type ClusterRecord, ensureRecord, readRecord } from './identity.ts';
import type { Opened } from './opened.ts';

/** One command's look at one cluster: its design, its connections, and what has been seen. */
export interface Session {
  readonly opened: Opened;
  readonly store: Store | undefined;
  readonly record: ClusterRecord | undefined;
  readonly design: ClusterDesign;
  readonly connected: readonly Connected[];
  readonly seen: ObservedMap;
  readonly secrets: Secrets;
  readonly lock: Lock | undefined;
  readonly runId: string;
  readonly emit: Emit;
  /** Opens the run's journal: from here on events are kept. */
  begin(plan: Plan): Promise<void>;
}

/** For commands that only look: takes no lock, makes no store. */
export async function withSession<T>(opened: Opened, use: (session: Session) => Promise<T>): Promise<T> {
  const store = await opened.provider.store(opened.cluster, { create: false }, opened.signal);
  return useSession(opened, store, await readRecord(store), undefined, use);
}

export interface LockOptions {
  readonly command: Plan['command'];
  readonly waitMs: number;
  /** Look at one layer and nothing above it: deletion asks no host and no API. */
  readonly only?: string;
}

/** For commands that change things: makes the store, takes the lock, gives the cluster its identity. */
export async function withLockedSession<T>(
  opened: Opened,
  { command, waitMs, only }: LockOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const store = await opened.provider.store(opened.cluster, { create: true }, opened.signal);
  if (!store) throw new Error(`provider ${opened.provider.name} made no store`);
  const lock = await acquireLock(store, {
    holder: opened.holder,
    purpose: `cluster ${command}`,
    waitMs,
    emit: opened.emit,
    signal: opened.signal,
  });
  try {
    const record = await ensureRecord(store, opened.cluster, opened.newUid);
    return await useSession(opened, store, record, lock, use, only);
  } finally {
    await lock.release();
  }
}

async function useSession<T>(
  opened: Opened,
  store: Store | undefined,
  record: ClusterRecord | undefined,
  lock: Lock | undefined,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const design = designCluster(opened.cluster, record, opened.provider);
  const { layers, secrets } = await opened.layers({ opened, store, design, generation: lock?.generation ?? 0 });
  const seen = new ObservedMap();
  const signal = lock ? AbortSignal.any([opened.signal, lock.signal]) : opened.signal;
  const connected = await connectAll(only ? layers.filter((layer) => layer.name === only) : layers, seen, signal);
  const runId = `${new Date(opened.now()).toISOString().replaceAll(/[-:.]/g, '').slice(0, 15)}-${opened.newUid().slice(0, 4)}`;
  let journal: Journal | undefined;
  const emit: Emit = (event) => {
    opened.emit(event);
    journal?.emit(event);
  };
  const session: Session = {
    opened,
    store,
    record,
    design,
    connected,
    seen,
    secrets,
    lock,
    runId,
    emit,
    async begin(plan) {
      if (store) journal = await openJournal(store, { runId, plan, generation: lock?.generation ?? 0, now: opened.now });
    },
  };
  let outcome: { ok: true } | { ok: false; error: string } = { ok: true };
  try {
    return await use(session);
  } catch (error) {
    outcome = { ok: false, error: error instanceof Error ? error.message : String(error) };
    throw error;
  } finally {
    await journal?.close(outcome);
    await closeAll(connected);
  }
}

/** Observes everything afresh and plans. */
export async function planSession(
  session: Session,
  policy: Policy,
  desired: readonly Resource[] = session.design.resources,
): Promise<Plan> {
  const { opened, connected, seen, emit } = session;
  seen.clear();
  await observe(connected, seen, opened.signal, emit);
  return makePlan({
    tool: opened.tool,
    cluster: opened.cluster.name,
    specDigest: opened.specDigest,
    desired,
    observed: seen,
    types: new Map(connected.flatMap(({ layer }) => layer.types.map((type) => [type.name, type]))),
    policy,
  });
}
