import { machinesOf, type Topology } from '../cluster/topology.ts';
import { etcdClustersOf } from '../components/etcd.ts';
import { type Address, addressOf, nameOf, type Resource } from '../plan/resource.ts';
import { peerUrlOf } from './on-host.ts';
import type { EtcdClusterProps } from './types/cluster.ts';
import type { EtcdMemberProps } from './types/member.ts';

/** Both etcd clusters and their members. A cluster stands on all its hosts' units; a member on its cluster. Pure. */
export function etcdResources(topology: Topology): readonly Resource[] {
  const hosts = machinesOf(topology, 'etcd');
  const after = hosts.map((host) => addressOf('host.units', host.name));
  return etcdClustersOf(topology).flatMap((cluster): readonly Resource[] => {
    const address = addressOf('etcd.cluster', cluster);
    const members = hosts.map(
      (host): Resource<EtcdMemberProps> => ({
        address: addressOf('etcd.member', `${cluster}.${host.name}`),
        type: 'etcd.member',
        props: { peerUrl: peerUrlOf(cluster, host.address), data: 'present', membership: 'voter' },
        after: [address, addressOf('host.units', host.name)],
      }),
    );
    const whole: Resource<EtcdClusterProps> = { address, type: 'etcd.cluster', props: { initialised: true }, after };
    return [whole, ...members];
  });
}

/**
 * Members. An API server that is made now lists them all, and a learner refuses what it is asked for (hard part 6): so masters start when those that
 * join in the same run have been promoted.
 */
export const etcdMemberAddresses = (topology: Topology): readonly Address[] =>
  etcdClustersOf(topology).flatMap((cluster) =>
    machinesOf(topology, 'etcd').map((host) => addressOf('etcd.member', `${cluster}.${host.name}`)),
  );
/** The host of `etcd.member/main.etcd-a`. */
export const hostOfMember = (address: Address): string => {
  const name = nameOf(address);
  return name.slice(name.indexOf('.') + 1);
};
/** What must be there before an API server can serve. */
export const etcdClusterAddresses = (topology: Topology): readonly Address[] =>
  etcdClustersOf(topology).map((cluster) => addressOf('etcd.cluster', cluster));
