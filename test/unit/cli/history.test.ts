import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findRun, saveTimeline } from '../../../src/cli/history.ts';
import { openJournal } from '../../../src/run/journal.ts';
import { directoryStore } from '../../../src/store/directory.ts';
import type { Store } from '../../../src/store/store.ts';
import { aPlan } from '../ui/plan.ts';

let directory: string;
let store: Store;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'slipway-history-'));
  store = directoryStore(join(directory, 'store'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const record = async (runId: string) => {
  const journal = openJournal(store, { runId, plan: aPlan(), command: 'cluster up', generation: 1 });
  journal.record({ at: 1000, task: 'a', type: 'started', title: 'create a' });
  journal.record({ at: 3000, task: 'a', type: 'done' });
  await journal.close({ outcome: 'done', finishedAt: 3000, done: ['a'], failed: [], notStarted: [] });
};

describe('a run is found', () => {
  beforeEach(async () => {
    await record('20261120T100000000Z-aaaaaa');
    await record('20261121T100000000Z-bbbbbb');
  });
  it('without an ID: the newest', async () => {
    expect((await findRun(store, undefined)).runId).toBe('20261121T100000000Z-bbbbbb');
  });
  it('by how its ID begins', async () => {
    expect((await findRun(store, '20261120')).runId).toBe('20261120T100000000Z-aaaaaa');
  });
  it('not when several begin so: they are named', async () => {
    await expect(findRun(store, '202611')).rejects.toMatchObject({
      exitCode: 64,
      problem: { why: expect.stringContaining('-aaaaaa') },
    });
  });
  it('not when there is none', async () => {
    await expect(findRun(store, 'x')).rejects.toThrow('there is no run x');
    await expect(findRun(undefined, undefined)).rejects.toThrow('no run is recorded');
  });
  it('and its timeline is saved for its owner only', async () => {
    const file = join(directory, 'timeline.html');
    await saveTimeline(await findRun(store, undefined), file);
    expect(readFileSync(file, 'utf8')).toContain('create a');
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});
