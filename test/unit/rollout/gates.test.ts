import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { ManifestObject } from '../../../src/config/manifest-object.ts';
import type { Gate } from '../../../src/config/schema.ts';
import { UnreachableError } from '../../../src/errors.ts';
import type { KubeApi } from '../../../src/kube/client.ts';
import { KubeRefusal } from '../../../src/kube/http.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { runCommand } from '../../../src/rollout/gate-command.ts';
import { type GatePorts, runGate, runGates } from '../../../src/rollout/gates.ts';

const directory = mkdtempSync(join(tmpdir(), 'gates-'));
const place = { cluster: 'demo', wave: 'pools', machine: 'workers-a-1' };
const never = new AbortController().signal;
const gate = (more: Partial<Gate>): Gate => ({ name: 'smoke', timeout: '10s', after: 'machine', ...more });
const noCalls = (): never => {
  throw new Error('not expected');
};
const ports = (more: Partial<GatePorts> = {}): GatePorts => ({
  run: runCommand,
  directory,
  env: { PATH: process.env.PATH, OF_THE_CLI: 'yes' },
  lend: (_, use) => use('/tmp/kubeconfig of demo'),
  api: kube({}),
  jobs: new Map(),
  random: (bytes) => new Uint8Array(bytes).fill(0xab),
  ...more,
});

