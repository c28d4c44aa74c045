import { randomUUID } from 'node:crypto';
import { exitCodes, messageOf, UserError } from '../errors.ts';
import { type Store, StoreConflict } from '../store/store.ts';
import { type Clock, systemClock } from './clock.ts';
import { endsWith } from './ends.ts';
import type { Emit } from './events.ts';
import { describeLock, type LockRecord, readLock, type SeenLock, writeLock } from './lockRecord.ts';
import { type Processes, systemProcesses } from './processes.ts';

export { breakLock, type LockRecord, readLock } from './lockRecord.ts';

/** Hard part 21. Milliseconds. */
export const lockTimes = {
  heartbeat: 10_000,
  /** A holder whose last heartbeat is older starts no step before it has renewed. */
  renewBefore: 30_000,
  /** A holder without a heartbeat for so long stops its running steps: nobody may take the lock over before `stale`. */
  giveUp: 50_000,
  /** An observer that saw no change for so long, by its own clock, takes over. */
  stale: 60_000,
  retry: 2000,
  /** A heartbeat without an answer for so long is given up, and sent again: a connection may be dead and not say so. */
  answer: 15_000,
  /** How often a holder looks whether time has leapt. */
  watch: 2000,
  /** Within this a lock is released, or left to be taken over. */
  release: 10_000,
  poll: 250,
} as const;

export interface LockOptions {
  /** A person or a pipeline: `anna`. */
  readonly holder: string;
  readonly host: string;
  readonly purpose: string;
  /** The command line, without secrets. */
  readonly command: string;
  /** How long to wait for a living holder, in milliseconds. Default 0: refuse at once. */
  readonly wait?: number;
  readonly signal?: AbortSignal;
  readonly emit?: Emit;
  readonly clock?: Clock;
  readonly processes?: Processes;
}

export interface Lock {
  /** Only grows: whoever sees a higher one refuses a lower one. */
  readonly generation: number;
  /** Aborted when the lock is lost, or may be. */
  readonly signal: AbortSignal;
  /** Before each step: renews if the last heartbeat is old; throws when the lock is lost. */
  check(): Promise<void>;
  /** Leaves a tombstone. Silent if the lock was lost already. */
  release(): Promise<void>;
}

/**
 * Takes the cluster's lock. Takes over at once from a process of this host that is gone, and from anybody after 60 s without a sign
 * of life; else throws a UserError (exit 75) that says who holds it.
 */
export async function acquireLock(store: Store, options: LockOptions): Promise<Lock> {
  const { clock = systemClock, processes = systemProcesses, wait = 0, signal, emit = () => undefined } = options;
  const process = await processes.self();
  const began = clock.monotonic();
  const id = randomUUID();
  let watched: { readonly version: string; readonly since: number; readonly silentBefore: boolean } | undefined;
  let told = '';

  for (;;) {
    signal?.throwIfAborted();
    const seen = await readLock(store);
    if (seen?.record.id === id) return hold(store, seen, clock);
    const held = seen?.record.state === 'held' ? seen : undefined;
    if (held && watched?.version !== held.version) {
      const silent = Math.abs(clock.now() - Date.parse(held.record.heartbeatAt)) > lockTimes.stale;
      watched = { version: held.version, since: clock.monotonic(), silentBefore: watched === undefined && silent };
    }
    const unchangedFor = watched ? clock.monotonic() - watched.since : 0;
    const free = !held || unchangedFor >= lockTimes.stale || (await isGone(held.record, processes));
    if (free) {
      const now = new Date(clock.now()).toISOString();
      const record: LockRecord = {
        state: 'held',
        generation: (seen?.record.generation ?? 0) + 1,
        id,
        holder: options.holder,
        host: options.host,
        ...(process && { process }),
        purpose: options.purpose,
        command: options.command,
        acquiredAt: now,
        heartbeatAt: now,
        beat: 0,
      };
      try {
        const version = await writeLock(store, record, seen?.version);
        if (held) say(`took the lock over: ${describeLock(held.record)}`);
        return hold(store, { record, version }, clock);
      } catch (error) {
        if (!(error instanceof StoreConflict)) throw error;
        continue;
      }
    }
    // By the clock on the wall it looks dead, but clocks differ: watch it for as long as it takes to be sure.
    const mayDie = watched?.silentBefore === true;
    if (!mayDie && clock.monotonic() - began >= wait) throw refused(store, held.record);
    say(
      mayDie
        ? `the lock looks abandoned (${describeLock(held.record)}): taking it over if it stays silent for ${lockTimes.stale / 1000} s`
        : `waiting for the lock: ${describeLock(held.record)}`,
      held.record.id,
    );
    await clock.sleep(lockTimes.poll, { ...(signal && { signal }) });
  }

  function say(message: string, once = ''): void {
    if (once !== '' && once === told) return;
    told = once;
    emit({ type: 'progress', task: 'lock', message });
  }
}

const isGone = async (record: LockRecord, processes: Processes): Promise<boolean> =>
  record.process !== undefined && (await processes.isGone(record.process));

