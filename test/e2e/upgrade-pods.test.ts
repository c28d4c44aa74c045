import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { aged } from '../support/aged-certificate.ts';
import { dockerClient, type RunEvent, removeLeftovers, TestCluster } from '../support/cli.ts';
import { assetCache } from '../support/local-etcd.ts';
import { inMachine } from '../support/overheard.ts';
import { random } from '../support/random.ts';
import { ensureTestapp } from '../support/testapp.ts';
import { containersOf, nodesNow, upgradeAnd } from '../support/upgrading.ts';
import { eventually, importTestImage, type Kubectl, openKubectl } from '../support/workloads.ts';

/**
 * Pods that do not leave, a node that does not come back, a machine that hangs, and SIGKILL anywhere, one after the other in one upgrade of one small
 * cluster: each stops it in bounded time with what and where, and the same command goes on.
 */
const [before, after] = ['1.35.4', '1.36.3'] as const;
interface Wanted {
  readonly version: string;
  readonly readyWithin?: string;
  readonly drainWithin?: string;
  readonly maxPods?: number;
  readonly strategy?: 'in-place' | 'replace';
}
interface DryRun {
  readonly rollout: {
    readonly waves: readonly object[];
    readonly obstacles: readonly { readonly severity: string; readonly what: string; readonly why?: string }[];
  };
}
const yaml = (
  name: string,
  { version, readyWithin = '2m', drainWithin = '60s', maxPods = 110, strategy = 'in-place' }: Wanted,
): string => `apiVersion: slipway/v1
kind: Cluster
name: ${name}
provider: { local: {} }
zones: [a, b]
network: { machines: 10.233.0.0/16 }
kubernetes: { version: ${version}, maxPods: ${maxPods} }
etcd: { count: 1 }
masters: { count: 1 }
upgrade: { readyWithin: ${readyWithin} }
pools:
  - name: workers
    count: 2
    upgrade: { strategy: ${strategy}, drain: { timeout: ${drainWithin} } }
`;
const cluster = new TestCluster('upgrade-pods', (name) => yaml(name, { version: before }));
const want = (wanted: Wanted): void => cluster.write(yaml(cluster.name, wanted));
const workers = ['workers-a-1', 'workers-b-1'] as const;
const [first, second] = workers;
const container = (machine: string) => dockerClient.getContainer(`${cluster.name}-${machine}`);
const inside = (machine: string, command: string): Promise<string> => inMachine(container(machine), command);
/** From now on nothing is changed on the machine, as if another run were at it, until it is let go of: what is done meanwhile comes first. */
const holdBack = (machine: string): Promise<string> =>
  inside(
    machine,
    "setsid flock /run/slipway/converge.lock sh -c 'echo $$ >/run/holder; exec sleep 300' >/dev/null 2>&1 & sleep 1; cat /run/holder",
  );
const letGo = 'kill "$(cat /run/holder)"';
const began = (task: string) => (event: RunEvent) => event.type === 'started' && event.task === task;
let kubectl: Kubectl;
let machines: readonly string[];

/** A Deployment of one pod, on the first worker while that takes any. */
const onFirst = (name: string, spec: object, metadata: object = {}): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name }, ...metadata },
      spec: {
        affinity: {
          nodeAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              {
                weight: 100,
                preference: { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [first] }] },
              },
            ],
          },
        },
        ...spec,
      },
    },
  },
});
const testapp = (...args: string[]) => ({ containers: [{ name: 'app', image: 'registry.slipway.test/testapp:1', args }] });
const podOf = async (app: string): Promise<string> =>
  (await kubectl('get', 'pods', '-l', `app=${app}`, '-o', 'jsonpath={.items[0].metadata.name}')).trim();
const restartsOf = (pod: string): Promise<string> => kubectl.read(`pod/${pod}`, '.status.containerStatuses[0].restartCount');
const startOfKubelet = async (machine: string): Promise<string> =>
  (await inside(machine, 'systemctl show --property=ExecMainStartTimestampMonotonic --value kubelet')).trim();

