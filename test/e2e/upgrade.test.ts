import { createHash } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dockerClient, type Ended, ended, eventsIn, type RunEvent, removeLeftovers, TestCluster } from '../support/cli.ts';
import { explained, failuresOf, type Load, openLoad, summary } from '../support/load/load.ts';
import { assetCache } from '../support/local-etcd.ts';
import { ensureTestapp } from '../support/testapp.ts';

/**
 * One upgrade of a highly available cluster, from one minor version to the next, in place: looked at before, kept from beginning, stopped by a gate,
 * by Ctrl-C and by SIGKILL, and gone on with each time, while a client of the API and one of an application count every request that fails.
 * Tests follow one another on one cluster.
 */
const [before, after] = ['1.35.4', '1.36.3'] as const;
const machines = '10.218.0.0/16';
const cluster = new TestCluster(
  'upgrade',
  (name) => `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [a, b, c]
network: { machines: ${machines} }
kubernetes: { version: ${before} }
upgrade:
  gates:
    - name: flag
      command: test ! -e hold || { echo the flag is up; exit 3; }
pools:
  - name: workers
    count: 3
    upgrade: { drain: { timeout: 60s } }
`,
);
const masters = ['master-a', 'master-b', 'master-c'] as const;
const workers = ['workers-a-1', 'workers-b-1', 'workers-c-1'] as const;
const hold = join(cluster.directory, 'hold');
let load: Load;

beforeAll(async () => {
  await Promise.all([removeLeftovers(cluster.name), ensureTestapp(assetCache)]);
  await cluster.must('up', '--yes');
  const pool = { zones: ['a', 'b', 'c'], pool: 'workers', workers: 3, perZone: 1 };
  load = await openLoad(cluster, { version: before, machines, ...pool });
  cluster.edit((yaml) => yaml.replace(before, after));
});
afterAll(async () => {
  await load?.remove();
  await cluster.remove();
});

interface NodeObject {
  readonly metadata: { readonly name: string; readonly labels: object; readonly annotations: Readonly<Record<string, string>> };
  readonly spec: { readonly unschedulable?: boolean; readonly taints?: readonly { readonly key: string }[] };
  readonly status: { readonly nodeInfo: { readonly kubeletVersion: string } };
}
const nodes = async (): Promise<readonly NodeObject[]> => JSON.parse(await load.kubectl('get', 'nodes', '-o', 'json')).items;
const versions = async (): Promise<Readonly<Record<string, string>>> =>
  Object.fromEntries((await nodes()).map(({ metadata, status }) => [metadata.name, status.nodeInfo.kubeletVersion.slice(1)]));
const cordoned = async (): Promise<readonly string[]> =>
  (await nodes()).filter(({ spec }) => spec.unschedulable).map(({ metadata }) => metadata.name);
const machinesThere = async (): Promise<readonly string[]> =>
  (await dockerClient.listContainers({ all: true, filters: { label: [`slipway.cluster=${cluster.name}`] } }))
    .map(({ Id }) => Id)
    .sort();
const allAt = (names: readonly string[], version: string) => Object.fromEntries(names.map((name) => [name, version]));

/** Everything that an upgrade could have touched: machines, what their files say, what runs there since when, nodes, pods, and the store. */
async function world(): Promise<object> {
  const containers = await dockerClient.listContainers({ all: true, filters: { label: [`slipway.cluster=${cluster.name}`] } });
  const hosts = containers.filter(({ Labels }) => Labels['slipway.resource']?.startsWith('local.machine/'));
  const look =
    'find /etc/slipway /etc/kubernetes /etc/containerd /etc/etcd /etc/systemd/system -type f 2>/dev/null | sort | xargs sha256sum; ' +
    "systemctl show '*.service' -p Id,ActiveEnterTimestampMonotonic --type=service --state=running | grep -E -A1 'kube|etcd|containerd|flannel'";
  const looks = await Promise.all(
    hosts.map(async ({ Id, Names }) => {
      const exec = await dockerClient.getContainer(Id).exec({ Cmd: ['sh', '-c', look], AttachStdout: true, Tty: true });
      return [Names[0], await text(await exec.start({ Tty: true }))] as const;
    }),
  );
  const pods = await load.kubectl(
    'get',
    'pods',
    '-A',
    '-o',
    'jsonpath={range .items[*]}{.metadata.uid} {.spec.nodeName}{"\\n"}{end}',
  );
  return {
    containers: containers.map(({ Id, Created, Labels }) => ({ Id, Created, Labels })).sort((a, b) => (a.Id < b.Id ? -1 : 1)),
    hosts: Object.fromEntries(looks),
    nodes: (await nodes()).map(({ metadata: { name, labels, annotations }, spec }) => ({ name, labels, annotations, spec })),
    pods: pods.trim().split('\n').sort(),
    store: cluster
      .files()
      .filter(({ path }) => path.includes('/state/'))
      .map(({ path, content }) => `${path} ${createHash('sha256').update(content, 'latin1').digest('hex')}`)
      .sort(),
  };
}

/** Begins an upgrade, and sends a signal once, as soon as an event is that. */
async function upgradeUntil(
  signal: NodeJS.Signals,
  when: (event: RunEvent) => boolean,
): Promise<Ended & { readonly at: string }> {
  const child = cluster.start('upgrade', '--yes', '-o', 'json');
  let [at, rest] = ['', ''];
  child.stdout?.on('data', (data) => {
    const lines = (rest + String(data)).split('\n');
    rest = lines.pop() ?? '';
    const event = eventsIn(lines.join('\n')).find(when);
    if (at !== '' || !event) return;
    at = event.task;
    child.kill(signal);
  });
  return { ...(await ended(child)), at };
}
const turnOf = (machine: string, type: string) => (event: RunEvent) => event.type === type && event.task.endsWith(`/${machine}`);

