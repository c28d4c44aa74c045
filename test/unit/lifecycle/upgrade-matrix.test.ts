import { describe, expect, test } from 'vitest';
import { knownKubernetes, versionsFor } from '../../../src/assets/catalogue.ts';
import { minorOf } from '../../../src/assets/version-order.ts';
import type { Cluster, ClusterInput } from '../../../src/config/schema.ts';
import { turnsOfWave } from '../../../src/rollout/turns.ts';
import { aCluster } from '../../support/builders.ts';
import { standingAs, type UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

/** Each supported minor version, by its newest release, and the next. */
const newest = [...Map.groupBy(knownKubernetes, minorOf).values()].flatMap(([first]) => first ?? []).toReversed();
const steps = newest.slice(1).map((to, i) => ({ from: newest[i] ?? '', to }));
const strategies = ['in-place', 'replace'] as const;

type Upgrade = NonNullable<ClusterInput['etcd']>['upgrade'];
const at = (version: string, masters: number, upgrade?: Upgrade): Cluster => {
  const how = upgrade && { upgrade };
  return aCluster({
    kubernetes: { version },
    masters: { count: masters, ...how },
    etcd: { count: masters === 2 ? 3 : masters, ...how },
    pools: [{ name: 'workers', count: 2, ...how }],
    upgrade: { stableFor: '0s' },
  });
};

const roleOf = (machine: string): string => machine.replace(/-.*/, '');
/** Adjacent ones are one. */
const runs = (words: readonly string[]): readonly string[] => words.filter((word, i) => word !== words[i - 1]);

/** What does not hold at this moment, in the words of the policy; the cluster in memory looks after the rest. */
function* breaches(cluster: UpgradableCluster): Generator<string> {
  const apis = [...cluster.running('kube-apiserver').values()].map(minorOf);
  for (const [node, version] of cluster.running('kubelet'))
    if (!node.startsWith('master') && minorOf(version) > Math.min(...apis)) yield `${node} has kubelet ${version}`;
  for (const role of ['etcd', 'master']) {
    const away = cluster.machines().filter((name) => roleOf(name) === role && !cluster.serves(name));
    if (away.length > 1) yield `${away.join(', ')} are away at once`;
  }
}

describe.each(steps)('$from → $to', ({ from, to }) => {
  describe.each([1, 2, 3, 5])('%i masters', (masters) => {
    const standing = standingAs(at(from, masters), time);
    test.each(strategies)('%s: in order, one at a time, the policy kept after every act, and nothing left', async (strategy) => {
      const cluster = await standing();
      const machines = cluster.machines().filter((name) => roleOf(name) !== 'bastion');
      const file = at(to, masters, { strategy });
      const etcdMoves = versionsFor(from).etcd !== versionsFor(to).etcd;
      const goes = machines.filter((name) => etcdMoves || roleOf(name) !== 'etcd');

      const { rollout } = await cluster.dryRun(file);
      expect(rollout.obstacles.filter(({ severity }) => severity === 'error')).toEqual([]);
      expect(rollout.waves.map(({ name, kubernetes }) => `${name} ${kubernetes}`)).toEqual(
        (etcdMoves ? ['etcd', 'masters', 'pools'] : ['masters', 'pools']).map((name) => `${name} ${to}`),
      );
      const turns = rollout.waves.flatMap(turnsOfWave);
      expect(
        turns
          .filter(({ how }) => how === strategy)
          .map(({ machine }) => machine)
          .toSorted(),
      ).toEqual(goes.toSorted());

      const broken: string[] = [];
      const touched: string[] = [];
      cluster.onAct = (act) => {
        broken.push(...breaches(cluster));
        const machine = /^(?:update|create) host\.bundle\/(\S+)/.exec(act)?.[1];
        if (machine !== undefined) touched.push(machine);
      };
      const result = await cluster.upgrade(file);
      expect([result.outcome, broken, cluster.broken]).toEqual(['done', [], []]);
      expect(runs(touched.map(roleOf))).toEqual(etcdMoves ? ['etcd', 'master', 'workers'] : ['master', 'workers']);
      for (const role of ['etcd', 'master']) {
        const own = runs(touched.filter((name) => roleOf(name) === role));
        expect(own, 'a machine has one turn').toEqual([...new Set(own)]);
      }
      const ended = (program: string) => [...new Set(cluster.running(program).values())];
      for (const program of ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'kubelet'])
        expect(ended(program), program).toEqual([to]);
      expect(ended('etcd')).toEqual([versionsFor(to).etcd]);
      expect(await cluster.left(file)).toEqual([]);
      expect([cluster.api.cordoned(), cluster.api.tainted()]).toEqual([[], []]);
      expect(cluster.machines().filter((name) => roleOf(name) !== 'bastion')).toEqual(machines);
    });
  });
});