const failureOf = async (promise: Promise<unknown>): Promise<unknown> => promise.then(noCalls, (error: unknown) => error);
const lives = (pid: string): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid.trim()}/status`, 'utf8'));
  } catch {
    return false;
  }
};

describe('a command', () => {
  test('that exits with 0 lets the rollout go on, knowing where it stands', async () => {
    await runGate(
      gate({ command: 'echo "$SLIPWAY_CLUSTER $SLIPWAY_MACHINE $SLIPWAY_WAVE $KUBECONFIG $OF_THE_CLI $PWD" > out' }),
      place,
      ports(),
      never,
    );
    expect(readFileSync(join(directory, 'out'), 'utf8')).toBe(
      `demo workers-a-1 pools /tmp/kubeconfig of demo yes ${directory}\n`,
    );
  });
  test('given as a list is run without a shell', async () => {
    await runGate(gate({ command: ['sh', '-c', 'printf %s "$1" > arg', 'x', '$HOME; *'] }), place, ports(), never);
    expect(readFileSync(join(directory, 'arg'), 'utf8')).toBe('$HOME; *');
  });
  test('that fails stops the rollout with the last lines of what it said', async () => {
    const command = 'i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; echo not well >&2; exit 3';
    const error = await failureOf(runGate(gate({ command }), place, ports(), never));
    expect(error).toMatchObject({
      name: 'UserError',
      problem: {
        what: 'gate smoke failed after workers-a-1: exit code 3',
        why: expect.stringMatching(/line 99/),
        next: expect.stringContaining('goes on from here'),
      },
    });
    expect(String(error)).toContain('not well');
    expect(String(error)).not.toContain('line 50\n');
  });
  test('that does not end in time is ended, with what it has started', async () => {
    const command = 'sh -c \'trap "" TERM; echo $$ > stubborn; while :; do sleep 0.05; done\' & echo begun; wait';
    const started = performance.now();
    const error = await failureOf(runGate(gate({ command, timeout: '500ms' }), place, ports(), never));
    expect(error).toMatchObject({ problem: { what: 'gate smoke failed after workers-a-1: no end within 500ms', why: 'begun' } });
    expect(performance.now() - started).toBeLessThan(5000);
    await sleep(50);
    expect(lives(readFileSync(join(directory, 'stubborn'), 'utf8'))).toBe(false);
  });
  test('that ignores SIGTERM is killed', async () => {
    const error = await failureOf(
      runGate(gate({ command: "trap '' TERM; while :; do sleep 0.05; done", timeout: '200ms' }), place, ports(), never),
    );
    expect(error).toMatchObject({ problem: { what: expect.stringContaining('no end within 200ms') } });
  });
  test('is ended when the rollout is, and the reason is the one of that', async () => {
    const stop = new AbortController();
    const asked = failureOf(runGate(gate({ command: 'echo $$ > pid; sleep 60' }), place, ports(), stop.signal));
    while (!existsSync(join(directory, 'pid')) || readFileSync(join(directory, 'pid'), 'utf8') === '') await sleep(10);
    const reason = new Error('stopped');
    stop.abort(reason);
    expect(await asked).toBe(reason);
    expect(lives(readFileSync(join(directory, 'pid'), 'utf8'))).toBe(false);
  });
  test('that leaves something running in the background is not waited for, and nothing of it stays', async () => {
    const started = performance.now();
    await runGate(gate({ command: 'sleep 60 & echo $! > left' }), place, ports(), never);
    expect(performance.now() - started).toBeLessThan(20_000);
    await expect.poll(() => lives(readFileSync(join(directory, 'left'), 'utf8'))).toBe(false);
  });
  test('that prints without an end, and without a line, leaves no more than its last words', async () => {
    const command = "head -c 50000000 /dev/zero | tr '\\0' x; printf '\\nso much'; exit 1";
    const error = await failureOf(runGate(gate({ command }), place, ports(), never));
    expect(error).toMatchObject({ problem: { why: `${'x'.repeat(500)}\nso much` } });
  });
  test('does not outlive a process that ends at once (the last Ctrl-C)', async () => {
    const source = new URL('../../../src/rollout/gate-command.ts', import.meta.url).href;
    const argv = ['/bin/sh', '-c', 'trap "" TERM HUP; echo $$ > orphan; while :; do sleep 0.05; done'];
    const code = `const { runCommand } = await import(${JSON.stringify(source)});
      process.once('SIGINT', () => process.exit(130));
      runCommand({ argv: ${JSON.stringify(argv)}, cwd: '.', env: process.env, signal: new AbortController().signal });`;
    const cli = spawn(process.execPath, ['--input-type=module', '-e', code], { cwd: directory, stdio: 'ignore' });
    const pid = join(directory, 'orphan');
    while (!existsSync(pid) || readFileSync(pid, 'utf8') === '') await sleep(10);
    cli.kill('SIGINT');
    await once(cli, 'exit');
    while (lives(readFileSync(pid, 'utf8'))) await sleep(10);
  });
  test('that cannot be started fails', async () => {
    const error = await failureOf(runGate(gate({ command: ['./no-such-program'] }), place, ports(), never));
    expect(error).toMatchObject({
      problem: { what: 'gate smoke failed after workers-a-1: it could not be asked', why: expect.stringContaining('ENOENT') },
    });
  });
});

describe('gates are asked in the order of the file', () => {
  const log = join(directory, 'log');
  const say = (name: string, after: 'machine' | 'wave') => gate({ name, after, command: `echo ${name} >> log` });
  const all = [say('one', 'machine'), say('two', 'wave'), say('three', 'machine')];
  test('after a machine', async () => {
    writeFileSync(log, '');
    await runGates(all, place, ports(), never);
    expect(readFileSync(log, 'utf8')).toBe('one\nthree\n');
  });
  test('after a wave', async () => {
    writeFileSync(log, '');
    await runGates(all, { cluster: 'demo', wave: 'masters' }, ports(), never);
    expect(readFileSync(log, 'utf8')).toBe('two\n');
  });
  test('up to the first that fails', async () => {
    writeFileSync(log, '');
    await failureOf(
      runGates(
        [all[0], gate({ command: 'false' }), all[2]].filter((one) => one !== undefined),
        place,
        ports(),
        never,
      ),
    );
    expect(readFileSync(log, 'utf8')).toBe('one\n');
  });
});

/** What an API server answers about one Job. */
interface Answers {
  readonly refuse?: KubeRefusal;
  /** The conditions of the Job at each look; the last one stays. */
  readonly looks?: readonly (object[] | 'gone' | 'unreachable')[];
  readonly pods?: readonly object[];
  readonly log?: string;
}
function kube({ refuse, looks = [], pods = [], log = '' }: Answers, calls: string[] = [], applied: KubeObject[] = []): KubeApi {
  let look = 0;
  return {
    server: 'https://127.0.0.1',
    async apply(object) {
      calls.push(`apply ${object.metadata.name}`);
      if (refuse) throw refuse;
      applied.push(object);
      return object;
    },
    async get(name) {
      const answer = looks[Math.min(look++, looks.length - 1)] ?? [];
      if (answer === 'unreachable') throw new UnreachableError({ what: 'no answer' });
      return answer === 'gone' ? undefined : { ...name, metadata: { name: name.name }, status: { conditions: answer } };
    },
    async list(_, __, options) {
      calls.push(`list ${options?.namespace} ${options?.labelSelector}`);
      return pods.map((pod) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, ...pod }));
    },
    async raw(path) {
      calls.push(`raw ${path}`);
      return log;
    },
    async delete({ name }) {
      calls.push(`delete ${name}`);
    },
    pages: noCalls,
    watch: noCalls,
    evict: noCalls,
    patch: noCalls,
    patchStatus: noCalls,
    kind: noCalls,
    close: noCalls,
  };
}

describe('a Job', () => {
  const manifest: ManifestObject = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'smoke-test', labels: { mine: 'yes' } },
    spec: {
      backoffLimit: 0,
      template: {
        spec: {
          restartPolicy: 'Never',
          containers: [{ name: 'main', image: 'x', env: [{ name: 'SLIPWAY_WAVE', value: 'own' }] }],
        },
      },
    },
  };
  const complete = [{ type: 'Complete', status: 'True' }];
  const failed = [
    { type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded', message: 'Job has reached the specified backoff limit' },
  ];
  const jobGate = (more: Partial<Gate> = {}) => gate({ job: 'smoke.yaml', ...more });
  const ask = (answers: Answers, { calls = [] as string[], applied = [] as KubeObject[], signal = never, more = {} } = {}) =>
    runGate(jobGate(more), place, ports({ api: kube(answers, calls, applied), jobs: new Map([['smoke', manifest]]) }), signal);

  test('is made with a name of its own, waited for, and deleted', async () => {
    const calls: string[] = [];
    const applied: KubeObject[] = [];
    await ask({ looks: [[], [{ type: 'Complete', status: 'False' }], complete] }, { calls, applied });
    expect(calls).toEqual(['apply smoke-test-abababab', 'delete smoke-test-abababab']);
    expect(applied[0]).toMatchObject({
      metadata: { name: 'smoke-test-abababab', namespace: 'default', labels: { mine: 'yes', 'slipway.dev/gate': 'smoke' } },
      spec: { backoffLimit: 0, ttlSecondsAfterFinished: 600, activeDeadlineSeconds: 70 },
    });
    expect(applied[0]?.spec).toMatchObject({
      template: {
        metadata: { annotations: { 'slipway.dev/drain': 'skip' } },
        spec: {
          containers: [
            {
              env: [
                { name: 'SLIPWAY_CLUSTER', value: 'demo' },
                { name: 'SLIPWAY_MACHINE', value: 'workers-a-1' },
                { name: 'SLIPWAY_WAVE', value: 'own' },
              ],
            },
          ],
        },
      },
    });
  });
  test('that fails stops the rollout with the end of its log, and is deleted', async () => {
    const calls: string[] = [];
    const pod = {
      metadata: { name: 'smoke-test-abababab-x7', creationTimestamp: '2026-11-21T10:00:02Z' },
      spec: { containers: [{ name: 'main' }, { name: 'helper' }] },
      status: {
        containerStatuses: [
          { name: 'main', state: { terminated: { exitCode: 0 } } },
          { name: 'helper', state: { terminated: { exitCode: 1 } } },
        ],
      },
    };
    const older = { ...pod, metadata: { name: 'older', creationTimestamp: '2026-11-21T10:00:01Z' } };
    const error = await failureOf(ask({ looks: [[], failed], pods: [older, pod], log: 'asking\nno answer\n' }, { calls }));
    expect(error).toMatchObject({
      problem: {
        what: 'gate smoke failed after workers-a-1: BackoffLimitExceeded: Job has reached the specified backoff limit',
        where: 'Job default/smoke-test-abababab',
        why: 'asking\nno answer',
      },
    });
    expect(calls).toEqual([
      'apply smoke-test-abababab',
      'list default job-name=smoke-test-abababab',
      'raw /api/v1/namespaces/default/pods/smoke-test-abababab-x7/log?container=helper&tailLines=20&limitBytes=8000',
      'delete smoke-test-abababab',
    ]);
  });
  test.each([
    [
      'has no node',
      { status: { conditions: [{ type: 'PodScheduled', status: 'False', message: '0/3 nodes are available' }] } },
      'pod p has no node: 0/3 nodes are available',
    ],
    [
      'has no image',
      {
        status: {
          containerStatuses: [{ name: 'main', state: { waiting: { reason: 'ImagePullBackOff', message: 'not found' } } }],
        },
      },
      'container main of pod p does not start: ImagePullBackOff: not found',
    ],
  ])('that does not end in time since its pod %s says so', async (_, pod, why) => {
    const calls: string[] = [];
    const pods = [{ metadata: { name: 'p' }, spec: { containers: [{ name: 'main' }] }, ...pod }];
    const error = await failureOf(ask({ pods }, { calls, more: { timeout: '600ms' } }));
    expect(error).toMatchObject({ problem: { what: 'gate smoke failed after workers-a-1: no end within 600ms', why } });
    expect(calls.at(-1)).toBe('delete smoke-test-abababab');
  });
  test('is waited for also while no API server answers', async () => {
    await ask({ looks: ['unreachable', 'unreachable', complete] });
  });
  test('that somebody deletes has failed', async () => {
    expect(await failureOf(ask({ looks: [[], 'gone'] }))).toMatchObject({
      problem: { what: expect.stringContaining('somebody has deleted it') },
    });
  });
  test('that the API refuses has failed', async () => {
    const refuse = new KubeRefusal('/apis/batch/v1/namespaces/default/jobs', 422, {
      message: 'spec.template is invalid',
      reason: 'Invalid',
      details: { causes: [] },
    });
    expect(await failureOf(ask({ refuse }))).toMatchObject({
      problem: {
        what: 'gate smoke failed after workers-a-1: it could not be asked',
        why: expect.stringContaining('spec.template is invalid'),
      },
    });
  });
  test('is deleted when the rollout ends, and the reason is the one of that', async () => {
    const calls: string[] = [];
    const stop = new AbortController();
    const asked = failureOf(ask({}, { calls, signal: stop.signal }));
    await sleep(100);
    const reason = new Error('stopped');
    stop.abort(reason);
    expect(await asked).toBe(reason);
    expect(calls).toEqual(['apply smoke-test-abababab', 'delete smoke-test-abababab']);
  });
});
