import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dockerClient, type Ended, type RunEvent, removeLeftovers, TestCluster } from '../support/cli.ts';
import { startApiLoad } from '../support/load/api.ts';
import { explained } from '../support/load/load.ts';
import { upgradeAnd } from '../support/upgrading.ts';
import { eventually, type Kubectl, openKubectl } from '../support/workloads.ts';

/**
 * What happens to etcd and masters while an upgrade changes them: replaced one by one under load, a member or a leader lost, a zone lost with the controllers'
 * leader in it; and the only ones of a small cluster. A changed setting is an upgrade that costs nothing but the turns. Tests follow one another on a cluster.
 * A member lost while another one has its turn: test/unit/lifecycle/upgrade-stops.test.ts.
 */
interface Wanted {
  readonly strategy?: 'in-place' | 'replace';
  readonly quotaMb?: number;
  readonly inflight?: number;
  readonly maxPods?: number;
}
/** `npm run test:all` has time for all of it. */
const long = process.env.SLIPWAY_E2E_LONG !== undefined;
const version = '1.36.3';
const yaml = (name: string, [members, masters]: readonly [number, number], wanted: Wanted): string => {
  const { strategy = 'in-place', quotaMb = 1024, inflight = 400, maxPods = 110 } = wanted;
  return `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [${members === 1 ? 'a' : 'a, b, c'}]
network: { machines: 10.234.0.0/16 }
kubernetes:
  version: ${version}
  maxPods: ${maxPods}
  extraArgs: { apiserver: { max-requests-inflight: "${inflight}" } }
etcd: { count: ${members}, quotaMb: ${quotaMb}, upgrade: { strategy: ${strategy} } }
masters: { count: ${masters}, upgrade: { strategy: ${strategy} } }
pools:
  - { name: workers, count: 1, zones: [${members === 1 ? 'a' : 'b'}] }
`;
};

