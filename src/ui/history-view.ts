import type { RunRecord, RunSummary } from '../run/journal.ts';
import type { Look, Style } from './style.ts';
import { type Column, table } from './table.ts';
import { duration, indent, plural, sanitize, timestamp } from './text.ts';
import { makeTimeline, type Timeline, type TimelineStep } from './timeline.ts';
import type { View } from './view.ts';

const outcomePaint = (outcome: RunSummary['outcome'], style: Style): ((text: string) => string) =>
  ({ done: style.green, failed: style.red, interrupted: style.yellow, cut: style.magenta })[outcome];

const runColumns: readonly Column<RunSummary>[] = [
  { title: 'RUN', text: ({ runId }) => runId },
  { title: 'COMMAND', text: ({ command }) => command, flexible: true },
  { title: 'STARTED (UTC)', text: ({ startedAt }) => timestamp(startedAt) },
  {
    title: 'TOOK',
    text: ({ startedAt, finishedAt }) => (finishedAt === undefined ? '-' : duration(finishedAt - startedAt)),
    align: 'right',
  },
  { title: 'STEPS', text: ({ steps }) => `${steps}`, align: 'right' },
  { title: 'OUTCOME', text: ({ outcome }) => outcome, paint: ({ outcome }, { style }) => outcomePaint(outcome, style) },
];

/** Runs, newest first. */
export const historyView: View<readonly RunSummary[]> = {
  human: (runs, look) => (runs.length === 0 ? 'No run is recorded for this cluster.' : table(runColumns, runs, look)),
  json: (runs) => ({ formatVersion: 1, runs }),
};

/** Steps of a run with their durations, as `history show` prints them. */
export const runView: View<RunRecord> = {
  human: (run, look) => {
    const timeline = timelineOf(run);
    const { style } = look;
    const took = run.finishedAt === undefined ? 'no end recorded' : duration(run.finishedAt - run.startedAt);
    const head = `${style.bold(run.runId)}  ${run.command}  ${timestamp(run.startedAt)} UTC  ${took}  ${outcomePaint(run.outcome, style)(run.outcome)}`;
    const missing = run.result?.notStarted.length ?? 0;
    const sums = `${plural(timeline.steps.length, 'step')}, ${duration(timeline.work)} of work in ${duration(timeline.duration)}${timeline.critical > 0 ? `; critical path (*) ${duration(timeline.critical)}` : ''}`;
    return [
      head,
      `${sums}${missing > 0 ? `; ${missing} not started` : ''}`,
      '',
      table(stepColumns, timeline.steps, look),
      ...failuresText(timeline.steps, look),
    ].join('\n');
  },
  json: (run) => ({ formatVersion: 1, ...run, timeline: timelineOf(run) }),
};

/** When each step ran; the plan says what waited for what. */
export const timelineOf = (run: RunRecord): Timeline =>
  makeTimeline(run.events, new Map(run.plan?.steps.map(({ id, after }) => [id, after])));

const stepColumns: readonly Column<TimelineStep>[] = [
  { title: '', text: ({ critical }) => (critical ? '*' : ''), paint: (_, { style }) => style.yellow },
  { title: 'START', text: ({ start }) => duration(start), align: 'right' },
  { title: 'TOOK', text: ({ start, end }) => duration(end - start), align: 'right' },
  {
    title: 'STATE',
    text: ({ state }) => (state === 'open' ? 'not ended' : state),
    paint: ({ state }, { style }) => ({ done: style.green, failed: style.red, cut: style.yellow, open: style.magenta })[state],
  },
  { title: 'STEP', text: ({ title }) => sanitize(title), flexible: true },
];

const failuresText = (steps: readonly TimelineStep[], { style }: Look): readonly string[] =>
  steps
    .filter(({ what }) => what !== undefined)
    .flatMap(({ title, what, log }) => [
      '',
      `${style.red('✖')} ${sanitize(title)}: ${sanitize(what ?? '')}`,
      ...(log ?? []).map((line) => style.dim(indent(sanitize(line), 4))),
    ]);