const refused = (store: Store, record: LockRecord): UserError =>
  new UserError(
    {
      what: `somebody else works on this cluster: ${describeLock(record)}`,
      where: store.url,
      why: `it runs \`${record.command}\``,
      next: 'wait until it is done; if you know that it is dead, run `cluster unlock`',
    },
    exitCodes.lockedOrStale,
  );

const lost = (why: string): UserError =>
  new UserError(
    { what: 'the lock was lost', why, next: 'see who works on this cluster, then run the same command again' },
    exitCodes.lockedOrStale,
  );

/** Renews every 10 s until released or lost. One write at a time: each needs the version of the one before. */
function hold(store: Store, first: SeenLock, clock: Clock): Lock {
  let { record, version } = first;
  let renewedAt = { monotonic: clock.monotonic(), wall: clock.now() };
  let released = false;
  let trouble = 'it gave no answer';
  const gone = new AbortController();
  const stopped = new AbortController();

  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    return mine;
  };
  /** The greater of both clocks: the monotonic one stands still while a laptop sleeps. */
  const age = (): number => Math.max(clock.monotonic() - renewedAt.monotonic, clock.now() - renewedAt.wall);
  const lose = (why: string): UserError => {
    const error = lost(why);
    if (!gone.signal.aborted) gone.abort(error);
    stopped.abort();
    return error;
  };

  /** Throws when the lock is lost, and what the store throws. */
  async function renew(): Promise<void> {
    if (released) return;
    gone.signal.throwIfAborted();
    const at = { monotonic: clock.monotonic(), wall: clock.now() };
    const next: LockRecord = { ...record, heartbeatAt: new Date(at.wall).toISOString(), beat: record.beat + 1 };
    ({ record, version } = await answered(put(next, version)));
    renewedAt = at;
  }
  /** What lies there then. One that was given up may still arrive: of two, only one fits the version. */
  async function put(next: LockRecord, expected: string): Promise<SeenLock> {
    try {
      return { record: next, version: await writeLock(store, next, expected) };
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
      const seen = await readLock(store);
      // Our own write, whose answer was lost.
      if (seen?.record.id === record.id && (seen.record.state === 'held' || released)) return seen;
      throw lose(
        seen?.record.state === 'held'
          ? describeLock(seen.record)
          : 'somebody released it with `cluster unlock`, or the store is gone',
      );
    }
  }
  async function answered<T>(work: Promise<T>): Promise<T> {
    const done = new AbortController();
    const late = clock.sleep(lockTimes.answer, { signal: done.signal, background: true }).then(
      () => {
        throw new UserError({ what: `the store gave no answer within ${lockTimes.answer / 1000} s`, where: store.url });
      },
      () => new Promise<never>(() => undefined),
    );
    try {
      return await Promise.race([work, late]);
    } finally {
      done.abort();
    }
  }

  async function beat(): Promise<void> {
    let pause: number = lockTimes.heartbeat;
    while (!stopped.signal.aborted) {
      await clock.sleep(pause, { signal: stopped.signal, background: true }).catch(() => undefined);
      if (stopped.signal.aborted) return;
      try {
        await inTurn(renew);
        pause = lockTimes.heartbeat;
      } catch (error) {
        // A store that fails once is asked again soon; the watch below sets the end.
        trouble = messageOf(error);
        pause = lockTimes.retry;
      }
    }
  }
  /** A store may also never answer: in the end the running steps must stop, since somebody else may start. */
  async function watch(): Promise<void> {
    while (!stopped.signal.aborted) {
      const silent = clock.monotonic() - renewedAt.monotonic;
      if (silent >= lockTimes.giveUp) lose(`no heartbeat reached the store for ${Math.round(silent / 1000)} s: ${trouble}`);
      else {
        // After a laptop has slept somebody else may have the lock: its steps must hear of it before the next heartbeat is due.
        if (age() > lockTimes.renewBefore) void inTurn(renew).catch((error: unknown) => (trouble = messageOf(error)));
        const pause = Math.min(lockTimes.watch, lockTimes.giveUp - silent);
        await clock.sleep(pause, { signal: stopped.signal, background: true }).catch(() => undefined);
      }
    }
  }
  void beat();
  void watch();

  async function leaveTombstone(): Promise<void> {
    try {
      await writeLock(store, { ...record, state: 'released' }, version);
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
      // Taken from us, or a heartbeat of ours arrived whose answer was lost.
      const seen = await readLock(store);
      if (seen?.record.id === record.id && seen.record.state === 'held')
        await writeLock(store, { ...seen.record, state: 'released' }, seen.version);
    }
  }

  return {
    generation: record.generation,
    signal: gone.signal,
    async check() {
      gone.signal.throwIfAborted();
      if (age() > lockTimes.renewBefore) await endsWith(inTurn(renew), gone.signal);
    },
    async release() {
      stopped.abort();
      const done = inTurn(async () => {
        if (released || gone.signal.aborted) return;
        released = true;
        await leaveTombstone();
      });
      const late = new UserError({ what: `the store gave no answer within ${lockTimes.release / 1000} s`, where: store.url });
      const over = new AbortController();
      const timer = setTimeout(() => over.abort(late), lockTimes.release);
      await endsWith(done, over.signal).finally(() => clearTimeout(timer));
    },
  };
}
