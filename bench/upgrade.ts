/**
 * The cluster of examples/local from 1.35.4 to 1.36.3 under a steady load (hard part 23), on real machines: `in-place` or `replace`. Prints one JSON
 * object; every failed request goes to stderr, with what the upgrade was at just then.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { eventsIn, type RunEvent, removeLeftovers, TestCluster } from '../test/support/cli.ts';
import { explained, openLoad, summary } from '../test/support/load/load.ts';
import { assetCache } from '../test/support/local-etcd.ts';
import { ensureTestapp } from '../test/support/testapp.ts';

const [from, to] = ['1.35.4', '1.36.3'];
const machines = '10.217.0.0/16';
const strategy = process.argv[2] === 'replace' ? 'replace' : 'in-place';
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
  const failures = [...result.api.failures, ...result.app.failures];
  console.error(`${strategy}: ${Math.round(ms)} ms\n${summary(result)}`);
  for (const line of explained(failures, events)) console.error(line);
  if (failures.length > 0) console.error(result.balancer.join('\n'));
  if (run.code !== 0) throw new Error(`cluster upgrade ended with ${run.code}\n${run.stderr.slice(-4000)}`);
  const plan = await cluster.run('plan', '--detailed-exitcode');
  if (plan.code !== 0) throw new Error(`after the upgrade the plan is not empty (${plan.code})\n${plan.stdout}`);
  const versions = await load.kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].status.nodeInfo.kubeletVersion}');
  if (new Set(versions.split(' ')).size !== 1 || !versions.includes(to)) throw new Error(`kubelets after it: ${versions}`);
  const turns = machinesIn(events);
  console.error(`${turns.size} machines: ${[...turns].join(', ')}`);
  return {
    seconds: Math.round(ms) / 1000,
    failedRequests: failures.length,
    overhead: Math.round((ms - programsMs(events)) / Math.max(1, turns.size)) / 1000,
  };
}

/** Tasks in which programs of the cluster itself do something: pods leave, units restart, members and nodes come to be healthy. */
const isProgram = (task: string): boolean =>
  /^(drain|gate|wait)\b|host\.units\/|local\.machine\/|kube\.node\/|kube\.api\/|etcd\.member\//.test(task);
function machinesIn(events: readonly RunEvent[]): ReadonlySet<string> {
  return new Set(events.flatMap(({ task }) => /host\.units\/(\S+)/.exec(task)?.[1] ?? []));
}
/** How long at least one of them was under way, in milliseconds: the rest is this program's own. */
function programsMs(events: readonly RunEvent[]): number {
  const running = new Set<string>();
  let [total, since] = [0, 0];
  for (const { at, task, type } of events) {
    if (!isProgram(task) || type === 'progress') continue;
    if (type === 'started') {
      if (running.size === 0) since = at;
      running.add(task);
    } else if (running.delete(task) && running.size === 0) total += at - since;
  }
  return total;
}
