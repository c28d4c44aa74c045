import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { acquireLock, breakLock, type LockOptions, readLock } from '../../../src/run/lock.ts';
import { type Processes, type ProcessIdentity, systemProcesses } from '../../../src/run/processes.ts';
import { directoryStore } from '../../../src/store/directory.ts';
import { storeContract } from '../../contract/store.ts';
import { type HandClock, handClock } from './handClock.ts';
import { memoryStore } from './memoryStore.ts';

const objects = () => new Map<string, Uint8Array>();
storeContract('the store in memory', async () => {
  const shared = objects();
  return { store: memoryStore(shared), again: () => memoryStore(shared) };
});

/** A process of some other host: nobody here can tell whether it lives. */
const elsewhere: Processes = { self: async () => undefined, isGone: async () => false };
const as = (holder: string, clock: HandClock, more: Partial<LockOptions> = {}): LockOptions => ({
  holder,
  host: `${holder}-laptop`,
  purpose: 'cluster up',
  command: 'cluster up --yes',
  clock,
  processes: elsewhere,
  ...more,
});
const failure = async (attempt: Promise<unknown>): Promise<UserError> => {
  const error = await attempt.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (!(error instanceof UserError)) throw new Error(`expected a UserError, got ${String(error)}`);
  return error;
};

