import { describe, expect, it } from 'vitest';
import type { Event } from '../../../src/run/events.ts';
import { historyView, runView } from '../../../src/ui/history-view.ts';
import { plainLook } from '../../../src/ui/style.ts';
import { makeTimeline } from '../../../src/ui/timeline.ts';
import { timelineHtml } from '../../../src/ui/timeline-html.ts';
import { aPlan } from './plan.ts';

const t0 = Date.UTC(2026, 10, 21, 3, 0, 0);
const started = (task: string, at: number, title = task): Event => ({ at: t0 + at, task, type: 'started', title });
const done = (task: string, at: number): Event => ({ at: t0 + at, task, type: 'done' });
const events: readonly Event[] = [
  started('network', 0),
  done('network', 400),
  started('a', 400),
  started('b', 410),
  { at: t0 + 900, task: 'a', type: 'progress', message: 'waiting' },
  done('a', 1200),
  done('b', 3000),
  started('join', 3050, 'create etcd.member/main.a'),
  { at: t0 + 5000, task: 'join', type: 'failed', what: 'no <leader>', log: ['line "1"', '\u001b[31mline 2'] },
  started('late', 4000),
];
const after = new Map([
  ['network', []],
  ['a', ['network']],
  ['b', ['network']],
  ['join', ['a', 'b']],
]);

describe('a timeline', () => {
  it('has start and end of every step, and leaves open what never ended', () => {
    const { steps, duration } = makeTimeline(events, after);
    expect(duration).toBe(5000);
    expect(steps.map(({ task, start, end, state }) => [task, start, end, state])).toEqual([
      ['network', 0, 400, 'done'],
      ['a', 400, 1200, 'done'],
      ['b', 410, 3000, 'done'],
      ['join', 3050, 5000, 'failed'],
      ['late', 4000, 5000, 'open'],
    ]);
  });
  it('marks the chain that the end waited for', () => {
    const timeline = makeTimeline(events, after);
    expect(timeline.steps.filter(({ critical }) => critical).map(({ task }) => task)).toEqual(['network', 'b', 'join']);
    expect(timeline.critical).toBe(400 + 2590 + 1950);
  });
  it('is empty without events', () => {
    expect(makeTimeline([])).toMatchObject({ duration: 0, steps: [], work: 0, critical: 0 });
  });
});

describe('as HTML', () => {
  const html = timelineHtml('up <run> & more', makeTimeline(events, after));
  it('escapes what came from machines', () => {
    expect(html).toContain('up &lt;run&gt; &amp; more');
    expect(html).toContain('no &lt;leader&gt;');
    expect(html).not.toContain('<leader>');
  });
  it('needs nothing from elsewhere, and runs no script', () => {
    expect(html).not.toMatch(/<script|src=|href=|url\(|https?:/);
    expect(html).toContain("default-src 'none'");
  });
  it('draws one bar a step, and the critical ones outlined', () => {
    expect(html.match(/<rect /g)).toHaveLength(5);
    expect(html.match(/<rect class="\w+ critical"/g)).toHaveLength(3);
  });
});

describe('history', () => {
  const run = {
    runId: '20261121T030000000Z-abc123',
    command: 'up',
    generation: 3,
    startedAt: t0,
    steps: 4,
    outcome: 'failed' as const,
    finishedAt: t0 + 5000,
    plan: aPlan(),
    events,
    result: undefined,
  };
  it('lists runs with when, how long and how they ended', () => {
    const cut = { ...run, runId: 'older', outcome: 'cut' as const, finishedAt: undefined };
    expect(historyView.human([run, cut], plainLook)).toMatchInlineSnapshot(`
      "RUN                         COMMAND  STARTED (UTC)         TOOK  STEPS  OUTCOME
      20261121T030000000Z-abc123  up       2026-11-21 03:00:00  5.0 s      4  failed
      older                       up       2026-11-21 03:00:00      -      4  cut"
    `);
    expect(historyView.human([], plainLook)).toBe('No run is recorded for this cluster.');
  });
  it('shows the steps of one run, and the log of what failed', () => {
    expect(runView.human(run, plainLook)).toMatchInlineSnapshot(`
      "20261121T030000000Z-abc123  up  2026-11-21 03:00:00 UTC  5.0 s  failed
      5 steps, 6.7 s of work in 5.0 s

         START    TOOK  STATE      STEP
          0 ms  400 ms  done       network
        400 ms  800 ms  done       a
        410 ms   2.6 s  done       b
         3.0 s   1.9 s  failed     create etcd.member/main.a
         4.0 s   1.0 s  not ended  late

      ✖ create etcd.member/main.a: no <leader>
          line "1"
          line 2"
    `);
  });
});
