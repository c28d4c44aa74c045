import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type Status, statusSchema } from '../../../src/health/status.ts';
import type { DownResult } from '../../../src/lifecycle/down.ts';
import type { UpResult } from '../../../src/lifecycle/up.ts';
import type { Event } from '../../../src/run/events.ts';
import { downView } from '../../../src/ui/down-view.ts';
import { findingsView } from '../../../src/ui/findings-view.ts';
import { openLive } from '../../../src/ui/live.ts';
import { statusView } from '../../../src/ui/status-view.ts';
import { plainLook } from '../../../src/ui/style.ts';
import { upView } from '../../../src/ui/up-view.ts';
import { render } from '../../../src/ui/view.ts';

describe('findings', () => {
  const findings = [
    { severity: 'ok', check: 'docker.reachable', what: 'Docker answers' },
    {
      severity: 'warning',
      check: 'config.two-in-one-zone',
      what: 'two of three etcd members in zone a',
      where: 'cluster.yaml:7:3',
      next: 'add a zone',
    },
    {
      severity: 'error',
      check: 'config.unknown-key',
      what: 'unknown key "zone"',
      where: 'cluster.yaml:3:1',
      why: 'did you mean "zones"?',
    },
  ] as const;
  it('come worst first, with where and what to do, and what is well is counted', () => {
    expect(findingsView.human({ subject: './cluster.yaml', findings }, plainLook)).toMatchInlineSnapshot(`
      "cluster.yaml:3:1: error: unknown key "zone" [config.unknown-key]
        did you mean "zones"?
      cluster.yaml:7:3: warning: two of three etcd members in zone a [config.two-in-one-zone]
        Next: add a zone
      ✖ ./cluster.yaml: 1 error, 1 warning, 1 check passed"
    `);
  });
  it('say so when nothing is wrong', () => {
    expect(findingsView.human({ subject: 'demo', findings: [] }, plainLook)).toBe('✔ demo: nothing wrong');
  });
  it('are all there as JSON, with counts', () => {
    expect(findingsView.json?.({ subject: 'demo', findings })).toMatchObject({
      formatVersion: 1,
      errors: 1,
      warnings: 1,
      findings,
    });
  });
});

const now = Date.UTC(2026, 10, 21, 3, 0, 0);
const status: Status = {
  formatVersion: 1,
  cluster: 'demo',
  provider: 'local',
  at: now,
  exists: true,
  api: { url: 'https://127.0.0.1:40123', state: 'ready' },
  zones: [{ name: 'a', machines: { up: 2, of: 3 }, nodes: { up: 1, of: 2 } }],
  machines: [
    { name: 'etcd-a', role: 'etcd', zone: 'a', address: '172.30.0.10', state: 'running', notes: [] },
    { name: 'master-a', role: 'master', zone: 'a', address: '172.30.0.11', state: 'stopped', notes: ['exited with 137'] },
  ],
  nodes: [
    {
      name: 'workers-a-1',
      zone: 'a',
      role: 'worker',
      pool: 'workers',
      ready: true,
      lacksPodNetwork: false,
      cordoned: true,
      kubelet: '1.36.3',
      notes: [],
    },
  ],
  etcd: [
    {
      cluster: 'main',
      quorum: 'at-risk',
      members: [
        { name: 'etcd-a', state: 'healthy', leader: true, version: '3.6.16', dbBytes: 9_500_000, quotaBytes: 8e9, alarms: [] },
        {
          name: 'etcd-b',
          state: 'unknown',
          leader: false,
          version: undefined,
          dbBytes: undefined,
          quotaBytes: undefined,
          alarms: [],
          why: 'no answer',
        },
      ],
    },
  ],
  versions: {
    wanted: '1.36.3',
    inForce: '1.35.4',
    running: [
      { component: 'kubelet', version: '1.35.4', on: ['workers-a-1'] },
      { component: 'kubelet', version: '1.36.3', on: ['workers-b-1'] },
    ],
    silent: [],
    skew: ['kubelet 1.36.3 on workers-b-1 is newer than an API server'],
  },
  certificates: [
    { name: 'master-a.apiserver', authority: 'kubernetes', notAfter: now + 90 * 86_400_000, state: 'fresh' },
    { name: 'etcd-a.peer', authority: 'etcd-peer', notAfter: now + 5 * 86_400_000, state: 'due' },
  ],
  drift: { now: ['host.units/master-a: kubelet.service is not running'], left: [], unknown: [] },
  findings: [{ severity: 'error', check: 'etcd.quorum', what: 'etcd main: one more failure loses the quorum' }],
};

