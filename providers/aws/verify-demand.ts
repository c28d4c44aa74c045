import { DescribeAccountLimitsCommand } from '@aws-sdk/client-auto-scaling';
import { type Instance, paginateDescribeVolumes } from '@aws-sdk/client-ec2';
import { nameOf, type Resource, typeOf } from '../../src/plan/resource.ts';
import { clusterTag, tagsFrom } from './tags.ts';
import type { Verifying } from './verify-check.ts';
import { all, type World } from './verify-world.ts';

/** What the design takes of one quota: what others use already, what this cluster needs of it in all, and at most (autoscaled pools). */
export interface Demand {
  readonly service: string;
  readonly code: string;
  readonly name: string;
  readonly unit: string;
  readonly others: number;
  readonly needed: number;
  readonly most?: number;
  /** Where it is known without Service Quotas. */
  readonly value?: number;
}
/** Which quota counts the vCPUs of a family: the letters before its generation. */
const cpuQuotas: readonly {
  readonly families: readonly string[];
  readonly name: string;
  readonly onDemand: string;
  readonly spot: string;
}[] = [
  {
    families: ['a', 'c', 'd', 'h', 'i', 'im', 'is', 'm', 'r', 't', 'z'],
    name: 'Standard (A, C, D, H, I, M, R, T, Z)',
    onDemand: 'L-1216C47A',
    spot: 'L-34B43A08',
  },
  { families: ['g', 'gr', 'vt'], name: 'G and VT', onDemand: 'L-DB2E81BA', spot: 'L-3819A6DF' },
  { families: ['p'], name: 'P', onDemand: 'L-417A185B', spot: 'L-7212CCBC' },
  { families: ['x'], name: 'X', onDemand: 'L-7295265B', spot: 'L-E3A00192' },
  { families: ['f'], name: 'F', onDemand: 'L-74FC7D96', spot: 'L-88CF9481' },
  { families: ['inf'], name: 'Inf', onDemand: 'L-1945791B', spot: 'L-B5D1601B' },
];
export const cpuQuotaOf = (type: string) => cpuQuotas.find(({ families }) => families.includes(/^[a-z]+/.exec(type)?.[0] ?? ''));

const round = (value: number): number => Math.round(value * 10) / 10;
const isOwn = (cluster: string, tags: Parameters<typeof tagsFrom>[0]): boolean => tagsFrom(tags)[clusterTag] === cluster;
const cpusOf = ({ CpuOptions }: Instance): number => (CpuOptions?.CoreCount ?? 1) * (CpuOptions?.ThreadsPerCore ?? 2);

async function cpus({ topology, owner }: Verifying, world: World): Promise<readonly Demand[]> {
  const [types, instances] = await Promise.all([world.types(), world.instances()]);
  const sizeOf = (type: string): number => types.get(type)?.VCpuInfo?.DefaultVCpus ?? 0;
  return cpuQuotas.flatMap((quota) =>
    [false, true].map((spot): Demand => {
      const fits = (type: string): boolean => cpuQuotaOf(type) === quota;
      const fixed = spot ? [] : topology.machines.filter(({ instanceType }) => fits(instanceType));
      const groups = topology.groups.flatMap((group) => {
        const pool = topology.cluster.pools.find(({ name }) => name === group.pool);
        return pool && pool.spot === spot && fits(pool.machine.type) ? [{ ...group, size: sizeOf(pool.machine.type) }] : [];
      });
      const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
      const machines = sum(fixed.map(({ instanceType }) => sizeOf(instanceType)));
      const others = instances.filter(
        ({ InstanceType = '', InstanceLifecycle, Tags }) =>
          fits(InstanceType) && (InstanceLifecycle === 'spot') === spot && !isOwn(owner.cluster, Tags),
      );
      return {
        service: 'ec2',
        code: spot ? quota.spot : quota.onDemand,
        name: spot ? `All ${quota.name} Spot Instance Requests` : `Running On-Demand ${quota.name} instances`,
        unit: 'vCPUs',
        others: sum(others.map(cpusOf)),
        needed: machines + sum(groups.map(({ size, min }) => size * min)),
        most: machines + sum(groups.map(({ size, max }) => size * max)),
      };
    }),
  );
}

const ofType = (resources: readonly Resource[], type: string): readonly Resource[] =>
  resources.filter(({ address }) => typeOf(address) === type);
const made = (resources: readonly Resource[], type: string): number =>
  ofType(resources, type).filter(({ props }) => !('existing' in props && props.existing)).length;

