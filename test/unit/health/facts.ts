import type { Seen } from '../../../src/host/facts.ts';
import type { HostFacts, UnitFacts } from '../../../src/host/host.ts';

export const aHost = (over: Partial<HostFacts> = {}, asked = { from: 0, to: 0 }): Seen => ({
  state: 'present',
  asked,
  facts: {
    bootId: 'boot',
    clockMs: 0,
    generation: 1,
    bundle: 'bundle',
    identity: {},
    files: new Map(),
    units: new Map(),
    assets: new Set(),
    certificates: new Map(),
    probes: new Map(),
    ...over,
  },
});
export const aUnit = (active: string, over: Partial<UnitFacts> = {}): UnitFacts => ({
  active,
  enabled: true,
  stale: false,
  sha256: '',
  asApplied: true,
  inputs: [],
  serving: false,
  waitsFor: undefined,
  ...over,
});

/** What the probe of an etcd member prints: `ids` are the cluster's members, `id` its own. */
export const etcdProbe = (
  id: number,
  ids: readonly number[],
  over: {
    readonly leader?: number;
    readonly dbSize?: number;
    readonly alarms?: readonly object[];
    readonly learners?: readonly number[];
  } = {},
): string =>
  JSON.stringify({
    members: {
      members: ids.map((ID) => ({
        ID: String(ID),
        name: `etcd-${ID}`,
        peerURLs: [`https://10.0.0.${ID}:2380`],
        ...(over.learners?.includes(ID) ? { isLearner: true } : {}),
      })),
    },
    status: {
      header: { member_id: String(id), cluster_id: '1' },
      version: '3.6.16',
      dbSize: String(over.dbSize ?? 1000),
      leader: String(over.leader ?? 1),
      raftAppliedIndex: '10',
      ...(over.learners?.includes(id) ? { isLearner: true } : {}),
    },
    alarms: { alarms: over.alarms ?? [] },
  });
export const anEtcdHost = (...probe: Parameters<typeof etcdProbe>): Seen =>
  aHost({ probes: new Map([['etcd-main', { code: 0, stdout: etcdProbe(...probe) }]]) });
