/**
 * An upgrade of 1,000 workers, 1.35.4 → 1.36.3: a real API server, kwok for kubelets, machines and hosts in memory. `node bench/rollout-1000.ts [WORKERS]`
 * prints {"plan", "overhead", "memory", ...}: seconds of planning, seconds a node, peak MB of the process that plans and upgrades.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { up } from '../src/lifecycle/up.ts';
import { planUpgrade, upgrade } from '../src/lifecycle/upgrade.ts';
import type { Event } from '../src/run/events.ts';
import { startKwok } from '../test/support/kwok.ts';
import { startLocalApi } from '../test/support/local-api.ts';
import { type Place, ThousandNodes } from './rollout-1000-cluster.ts';

const before = '1.35.4';
const after = '1.36.3';

/** The API server and the kubelets; the cluster is made in one process, planned and upgraded in another: that one is measured. */
async function outside(workers: number): Promise<object> {
  // Thousands of objects, each written a few times between two compactions.
  process.env.ETCD_QUOTA = String(2 ** 31);
  const api = await startLocalApi(77, { 'etcd-compaction-interval': '1m' });
  const kubelets = await startKwok(api);
  const directory = mkdtempSync(join(tmpdir(), 'slipway-bench-'));
  try {
    const place: Place = { server: api.server, credentials: api.credentials, workers, directory };
    await inChild('make', place);
    return JSON.parse(await inChild('upgrade', place));
  } catch (error) {
    console.error(kubelets.log().slice(-1000));
    throw error;
  } finally {
    rmSync(directory, { recursive: true, force: true });
    kubelets.close();
    api.close();
  }
}

async function inChild(act: 'make' | 'upgrade', place: Place): Promise<string> {
  const child = spawn(process.execPath, [import.meta.filename, act], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(place));
  const [out, code] = await Promise.all([text(child.stdout), new Promise((done) => child.on('exit', done))]);
  if (code !== 0) throw new Error(`${act} ended with ${code}`);
  return out;
}

async function make(place: Place): Promise<void> {
  const cluster = new ThousandNodes(place);
  const made = await timed(() => up(cluster.opened(before), { allowDataLoss: false, confirm: async () => true, lockWaitMs: 0 }));
  cluster.save();
  const pods = await timed(() => cluster.populate());
  console.error(`made in ${made.seconds} s, ${pods.result} pods in ${pods.seconds} s`);
  cluster.close();
}

async function measure(place: Place): Promise<void> {
  const cluster = new ThousandNodes(place);
  cluster.load();
  const planned = await timed(() => planUpgrade(cluster.opened(after)));
  console.error(`planned in ${planned.seconds} s, peak ${peakMb()} MB`);
  const watch = new Watch();
  const listed = new Map(await cluster.lists());
  const cpu = process.cpuUsage();
  const upgraded = await timed(() =>
    upgrade(cluster.opened(after, { emit: watch.emit }), {
      // Hosts in memory have no etcd to take a snapshot of.
      skipRecoveryPoint: true,
      allowDataLoss: false,
      confirm: async () => true,
      lockWaitMs: 0,
      stopping: new AbortController().signal,
    }),
  );
  const { user, system } = process.cpuUsage(cpu);
  const lists = (await cluster.lists()).map(([resource, count]) => [resource, count - (listed.get(resource) ?? 0)] as const);
  const cap = place.workers / 20;
  if (watch.figures().most !== cap)
    throw new Error(`${watch.figures().most} workers were away at most, and ${cap} may and should be`);
  // A poll is for all nodes, not one for each.
  for (const [resource, count] of lists)
    if (resource !== 'leases' && count > 30) throw new Error(`${resource} were listed ${count} times`);
  console.error(`lists: ${lists.map(([resource, count]) => `${count} ${resource}`).join(', ')}`);
  const figures = {
    plan: planned.seconds,
    memory: peakMb(),
    upgrade: upgraded.seconds,
    cpu: Math.round((user + system) / 1e4) / 100,
  };
  console.log(JSON.stringify({ ...figures, ...watch.figures() }));
  cluster.close();
}

/**
 * What the events say of workers' turns: how long they took, how long of that their drains did, and how many ran at once. Everything but
 * the drain is overhead: these machines restart in no time, and their nodes are always Ready.
 */
class Watch {
  readonly #begun = new Map<string, number>();
  readonly #seconds = { turn: 0, drain: 0, restart: 0, verify: 0 };
  #turns = 0;
  #away = 0;
  #most = 0;

  emit = ({ type, task }: Pick<Event, 'type' | 'task'>): void => {
    const kind = kindOf(task);
    if (!kind) return;
    const now = performance.now();
    if (type === 'started') {
      this.#begun.set(task, now);
      if (kind === 'turn') this.#most = Math.max(this.#most, ++this.#away);
    } else if (type !== 'progress') {
      this.#seconds[kind] += (now - (this.#begun.get(task) ?? now)) / 1000;
      if (kind !== 'turn') return;
      this.#away--;
      this.#turns++;
    }
  };
  figures() {
    const { turn, drain, restart, verify } = this.#seconds;
    const each = (sum: number): number => Math.round((sum / this.#turns) * 1000) / 1000;
    return {
      overhead: each(turn - drain),
      turn: each(turn),
      drain: each(drain),
      restart: each(restart),
      verify: each(verify),
      turns: this.#turns,
      most: this.#most,
    };
  }
}
function kindOf(task: string): 'turn' | 'drain' | 'restart' | 'verify' | undefined {
  if (/^pools \S+\/pool\S+$/.test(task)) return 'turn';
  if (/^drain pool/.test(task)) return 'drain';
  if (/^restart .* pool\S+$/.test(task)) return 'restart';
  return /^verify kube.node\/pool/.test(task) ? 'verify' : undefined;
}

const peakMb = (): number => Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024);

async function timed<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly seconds: number }> {
  const started = performance.now();
  const result = await work();
  return { result, seconds: Math.round(performance.now() - started) / 1000 };
}

const [, , act = '1000'] = process.argv;
if (act === 'make') await make(JSON.parse(await text(process.stdin)));
else if (act === 'upgrade') await measure(JSON.parse(await text(process.stdin)));
else console.log(JSON.stringify(await outside(Number(act))));
