import { describe, expect, it } from 'vitest';
import type { Plan } from '../../../src/plan/plan.ts';
import type { Event } from '../../../src/run/events.ts';
import { listRuns, newRunId, openJournal, type RunResultRecord, readRun } from '../../../src/run/journal.ts';
import { handClock } from './handClock.ts';
import { memoryStore } from './memoryStore.ts';

const plan: Plan = {
  formatVersion: 1,
  tool: 'slipway 0.1.0',
  cluster: 'demo',
  command: 'up',
  specDigest: 'a',
  worldDigest: 'b',
  changes: [],
  steps: [],
};
const result: RunResultRecord = { outcome: 'done', finishedAt: 5, done: ['a'], failed: [], notStarted: [] };
const event = (at: number): Event => ({ at, task: `t${at}`, type: 'done' });
const open = (store = memoryStore(), runId = 'run-1') => {
  const clock = handClock();
  return { store, clock, journal: openJournal(store, { runId, plan, command: 'cluster up', generation: 3, clock }) };
};

describe('the journal', () => {
  it('keeps plan, events and end of a run', async () => {
    const { store, journal } = open();
    for (let i = 0; i < 450; i++) journal.record(event(i));
    expect(await journal.close(result)).toEqual({ problem: undefined });
    const run = await readRun(store, 'run-1');
    expect(run).toMatchObject({ outcome: 'done', plan, generation: 3, finishedAt: 5, result });
    expect(run?.events.map((e) => e.at)).toEqual(Array.from({ length: 450 }, (_, i) => i));
  });

  it('writes numbered batches, a second apart, and nothing when nothing happens', async () => {
    const { store, clock, journal } = open();
    journal.record(event(1));
    journal.record(event(2));
    await clock.pass(1_100);
    await clock.pass(10_000);
    journal.record(event(3));
    await clock.pass(1_100);
    expect(store.puts).toEqual([
      'runs/run-1/run.json',
      'runs/run-1/plan.json',
      'runs/run-1/events-000001.json',
      'runs/run-1/events-000002.json',
    ]);
  });

  it('of a killed run can be read', async () => {
    const { store, clock, journal } = open();
    journal.record(event(1));
    await clock.pass(1_100);
    journal.record(event(2));
    expect(await readRun(store, 'run-1')).toMatchObject({ outcome: 'cut', plan, events: [event(1)], result: undefined });
    expect(await listRuns(store)).toMatchObject([{ runId: 'run-1', outcome: 'cut', command: 'cluster up' }]);
  });

  it('reports at the end what the store did not take, and never throws in between', async () => {
    const { store, clock, journal } = open();
    store.broken = new Error('disk full');
    for (let i = 0; i < 300; i++) journal.record(event(i));
    await clock.pass(5_000);
    expect((await journal.close(result)).problem).toContain('disk full');
  });

  it('is complete if the store came back before the end', async () => {
    const { store, clock, journal } = open();
    store.broken = new Error('no route');
    for (let i = 0; i < 300; i++) journal.record(event(i));
    await clock.pass(5_000);
    store.broken = undefined;
    expect((await journal.close(result)).problem).toBeUndefined();
    expect((await readRun(store, 'run-1'))?.events).toHaveLength(300);
  });

  it('lists runs newest first; their IDs sort by time', async () => {
    const store = memoryStore();
    const ids = [1_000, 2_000, 1_700_000_000_000].map((now) => newRunId(now, new Uint8Array([1, 2, 3])));
    for (const id of ids) await open(store, id).journal.close(result);
    expect((await listRuns(store)).map((run) => run.runId)).toEqual(ids.toReversed());
    expect(ids[2]).toBe('20231114T221320000Z-010203');
  });

  it('of a run that never was is undefined, also for names that are no run IDs', async () => {
    expect(await readRun(memoryStore(), 'nope')).toBeUndefined();
    expect(await readRun(memoryStore(), '../lock')).toBeUndefined();
  });
});