describe('before it begins', () => {
  test('a dry run says what would happen, machine by machine, and changes nothing', async () => {
    const first = await world();
    const dry = await cluster.must('upgrade', '--dry-run');
    for (const machine of [...masters, ...workers]) expect(dry.stdout).toContain(machine);
    expect(dry.stdout).toContain(before);
    expect(dry.stdout).toContain(after);
    expect(await world()).toEqual(first);
  });

  test('a PodDisruptionBudget that allows nothing is named with its pod, and nothing begins', async () => {
    const labels = { app: 'stuck' };
    await load.kubectl.apply([
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'stuck' },
        spec: {
          replicas: 1,
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'stuck', image: 'registry.slipway.test/testapp:1' }] },
          },
        },
      },
      {
        apiVersion: 'policy/v1',
        kind: 'PodDisruptionBudget',
        metadata: { name: 'allows-nothing' },
        spec: { maxUnavailable: 0, selector: { matchLabels: labels } },
      },
    ]);
    await load.kubectl('rollout', 'status', 'deployment/stuck', '--timeout=60s');
    const pod = (await load.kubectl('get', 'pods', '-l', 'app=stuck', '-o', 'name')).trim().slice('pod/'.length);
    const refused = await cluster.run('upgrade', '--yes');
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(pod);
    expect(refused.stderr).toContain('allows-nothing');
    expect(await versions()).toEqual(allAt([...masters, ...workers], before));
    expect(await cordoned()).toEqual([]);
    await load.kubectl('delete', 'deployment/stuck', 'pdb/allows-nothing');
  });
});

describe('under load', () => {
  let traffic: Awaited<ReturnType<Load['start']>>;
  const events: RunEvent[] = [];
  const keep = <T extends Ended>(run: T): T => {
    events.push(...eventsIn(run.stdout));
    return run;
  };
  beforeAll(async () => {
    traffic = await load.start();
  });

  test('a gate that fails stops it after the machine at hand, with the reason, and so does the next run', async () => {
    writeFileSync(hold, '');
    const stopped = keep(await cluster.run('upgrade', '--yes', '-o', 'json'));
    // Nothing else moves before it has succeeded.
    const again = keep(await cluster.run('upgrade', '--yes', '-o', 'json'));
    rmSync(hold);
    for (const { code, stderr } of [stopped, again]) {
      expect(code).not.toBe(0);
      expect(stderr).toContain('flag');
      expect(stderr).toContain('the flag is up');
    }
    const moved = Object.values(await versions()).filter((version) => version === after);
    expect(moved).toHaveLength(1);
    expect(await cordoned()).toEqual([]);
  });

  test('Ctrl-C finishes the master at hand, and stops with 130', async () => {
    const stopped = keep(await upgradeUntil('SIGINT', turnOf('master-b', 'started')));
    expect({ code: stopped.code, stderr: stopped.code === 130 ? '' : stopped.stderr.slice(-3000) }).toEqual({
      code: 130,
      stderr: '',
    });
    expect(await versions()).toEqual({ ...allAt(['master-a', 'master-b'], after), ...allAt(['master-c', ...workers], before) });
    expect(await cordoned()).toEqual([]);
  });

  test('SIGKILL in the middle of a master, and of the drain of a worker: the same command goes on to the same end', async () => {
    const started = await machinesThere();
    const restart = ({ task, type }: RunEvent) => type === 'started' && task === 'restart kube-apiserver.service on master-c';
    const first = keep(await upgradeUntil('SIGKILL', restart));
    expect([first.signal, first.at]).toEqual(['SIGKILL', 'restart kube-apiserver.service on master-c']);
    const drain = ({ task, type }: RunEvent) => type === 'progress' && task.startsWith('drain workers-');
    const second = keep(await upgradeUntil('SIGKILL', drain));
    expect(second.signal).toBe('SIGKILL');
    expect(await cordoned()).toEqual([second.at.slice('drain '.length)]);
    const third = keep(await cluster.run('upgrade', '--yes', '-o', 'json'));
    expect({ code: third.code, stderr: third.code === 0 ? '' : third.stderr.slice(-5000) }).toEqual({ code: 0, stderr: '' });
    expect(await versions()).toEqual(allAt([...masters, ...workers], after));
    expect(await cordoned()).toEqual([]);
    const taints = (await nodes())
      .filter(({ metadata }) => metadata.name.startsWith('workers-'))
      .flatMap(({ spec }) => spec.taints ?? []);
    expect(taints).toEqual([]);
    expect(await machinesThere()).toEqual(started);
  });

  test('nobody noticed any of it: no request to the API and none to the application has failed', async () => {
    const result = await traffic.stop();
    console.log(summary(result));
    expect(explained(failuresOf(result), events)).toEqual([]);
    expect(result.api.requests).toBeGreaterThan(500);
    expect(result.app.requests).toBeGreaterThan(1000);
  });
});

test('after it the plan is empty, and upgrade has nothing to do', async () => {
  const plan = await cluster.run('plan', '--detailed-exitcode');
  expect({ code: plan.code, out: plan.code === 0 ? '' : plan.stdout }).toEqual({ code: 0, out: '' });
  expect((await cluster.must('upgrade', '--yes')).stdout).toContain('nothing to do');
});
