import { afterAll, beforeAll, expect, test } from 'vitest';
import { AptRepository } from '../support/apt-repository.ts';
import { dockerClient, type Ended, ended, eventsIn, type RunEvent, removeLeftovers, TestCluster } from '../support/cli.ts';
import { inMachine } from '../support/overheard.ts';
import { type Kubectl, openKubectl } from '../support/workloads.ts';

/**
 * Packages of the operating system on real machines, out of a repository of the test's own: a look that changes nothing, a mirror that is gone, a package
 * that does not install, a restart that one asks for, and a run that is killed in one. Tests follow one another on one cluster.
 */
const yaml = (name: string, rest = ''): string => `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [a, b]
network: { machines: 10.231.0.0/16 }
etcd: { count: 1 }
masters: { count: 1 }
pools: [{ name: workers, count: 2 }]
${rest}`;
const cluster = new TestCluster('os-packages', (name) => yaml(name));
const machines = ['bastion', 'etcd-a', 'master-a', 'workers-a-1', 'workers-b-1'];
const container = (machine: string) => dockerClient.getContainer(`${cluster.name}-${machine}`);
const inside = (machine: string, command: string): Promise<string> => inMachine(container(machine), command);
const repository = new AptRepository();
let kubectl: Kubectl;

/** From now on packages are to be upgraded. */
const ask = (): void =>
  cluster.write(yaml(cluster.name, `os: { packages: '${new Date().toISOString().replace(/\.\d+Z$/, 'Z')}' }\n`));
const onAll = async (command: string): Promise<Readonly<Record<string, string>>> =>
  Object.fromEntries(await Promise.all(machines.map(async (name) => [name, (await inside(name, command)).trim()] as const)));
const everywhere = (value: string): Readonly<Record<string, string>> => Object.fromEntries(machines.map((name) => [name, value]));
const installed = () => onAll("dpkg-query -W -f '${Version} ' base-system tool");
/** How often each machine has come up again by itself. */
const restarts = async (): Promise<Readonly<Record<string, number>>> =>
  Object.fromEntries(
    await Promise.all(machines.map(async (name) => [name, (await container(name).inspect()).RestartCount] as const)),
  );
const cordoned = async (): Promise<string> =>
  kubectl('get', 'nodes', '-o', 'jsonpath={.items[?(@.spec.unschedulable)].metadata.name}');
const emptyPlan = async (): Promise<void> => {
  const { code, stdout } = await cluster.run('plan', '--detailed-exitcode');
  expect({ code, stdout: code === 0 ? '' : stdout }).toEqual({ code: 0, stdout: '' });
};

beforeAll(async () => {
  await removeLeftovers(cluster.name);
  await cluster.must('up', '--yes');
  const [network] = Object.values((await container('bastion').inspect()).NetworkSettings.Networks);
  await repository.open(network?.Gateway ?? '');
  await repository.publish('tool', '1.0');
  await repository.publish('base-system', '1.0');
  await onAll(
    `echo '${repository.source}' >/etc/apt/sources.list && apt-get -qq update && apt-get -qq -y install tool base-system 2>/dev/null`,
  );
  kubectl = await openKubectl(cluster, '1.36.3', 'default');
});
afterAll(async () => {
  await cluster.remove();
  repository.close();
});

interface DryRun {
  readonly rollout: {
    readonly waves: readonly {
      readonly lanes: readonly { readonly turns: readonly { machine: string; drain: boolean; packages?: object }[] }[];
    }[];
  };
}

