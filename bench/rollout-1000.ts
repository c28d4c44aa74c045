/**
 * An upgrade of 1,000 workers, 1.35.4 → 1.36.3: a real API server, kwok for kubelets, machines and hosts in memory. `node bench/rollout-1000.ts [WORKERS]`
 * prints an object of numbers, and fails where a cap was not held at every moment, was never reached, or calls to the API grew with more than each node's own.
 *
 * - plan: seconds of a dry run, from the opened file to the plan, in a process of its own.
 * - overhead: seconds a node. Wall time of its turn and its gate, without its drain and without the pod that shows its health. These machines restart in no time and
 *   their nodes are always Ready, so all of it is Slipway's own, or waiting: as many turns as the cap allows share the cores with each other, the API server,
 *   etcd and kwok. Part by part: before, drain, change, verify, wait, pod (made, run by kwok, and seen), free (uncordoned, and on record), gate.
 * - memory: MB, the peak of the process that plans, or of the one that upgrades. The machines and hosts that are played lie in the same process.
 * - calls: to the API server, a node. Besides a few for all nodes together, that is its cordon and its end (GET, PATCH or apply, four in all), the mark that it
 *   is due, its pods' evictions, and the pod that is tried there (made and deleted). The kubelets' own are not counted.
 * - upgrade: seconds in all. ideal: what it would take if all but the drains took no time. cpu: seconds of the process, a node; apiCpu, etcdCpu, kwokCpu: of
 *   those that share its cores here, and not in a cluster.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setFlagsFromString } from 'node:v8';
import { up } from '../src/lifecycle/up.ts';
import { planUpgrade, upgrade } from '../src/lifecycle/upgrade.ts';
import { startKwok } from '../test/support/kwok.ts';
import { startLocalApi } from '../test/support/local-api.ts';
import { type Place, podsPerNode, ThousandNodes } from './rollout-1000-cluster.ts';
import { Calls, Turns, watchCordons } from './rollout-1000-watch.ts';

const before = '1.35.4';
const after = '1.36.3';

/** The API server and the kubelets; the cluster is made in one process, planned and upgraded in two others: those are measured. */
async function outside(workers: number): Promise<object> {
  // Thousands of objects, each written a few times between two compactions.
  process.env.ETCD_QUOTA = String(2 ** 31);
  // These have machines of their own in a cluster, and share two cores with what is measured here: they may have memory for it.
  process.env.GOGC = '400';
  const api = await startLocalApi(77, { 'etcd-compaction-interval': '1m' });
  // Of 1,000 kubelets that renew their leases every 10 s the processor would have most of its work.
  const kubelets = await startKwok(api, 200);
  const directory = mkdtempSync(join(tmpdir(), 'slipway-bench-'));
  const close = (): void => {
    rmSync(directory, { recursive: true, force: true });
    kubelets.close();
    api.close();
  };
  process.once('SIGTERM', () => {
    close();
    process.exit(1);
  });
  try {
    const place: Place = { server: api.server, credentials: api.credentials, workers, directory };
    await inChild('make', place);
    const { plan, memory: planning } = await inChild('plan', place);
    const cordons = await watchCordons(place);
    const programs = { api: api.pid, etcd: pidOf(api.etcd.root), kwok: kubelets.pid };
    const before = cpuSeconds(programs);
    const { memory, ...upgraded } = await inChild('upgrade', place);
    const cordoned = await cordons.most();
    const spent = Object.entries(cpuSeconds(programs)).map(
      ([name, seconds]) => [`${name}Cpu`, Math.round(((seconds - (before[name] ?? 0)) / workers) * 1000) / 1000] as const,
    );
    // What the API server saw, whatever our own events say.
    if (cordoned.all > capOf(place)) throw new Error(`${cordoned.all} workers were cordoned at once, of ${capOf(place)}`);
    if (cordoned.pool > poolCap) throw new Error(`${cordoned.pool} workers of one pool were cordoned at once, of ${poolCap}`);
    return {
      plan,
      memory: Math.max(planning ?? 0, memory ?? 0),
      ...upgraded,
      cordoned: cordoned.all,
      ...Object.fromEntries(spent),
    };
  } catch (error) {
    console.error(kubelets.log().slice(-1000));
    throw error;
  } finally {
    close();
  }
}
/** upgrade.maxDrains of the cluster, 5%; and its pools' maxUnavailable, 10% of 100. */
const capOf = ({ workers }: Place): number => Math.floor(workers / 20);
const poolCap = 10;

