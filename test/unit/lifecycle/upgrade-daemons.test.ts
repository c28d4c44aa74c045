import { describe, expect, test } from 'vitest';
import { aCluster } from '../../support/builders.ts';
import { standingAs, type UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

const at = (version: string) => aCluster({ etcd: { count: 1 }, masters: { count: 2 }, kubernetes: { version } });
const standing = standingAs(at('1.35.4'), time);
const file = at('1.36.3');

/** Of the DaemonSet `web`, as all pods in memory. */
function agent(cluster: UpgradableCluster, node: string, namespace: string, ready: boolean): void {
  const name = `agent-${node}`;
  if (!cluster.api.pods.has(name)) cluster.api.addPod(name, node, 'DaemonSet');
  const pod = cluster.api.pods.get(name);
  if (!pod) throw new Error(`no pod ${name}`);
  const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
  cluster.api.change({ ...pod, metadata: { ...pod.metadata, namespace }, status: { conditions } });
}
const said = async (cluster: UpgradableCluster): Promise<readonly string[]> => {
  const { obstacles } = (await cluster.dryRun(file)).rollout;
  return obstacles.flatMap(({ severity, where, what }) =>
    where.startsWith('DaemonSet ') ? [`${severity} ${where}: ${what}`] : [],
  );
};

test('a DaemonSet of the system with pods that are not ready is in the way before anything starts', async () => {
  const cluster = await standing();
  agent(cluster, 'workers-a-1', 'kube-system', false);
  agent(cluster, 'master-a', 'kube-system', false);
  const what = 'its pods are not ready on workers-a-1, master-a';
  expect(await said(cluster)).toEqual([`error DaemonSet kube-system/web: ${what}`]);
  const before = cluster.digest();
  await expect(cluster.upgrade(file)).rejects.toMatchObject({
    problem: { what: 'one thing stands in the way; nothing was changed', why: expect.stringContaining(what) },
  });
  expect(cluster.digest()).toBe(before);
});

test('one of a user is told of, and the upgrade goes on', async () => {
  const cluster = await standing();
  agent(cluster, 'workers-a-1', 'default', false);
  expect(await said(cluster)).toEqual(['warning DaemonSet default/web: its pods are not ready on workers-a-1']);
  expect((await cluster.upgrade(file)).outcome).toBe('done');
});

test.each(['master-a', 'workers-a-1'])(
  'where it stopped the upgrade after the turn of %s, the next turn there may mend it',
  async (node) => {
    const cluster = await standing();
    agent(cluster, node, 'kube-system', true);
    cluster.onAct = (act) => {
      if (act === `update host.bundle/${node}`) agent(cluster, node, 'kube-system', false);
    };
    await expect(cluster.upgrade(file)).rejects.toMatchObject({ problem: { where: node } });
    expect((await cluster.record()).rollout?.ungated).toContainEqual(expect.objectContaining({ machine: node }));
    const mended = aCluster({
      etcd: { count: 1 },
      masters: { count: 2 },
      kubernetes: { version: '1.36.3', extraArgs: { scheduler: { v: '3' } } },
      pools: [{ name: 'workers', count: 3, kubelet: { extraArgs: { v: '3' } } }],
    });
    cluster.onAct = (act) => {
      if (act.startsWith(`update host.bundle/${node}`)) agent(cluster, node, 'kube-system', true);
    };
    expect((await cluster.upgrade(mended)).outcome).toBe('done');
  },
);

describe('one of a user that the upgrade itself has broken is not what a machine was like before', () => {
  const node = 'workers-a-1';
  const breaks = (cluster: UpgradableCluster, at: string): void => {
    agent(cluster, node, 'default', true);
    cluster.onAct = (act) => {
      if (act === at) agent(cluster, node, 'default', false);
    };
  };
  const why = expect.stringContaining(`default/agent-${node}`);
  const again = aCluster({
    etcd: { count: 1 },
    masters: { count: 2 },
    kubernetes: { version: '1.36.3' },
    pools: [{ name: 'workers', count: 3, kubelet: { extraArgs: { v: '3' } } }],
  });

  test('where its turn was killed', async () => {
    const cluster = await standing();
    const whole = cluster.copy();
    breaks(cluster, `cordon ${node}`);
    await whole.upgrade(file);
    const cordoned = whole.acts.indexOf(`cordon ${node}`);
    await cluster.killedAfter(cordoned + 2, (signal) => cluster.upgrade(file, {}, signal));
    await expect(cluster.upgrade(file)).rejects.toMatchObject({ problem: { where: node, why } });
  });

  test('where its gate has failed, and it has another turn', async () => {
    const cluster = await standing();
    breaks(cluster, `update host.bundle/${node}`);
    await expect(cluster.upgrade(file)).rejects.toMatchObject({ problem: { where: node, why } });
    await expect(cluster.upgrade(again)).rejects.toMatchObject({ problem: { where: node, why } });
  });

  test('what was not ready before the first of its turns is still not waited for', async () => {
    const cluster = await standing();
    agent(cluster, node, 'default', false);
    cluster.ailing.set(node, 'kube-proxy.service is not well');
    await expect(cluster.upgrade(file)).rejects.toMatchObject({ problem: { where: node } });
    cluster.ailing.clear();
    expect((await cluster.upgrade(again)).outcome).toBe('done');
  });
});
