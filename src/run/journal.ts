import { z } from 'zod';
import { messageOf } from '../errors.ts';
import { type Plan, planSchema } from '../plan/plan.ts';
import type { Store } from '../store/store.ts';
import { type Clock, systemClock } from './clock.ts';
import { type Event, eventSchema } from './events.ts';

const headSchema = z.object({
  runId: z.string(),
  command: z.string(),
  /** The lock's. */
  generation: z.int(),
  /** Milliseconds since the epoch. */
  startedAt: z.number(),
  steps: z.int(),
});
export type RunHead = z.infer<typeof headSchema>;
export const runResultSchema = z.object({
  outcome: z.enum(['done', 'failed', 'interrupted']),
  finishedAt: z.number(),
  /** IDs of steps. */
  done: z.array(z.string()),
  failed: z.array(z.object({ step: z.string(), what: z.string() })),
  notStarted: z.array(z.string()),
});
export type RunResultRecord = z.infer<typeof runResultSchema>;

/** `cut`: the run never wrote its end: it was killed, or is still going on. */
export interface RunSummary extends RunHead {
  readonly outcome: RunResultRecord['outcome'] | 'cut';
  readonly finishedAt: number | undefined;
}
export interface RunRecord extends RunSummary {
  readonly plan: Plan | undefined;
  readonly events: readonly Event[];
  readonly result: RunResultRecord | undefined;
}

export interface Journal {
  readonly runId: string;
  /** Never blocks and never throws. */
  record(event: Event): void;
  /** Writes what is left. The answer says what could not be kept: a run does not fail because of its journal. */
  close(result: RunResultRecord): Promise<{ readonly problem: string | undefined }>;
}

const flushAfterMs = 1000;
const flushAtEvents = 200;

/** Sorts by time: `20261121T031906123Z-7f3a2b`. `random`: bytes that nobody else has. */
export const newRunId = (now: number, random: Uint8Array): string =>
  `${new Date(now).toISOString().replaceAll(/[-:.]/g, '')}-${Buffer.from(random).toString('hex').slice(0, 6)}`;

export interface JournalOptions {
  readonly runId: string;
  readonly plan: Plan;
  readonly command: string;
  readonly generation: number;
  readonly clock?: Clock;
}

/** Keeps a run's plan, events and end under `runs/<runId>/`. It explains what happened, and is never trusted. */
export function openJournal(store: Store, options: JournalOptions): Journal {
  const { runId, plan, command, generation, clock = systemClock } = options;
  const folder = `runs/${runId}`;
  const closing = new AbortController();
  let pending: Event[] = [];
  let objects = 0;
  let trouble: string | undefined;
  let scheduled = false;

  let last: Promise<void> = Promise.resolve();
  const write = (work: () => Promise<void>): Promise<void> => {
    last = last.then(work).catch((error: unknown) => {
      trouble = messageOf(error);
    });
    return last;
  };
  const put = (name: string, value: unknown): Promise<string> =>
    store.put(`${folder}/${name}`, new TextEncoder().encode(`${JSON.stringify(value)}\n`));

  /** Events whose write failed stay pending, for the next one. */
  const flush = (): Promise<void> =>
    write(async () => {
      if (pending.length === 0) return;
      const batch = pending;
      pending = [];
      try {
        await put(`events-${String(objects + 1).padStart(6, '0')}.json`, batch);
        objects++;
      } catch (error) {
        pending = [...batch, ...pending];
        throw error;
      }
    });

  async function flushLater(): Promise<void> {
    scheduled = true;
    await clock.sleep(flushAfterMs, { signal: closing.signal, background: true }).catch(() => undefined);
    scheduled = false;
    if (!closing.signal.aborted) await flush();
  }

  const head: RunHead = { runId, command, generation, startedAt: clock.now(), steps: plan.steps.length };
  const begin = { run: false, plan: false };
  const putHead = async (): Promise<void> => {
    if (!begin.run) await put('run.json', head);
    begin.run = true;
    if (!begin.plan) await put('plan.json', plan);
    begin.plan = true;
  };
  void write(putHead);

  return {
    runId,
    record(event) {
      pending.push(event);
      if (pending.length === flushAtEvents) void flush();
      if (!scheduled) void flushLater();
    },
    async close(result) {
      closing.abort();
      await last;
      trouble = undefined;
      await write(putHead);
      await flush();
      await write(async () => {
        await put('result.json', result);
      });
      if (trouble === undefined) return { problem: undefined };
      return { problem: `the journal of run ${runId} is not complete: ${trouble}` };
    },
  };
}

/** Newest first. A run without an end is `cut`. */
export async function listRuns(store: Store): Promise<readonly RunSummary[]> {
  const keys = new Set(await store.list('runs/'));
  const ids = [...new Set([...keys].map((key) => key.split('/')[1] ?? ''))].sort().reverse();
  const runs = await Promise.all(
    ids.map(async (id) => {
      const head = await read(store, `runs/${id}/run.json`, headSchema);
      const ended = keys.has(`runs/${id}/result.json`) ? await read(store, `runs/${id}/result.json`, runResultSchema) : undefined;
      return head && summary(head, ended);
    }),
  );
  return runs.filter((run) => run !== undefined);
}

/** Everything that is known of a run, also of one that was killed; undefined if there is none of that ID. */
export async function readRun(store: Store, runId: string): Promise<RunRecord | undefined> {
  if (!/^[\w-]+$/.test(runId)) return undefined;
  const folder = `runs/${runId}`;
  const keys = await store.list(`${folder}/events-`);
  const [head, plan, result, ...events] = await Promise.all([
    read(store, `${folder}/run.json`, headSchema),
    read(store, `${folder}/plan.json`, planSchema),
    read(store, `${folder}/result.json`, runResultSchema),
    ...keys.map((key) => read(store, key, z.array(eventSchema))),
  ]);
  if (!head) return undefined;
  return { ...summary(head, result), plan, result, events: events.flatMap((batch) => batch ?? []) };
}

const summary = (head: RunHead, result: RunResultRecord | undefined): RunSummary => ({
  ...head,
  outcome: result?.outcome ?? 'cut',
  finishedAt: result?.finishedAt,
});

/** Undefined also for what another version wrote and this one cannot read: history shows what it can. */
async function read<T>(store: Store, key: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const object = await store.get(key);
  if (!object) return undefined;
  try {
    return schema.parse(JSON.parse(new TextDecoder().decode(await object.bytes())));
  } catch {
    return undefined;
  }
}
