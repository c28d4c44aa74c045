import type { Subnet } from '@aws-sdk/client-ec2';
import type { Finding } from '../../src/config/finding.ts';
import { addressOf } from '../../src/plan/resource.ts';
import { existingOf } from './existing.ts';
import { holds, overlap } from './ranges.ts';
import { clusterTag, tagsFrom } from './tags.ts';
import type { Verifying } from './verify-check.ts';

const check = 'aws.network';

interface Named {
  readonly side: string;
  readonly zone: string;
  readonly id: string;
  readonly where: string;
}
export function namedOf({ topology }: Verifying): readonly Named[] {
  const { publicSubnets = {}, privateSubnets = {} } = topology.cluster.provider.aws?.vpc ?? {};
  const of = (side: string, ids: Readonly<Record<string, string>>): Named[] =>
    Object.entries(ids).map(([zone, id]) => ({ side, zone, id, where: `provider.aws.vpc.${side}Subnets.${zone}` }));
  return [...of('public', publicSubnets), ...of('private', privateSubnets)];
}

/** Machines with fixed addresses have them from network.machines: their subnets must hold those. */
export function namedSubnets(subnets: readonly Subnet[], of: Verifying): readonly Finding[] {
  return namedOf(of).flatMap(({ side, zone, id, where }): readonly Finding[] => {
    const found = subnets.find(({ SubnetId }) => SubnetId === id);
    const base = { severity: 'error', check, where } as const;
    if (!found) return [{ ...base, what: `there is no subnet ${id} in the VPC`, next: 'correct the ID' }];
    if (found.AvailabilityZone !== zone)
      return [
        { ...base, what: `${id} is in ${found.AvailabilityZone}, and is named for ${zone}`, next: 'name a subnet of that zone' },
      ];
    const cidr = found.CidrBlock ?? '';
    const outside = of.topology.machines.filter(
      (machine) =>
        machine.zone === zone &&
        (machine.role === 'bastion' ? 'public' : 'private') === side &&
        !holds(cidr, `${machine.address}/32`),
    );
    if (outside.length === 0) return [];
    return [
      {
        ...base,
        what: `${id} is ${cidr}, and these addresses are not in it: ${outside.map(({ name, address }) => `${name} ${address}`).join(', ')}`,
        why: 'fixed addresses come from network.machines: the slot of each zone (network.zoneSlots)',
        next: `name no subnet for ${zone} (Slipway makes ${of.topology.ranges[zone]?.[side === 'public' ? 'public' : 'private']}), or choose network.machines and zoneSlots so that they fit`,
      },
    ];
  });
}

/** Subnets that Slipway is to make must not overlap what is there. */
export function newSubnets(subnets: readonly Subnet[], of: Verifying): readonly Finding[] {
  const { topology, owner } = of;
  const named = existingOf(topology.cluster).subnets;
  const others = subnets.filter(({ Tags }) => tagsFrom(Tags)[clusterTag] !== owner.cluster);
  return topology.zones.flatMap((zone) =>
    (['public', 'private'] as const).flatMap((side): readonly Finding[] => {
      const cidr = topology.ranges[zone]?.[side];
      if (cidr === undefined || named[addressOf('aws.subnet', `${side}-${zone}`)] !== undefined) return [];
      return others
        .filter(({ CidrBlock = '' }) => overlap(CidrBlock, cidr))
        .map(({ SubnetId, CidrBlock }) => ({
          severity: 'error',
          check,
          where: 'network.machines',
          what: `the ${side} subnet of ${zone} would have ${cidr}, where ${SubnetId} has ${CidrBlock}`,
          next: 'choose another part of the VPC (network.machines), or another slot (network.zoneSlots)',
        }));
    }),
  );
}
