import { exitCodes, UserError } from '../errors.ts';

/**
 * Addresses come from identity, never from a position in a list (hard part 16). The machine range is split into 16 slots, one a zone;
 * each slot into 16 blocks: block 0 for machines that the design names, one block a pool for the rest. Which zone and pool has which slot
 * is recorded when it is first seen, so that adding or removing one moves no other.
 */
export interface Slots {
  readonly zones: Readonly<Record<string, number>>;
  readonly pools: Readonly<Record<string, number>>;
}
export const noSlots: Slots = { zones: {}, pools: {} };
const slotCount = 16;

/** Keeps what is taken, gives each new name the lowest free number. Numbers of names that are gone stay taken: an address is never reused by another identity. */
export function assignSlots(
  taken: Readonly<Record<string, number>>,
  wanted: readonly string[],
  first: number,
  what: string,
): Readonly<Record<string, number>> {
  const slots: Record<string, number> = { ...taken };
  for (const name of wanted) {
    if (slots[name] !== undefined) continue;
    const used = new Set(Object.values(slots));
    let free = first;
    while (used.has(free)) free++;
    if (free >= slotCount) {
      throw new UserError(
        {
          what: `no address slot is left for ${what} ${name}`,
          why: `the machine range holds ${slotCount - first} ${what}s, and these had one: ${Object.keys(slots).join(', ')}`,
          next: `use the name of a ${what} that is gone`,
        },
        exitCodes.config,
      );
    }
    slots[name] = free;
  }
  return slots;
}

/**
 * `flat`: one network (local). `subnets`: two of each zone (clouds): the first half of its slot is private, with the fixed addresses at its
 * start; the next eighth is public, with the bastion and what the cloud puts there.
 */
export type Layout = 'flat' | 'subnets';
export interface ZoneRanges {
  readonly private: string;
  readonly public: string;
  /** The start of `private`, kept from automatic assignment. */
  readonly fixed: string;
}
/** The ranges of a zone under `subnets`. */
export function zoneRanges(machineRange: string, slots: Slots, zone: string): ZoneRanges {
  const [network = '', prefix = ''] = machineRange.split('/');
  const slotSize = 2 ** (32 - Number(prefix)) / slotCount;
  const base = toNumber(network) + (slots.zones[zone] ?? 0) * slotSize;
  const range = (offset: number, size: number) => `${toText(base + offset)}/${32 - Math.log2(size)}`;
  return {
    private: range(0, slotSize / 2),
    public: range(slotSize / 2, slotSize / 8),
    fixed: range(0, slotSize / slotCount),
  };
}

/** Offsets: the network's own first address and Docker's gateway (.1) lie below. The balancer's counts from the start of the whole machine range. */
const balancerOffset = 2;
/** AWS keeps the first four addresses of each subnet for itself. */
const bastionInSubnet = 10;
const offsetOf = (role: 'bastion' | 'etcd' | 'master', blockSize: number, layout: Layout): number => {
  switch (role) {
    case 'bastion':
      return layout === 'flat' ? 3 : (blockSize * slotCount) / 2 + bastionInSubnet;
    case 'etcd':
      return blockSize / 4;
    case 'master':
      return blockSize / 2;
  }
};

export interface AddressPlan {
  readonly balancer: string;
  named(role: 'bastion' | 'etcd' | 'master', zone: string, ordinal: number): string;
  member(pool: string, zone: string, ordinal: number): string;
}

/** `ordinal` counts from 1 within its zone (and pool). Throws UserError (config) where a block is too small. */
export function planAddresses(machineRange: string, slots: Slots, layout: Layout = 'flat'): AddressPlan {
  const [network = '', prefix = ''] = machineRange.split('/');
  const base = toNumber(network);
  const slotSize = 2 ** (32 - Number(prefix)) / slotCount;
  const blockSize = slotSize / slotCount;
  const slotOf = (zone: string): number => base + (slots.zones[zone] ?? 0) * slotSize;
  return {
    balancer: toText(base + balancerOffset),
    named: (role, zone, ordinal) => toText(slotOf(zone) + offsetOf(role, blockSize, layout) + ordinal - 1),
    member(pool, zone, ordinal) {
      if (ordinal > blockSize - 2) {
        throw new UserError(
          {
            what: `pool ${pool} has no address for machine ${ordinal} in zone ${zone}`,
            where: 'network.machines',
            why: `${machineRange} leaves ${blockSize - 2} addresses a pool and zone`,
            next: 'choose a larger machine range for a new cluster, or more zones or pools',
          },
          exitCodes.config,
        );
      }
      return toText(slotOf(zone) + (slots.pools[pool] ?? 1) * blockSize + ordinal);
    },
  };
}

const toNumber = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const toText = (value: number): string => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