beforeAll(async () => {
  await Promise.all([removeLeftovers(cluster.name), ensureTestapp(assetCache)]);
  await cluster.must('up', '--yes');
  kubectl = await openKubectl(cluster, before, 'default');
  await importTestImage(cluster, workers);
  machines = await containersOf(cluster);
});
afterAll(() => cluster.remove());

const pem = '/etc/slipway/pki/apiserver.pem';
/** Another certificate for the API server's key, as if it had been issued so many days ago for a year. */
async function issuedAgo(days: number): Promise<void> {
  const csr = `openssl req -new -key ${pem.replace('.pem', '-key.pem')} -subj /CN=x`;
  const [certPem, csrPem] = await Promise.all([inside('master-a', `cat ${pem}`), inside('master-a', csr)]);
  const old = await aged(cluster, { certPem, csrPem, authority: 'kubernetes', days });
  await inside(
    'master-a',
    `cat >${pem}.new <<'END'\n${old}END\nchown --reference=${pem} ${pem}.new; chmod --reference=${pem} ${pem}.new; mv ${pem}.new ${pem}`,
  );
}

test('a kubelet newer than the API servers: refused by name before anything begins; `up` mends it', async () => {
  await inside(
    second,
    `sed -i s:kubernetes/${before}/kubelet:kubernetes/${after}/kubelet: /etc/systemd/system/kubelet.service && systemctl daemon-reload && systemctl restart kubelet`,
  );
  // The Node says it when its kubelet does.
  await eventually(async () => expect((await nodesNow(kubectl)).versions[second]).toBe(after), 60_000);
  want({ version: after });
  const refused = await cluster.run('upgrade', '--yes');
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/workers-b-1: kubelet 1\.36\.3 on workers-b-1 is newer than the API server \(1\.35\.4\)/);
  expect((await nodesNow(kubectl)).cordoned).toEqual([]);
  await cluster.must('up', '--yes');
  expect((await nodesNow(kubectl)).versions).toEqual({ 'master-a': before, [first]: before, [second]: before });
});

test("a certificate near its end and data on one machine, in the dry run: renewed first; waited for in place, and in the way of the machine's replacement", async () => {
  await Promise.all([issuedAgo(360), inside(second, 'install -d -m 0777 /var/lib/kept')]);
  const storageClassName = 'by-hand';
  const storage = { accessModes: ['ReadWriteOnce'], storageClassName };
  await kubectl.apply([
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'kept' },
      spec: {
        ...storage,
        capacity: { storage: '1Gi' },
        local: { path: '/var/lib/kept' },
        nodeAffinity: {
          required: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [second] }] }],
          },
        },
      },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'kept' },
      spec: {
        replicas: 1,
        serviceName: 'kept',
        selector: { matchLabels: { app: 'kept' } },
        template: {
          metadata: { labels: { app: 'kept' } },
          spec: {
            terminationGracePeriodSeconds: 0,
            containers: [{ ...testapp().containers[0], volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
          },
        },
        volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: { ...storage, resources: { requests: { storage: '1Gi' } } } }],
      },
    },
  ]);
  await kubectl('wait', '--for=jsonpath={.status.readyReplicas}=1', 'statefulset/kept', '--timeout=60s');
  const dryRun = async (): Promise<DryRun> => JSON.parse((await cluster.must('upgrade', '--dry-run', '-o', 'json')).stdout);
  const inPlace = (await dryRun()).rollout;
  expect(inPlace.waves[0]).toMatchObject({ name: 'heal', changes: ['pki.certificate/master-a.apiserver'] });
  const told = inPlace.obstacles.map(({ severity, what, why }) => `${severity} ${what}: ${why}`);
  expect(told).toContainEqual(expect.stringMatching(/^warning .*it is due: it is renewed before the first turn/));
  expect(told).toContain(
    'warning it cannot move: PersistentVolume kept is on this machine: it does not run until the node is back',
  );
  expect(told.filter((line) => line.startsWith('error'))).toEqual([]);
  want({ version: after, strategy: 'replace' });
  const refused = await cluster.run('upgrade', '--yes');
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(
    /pod default\/kept-0 on workers-b-1: its data is on this machine, which is replaced: PersistentVolume kept/,
  );
  expect(refused.stderr).toContain('upgrade this pool in place');
  expect(await containersOf(cluster)).toEqual(machines);
  want({ version: after });
});