async function network({ resources, owner }: Verifying, world: World): Promise<readonly Demand[]> {
  const [vpcs, addresses, nats, subnets] = await Promise.all([
    world.vpcs(),
    world.addresses(),
    world.natGateways(),
    world.subnets(),
  ]);
  const foreign = <T extends { readonly Tags?: Parameters<typeof tagsFrom>[0] }>(things: readonly T[]): readonly T[] =>
    things.filter(({ Tags }) => !isOwn(owner.cluster, Tags));
  const zoneOf = new Map(subnets.map(({ SubnetId, AvailabilityZone }) => [SubnetId, AvailabilityZone]));
  const ownNats = ofType(resources, 'aws.nat-gateway').map(({ address }) => nameOf(address));
  const inZone = (zone: string): number => foreign(nats).filter(({ SubnetId }) => zoneOf.get(SubnetId) === zone).length;
  const others = Math.max(0, ...ownNats.map(inZone));
  return [
    {
      service: 'vpc',
      code: 'L-F678F1CE',
      name: 'VPCs per Region',
      unit: 'VPCs',
      others: foreign(vpcs).length,
      needed: made(resources, 'aws.vpc'),
    },
    {
      service: 'ec2',
      code: 'L-0263D0A3',
      name: 'EC2-VPC Elastic IPs',
      unit: 'addresses',
      others: foreign(addresses).filter(({ Domain }) => Domain !== 'standard').length,
      needed: made(resources, 'aws.elastic-ip'),
    },
    {
      service: 'vpc',
      code: 'L-FE5A380F',
      name: 'NAT gateways per Availability Zone',
      unit: 'gateways',
      others,
      needed: ownNats.length > 0 ? 1 : 0,
    },
  ];
}

async function balancers({ resources, topology }: Verifying, world: World): Promise<readonly Demand[]> {
  const there = (await world.balancers()).filter(({ Type }) => Type === 'network');
  const own = `slipway-${topology.cluster.name}-`;
  return [
    {
      service: 'elasticloadbalancing',
      code: 'L-69A177A2',
      name: 'Network Load Balancers per Region',
      unit: 'balancers',
      others: there.filter(({ LoadBalancerName }) => !LoadBalancerName?.startsWith(own)).length,
      needed: made(resources, 'aws.balancer'),
    },
  ];
}

/** Few accounts have so many groups that this says anything for a cluster with few. */
const manyGroups = 20;
async function groups({ sdk, resources, signal }: Verifying): Promise<readonly Demand[]> {
  const needed = made(resources, 'aws.pool');
  if (needed < manyGroups) return [];
  const limits = await sdk.autoscaling.send(new DescribeAccountLimitsCommand(), { abortSignal: signal });
  const { MaxNumberOfAutoScalingGroups: value, NumberOfAutoScalingGroups: used = 0 } = limits;
  // Those of this cluster that are there already are among the used: only what is missing is new, and that is not known here.
  return value === undefined
    ? []
    : [
        {
          service: 'autoscaling',
          code: 'L-CDE20ADC',
          name: 'Auto Scaling groups per region',
          unit: 'groups',
          others: Math.max(0, used - needed),
          needed,
          value,
        },
      ];
}

const gibInTib = 1024;
/** Accounts begin with 50 TiB; only a cluster that takes a good part of it is worth a look at all volumes. */
const muchTib = 5;
async function storage({ sdk, resources, topology, owner, signal }: Verifying): Promise<readonly Demand[]> {
  const number = (props: object, key: string): number => {
    const value: unknown = Object.entries(props).find(([name]) => name === key)?.[1];
    return typeof value === 'number' ? value : 0;
  };
  const fixed = resources.reduce(
    (sum, { address, props }) =>
      sum +
      (typeOf(address) === 'aws.volume' ? number(props, 'gb') : typeOf(address) === 'aws.machine' ? number(props, 'rootGb') : 0),
    0,
  );
  const rootOf = (pool: string): number =>
    resources
      .filter(({ address }) => address === `aws.launch-template/${pool}`)
      .reduce((sum, { props }) => sum + number(props, 'rootGb'), 0);
  const pools = (of: 'min' | 'max'): number => topology.groups.reduce((sum, group) => sum + group[of] * rootOf(group.pool), 0);
  const most = (fixed + pools('max')) / gibInTib;
  if (most < muchTib) return [];
  const Filters = [{ Name: 'volume-type', Values: ['gp3'] }];
  const there = await all(
    paginateDescribeVolumes({ client: sdk.ec2, pageSize: 1000 }, { Filters }),
    signal,
    ({ Volumes }) => Volumes,
  );
  const others = there.filter(({ Tags }) => !isOwn(owner.cluster, Tags)).reduce((sum, { Size = 0 }) => sum + Size, 0);
  return [
    {
      service: 'ebs',
      code: 'L-7A658B76',
      name: 'Storage for General Purpose SSD (gp3) volumes',
      unit: 'TiB',
      others: others / gibInTib,
      needed: round((fixed + pools('min')) / gibInTib),
      most: round(most),
    },
  ];
}

export const demandsOf = [cpus, network, balancers, groups, storage] as const;