describe('status', () => {
  it('is one screen that shows what is not as it should be', () => {
    expect(statusView.human(status, plainLook)).toMatchInlineSnapshot(`
      "demo  Kubernetes 1.35.4, cluster.yaml asks for 1.36.3  local  2026-11-21 03:00:00 UTC
      API https://127.0.0.1:40123 ready
      kubelet: 1.35.4 on workers-a-1; 1.36.3 on workers-b-1
      skew: kubelet 1.36.3 on workers-b-1 is newer than an API server

      Zones
      ZONE  MACHINES  NODES READY
      a     2/3       1/2

      Machines
      NAME      ROLE    ZONE  ADDRESS      STATE    NOTES
      etcd-a    etcd    a     172.30.0.10  running
      master-a  master  a     172.30.0.11  stopped  exited with 137

      Nodes
      NAME         ROLE              ZONE  STATE            KUBELET  NOTES
      workers-a-1  worker (workers)  a     Ready, cordoned  1.36.3

      etcd main: 2 members, quorum at-risk
      MEMBER  STATE            VERSION  DATABASE          ALARMS
      etcd-a  healthy, leader  3.6.16   9.5 MB of 8.0 GB  -
      etcd-b  unknown          -        -                 no answer

      Certificates
      1 of 2 fresh; first to expire: etcd-a.peer, in 5 days
      NAME         AUTHORITY  STATE  EXPIRES
      etcd-a.peer  etcd-peer  due    in 5 days

      Drift
      ~ host.units/master-a: kubelet.service is not running  cluster up

      Findings
      error: etcd main: one more failure loses the quorum [etcd.quorum]"
    `);
  });
  it('says when there is no cluster', () => {
    expect(statusView.human({ ...status, exists: false }, plainLook)).toBe('demo: does not exist yet. Next: cluster up');
  });
});

describe('progress without a terminal', () => {
  const show = async (mode: 'lines' | 'json', verbose: boolean, events: readonly Event[]) => {
    const texts = { out: '', err: '' };
    const sink = (name: 'out' | 'err') =>
      Object.assign(new PassThrough(), {}).on('data', (chunk) => {
        texts[name] += chunk;
      });
    const view = await openLive({
      mode,
      verbose,
      look: plainLook,
      out: sink('out'),
      err: sink('err') as unknown as NodeJS.WriteStream,
    });
    for (const event of events) view.on(event);
    view.stop();
    await new Promise(setImmediate);
    return texts;
  };
  const events: readonly Event[] = [
    { at: 0, task: 'x', type: 'started', title: 'fetch etcd' },
    { at: 500, task: 'x', type: 'progress', message: 'fetching', amount: { done: 12e6, of: 60e6, unit: 'bytes' } },
    { at: 2000, task: 'x', type: 'failed', what: 'disk full\u001b[2J', log: ['last line'] },
    { at: 2000, task: 'y', type: 'cut', because: 'Interrupted' },
  ];
  it('is one line when a task ends, with the log of what failed', async () => {
    expect(await show('lines', false, events)).toEqual({
      out: '',
      err: '✖ fetch etcd 2.0 s\n  disk full\n    last line\n■ y cut: Interrupted\n',
    });
  });
  it('says now and then what a long one waits for', async () => {
    const waiting = [1, 14, 16, 20, 29, 32].map(
      (second): Event => ({
        at: second * 1000,
        task: 'x',
        type: 'progress',
        message: `drain: web-1 after ${second} s`,
      }),
    );
    const { err } = await show('lines', false, [{ at: 0, task: 'x', type: 'started', title: 'worker-a' }, ...waiting]);
    expect(err).toBe('  worker-a: drain: web-1 after 16 s\n  worker-a: drain: web-1 after 32 s\n');
  });
  it('says more with -v', async () => {
    expect((await show('lines', true, events)).err).toContain('… fetch etcd\n  fetch etcd: fetching 12.0 MB of 60.0 MB\n');
  });
  it('is the events themselves on stdout as JSON', async () => {
    const { out, err } = await show('json', false, events);
    expect(err).toBe('');
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(events);
  });
});

describe('what programs read', () => {
  it('is, of a status, what its published schema says', () => {
    const written: unknown = JSON.parse(render(statusView, status, 'json', plainLook));
    expect(statusSchema.parse(written)).toEqual(written);
  });
  it('tells its format, of up and down too', () => {
    const up: UpResult = { cluster: 'demo', runId: 'r', outcome: 'done', changed: 1, left: [], findings: [] };
    const down: DownResult = { cluster: 'demo', outcome: 'done', deleted: 1, kept: [] };
    expect(JSON.parse(render(upView, up, 'json', plainLook))).toEqual({ formatVersion: 1, ...up });
    expect(JSON.parse(render(downView, down, 'json', plainLook))).toEqual({ formatVersion: 1, ...down });
  });
});
