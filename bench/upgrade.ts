/**
 * The cluster of examples/local from 1.35.4 to 1.36.3 under a steady load (hard part 23), on real machines: `in-place` or `replace`, and a file to keep
 * the events in. Prints one JSON object; every failed request goes to stderr, with what the upgrade was at just then.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { eventsIn, type RunEvent, removeLeftovers, TestCluster } from '../test/support/cli.ts';
import { explained, failuresOf, openLoad, summary } from '../test/support/load/load.ts';
import { assetCache } from '../test/support/local-etcd.ts';
import { ensureTestapp } from '../test/support/testapp.ts';

const [from, to] = ['1.35.4', '1.36.3'];
const machines = '10.217.0.0/16';
const [, , wanted, eventsFile] = process.argv;
const strategy = wanted === 'replace' ? 'replace' : 'in-place';
const example = readFileSync(fileURLToPath(new URL('../examples/local/cluster.yaml', import.meta.url)), 'utf8');
const cluster = new TestCluster(`bench-${strategy}`, (name) =>
  example
    .replace(/^name: .*$/m, `name: ${name}`)
    .concat(`    upgrade: { strategy: ${strategy} }\nnetwork: { machines: ${machines} }\nkubernetes: { version: ${from} }\n`),
);
const quiet = 5_000;

await Promise.all([removeLeftovers(cluster.name), ensureTestapp(assetCache)]);
try {
  await cluster.must('up', '--yes');
  const load = await openLoad(cluster, {
    version: from,
    machines,
    zones: ['a', 'b', 'c'],
    pool: 'workers',
    workers: 3,
    perZone: 2,
  });
  try {
    console.log(JSON.stringify(await upgraded(load)));
  } finally {
    await load.remove();
  }
} finally {
  await cluster.remove();
}

async function upgraded(load: Awaited<ReturnType<typeof openLoad>>): Promise<Readonly<Record<string, number>>> {
  const traffic = await load.start();
  await sleep(quiet);
  cluster.edit((yaml) => yaml.replace(`version: ${from}`, `version: ${to}`));
  const began = performance.now();
  const run = await cluster.run('upgrade', '--yes', '-o', 'json');
  const ms = performance.now() - began;
  await sleep(quiet);
  const result = await traffic.stop();
  const events = eventsIn(run.stdout);
  if (eventsFile) writeFileSync(eventsFile, run.stdout);
  const failures = failuresOf(result);
  console.error(`${strategy}: ${Math.round(ms)} ms\n${summary(result)}`);
  for (const line of explained(failures, events)) console.error(line);
  if (failures.length > 0) console.error(result.balancer.join('\n'));
  if (run.code !== 0) throw new Error(`cluster upgrade ended with ${run.code}\n${run.stderr.slice(-4000)}`);
  const plan = await cluster.run('plan', '--detailed-exitcode');
  if (plan.code !== 0) throw new Error(`after the upgrade the plan is not empty (${plan.code})\n${plan.stdout}`);
  const versions = await load.kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].status.nodeInfo.kubeletVersion}');
  if (new Set(versions.split(' ')).size !== 1 || !versions.includes(to)) throw new Error(`kubelets after it: ${versions}`);
  const turns = events.filter(({ task, type }) => isTurn(task) && type === 'done');
  const spent = shares(events);
  const own = ms - (spent.drain + spent.restart + spent.machine + spent.health);
  console.error(`${turns.length} turns; ms: ${JSON.stringify(spent)}; own ${Math.round(own)}`);
  return {
    seconds: Math.round(ms) / 1000,
    failedRequests: failures.length,
    overhead: Math.round(own / Math.max(1, turns.length)) / 1000,
  };
}

type Part = 'drain' | 'restart' | 'machine' | 'health';
/** Where time goes that is not this program's own: pods leave, units restart, machines boot, and members, nodes and addons come to be well. */
function partOf(task: string): Part | undefined {
  if (task.startsWith('drain ') || task.startsWith('leave ')) return 'drain';
  if (task.startsWith('restart ')) return 'restart';
  if (task.includes('local.machine/')) return 'machine';
  return /^(verify |gate|pod on )/.test(task) || /(kube\.node|kube\.api|kube\.ready|etcd\.member)\//.test(task)
    ? 'health'
    : undefined;
}
function isTurn(task: string): boolean {
  return /^\S+ \d+\.\d+\.\d+\/\S+$/.test(task);
}

/** What at least one task of each part took, in milliseconds; a moment counts once, for the first of them. After its last step a turn only looks whether all stays well. */
function shares(events: readonly RunEvent[]): Readonly<Record<Part | 'rest', number>> {
  const running = new Set<string>();
  const total: Record<Part | 'rest', number> = { drain: 0, restart: 0, machine: 0, health: 0, rest: 0 };
  const turnEnds = events.filter(({ task, type }) => isTurn(task) && type === 'done');
  let last: RunEvent | undefined;
  for (const event of events) {
    if (last) {
      const parts = [...running].flatMap((task) => partOf(task) ?? []);
      const stays = turnEnds.includes(event) && parts.length === 0;
      total[parts[0] ?? (stays ? 'health' : 'rest')] += event.at - last.at;
    }
    if (event.type === 'started') running.add(event.task);
    else if (event.type !== 'progress') running.delete(event.task);
    last = event;
  }
  return total;
}