test('`plan` and `up` leave it to `upgrade`, whose dry run lists the packages and changes nothing', async () => {
  await repository.publish('tool', '2.0', 'echo "tool: no room for its index" >&2; exit 7');
  await repository.publish('base-system', '2.0', 'touch /run/reboot-required');
  ask();
  const before = await onAll(
    'find /var/lib/apt /var/cache/apt /var/lib/dpkg /var/log/apt /tmp -type f -exec sha256sum {} + | sort',
  );
  await cluster.must('up', '--yes');
  const { stdout } = await cluster.must('upgrade', '--dry-run', '-o', 'json');
  const { rollout }: DryRun = JSON.parse(stdout.slice(stdout.lastIndexOf('\n{') + 1));
  const turns = rollout.waves.flatMap(({ lanes }) => lanes.flatMap((lane) => lane.turns));
  const moves = [
    { what: 'base-system', before: '1.0', after: '2.0' },
    { what: 'tool', before: '1.0', after: '2.0' },
  ];
  expect(turns.map(({ machine, drain, packages }) => ({ machine, drain, packages }))).toEqual(
    ['etcd-a', 'master-a', 'workers-a-1', 'workers-b-1', 'bastion'].map((machine) => ({
      machine,
      drain: machine.startsWith('workers') || machine.startsWith('master'),
      packages: { moves, held: [], reboot: [] },
    })),
  );
  expect((await cluster.must('upgrade', '--dry-run')).stdout).toMatch(/2 packages: base-system 1\.0 → 2\.0, tool 1\.0 → 2\.0/);
  expect(
    await onAll('find /var/lib/apt /var/cache/apt /var/lib/dpkg /var/log/apt /tmp -type f -exec sha256sum {} + | sort'),
  ).toEqual(before);
});

test('a mirror that does not answer is said before anything is touched', async () => {
  repository.down = true;
  const refused = await cluster.run('upgrade', '--yes');
  repository.down = false;
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/workers-a-1: a mirror of its packages gives no answer/);
  expect(refused.stderr).toContain('nothing was changed');
  expect([await installed(), await cordoned()]).toEqual([everywhere('1.0 1.0'), '']);
});

test("a package that does not install stops it at the first machine, with dpkg's words; others are as they were", async () => {
  const stopped = await cluster.run('upgrade', '--yes');
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toMatch(/turn of etcd-a failed/);
  expect(stopped.stderr).toMatch(
    /tool: no room for its index[\s\S]*post-installation script subprocess returned error exit status 7/,
  );
  const { 'etcd-a': _, ...others } = await installed();
  expect([...new Set(Object.values(others))]).toEqual(['1.0 1.0']);
  expect([await cordoned(), await restarts()]).toEqual(['', nowhere]);
});
const nowhere = Object.fromEntries(machines.map((name) => [name, 0]));

test('mended, and killed while a worker is at its packages: the same command ends it, and each machine has restarted once', async () => {
  await repository.publish('tool', '2.1');
  const killed = await killedAt((event) => event.type === 'started' && event.task === 'update host.packages/workers-a-1');
  expect(killed.signal).toBe('SIGKILL');
  const { stdout } = await cluster.must('upgrade', '--yes', '-o', 'json');
  expect(eventsIn(stdout).some(({ task }) => task === 'drain workers-b-1')).toBe(true);
  expect(await installed()).toEqual(everywhere('2.0 2.1'));
  expect(await restarts()).toEqual(Object.fromEntries(machines.map((name) => [name, 1])));
  expect(await onAll('systemctl --failed --no-legend')).toEqual(everywhere(''));
  expect(await cordoned()).toBe('');
  await emptyPlan();
});

test('another time with nothing that wants a restart: nobody restarts; an earlier date is refused', async () => {
  await repository.publish('tool', '3.0');
  const before = cluster.files().find(({ path }) => path.endsWith('cluster.yaml'))?.content ?? '';
  ask();
  await cluster.must('upgrade', '--yes');
  expect(await installed()).toEqual(everywhere('2.0 3.0'));
  expect(await restarts()).toEqual(Object.fromEntries(machines.map((name) => [name, 1])));
  await emptyPlan();
  cluster.write(before);
  const back = await cluster.run('plan');
  expect(back.code).toBe(65);
  expect(back.stderr).toContain('cannot go back');
});

/** Begins an upgrade, and kills it as soon as an event is that. */
async function killedAt(when: (event: RunEvent) => boolean): Promise<Ended> {
  const child = cluster.start('upgrade', '--yes', '-o', 'json');
  let rest = '';
  child.stdout?.on('data', (data) => {
    const lines = (rest + String(data)).split('\n');
    rest = lines.pop() ?? '';
    if (eventsIn(lines.join('\n')).some(when)) child.kill('SIGKILL');
  });
  return ended(child);
}