test('a pod that ignores SIGTERM is waited for no longer than a drain may take, and named with its grace period', async () => {
  const skip = { annotations: { 'slipway.dev/drain': 'skip' } };
  await kubectl.apply([
    onFirst('deaf', { terminationGracePeriodSeconds: 3600, ...testapp('serve', '--delay', '1h') }),
    onFirst('held', { terminationGracePeriodSeconds: 1, ...testapp() }, { finalizers: ['example.com/never'] }),
    { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'alone', ...skip }, spec: { nodeName: first, ...testapp() } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'lonely' },
      spec: { nodeName: second, terminationGracePeriodSeconds: 0, ...testapp() },
    },
  ]);
  await kubectl('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=60s');
  const unmanaged = await cluster.run('upgrade', '--yes');
  expect(unmanaged.code).toBe(1);
  expect(unmanaged.stderr).toMatch(/pod default\/lonely on workers-b-1: no controller makes it anew/);
  expect(unmanaged.stderr).not.toContain('alone');
  await kubectl('delete', 'pod', 'lonely');

  want({ version: after, drainWithin: '5s' });
  const deaf = await podOf('deaf');
  const stopped = await cluster.run('upgrade', '--yes');
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toMatch(/turn of workers-a-1 failed/);
  expect(stopped.stderr).toMatch(
    new RegExp(`default/${deaf}: it has been stopping for \\d+ s, with a grace period of 3600 s: its containers still run`),
  );
  expect(stopped.stderr).toContain('--force-after');
  // Its containers have ended: nothing of it is in the way.
  expect(stopped.stderr).not.toContain('default/held');
  const { versions, cordoned } = await nodesNow(kubectl);
  expect(versions).toEqual({ 'master-a': after, [first]: before, [second]: before });
  expect(cordoned).toEqual([first]);
  // It was renewed before anybody's turn.
  await inside('master-a', `openssl x509 -noout -checkend ${300 * 86_400} -in ${pem}`);
});

test('--force-after ends it all the same; a node that does not get Ready then stops the rollout, with its condition and the last words of its kubelet', async () => {
  want({ version: after, drainWithin: '5s', readyWithin: '10s' });
  await holdBack(first);
  const stopped = await upgradeAnd(cluster, ['--force-after', '2s'], began(`update host.bundle/${first}`), () =>
    inside(first, `iptables -I OUTPUT -p tcp --dport 6443 -j REJECT; ${letGo}`),
  );
  const said = stopped.events.flatMap(({ task, message }) => (task === `drain ${first}` && message ? [message] : []));
  expect(said).toContainEqual(expect.stringMatching(/^default\/deaf-.*: deleted, without a grace period/));
  expect(said).toContainEqual(
    expect.stringMatching(
      /^default\/held-.*: its containers have ended; its object stays until somebody takes its finalizers: example.com\/never$/,
    ),
  );
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toMatch(/node workers-a-1: the node gave no sign of life within 10 s/);
  expect(stopped.stderr).toMatch(/its kubelet has not renewed its lease.*kubelet:/);
  // Images of addons may come to it; it has no turn.
  expect(stopped.events.filter(({ task }) => task.startsWith('pools ') && task.endsWith(`/${second}`))).toEqual([]);
  expect((await nodesNow(kubectl)).versions[second]).toBe(before);
  await inside(first, 'iptables -D OUTPUT -p tcp --dport 6443 -j REJECT');
  expect(await restartsOf('alone')).toBe('0');
  await kubectl('delete', 'deployment', 'deaf', 'held', '--wait=false');
  await kubectl('delete', 'pod', '-l', 'app=deaf', '--force', '--grace-period=0');
  want({ version: after });
});