/** A cluster with so many etcd members and masters, what it is told, and what is seen of it. */
function aCluster(name: string, counts: readonly [number, number]) {
  let wanted: Wanted = {};
  const cluster = new TestCluster(name, (full) => yaml(full, counts, wanted));
  const machines = () =>
    dockerClient.listContainers({ all: true, filters: { label: [`slipway.cluster=${cluster.name}`, 'slipway.resource'] } });
  let kubectl: Kubectl;
  return {
    cluster,
    async up() {
      await removeLeftovers(cluster.name);
      await cluster.must('up', '--yes');
      kubectl = await openKubectl(cluster, version, 'default');
    },
    kubectl: (...args: string[]) => kubectl(...args),
    want(more: Wanted) {
      wanted = { ...wanted, ...more };
      cluster.write(yaml(cluster.name, counts, wanted));
    },
    container: (machine: string) => dockerClient.getContainer(`${cluster.name}-${machine}`),
    /** Which container each machine is just now. */
    async containers() {
      return new Map((await machines()).map(({ Id, Names }) => [`${Names[0]}`.slice(cluster.name.length + 2), Id]));
    },
    /** The members of both clusters, with their IDs, as this one knows them. */
    async members(host: string) {
      const list = (port: number) =>
        `curl -sS --max-time 3 --cacert /etc/slipway/pki/etcd.ca.pem --cert /etc/slipway/pki/etcd-server.pem --key /etc/slipway/pki/etcd-server-key.pem -d '{}' https://127.0.0.1:${port}/v3/cluster/member/list`;
      const told = await cluster.ssh(host, `${list(2379)}; echo; ${list(2381)}`);
      return told
        .split('\n')
        .map((line) => [...line.matchAll(/"ID":"(\d+)","name":"([^"]+)"/g)].map(([, id, member]) => `${member} ${id}`).sort());
    },
    /** `machine: value` of every machine whose running unit has this flag. */
    async flag(role: 'etcd' | 'master', process: string, flag: string) {
      const names = [...(await this.containers()).keys()].filter((machine) => machine.startsWith(role)).sort();
      const read = `tr '\\0' '\\n' < /proc/$(pidof ${process} | cut -d' ' -f1)/cmdline | sed -n 's/^--${flag}=//p'`;
      return Promise.all(names.map(async (machine) => `${machine}: ${(await cluster.ssh(machine, read)).trim()}`));
    },
    async cordoned() {
      return (
        await kubectl('get', 'nodes', '-o', 'jsonpath={range .items[?(@.spec.unschedulable)]}{.metadata.name}{"\\n"}{end}')
      ).trim();
    },
    /** This one leads no more, and that one does. */
    async leave(program: string, from: string, to: string) {
      const leader = () => kubectl.read(`lease/${program}`, '.spec.holderIdentity', 'kube-system');
      await cluster.ssh(from, `systemctl stop ${program}`);
      const nobody = JSON.stringify({ spec: { holderIdentity: '' } });
      if ((await leader()).startsWith(from))
        await kubectl('patch', 'lease', program, '-n', 'kube-system', '--type=merge', '-p', nobody);
      await eventually(async () => expect(await leader()).toMatch(new RegExp(`^${to}_`)), 30_000);
      await cluster.ssh(from, `systemctl start ${program}`);
    },
    async emptyPlan() {
      const { code, stdout } = await cluster.run('plan', '--detailed-exitcode');
      expect({ code, stdout: code === 0 ? '' : stdout }).toEqual({ code: 0, stdout: '' });
    },
    async load() {
      return startApiLoad((await cluster.must('kubeconfig', '--stdout')).stdout, { namespace: 'default' });
    },
  };
}
const ending = ({ code, stderr }: Ended): string => `${code}${code === 0 ? '' : `: ${stderr.slice(-4000)}`}`;
const machineIn = ({ task }: RunEvent): string => /(etcd|master)-[abc]/.exec(task)?.[0] ?? '';

/** Something that happens once, beside a run, as soon as an event is that. */
interface Fault {
  when(event: RunEvent): boolean;
  act(event: RunEvent, kill: () => void): unknown;
}
/** `cluster upgrade` to its end, with this fault on its way. Fails the test if it never came: then nothing was tested. */
async function upgradeWith(cluster: TestCluster, fault?: Fault) {
  let at: RunEvent | undefined;
  const when = (event: RunEvent): boolean => {
    if (fault?.when(event)) at ??= event;
    return at !== undefined;
  };
  const run = await upgradeAnd(cluster, [], when, async (kill) => at && fault?.act(at, kill));
  if (fault && !run.acted) throw new Error(`the fault never came\n${run.stderr.slice(-3000)}`);
  return run;
}
/** The first event of this type whose task is that. */
const at = (type: RunEvent['type'], task: string | RegExp) => (event: RunEvent) =>
  event.type === type && (typeof task === 'string' ? event.task === task : task.test(event.task));
const started = (task: string | RegExp) => at('started', task);
const sigkill = (_event: RunEvent, kill: () => void): void => kill();

describe('three members, two masters', () => {
  const { cluster, ...ha } = aCluster('masters', [3, 2]);
  const upgrade = (fault?: Fault) => upgradeWith(cluster, fault);
  const up = async (): Promise<void> => void (await cluster.must('up', '--yes'));
  /** The same command again: to the end, and then nothing differs. */
  async function goesOn(): Promise<void> {
    expect(ending(await upgrade())).toBe('0');
    expect(await ha.cordoned()).toBe('');
    await ha.emptyPlan();
  }
  /** It has stopped by itself, and says whom it lost. */
  function stopsWith(run: Ended, ...lost: readonly string[]): void {
    expect([1, 69], ending(run)).toContain(run.code);
    for (const machine of lost) expect(run.stderr).toContain(machine);
  }
  const turnsOf = ({ events }: { readonly events: readonly RunEvent[] }): readonly string[] =>
    events.filter(at('started', /^(etcd|masters) [\d.]+\//)).map(machineIn);
  const answers = async (): Promise<void> =>
    eventually(async () => expect(await ha.kubectl('get', '--raw', '/readyz')).toBe('ok'), 30_000);
  beforeAll(ha.up);
  afterAll(() => cluster.remove());

  test('replaced one by one, killed with a member and with a master gone: names, addresses, members and their data stay, and no request fails', async () => {
    const [before, members] = [await ha.containers(), await ha.members('etcd-a')];
    ha.want({ strategy: 'replace', quotaMb: 1100, inflight: 410 });
    const load = await ha.load();
    const gone = (role: string): Fault => ({ when: started(new RegExp(`^create local.machine/${role}-`)), act: sigkill });
    const events: RunEvent[] = [];
    for (const [fault, code] of [
      [gone('etcd'), null],
      [gone('master'), null],
      [undefined, 0],
    ] as const) {
      const run = await upgrade(fault);
      events.push(...run.events);
      expect(run.code, ending(run)).toBe(code);
    }
    const traffic = await load.stop();
    expect(explained(traffic.failures, events)).toEqual([]);
    expect(traffic.requests).toBeGreaterThan(300);
    const after = await ha.containers();
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    expect([...after].filter(([name, id]) => before.get(name) === id && /^(etcd|master)-/.test(name))).toEqual([]);
    expect(await ha.members('etcd-b')).toEqual(members);
    await ha.emptyPlan();
    ha.want({ strategy: 'in-place' });
  });

  test('an etcd member lost just before another one is to have its turn: nobody who is left is stopped; nor by the same command', async () => {
    ha.want({ quotaMb: 1101 });
    const stopped = await upgrade({ when: at('done', 'preflight'), act: () => ha.container('etcd-b').kill() });
    stopsWith(stopped, 'etcd-b');
    expect(turnsOf(stopped)).toHaveLength(1);
    expect(stopped.events.filter(started(/^restart units of etcd-/))).toEqual([]);
    const refused = await upgrade();
    stopsWith(refused, 'etcd-b');
    expect(turnsOf(refused)).toEqual([]);
    await answers();
    await up();
  });

  test('the leader lost in its own turn: the others lead on, `up` brings it back, and the same command goes on to the end', async () => {
    const away: string[] = [];
    const stopped = await upgrade({
      // It comes last, and one member has had its turn before.
      when: (event) => started(/^restart units of etcd-/)(event) && away.push(machineIn(event)) === 2,
      act: (event) => ha.container(machineIn(event)).kill(),
    });
    stopsWith(stopped, `${away.at(-1)}`);
    await answers();
    await up();
    await goesOn();
    const bytes = 1101 * 1024 * 1024;
    expect(await ha.flag('etcd', 'etcd', 'quota-backend-bytes')).toEqual(['a', 'b', 'c'].map((zone) => `etcd-${zone}: ${bytes}`));
  });

  test("a whole zone lost with the controllers' leader in it, while the masters have their turns: stopped with its names, healed at what was reached, given up, and gone on with", async () => {
    const [, before] = await ha.flag('master', 'kube-apiserver', 'max-requests-inflight');
    ha.want({ inflight: 411 });
    await ha.leave('kube-controller-manager', 'master-a', 'master-b');
    const zone = ['etcd-b', 'master-b', 'workers-b-1'];
    const stopped = await upgrade({
      when: started('restart kube-apiserver.service on master-a'),
      act: () => Promise.all(zone.map((machine) => ha.container(machine).kill())),
    });
    stopsWith(stopped, 'etcd-b');
    expect(turnsOf(stopped)).toEqual(['master-a']);
    await answers();
    await up();
    await cluster.must('upgrade', '--abort');
    expect(await ha.cordoned()).toBe('');
    expect((await cluster.run('plan', '--detailed-exitcode')).code).toBe(2);
    expect(await ha.flag('master', 'kube-apiserver', 'max-requests-inflight')).toEqual(['master-a: 411', before]);
    await goesOn();
  });
});

// Killed there in memory, too (test/unit/lifecycle/upgrade-killed.test.ts).
describe.skipIf(!long)('one of each (SLIPWAY_E2E_LONG=1 runs these)', () => {
  const { cluster, ...one } = aCluster('alone', [1, 1]);
  const upgrade = (fault?: Fault) => upgradeWith(cluster, fault);
  beforeAll(one.up);
  afterAll(() => cluster.remove());

  test('a setting, killed while the only API server restarts: the same command goes on to the end', async () => {
    one.want({ inflight: 410 });
    const killed = await upgrade({ when: started('restart kube-apiserver.service on master-a'), act: sigkill });
    expect(killed.signal).toBe('SIGKILL');
    expect(ending(await upgrade())).toBe('0');
    expect(await one.flag('master', 'kube-apiserver', 'max-requests-inflight')).toEqual(['master-a: 410']);
    await one.emptyPlan();
  });

  test('the only member and the only master replaced: told before, and killed with each of them gone the same command goes on', async () => {
    const [before, members] = [await one.containers(), await one.members('etcd-a')];
    one.want({ strategy: 'replace', quotaMb: 1100, inflight: 411 });
    const dry = await cluster.must('upgrade', '--dry-run');
    expect(dry.stdout).toMatch(/it is the only etcd member[\s\S]*it is the only master/);
    for (const machine of ['etcd-a', 'master-a']) {
      const killed = await upgrade({ when: started(`create local.machine/${machine}`), act: sigkill });
      expect(killed.signal, ending(killed)).toBe('SIGKILL');
    }
    expect(ending(await upgrade())).toBe('0');
    const after = await one.containers();
    expect(
      [...after]
        .filter(([name, id]) => before.get(name) === id)
        .map(([name]) => name)
        .sort(),
    ).toEqual(['balancer', 'bastion', 'workers-a-1']);
    expect(await one.members('etcd-a')).toEqual(members);
    await one.emptyPlan();
  });
});
