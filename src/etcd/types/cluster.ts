import type { HostsClients } from '../../host/host.ts';
import { fields } from '../../plan/fields.ts';
import { type Address, addressOf, nameOf, type Observation, type ResourceType, type World } from '../../plan/resource.ts';
import { bootstrap, initialisedKey } from '../bootstrap.ts';
import { type EtcdCluster, etcdClusterNames, memberHosts } from '../probe.ts';
import { type ReadFacts, whyNobodyLeads } from './member.ts';

export interface EtcdClusterProps {
  readonly initialised: true;
}
type Outputs = Record<never, never>;

/**
 * That an etcd cluster was initialised: once in its life, all members at once (hard part 6). The store's record says so; members,
 * their health and their loss are `etcd.member`'s.
 */
export const etcdCluster = (readFacts: ReadFacts): ResourceType<EtcdClusterProps, Outputs, HostsClients> => ({
  name: 'etcd.cluster',
  dependsOn: ['host.units'],
  shrink: 'data-loss',
  timeoutMs: 120_000,
  async observe(world) {
    const found = new Map<Address, Observation<EtcdClusterProps, Outputs>>();
    for (const cluster of etcdClusterNames) {
      const observation = await observeOne(world, cluster, readFacts);
      if (observation) found.set(addressOf('etcd.cluster', cluster), observation);
    }
    return found;
  },
  diff: fields<EtcdClusterProps>({ initialised: 'none' }),
  async create(_props, ctx) {
    await bootstrap(ctx.clients, clusterOf(ctx.address), ctx.signal, ctx.progress);
    return {};
  },
});

async function observeOne(
  world: World<HostsClients>,
  cluster: EtcdCluster,
  readFacts: ReadFacts,
): Promise<Observation<EtcdClusterProps, Outputs> | undefined> {
  const facts = await world.read(readFacts);
  if ((await world.clients.records.get(initialisedKey(cluster))) !== undefined) {
    const why = await whyNobodyLeads(world, cluster, facts);
    return why === undefined
      ? { state: 'present', props: { initialised: true }, outputs: {} }
      : { state: 'unknown', why: `no member leads etcd ${cluster}: ${why}` };
  }
  // Without a record a host that cannot be reached might hold the cluster's data.
  for (const host of memberHosts(world.clients, cluster)) {
    const seen = facts.get(host);
    if (seen?.state === 'unknown') return { state: 'unknown', why: `${host}: ${seen.why}` };
  }
  return undefined;
}

const clusterOf = (address: Address): EtcdCluster => {
  const cluster = etcdClusterNames.find((name) => name === nameOf(address));
  if (!cluster) throw new Error(`${address} is no etcd cluster`);
  return cluster;
};
