import { type MachineSpec, machinesOf, type PoolGroup, type Role, roles, type Topology } from '../../src/cluster/topology.ts';
import { durationMs } from '../../src/config/duration.ts';
import type { Pool } from '../../src/config/schema.ts';
import { type Address, addressOf, type Resource, ref } from '../../src/plan/resource.ts';
import { type ImageProps, imageAddress } from './image.ts';
import type { LaunchTemplateProps } from './launch-template.ts';
import { type BootSpec, type MachineProps, metadataOptions } from './machine.ts';
import type { NetworkInterfaceProps } from './network-interface.ts';
import { autoscalerTags as groupOfAutoscaler } from './policies/cluster-autoscaler.ts';
import { machinePolicy, trust } from './policies/machine.ts';
import type { PoolProps } from './pool.ts';
import type { RoleProps } from './role.ts';
import { type Owner, poolTag, roleTag, type Tags, tagsOf } from './tags.ts';
import type { UserDataSpec } from './user-data.ts';
import { type VolumeProps, withKeyTag } from './volume.ts';

/** What the machines' design needs besides the topology. */
export interface MachinesGiven {
  readonly owner: Owner;
  readonly account: string;
  /** Of the store. */
  readonly bucket: string;
  /** What machines talk to instead of AWS's own: for tests. */
  readonly endpoints?: UserDataSpec['endpoints'];
}

/** Root volumes, in GiB: images and logs of pods are on those of masters and workers. */
const rootGb: Readonly<Record<Role, number>> = { bastion: 10, etcd: 20, master: 40, worker: 50 };

/** Machines and what they are made from: image, roles, volumes, network interfaces; launch templates and groups. Pure. */
export function designMachines(topology: Topology, given: MachinesGiven): readonly Resource[] {
  const { cluster, groups } = topology;
  const settings = cluster.provider.aws;
  if (!settings) throw new Error('not a cluster on AWS');
  const image: Resource<ImageProps> = {
    address: imageAddress,
    type: 'aws.image',
    props: { owner: settings.image.owner, name: settings.image.name },
    after: [],
  };
  const used = roles.filter((role) => machinesOf(topology, role).length > 0 || (role === 'worker' && groups.length > 0));
  const pools = cluster.pools.filter(({ name }) => groups.some(({ pool }) => pool === name));
  return [
    image,
    ...used.map((role) => roleOf(role, topology, given)),
    ...machinesOf(topology, 'etcd').flatMap((spec) => volumesOf(spec, topology, given)),
    ...topology.machines.flatMap((spec): Resource[] => [interfaceOf(spec, given), machineOf(spec, topology, given)]),
    ...pools.map((pool) => templateOf(pool, topology, given)),
    ...groups.map((group) => groupOf(group, topology, given)),
  ];
}

function roleOf(role: Role, topology: Topology, { owner, account, bucket }: MachinesGiven): Resource<RoleProps> {
  const address = addressOf('aws.role', role);
  const { region, cluster } = topology;
  const { kmsKey, addons } = cluster.provider.aws ?? {};
  const scope = { cluster: owner.cluster, account, region, bucket, kmsKey, addons };
  return {
    address,
    type: 'aws.role',
    props: {
      trust,
      policy: machinePolicy(role, scope),
      profile: true,
      profileTags: tagsOf(owner, address),
      tags: tagsOf(owner, address),
    },
    after: [],
  };
}

const etcdClusters = ({ cluster }: Topology): readonly string[] => (cluster.etcd.events ? ['main', 'events'] : ['main']);
const volumeAddress = (host: string, name: string): Address => addressOf('aws.volume', `${host}.${name}`);
const kmsKeyOf = ({ cluster }: Topology): string | null => cluster.provider.aws?.kmsKey ?? null;

function volumesOf(spec: MachineSpec, topology: Topology, { owner }: MachinesGiven): readonly Resource<VolumeProps>[] {
  const kmsKey = kmsKeyOf(topology);
  return etcdClusters(topology).map((name) => {
    const address = volumeAddress(spec.name, name);
    return {
      address,
      type: 'aws.volume',
      props: {
        zone: spec.zone,
        gb: topology.cluster.etcd.volumeGb,
        kmsKey,
        encrypted: true,
        tags: withKeyTag(tagsOf(owner, address), kmsKey),
      },
      after: [],
    };
  });
}

const interfaceAddress = (host: string): Address => addressOf('aws.network-interface', host);
function interfaceOf(
  { name, role, zone, address: fixed }: MachineSpec,
  { owner }: MachinesGiven,
): Resource<NetworkInterfaceProps> {
  const address = interfaceAddress(name);
  return {
    address,
    type: 'aws.network-interface',
    props: {
      subnet: ref(addressOf('aws.subnet', `${role === 'bastion' ? 'public' : 'private'}-${zone}`), 'id'),
      address: fixed,
      securityGroups: [ref(addressOf('aws.security-group', role), 'id')],
      sourceDestCheck: true,
      stays: true,
      tags: tagsOf(owner, address),
    },
    after: [],
  };
}