describe('the lock', () => {
  it('is refused while a living process holds it, and says who, where, why and since when', async () => {
    const [store, clock] = [memoryStore(), handClock()];
    const lock = await acquireLock(store, as('anna', clock));
    await clock.pass(35_000);
    const error = await failure(acquireLock(store, as('ben', clock)));
    expect(error.exitCode).toBe(75);
    for (const word of [
      'anna',
      'anna-laptop',
      'cluster up',
      '2026-11-21T03:00:00.000Z',
      '2026-11-21T03:00:30.000Z',
      'cluster unlock',
    ])
      expect(error.message).toContain(word);
    expect(lock.signal.aborted).toBe(false);
  });

  it('has a generation that only grows, over releases and breaks', async () => {
    const [store, clock] = [memoryStore(), handClock()];
    const generations: number[] = [];
    for (let i = 0; i < 3; i++) {
      const lock = await acquireLock(store, as('anna', clock));
      generations.push(lock.generation);
      await lock.release();
    }
    await acquireLock(store, as('anna', clock));
    const seen = await readLock(store);
    if (seen) await breakLock(store, seen);
    generations.push((await acquireLock(store, as('ben', clock))).generation);
    expect(generations).toEqual([1, 2, 3, 5]);
  });

  it('is taken by exactly one of many', async () => {
    const clock = handClock();
    const shared = objects();
    const settled = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) => acquireLock(memoryStore(shared), as(`p${i}`, clock))),
    );
    expect(settled.filter((s) => s.status === 'fulfilled')).toHaveLength(1);
  });

  it('is taken over from a holder that shows no sign of life for 60 s of the observer, and never before', async () => {
    const clock = handClock();
    const shared = objects();
    const dead = memoryStore(shared);
    const first = await acquireLock(dead, as('anna', clock));
    dead.broken = 'hang';
    await clock.pass(61_000);
    const messages: string[] = [];
    let second: Awaited<ReturnType<typeof acquireLock>> | undefined;
    const pending = acquireLock(
      memoryStore(shared),
      as('ben', clock, { emit: (e) => e.type === 'progress' && messages.push(e.message) }),
    );
    void pending.then((lock) => {
      second = lock;
    });
    await clock.pass(59_000);
    expect(second).toBeUndefined();
    await clock.pass(2_000);
    expect(second?.generation).toBe(2);
    expect(messages[0]).toContain('looks abandoned');
    expect(messages.at(-1)).toContain('took the lock over: anna');
    expect(first.signal.aborted).toBe(true);
  });

  it('is never taken from a live holder whose clock is wrong', async () => {
    const clock = handClock();
    const shared = objects();
    const wrong: HandClock = { ...clock, now: () => clock.now() - 3_600_000 };
    await acquireLock(memoryStore(shared), as('anna', wrong));
    const attempt = failure(acquireLock(memoryStore(shared), as('ben', clock)));
    await clock.pass(30_000);
    expect((await attempt).exitCode).toBe(75);
  });

  it('comes to one who waits as soon as it is released', async () => {
    const clock = handClock();
    const store = memoryStore();
    const first = await acquireLock(store, as('anna', clock));
    const waiting = acquireLock(store, as('ben', clock, { wait: 120_000 }));
    await clock.pass(70_000);
    await first.release();
    await clock.pass(1_000);
    expect((await waiting).generation).toBe(2);
  });

  it('is refused to one who waited long enough', async () => {
    const clock = handClock();
    const store = memoryStore();
    await acquireLock(store, as('anna', clock));
    const waiting = failure(acquireLock(store, as('ben', clock, { wait: 5_000 })));
    await clock.pass(6_000);
    expect((await waiting).exitCode).toBe(75);
  });

  it('stops waiting when it is told to', async () => {
    const [store, clock, stop] = [memoryStore(), handClock(), new AbortController()];
    await acquireLock(store, as('anna', clock));
    const waiting = acquireLock(store, as('ben', clock, { wait: 60_000, signal: stop.signal })).catch((e: unknown) => e);
    await clock.pass(1_000);
    stop.abort(new Error('Ctrl-C'));
    expect(String(await waiting)).toContain('Ctrl-C');
  });

  it('aborts the steps of a holder before anybody may take over, when no heartbeat gets through', async () => {
    for (const broken of [new Error('no route'), 'hang'] as const) {
      const [store, clock] = [memoryStore(), handClock()];
      const lock = await acquireLock(store, as('anna', clock));
      store.broken = broken;
      await clock.pass(49_000);
      expect(lock.signal.aborted).toBe(false);
      await clock.pass(2_000);
      expect(lock.signal.aborted).toBe(true);
      expect(String(lock.signal.reason)).toContain('no heartbeat');
    }
  });

  it('survives a store that fails for a while', async () => {
    const [store, clock] = [memoryStore(), handClock()];
    const lock = await acquireLock(store, as('anna', clock));
    store.broken = new Error('no route');
    await clock.pass(40_000);
    store.broken = undefined;
    await clock.pass(40_000);
    expect(lock.signal.aborted).toBe(false);
    await lock.check();
  });

  it('starts no step after 30 s without a heartbeat before it has renewed', async () => {
    const [store, clock] = [memoryStore(), handClock()];
    const lock = await acquireLock(store, as('anna', clock));
    await lock.check();
    expect(store.puts).toHaveLength(1);
    store.broken = new Error('no route');
    await clock.pass(31_000);
    await expect(lock.check()).rejects.toThrow('no route');
    store.broken = undefined;
    await lock.check();
    expect(store.puts).toHaveLength(2);
  });

  it('is checked by a holder whose laptop slept', async () => {
    const [store, clock] = [memoryStore(), handClock()];
    const lock = await acquireLock(store, as('anna', clock));
    const seen = await readLock(store);
    if (seen) await breakLock(store, seen);
    const other = await acquireLock(store, as('ben', clock));
    clock.leap(3_600_000);
    expect((await failure(lock.check())).message).toContain('ben');
    expect(lock.signal.aborted).toBe(true);
    await lock.release();
    expect((await readLock(store))?.record).toMatchObject({ state: 'held', generation: other.generation, holder: 'ben' });
  });

  it('that went to somebody else while a laptop slept stops its steps within moments, not at the next heartbeat', async () => {
    const [store, clock] = [memoryStore(), handClock()];
    const lock = await acquireLock(store, as('anna', clock));
    await clock.pass(1000);
    const seen = await readLock(store);
    if (seen) await breakLock(store, seen);
    clock.leap(300_000);
    await clock.pass(2000);
    expect(lock.signal.aborted).toBe(true);
  });

  it('is checked within bounds when the store never answers', async () => {
    const [store, clock] = [memoryStore(), handClock()];
    const lock = await acquireLock(store, as('anna', clock));
    store.broken = 'hang';
    await clock.pass(35_000);
    const check = failure(lock.check());
    await clock.pass(20_000);
    expect((await check).message).toContain('the lock was lost');
  });

  it('that was broken stops its holder at the next heartbeat', async () => {
    const [store, clock] = [memoryStore(), handClock()];
    const lock = await acquireLock(store, as('anna', clock));
    const seen = await readLock(store);
    if (seen) await breakLock(store, seen);
    await clock.pass(11_000);
    expect(lock.signal.aborted).toBe(true);
    expect((await failure(lock.check())).exitCode).toBe(75);
  });

  it('is not broken if it changed since it was shown', async () => {
    const [store, clock] = [memoryStore(), handClock()];
    await acquireLock(store, as('anna', clock));
    const shown = await readLock(store);
    await clock.pass(11_000);
    if (!shown) throw new Error('no lock');
    expect((await failure(breakLock(store, shown))).message).toContain('its holder is alive');
  });

  it('keeps the heartbeat whose answer was lost', async () => {
    const [store, clock] = [memoryStore(), handClock()];
    const put = store.put.bind(store);
    const lock = await acquireLock(store, as('anna', clock));
    let lose = true;
    store.put = async (...args) => {
      const version = await put(...args);
      if (!lose) return version;
      lose = false;
      throw new Error('connection reset');
    };
    await clock.pass(60_000);
    expect(lock.signal.aborted).toBe(false);
    await lock.release();
    expect((await readLock(store))?.record.state).toBe('released');
  });

  it('outlives a heartbeat that is never answered, and one whose answer comes when nobody waits for it any more', async () => {
    for (const arrives of [false, true]) {
      const [store, clock] = [memoryStore(), handClock()];
      const put = store.put.bind(store);
      const lock = await acquireLock(store, as('anna', clock));
      const answers: (() => void)[] = [];
      store.put = async (...args) => {
        const version = arrives || answers.length > 0 ? await put(...args) : '';
        if (answers.length > 0) return version;
        return new Promise((resolve) => answers.push(() => resolve(version)));
      };
      await clock.pass(45_000);
      answers[0]?.();
      await clock.pass(60_000);
      expect(lock.signal.aborted).toBe(false);
      await lock.check();
      await lock.release();
      expect((await readLock(store))?.record.state).toBe('released');
    }
  });

  it('is taken over at once from a killed process of this host, and not while that runs', async () => {
    const root = await mkdtemp(join(tmpdir(), 'slipway-lock-'));
    try {
      const store = directoryStore(root);
      const child = spawn(process.execPath, [join(import.meta.dirname, 'holder.ts'), root], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      const options: LockOptions = { holder: 'ben', host: 'here', purpose: 'cluster up', command: 'cluster up' };
      expect((await failure(acquireLock(store, options))).message).toContain(`process ${child.pid}`);
      const dead = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await dead;
      const lock = await acquireLock(store, options);
      expect(lock.generation).toBe(2);
      await lock.release();
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });
});

describe('a process', () => {
  it('is gone when its number belongs to another one now, and not known in another boot or namespace', async () => {
    const self = await systemProcesses.self();
    if (!self) throw new Error('no /proc');
    const gone = (more: Partial<ProcessIdentity>) => systemProcesses.isGone({ ...self, ...more });
    expect(await gone({})).toBe(false);
    expect(await gone({ startTime: '1' })).toBe(true);
    expect(await gone({ pid: 0x3fffff })).toBe(true);
    expect(await gone({ startTime: '1', bootId: 'another' })).toBe(false);
    expect(await gone({ startTime: '1', namespace: 'pid:[1]' })).toBe(false);
  });
});
