import type { MachineSpec, Topology } from '../../src/cluster/topology.ts';
import { machinesOf } from '../../src/cluster/topology.ts';
import { type Address, addressOf, type Resource, ref } from '../../src/plan/resource.ts';
import { type BalancerProps, balancerAddress } from './balancer.ts';
import { type ImageProps, imageAddress } from './image.ts';
import type { MachineProps } from './machine.ts';
import { type NetworkProps, networkName } from './network.ts';
import { type VolumeProps, volumeName } from './volume.ts';

export const machineAddress = (name: string): Address => addressOf('local.machine', name);

/** What the provider brings to the design besides the topology. */
export interface Given {
  /** Tag of the machine image. */
  readonly image: string;
  readonly assets: string;
}

/** The infrastructure of a cluster on Docker. Pure. */
export function design(topology: Topology, given: Given): readonly Resource[] {
  const { cluster } = topology;
  const networkAddress = addressOf('local.network', cluster.name);
  const image: Resource<ImageProps> = {
    address: imageAddress,
    type: 'local.image',
    props: { tag: given.image },
    after: [],
  };
  const network: Resource<NetworkProps> = {
    address: networkAddress,
    type: 'local.network',
    props: { subnet: cluster.network.machines },
    after: [],
  };
  const volumes = machinesOf(topology, 'etcd').flatMap((machine) =>
    etcdClusters(topology).map(
      (name): Resource<VolumeProps> => ({
        address: addressOf('local.volume', `${machine.name}.${name}`),
        type: 'local.volume',
        props: { machine: machine.name },
        after: [],
      }),
    ),
  );
  const below = [imageAddress, networkAddress] as const;
  const machines = topology.machines.map((spec): Resource<MachineProps> => {
    const own = volumes.filter(({ props }) => props.machine === spec.name).map(({ address }) => address);
    return {
      address: machineAddress(spec.name),
      type: 'local.machine',
      props: machineProps(spec, topology, given),
      after: [...below, ...own],
    };
  });
  const balancer: Resource<BalancerProps> = {
    address: balancerAddress,
    type: 'local.balancer',
    props: {
      image: given.image,
      network: networkName(cluster.name),
      address: topology.api.address,
      port: topology.api.port,
      publish: cluster.provider.local?.apiPort ?? 0,
      backends: Object.fromEntries(machinesOf(topology, 'master').map(({ name, address }) => [name, address])),
      running: true,
    },
    after: below,
  };
  return [image, network, ...volumes, ...machines, balancer];
}

const etcdClusters = (topology: Topology): readonly string[] => (topology.cluster.etcd.events ? ['main', 'events'] : ['main']);

function machineProps(spec: MachineSpec, topology: Topology, given: Given): MachineProps {
  const { cluster, api } = topology;
  const volumes =
    spec.role === 'etcd'
      ? etcdClusters(topology).map((name) => [`/var/lib/etcd-${name}`, volumeName(cluster.name, `${spec.name}.${name}`)])
      : [];
  return {
    image: given.image,
    network: networkName(cluster.name),
    address: spec.address,
    role: spec.role,
    zone: spec.zone,
    volumes: Object.fromEntries(volumes),
    hosts: [`${api.name}:${api.address}`],
    assets: given.assets,
    sshPort: spec.role === 'bastion' ? (cluster.provider.local?.sshPort ?? 0) : null,
    running: true,
    authorizedKey: ref('secret/ssh', 'publicKey'),
  };
}