/** Kubernetes' controllers know their machines by this. */
const nodeTags = (role: Role, cluster: string): Tags => ({
  [roleTag]: role,
  ...((role === 'master' || role === 'worker') && { [`kubernetes.io/cluster/${cluster}`]: 'owned' }),
});

function bootOf(
  role: Role,
  machine: BootSpec['machine'],
  { region }: Topology,
  { owner, bucket, endpoints }: MachinesGiven,
): BootSpec {
  return {
    cluster: owner.cluster,
    region,
    bucket,
    role,
    roleId: ref(addressOf('aws.role', role), 'id'),
    authorizedKey: ref('secret/ssh', 'publicKey'),
    machine,
    ...(endpoints && { endpoints }),
  };
}

function machineOf(spec: MachineSpec, topology: Topology, given: MachinesGiven): Resource<MachineProps> {
  const { name, role, zone } = spec;
  const address = addressOf('aws.machine', name);
  const volumes = role === 'etcd' ? etcdClusters(topology) : [];
  return {
    address,
    type: 'aws.machine',
    props: {
      image: ref(imageAddress, 'id'),
      type: spec.instanceType,
      zone,
      networkInterface: ref(interfaceAddress(name), 'id'),
      profile: ref(addressOf('aws.role', role), 'profile'),
      volumes: Object.fromEntries(volumes.map((volume) => [volume, ref(volumeAddress(name, volume), 'id')])),
      rootGb: rootGb[role],
      kmsKey: kmsKeyOf(topology),
      device: ref(imageAddress, 'device'),
      metadata: metadataOptions,
      running: true,
      pinned: true,
      boot: bootOf(role, { name }, topology, given),
      tags: { ...tagsOf(given.owner, address), ...nodeTags(role, given.owner.cluster) },
    },
    after: [],
  };
}

const templateAddress = (pool: string): Address => addressOf('aws.launch-template', pool);
function templateOf(pool: Pool, topology: Topology, given: MachinesGiven): Resource<LaunchTemplateProps> {
  const address = templateAddress(pool.name);
  const bundle = addressOf('pool.bundle', pool.name);
  const tags = tagsOf(given.owner, address);
  return {
    address,
    type: 'aws.launch-template',
    props: {
      image: ref(imageAddress, 'id'),
      device: ref(imageAddress, 'device'),
      type: pool.machine.type,
      profile: ref('aws.role/worker', 'profileArn'),
      securityGroups: [ref('aws.security-group/worker', 'id')],
      rootGb: rootGb.worker,
      kmsKey: kmsKeyOf(topology),
      metadata: metadataOptions,
      boot: bootOf(
        'worker',
        { pool: pool.name, bundle: { key: ref(bundle, 'key'), digest: ref(bundle, 'digest') } },
        topology,
        given,
      ),
      volumeTags: tags,
      tags,
    },
    after: [],
  };
}

/** From these the autoscaler knows what a machine of an empty group would be like. */
function autoscalerTags(pool: Pool, zone: string, cluster: string): Tags {
  const template = 'k8s.io/cluster-autoscaler/node-template';
  return {
    ...groupOfAutoscaler(cluster),
    [`${template}/label/topology.ebs.csi.aws.com/zone`]: zone,
    ...Object.fromEntries(Object.entries(pool.labels).map(([key, value]) => [`${template}/label/${key}`, value])),
    ...Object.fromEntries(pool.taints.map(({ key, value, effect }) => [`${template}/taint/${key}`, `${value}:${effect}`])),
  };
}

function groupOf(group: PoolGroup, topology: Topology, { owner }: MachinesGiven): Resource<PoolProps> {
  const { name, zone, min, max, autoscaled } = group;
  const pool = topology.cluster.pools.find((one) => one.name === group.pool);
  if (!pool) throw new Error(`no pool ${group.pool}`);
  const address = addressOf('aws.pool', name);
  const template = templateAddress(pool.name);
  return {
    address,
    type: 'aws.pool',
    props: {
      launchTemplate: ref(template, 'id'),
      version: ref(template, 'version'),
      types: [pool.machine.type, ...pool.alternatives],
      spot: pool.spot,
      subnet: ref(addressOf('aws.subnet', `private-${zone}`), 'id'),
      min,
      max,
      drainSeconds: Math.ceil(durationMs(pool.upgrade.drain.timeout) / 1000),
      missing: 0,
      outdated: 0,
      raised: false,
      tags: {
        ...tagsOf(owner, address),
        ...nodeTags('worker', owner.cluster),
        [poolTag]: pool.name,
        ...(autoscaled && autoscalerTags(pool, zone, owner.cluster)),
      },
    },
    after: [],
  };
}
