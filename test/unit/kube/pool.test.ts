import { describe, expect, test } from 'vitest';
import { designAddons } from '../../../src/components/addons.ts';
import type { KubeClients } from '../../../src/kube/clients.ts';
import { kubeResources } from '../../../src/kube/design.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { groupOf, kubePool } from '../../../src/kube/types/pool.ts';
import { sharedPoll } from '../../../src/kube/wait.ts';
import type { Context } from '../../../src/plan/resource.ts';
import { awsTopology } from '../../support/aws/pool-machine.ts';

const node = (name: string, ready: boolean, zone = 'eu-central-1a', pool = 'workers'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'slipway.dev/pool': pool } },
  spec: { providerID: `aws:///${zone}/${name}` },
  status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', message: 'container runtime is down' }] },
});
const api = {
  server: 'https://localhost',
  list: async () => [],
  get: async () => undefined,
  raw: async () => 'ok',
  close: () => {},
};
/** Answers with what `nodes` gives at the time of each LIST. */
function world(nodes: () => readonly KubeObject[]) {
  const unused = () => Promise.reject(new Error('not asked'));
  const none = async function* () {};
  const not = {
    apply: unused,
    patch: unused,
    patchStatus: unused,
    delete: unused,
    kind: unused,
    evict: unused,
    pages: none,
    watch: none,
  };
  const kube = { ...api, ...not, list: async () => nodes() };
  const poll = sharedPoll(
    async () => new Map(nodes().map((each) => [each.metadata.name, each])),
    () => 5,
  );
  const clients: KubeClients = {
    api: async () => kube,
    servers: async () => new Map(),
    state: async () => 'there',
    uid: 'u',
    readyWithinMs: 120_000,
    hosts: undefined,
    now: Date.now,
    addonKinds: [],
    manifests: new Map(),
    nodes: poll,
    leases: sharedPoll(unused, () => 5),
    workloads: sharedPoll(unused, () => 5),
    close: () => {},
  };
  const { signal } = new AbortController();
  return {
    clients,
    signal,
    read: <T>(query: (clients: KubeClients, signal: AbortSignal) => Promise<T>) => query(clients, signal),
  };
}
const context = ({ clients, signal }: ReturnType<typeof world>, said: string[] = []): Context<KubeClients> => ({
  address: 'kube.pool/workers-eu-central-1a',
  clients,
  signal,
  since: 0,
  token: '',
  hold: [],
  secrets: { reveal: async () => new Uint8Array() },
  progress: (message, amount) => void said.push(`${message} ${amount?.done}/${amount?.of}`),
});

describe('the nodes of a group', () => {
  test('are counted by pool and zone, from one LIST; a machine of the design is of none', async () => {
    const seen = await kubePool.observe(
      world(() => [node('i-1', true), node('i-2', false), node('i-3', true, 'eu-central-1b'), { ...node('x', true), spec: {} }]),
    );
    expect(
      Object.fromEntries([...seen].map(([address, found]) => [address, found.state === 'present' && found.props.nodes])),
    ).toEqual({
      'kube.pool/workers-eu-central-1a': 1,
      'kube.pool/workers-eu-central-1b': 1,
    });
    expect(groupOf(node('i-1', true))).toBe('workers-eu-central-1a');
  });
  test('differ only when there are fewer than the least', () => {
    const diff = (desired: number, there: number) =>
      kubePool.diff({ nodes: desired, network: true }, { nodes: there, network: true, withoutNetwork: 2 });
    expect(diff(2, 2)).toEqual([]);
    expect(diff(2, 7)).toEqual([]);
    expect(diff(2, 1)).toEqual([{ path: 'nodes', before: 1, after: 2, impact: 'none' }]);
  });
  test('that wait for a pod network count where none is ours to bring', () => {
    expect(kubePool.diff({ nodes: 2, network: false }, { nodes: 0, network: true, withoutNetwork: 2 })).toEqual([]);
  });
  test('are waited for until the least of them is Ready', async () => {
    let asked = 0;
    const said: string[] = [];
    const there = world(() => [node('i-1', asked++ > 2), node('i-2', asked > 4)]);
    await kubePool.create?.({ nodes: 2, network: true }, context(there, said));
    expect(said.at(-1)).toBe('Ready 2/2');
  });
});

describe('a pool without a least size', () => {
  test('is waited for by nobody; addons wait for the others', () => {
    const resources = (min: number) => {
      const topology = awsTopology({ pools: [{ name: 'workers', min, max: 3 }] });
      return kubeResources(topology, designAddons(topology, {}), [], { groupAddress: (group) => `aws.pool/${group}` });
    };
    const pools = (min: number) => resources(min).filter(({ type }) => type === 'kube.pool');
    expect(pools(0)).toEqual([]);
    expect(pools(1)).toMatchObject([
      { address: 'kube.pool/workers-eu-central-1a', after: expect.arrayContaining(['aws.pool/workers-eu-central-1a']) },
    ]);
    const coredns = resources(1).find(({ address }) => address === 'kube.ready/coredns');
    expect(coredns?.after).toContain('kube.pool/workers-eu-central-1a');
  });
});
