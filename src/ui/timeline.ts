import type { Event } from '../run/events.ts';

export interface TimelineStep {
  readonly task: string;
  readonly title: string;
  /** Milliseconds since the run began. */
  readonly start: number;
  readonly end: number;
  /** `open`: the journal ends before the step does (the command was killed). */
  readonly state: 'done' | 'failed' | 'cut' | 'open';
  /** The run could not have ended sooner than the steps of this chain allowed. */
  readonly critical: boolean;
  readonly what?: string;
  readonly log?: readonly string[];
}
export interface Timeline {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly duration: number;
  /** In order of start. */
  readonly steps: readonly TimelineStep[];
  /** Sum of all durations: what would have passed one after the other. */
  readonly work: number;
  /** Sum of the critical steps; the rest of the duration was between them. */
  readonly critical: number;
}
/** A step's predecessors, from the plan: the critical path follows them. */
export type Predecessors = ReadonlyMap<string, readonly string[]>;

type Draft = { -readonly [K in keyof TimelineStep]: TimelineStep[K] };

/** Pure: what ran when, from the events of one run. */
export const makeTimeline = (events: readonly Event[], after: Predecessors = new Map()): Timeline => {
  const startedAt = events.reduce((least, { at }) => Math.min(least, at), events[0]?.at ?? 0);
  const duration = events.reduce((most, { at }) => Math.max(most, at - startedAt), 0);
  const steps: Draft[] = [];
  const open = new Map<string, Draft>();
  for (const event of events) {
    const at = event.at - startedAt;
    const step = open.get(event.task);
    switch (event.type) {
      case 'started': {
        const draft: Draft = { task: event.task, title: event.title, start: at, end: duration, state: 'open', critical: false };
        steps.push(draft);
        open.set(event.task, draft);
        break;
      }
      case 'progress':
        break;
      case 'done':
      case 'failed':
      case 'cut':
        open.delete(event.task);
        if (!step) break;
        step.end = at;
        step.state = event.type;
        if (event.type === 'failed') {
          step.what = event.what;
          step.log = event.log;
        }
        if (event.type === 'cut') step.what = event.because;
    }
  }
  for (const step of criticalPath(steps, after)) step.critical = true;
  const sum = (of: readonly Draft[]): number => of.reduce((total, { start, end }) => total + end - start, 0);
  return {
    startedAt,
    duration,
    steps: steps.toSorted((a, b) => a.start - b.start),
    work: sum(steps),
    critical: sum(steps.filter(({ critical }) => critical)),
  };
};

/** From the step that ended last, back through the predecessor that ended last. */
const criticalPath = (steps: readonly Draft[], after: Predecessors): readonly Draft[] => {
  const byTask = new Map(steps.map((step) => [step.task, step]));
  const lastOf = (of: readonly Draft[]): Draft | undefined =>
    of.reduce<Draft | undefined>((last, step) => (last === undefined || step.end > last.end ? step : last), undefined);
  const path: Draft[] = [];
  const planned = steps.filter(({ task }) => after.has(task));
  let step = lastOf(planned.length > 0 ? planned : []);
  while (step && !path.includes(step)) {
    path.push(step);
    step = lastOf((after.get(step.task) ?? []).flatMap((task) => byTask.get(task) ?? []));
  }
  return path;
};