test('pods that do not start where the node says Ready: stopped before it takes any, with the words of containerd', async () => {
  const broken = '/etc/cni/net.d/00-broken.conflist';
  const conflist = JSON.stringify({ cniVersion: '1.0.0', name: 'broken', plugins: [{ type: 'no-such-plugin' }] });
  await inside(first, `echo '${conflist}' > ${broken}`);
  want({ version: after, readyWithin: '20s' });
  const stopped = await cluster.run('upgrade', '--yes');
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toMatch(/workers-a-1.*no pod starts on it: .*no-such-plugin/s);
  const { versions, cordoned } = await nodesNow(kubectl);
  expect(versions).toEqual({ 'master-a': after, [first]: after, [second]: before });
  expect(cordoned).toEqual([first]);
  await inside(first, `rm ${broken}`);
  want({ version: after });
});

test('`up` in the middle leaves it there: it restarts no kubelet at the older version, and says to whom that is left', async () => {
  const since = await startOfKubelet(first);
  await kubectl('wait', '--for=condition=Ready', `node/${first}`, '--timeout=60s');
  const up = await cluster.must('up', '--yes');
  expect(up.stdout).toMatch(/host\.bundle\/workers-a-1 .*left to upgrade/);
  expect((await nodesNow(kubectl)).versions[first]).toBe(after);
  expect(await startOfKubelet(first)).toBe(since);
});

test('a machine that hangs in the middle of its turn: named, in bounded time; the other one, whose turn was begun before, has ended its own', async () => {
  let froze = 0;
  await holdBack(second);
  const stopped = await upgradeAnd(cluster, [], began(`update host.bundle/${second}`), () => {
    froze = Date.now();
    return container(second).pause();
  });
  const took = Date.now() - froze;
  await container(second).unpause();
  await inside(second, letGo);
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toMatch(/turn of workers-b-1 failed/);
  expect(stopped.stderr).toMatch(/workers-b-1: (the host did not finish a command|no SSH session\\nKeepalive timeout)/);
  expect(took).toBeLessThan(60_000);
  const { versions, cordoned } = await nodesNow(kubectl);
  expect(versions[first]).toBe(after);
  expect(cordoned).toEqual([second]);
});

const seed = Number(process.env.SLIPWAY_TEST_SEED ?? Date.now() % 1_000_000);
test(`SIGKILL after random steps, three times (SLIPWAY_TEST_SEED=${seed}): the same command comes to the same end, and no machine is made anew`, async () => {
  // Everybody has another turn.
  want({ version: after, maxPods: 111 });
  const next = random(seed);
  const kills: string[] = [];
  for (let run = 1; run <= 3; run++) {
    const [steps, lateMs] = [1 + Math.floor(next() * 3), Math.floor(next() * 400)];
    let done = 0;
    // Looking changes nothing: only what is done counts.
    const isLast = ({ type, task }: RunEvent): boolean =>
      type === 'done' && !/^(observe |preflight|assets)/.test(task) && ++done === steps;
    const killed = await upgradeAnd(cluster, [], isLast, async (kill) => {
      await sleep(lateMs);
      kill();
    });
    if (killed.signal !== 'SIGKILL') break;
    kills.push(`${steps} steps and ${lateMs} ms`);
  }
  console.log(`killed after ${kills.join(', ')}`);
  expect(kills).toHaveLength(3);
  await cluster.must('upgrade', '--yes');
  const versions = { 'master-a': after, [first]: after, [second]: after };
  expect(await nodesNow(kubectl)).toEqual({ versions, cordoned: [], taints: [] });
  expect(await containersOf(cluster)).toEqual(machines);
  expect(await restartsOf('alone')).toBe('0');
  await kubectl('wait', '--for=condition=Ready', 'pod/kept-0', '--timeout=60s');
  expect(await kubectl.read('pod/kept-0', '.spec.nodeName')).toBe(second);
  const { code, stdout } = await cluster.run('plan', '--detailed-exitcode');
  expect({ code, stdout: code === 0 ? '' : stdout }).toEqual({ code: 0, stdout: '' });
});
