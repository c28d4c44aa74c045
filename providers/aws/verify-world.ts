import {
  DescribeAddressesCommand,
  DescribeAvailabilityZonesCommand,
  type InstanceTypeInfo,
  paginateDescribeInstances,
  paginateDescribeInstanceTypes,
  paginateDescribeNatGateways,
  paginateDescribeSubnets,
  paginateDescribeVpcs,
} from '@aws-sdk/client-ec2';
import { type LoadBalancer, paginateDescribeLoadBalancers } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Verifying } from './verify-check.ts';

/** What several checks look at: each is asked for once, when the first of them wants it, and holds also what is not this cluster's. */
export type World = ReturnType<typeof worldOf>;

export function worldOf({ sdk, topology, signal }: Verifying) {
  const { ec2, elb } = sdk;
  const abort = { abortSignal: signal };
  return {
    zones: once(async () => {
      const { AvailabilityZones = [] } = await ec2.send(new DescribeAvailabilityZonesCommand(), abort);
      return AvailabilityZones;
    }),
    /** Of the types that the design names; one that AWS does not know is missing. */
    types: once(async (): Promise<ReadonlyMap<string, InstanceTypeInfo>> => {
      const Filters = [{ Name: 'instance-type', Values: [...typesOf(topology)] }];
      const found = await all(
        paginateDescribeInstanceTypes({ client: ec2 }, { Filters }),
        signal,
        ({ InstanceTypes }) => InstanceTypes,
      );
      return new Map(found.flatMap((info) => (info.InstanceType ? [[info.InstanceType, info] as const] : [])));
    }),
    instances: once(() => {
      const Filters = [{ Name: 'instance-state-name', Values: ['pending', 'running'] }];
      return all(paginateDescribeInstances({ client: ec2, pageSize }, { Filters }), signal, ({ Reservations = [] }) =>
        Reservations.flatMap(({ Instances = [] }) => Instances),
      );
    }),
    addresses: once(async () => (await ec2.send(new DescribeAddressesCommand(), abort)).Addresses ?? []),
    vpcs: once(() => all(paginateDescribeVpcs({ client: ec2, pageSize }, {}), signal, ({ Vpcs }) => Vpcs)),
    subnets: once(() => all(paginateDescribeSubnets({ client: ec2, pageSize }, {}), signal, ({ Subnets }) => Subnets)),
    natGateways: once(() => {
      const Filter = [{ Name: 'state', Values: ['pending', 'available'] }];
      return all(paginateDescribeNatGateways({ client: ec2, pageSize }, { Filter }), signal, ({ NatGateways }) => NatGateways);
    }),
    balancers: once(
      (): Promise<readonly LoadBalancer[]> =>
        all(paginateDescribeLoadBalancers({ client: elb, pageSize: 400 }, {}), signal, ({ LoadBalancers }) => LoadBalancers),
    ),
  };
}

/** Every machine type that the design may run. */
export const typesOf = ({ machines, cluster }: Verifying['topology']): ReadonlySet<string> =>
  new Set([
    ...machines.map(({ instanceType }) => instanceType),
    ...cluster.pools.flatMap(({ machine, alternatives }) => [machine.type, ...alternatives]),
  ]);

const pageSize = 1000;
/** Accounts of any size: what is beyond these pages changes no finding's sense. */
const mostPages = 50;
export async function all<P, T>(
  pages: AsyncIterable<P>,
  signal: AbortSignal,
  of: (page: P) => readonly T[] | undefined,
): Promise<readonly T[]> {
  const found: T[] = [];
  let count = 0;
  for await (const page of pages) {
    signal.throwIfAborted();
    found.push(...(of(page) ?? []));
    if (++count >= mostPages) break;
  }
  return found;
}

function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined;
  return () => {
    asked ??= ask();
    return asked;
  };
}
