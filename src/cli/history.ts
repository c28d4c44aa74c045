import { writeFile } from 'node:fs/promises';
import { exitCodes, UserError } from '../errors.ts';
import { listRuns, type RunRecord, readRun } from '../run/journal.ts';
import type { Store } from '../store/store.ts';
import { timelineOf } from '../ui/history-view.ts';
import { timelineHtml } from '../ui/timeline-html.ts';

/**
 * A run by its ID, or by how the ID begins if that is enough; the newest without one.
 * @throws UserError when there is none, or more than one
 */
export const findRun = async (store: Store | undefined, begin: string | undefined): Promise<RunRecord> => {
  const runs = store ? await listRuns(store) : [];
  const fitting = begin === undefined ? runs.slice(0, 1) : runs.filter(({ runId }) => runId.startsWith(begin));
  const [first, second] = fitting;
  if (!first || !store)
    throw new UserError(
      {
        what: begin === undefined ? 'no run is recorded for this cluster' : `there is no run ${begin}`,
        next: begin === undefined ? 'cluster up makes the first' : 'cluster history lists them',
      },
      exitCodes.usage,
    );
  if (second && first.runId !== begin)
    throw new UserError(
      {
        what: `${fitting.length} runs begin with ${begin}`,
        why: fitting
          .slice(0, 10)
          .map(({ runId }) => runId)
          .join('\n'),
        next: 'give more of the ID',
      },
      exitCodes.usage,
    );
  const run = await readRun(store, first.runId);
  if (!run) throw new UserError({ what: `the record of run ${first.runId} is gone`, next: 'cluster history lists the others' });
  return run;
};

/** The timeline of a run as one HTML file. */
export const saveTimeline = async (run: RunRecord, file: string): Promise<void> =>
  writeFile(file, timelineHtml(`${run.command} ${run.runId}: ${run.outcome}`, timelineOf(run)), { mode: 0o600 });