/** Of etcd, whose data lies below this directory. */
const pidOf = (directory: string): number | undefined =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => commandLine(pid).includes(`--data-dir\0${directory}/`));
function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    // It has just ended.
    return '';
  }
}

/** What each has used of the processors by now, in seconds. */
const cpuSeconds = (programs: Readonly<Record<string, number | undefined>>): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(programs).map(([name, pid]) => {
      const [, user, system] = /\) (?:\S+ ){11}(\d+) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
      return [name, (Number(user) + Number(system)) / 100];
    }),
  );

type Act = 'make' | 'plan' | 'upgrade';
async function inChild(act: Act, place: Place): Promise<Record<string, number>> {
  const child = spawn(process.execPath, [...process.execArgv, import.meta.filename, act], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(place));
  const [out, code] = await Promise.all([text(child.stdout), new Promise((done) => child.on('exit', done))]);
  if (code !== 0) throw new Error(`${act} ended with ${code}`);
  console.error(`${act}: ${out.trim()}`);
  return JSON.parse(out);
}

async function make(place: Place): Promise<object> {
  const cluster = new ThousandNodes(place);
  const { seconds } = await timed(() =>
    up(cluster.opened(before), { allowDataLoss: false, confirm: async () => true, lockWaitMs: 0 }),
  );
  cluster.save();
  const pods = await timed(() => cluster.populate());
  cluster.close();
  return { make: seconds, pods: pods.result, populate: pods.seconds };
}

async function plan(place: Place): Promise<object> {
  const cluster = new ThousandNodes(place);
  cluster.load();
  const { seconds, result } = await timed(() => planUpgrade(cluster.opened(after)));
  const turns = result.rollout.waves.flatMap(({ lanes }) => lanes.flatMap((lane) => lane.turns));
  if (turns.filter(({ role }) => role === 'worker').length !== place.workers)
    throw new Error(`only ${turns.length} turns are planned`);
  cluster.close();
  return { plan: seconds, memory: peakMb() };
}

async function measure(place: Place): Promise<object> {
  const cluster = new ThousandNodes(place);
  cluster.load();
  const turns = new Turns();
  const calls = new Calls();
  const { seconds, result } = await timed(() =>
    upgrade(cluster.opened(after, { emit: turns.emit }), {
      // Hosts in memory have no etcd to take a snapshot of.
      skipRecoveryPoint: true,
      allowDataLoss: false,
      asks: true,
      confirm: async () => true,
      lockWaitMs: 0,
      stopping: new AbortController().signal,
    }),
  );
  const { user, system } = process.cpuUsage();
  const figures = turns.figures();
  const cap = capOf(place);
  if (result.outcome !== 'done' || figures.turns !== place.workers) throw new Error(`${result.outcome}, ${figures.turns} turns`);
  if (figures.most !== cap) throw new Error(`${figures.most} workers were away at most, and ${cap} may and should be`);
  if (figures.mostOfPool > poolCap) throw new Error(`${figures.mostOfPool} of one pool were away, and ${poolCap} may be`);
  console.error(calls.told());
  calls.check({ nodes: place.workers, pods: place.workers * podsPerNode, seconds });
  cluster.close();
  const each = (sum: number): number => Math.round((sum / place.workers) * 1000) / 1000;
  return {
    memory: peakMb(),
    upgrade: seconds,
    ideal: Math.round((figures.drain * figures.turns) / cap),
    cpu: each((user + system) / 1e6),
    calls: each(calls.all),
    ...figures,
  };
}

const peakMb = (): number => Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024);

async function timed<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly seconds: number }> {
  const started = performance.now();
  const result = await work();
  return { result, seconds: Math.round(performance.now() - started) / 1000 };
}

const acts = { make, plan, upgrade: measure };
// As bin/cluster.js has it.
setFlagsFromString('--heap-growing-percent=40');
const isAct = (name: string): name is Act => Object.hasOwn(acts, name);
const [, , wanted = '1000'] = process.argv;
console.log(
  JSON.stringify(isAct(wanted) ? await acts[wanted](JSON.parse(await text(process.stdin))) : await outside(Number(wanted))),
);
