import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Budget {
  readonly unit: 's' | 'MB' | 'calls' | 'times' | 'requests';
  readonly most: number;
}
export interface Measurement {
  readonly names: readonly string[];
  readonly budgets: Readonly<Record<string, Budget>>;
  /** One run: a value a name. */
  measure(): Promise<Readonly<Record<string, number>>>;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const cli = join(root, 'bin/cluster.js');
const seconds = (ms: number): number => Math.round(ms) / 1000;

/** Wall time and peak memory (of the process itself, from /proc) of one command of the CLI. Its output goes to stderr. */
async function command(
  args: readonly string[],
  options: { quiet?: boolean; cwd?: string } = {},
): Promise<{ ms: number; peakMb: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, [cli, ...args], {
    cwd: options.cwd ?? root,
    stdio: ['ignore', options.quiet ? 'ignore' : 2, 2],
  });
  let peakKb = 0;
  const sample = setInterval(() => {
    try {
      peakKb = Math.max(peakKb, Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0));
    } catch {
      // It has ended.
    }
  }, 50);
  const code = await new Promise<number | null>((done) => child.on('exit', done));
  clearInterval(sample);
  if (code !== 0) throw new Error(`cluster ${args.join(' ')} ended with ${code}`);
  return { ms: performance.now() - started, peakMb: peakKb / 1024 };
}

const example = join(root, 'examples/local/cluster.yaml');
const within = (args: readonly string[], file: string): readonly string[] => [...args, '-f', file];

export const measurements: readonly Measurement[] = [
  {
    names: ['up', 'up-memory', 'up-again', 'plan', 'down'],
    budgets: {
      up: { unit: 's', most: 40 },
      'up-memory': { unit: 'MB', most: 250 },
      'up-again': { unit: 's', most: 4 },
      plan: { unit: 's', most: 3 },
      down: { unit: 's', most: 10 },
    },
    async measure() {
      const directory = mkdtempSync(join(tmpdir(), 'slipway-bench-'));
      const file = join(directory, 'cluster.yaml');
      writeFileSync(
        file,
        readFileSync(example, 'utf8')
          .replace(/^name: .*$/m, 'name: bench')
          .concat('network: { machines: 10.213.0.0/16 }\n'),
      );
      try {
        const up = await command(within(['up', '--yes'], file));
        const again = await command(within(['up', '--yes'], file));
        const plan = await command(within(['plan', '--detailed-exitcode'], file));
        const down = await command(within(['down', '--yes', '--allow-data-loss'], file));
        return {
          up: seconds(up.ms),
          'up-memory': Math.round(Math.max(up.peakMb, again.peakMb)),
          'up-again': seconds(again.ms),
          plan: seconds(plan.ms),
          down: seconds(down.ms),
        };
      } finally {
        await command(within(['down', '--yes', '--allow-data-loss'], file)).catch(() => undefined);
        rmSync(directory, { recursive: true, force: true });
      }
    },
  },
  {
    names: ['help'],
    budgets: { help: { unit: 's', most: 0.25 } },
    measure: async () => ({ help: seconds((await command(['--help'], { quiet: true })).ms) }),
  },
  {
    names: ['validate'],
    budgets: { validate: { unit: 's', most: 0.4 } },
    measure: async () => ({ validate: seconds((await command(within(['validate'], example), { quiet: true })).ms) }),
  },
  {
    names: ['plan-5000', 'plan-5000-memory'],
    budgets: { 'plan-5000': { unit: 's', most: 1 }, 'plan-5000-memory': { unit: 'MB', most: 400 } },
    measure: () => script('bench/plan-5000.ts'),
  },
  // On the emulator behind the proxy of the tests, the infrastructure alone; what counts as a call: bench/aws.ts.
  {
    names: ['aws-plan-1000', 'aws-plan-1000-calls', 'aws-plan-1000-memory'],
    budgets: {
      'aws-plan-1000': { unit: 's', most: 5 },
      'aws-plan-1000-calls': { unit: 'calls', most: 40 },
      'aws-plan-1000-memory': { unit: 'MB', most: 500 },
    },
    async measure() {
      const { seconds, calls, peakMb } = await script('bench/aws.ts', 'plan', 'examples/aws/large.yaml');
      return numbers({ 'aws-plan-1000': seconds, 'aws-plan-1000-calls': calls, 'aws-plan-1000-memory': peakMb });
    },
  },
  {
    names: ['aws-plan-ha-calls'],
    budgets: { 'aws-plan-ha-calls': { unit: 'calls', most: 15 } },
    async measure() {
      const { calls } = await script('bench/aws.ts', 'plan', 'examples/aws/ha.yaml');
      return numbers({ 'aws-plan-ha-calls': calls });
    },
  },
  {
    names: ['aws-up-1000'],
    // Of the time that the throttle of 20 requests a second alone makes it take. One that fails, fails the measurement.
    budgets: { 'aws-up-1000': { unit: 'times', most: 1.5 } },
    async measure() {
      const { times } = await script('bench/aws.ts', 'up', 'examples/aws/large.yaml', '20');
      return numbers({ 'aws-up-1000': times });
    },
  },
  // On real machines under a steady load; what counts as failed, and as the program's own time: bench/upgrade.ts.
  {
    names: ['upgrade-in-place', 'upgrade-in-place-failed-requests', 'upgrade-overhead'],
    budgets: {
      'upgrade-in-place': { unit: 's', most: 120 },
      'upgrade-in-place-failed-requests': { unit: 'requests', most: 0 },
      'upgrade-overhead': { unit: 's', most: 2 },
    },
    async measure() {
      const { seconds, failedRequests, overhead } = await script('bench/upgrade.ts', 'in-place');
      return numbers({
        'upgrade-in-place': seconds,
        'upgrade-in-place-failed-requests': failedRequests,
        'upgrade-overhead': overhead,
      });
    },
  },
  {
    names: ['upgrade-replace', 'upgrade-replace-failed-requests'],
    budgets: {
      'upgrade-replace': { unit: 's', most: 150 },
      'upgrade-replace-failed-requests': { unit: 'requests', most: 0 },
    },
    async measure() {
      const { seconds, failedRequests } = await script('bench/upgrade.ts', 'replace');
      return numbers({ 'upgrade-replace': seconds, 'upgrade-replace-failed-requests': failedRequests });
    },
  },
  // A real API server with kwok for kubelets, machines in memory; what counts as overhead: bench/rollout-1000.ts.
  {
    names: ['rollout-1000-overhead', 'rollout-1000-plan', 'rollout-1000-memory', 'rollout-1000-calls'],
    budgets: {
      'rollout-1000-overhead': { unit: 's', most: 1 },
      'rollout-1000-plan': { unit: 's', most: 5 },
      'rollout-1000-memory': { unit: 'MB', most: 500 },
      // A node: seven of its own, four evictions, and its share of what is asked for all.
      'rollout-1000-calls': { unit: 'calls', most: 13 },
    },
    async measure() {
      const { overhead, plan, memory, calls } = await script('bench/rollout-1000.ts');
      return numbers({
        'rollout-1000-overhead': overhead,
        'rollout-1000-plan': plan,
        'rollout-1000-memory': memory,
        'rollout-1000-calls': calls,
      });
    },
  },
];

/** A script of this directory in a process of its own, which prints an object of numbers. */
function script(...args: readonly [string, ...string[]]): Promise<Readonly<Record<string, number>>> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [...args], { cwd: root, stdio: ['ignore', 'pipe', 2] });
    let out = '';
    child.stdout?.on('data', (data) => {
      out += String(data);
    });
    child.on('exit', (code) => (code === 0 ? done(JSON.parse(out)) : fail(new Error(`${args.join(' ')} ended with ${code}`))));
  });
}
const numbers = (values: Readonly<Record<string, number | undefined>>): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value ?? Number.NaN]));
