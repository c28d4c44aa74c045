import ipaddr from 'ipaddr.js';
import { pathText } from '../path.ts';
import type { Cluster } from '../schema.ts';
import { error, type Rule, warning } from './rule.ts';
import { perZone } from './spread.ts';

const ranges = ['machines', 'pods', 'services'] as const;
type RangeName = (typeof ranges)[number];
const prefixOf = (cidr: string): number => Number(cidr.split('/')[1]);

/** A range is written from its first address: 172.30.0.5/16 is nearly always a slip. */
export const hostBits: Rule = function* ({ network }) {
  for (const name of ranges) {
    const first = `${ipaddr.IPv4.networkAddressFromCIDR(network[name]).toString()}/${prefixOf(network[name])}`;
    if (first !== network[name])
      yield error(
        'network.host-bits',
        ['network', name],
        `network.${name} ${network[name]} does not begin at its first address`,
        {
          next: `write ${first}`,
        },
      );
  }
};

export const overlaps: Rule = function* ({ network }) {
  for (const [index, name] of ranges.entries()) {
    for (const other of ranges.slice(0, index)) {
      const [a, b] = [ipaddr.IPv4.parseCIDR(network[name]), ipaddr.IPv4.parseCIDR(network[other])];
      const shorter = Math.min(a[1], b[1]);
      if (a[0].match(b[0], shorter))
        yield error(
          'network.overlap',
          ['network', name],
          `network.${name} ${network[name]} overlaps network.${other} ${network[other]}`,
          {
            why: 'an address must belong to one of machines, pods and services',
            next: 'choose ranges that do not overlap, such as 172.30.0.0/16, 10.244.0.0/16 and 10.96.0.0/16',
          },
        );
    }
  }
};

const bounds: Readonly<Record<RangeName, { readonly largest: number; readonly smallest: number; readonly why: string }>> = {
  machines: {
    largest: 8,
    smallest: 20,
    why: 'it is split into 16 slots, one a zone, and each of those into 16 blocks, one a pool',
  },
  pods: { largest: 8, smallest: 23, why: 'each node takes a /24 of it' },
  services: {
    largest: 12,
    smallest: 24,
    why: 'Kubernetes takes no more than 20 bits, and fewer than 256 Services are soon used up',
  },
};
export const sizes: Rule = function* ({ network, provider }) {
  for (const name of ranges) {
    const { smallest, why } = bounds[name];
    // A VPC of AWS has a /16 at most.
    const largest = provider.aws && name === 'machines' ? 16 : bounds[name].largest;
    const prefix = prefixOf(network[name]);
    if (prefix < largest || prefix > smallest)
      yield error(
        'network.size',
        ['network', name],
        `network.${name} ${network[name]} is too ${prefix > smallest ? 'small' : 'large'}; it must be a /${largest} to /${smallest}`,
        { why },
      );
  }
};

const special: readonly (readonly [cidr: string, what: string])[] = [
  ['0.0.0.0/8', 'means "this network"'],
  ['127.0.0.0/8', 'is loopback'],
  ['169.254.0.0/16', "is link-local, where clouds' metadata is"],
  ['224.0.0.0/3', 'is multicast and reserved'],
];
const privateRanges = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '198.18.0.0/15'];
export const addressSpace: Rule = function* ({ network }) {
  for (const name of ranges) {
    const own = ipaddr.IPv4.parseCIDR(network[name]);
    const bad = special.find(([cidr]) => {
      const other = ipaddr.IPv4.parseCIDR(cidr);
      return own[0].match(other[0], Math.min(own[1], other[1]));
    });
    if (bad)
      yield error('network.reserved', ['network', name], `network.${name} ${network[name]} touches ${bad[0]}, which ${bad[1]}`);
    else if (!privateRanges.some((cidr) => own[1] >= prefixOf(cidr) && own[0].match(ipaddr.IPv4.parseCIDR(cidr))))
      yield warning('network.public', ['network', name], `network.${name} ${network[name]} is not in a private range`, {
        why: 'hosts of the Internet with these addresses cannot be reached from the cluster',
        next: `choose from ${privateRanges.slice(0, 3).join(', ')}`,
      });
  }
};

const mostOf = (pool: Cluster['pools'][number]): number => pool.max ?? pool.count ?? 0;

/** One /24 a node (the controller manager's node CIDR mask). */
export const podCapacity: Rule = function* ({ network, masters, pools }) {
  const nodes = masters.count + pools.reduce((sum, pool) => sum + mostOf(pool), 0);
  const prefix = prefixOf(network.pods);
  const capacity = 2 ** (24 - prefix);
  if (nodes > capacity && prefix <= bounds.pods.smallest)
    yield error(
      'network.pods-capacity',
      ['network', 'pods'],
      `network.pods ${network.pods} has room for ${Math.floor(capacity)} nodes, and masters and pools may have ${nodes}`,
      {
        why: 'each node takes a /24 of it',
        next: `use a /${24 - Math.ceil(Math.log2(nodes))} or larger`,
      },
    );
};

/**
 * A slot's first block holds the machines that the design names. Each pool has a block of its own (addresses come from identity); groups of a
 * cloud share the zone's private subnet, half of the slot, of which the cloud keeps 5.
 */
export const machineCapacity: Rule = function* (cluster) {
  const prefix = prefixOf(cluster.network.machines);
  if (prefix > bounds.machines.smallest) return;
  const block = 2 ** (32 - prefix) / 256;
  const grouped = cluster.provider.aws !== undefined;
  const groups = [
    { path: ['etcd', 'count'], count: cluster.etcd.count, zones: cluster.etcd.zones, room: block / 4 },
    { path: ['masters', 'count'], count: cluster.masters.count, zones: cluster.masters.zones, room: block / 2 },
    ...cluster.pools.map((pool, i) => ({
      path: ['pools', i, pool.max === undefined ? 'count' : 'max'],
      count: mostOf(pool),
      zones: pool.zones,
      room: grouped ? 7 * block - 5 : block - 2,
    })),
  ];
  const shares = groups.map((group) => ({ ...group, inZones: perZone(group.count, group.zones ?? cluster.zones) }));
  for (const { path, count, inZones, room } of shares) {
    const most = Math.max(0, ...inZones.values());
    if (most > room)
      yield error(
        'network.machines-capacity',
        path,
        `${pathText(path)} ${count} means ${most} machines in one zone, and network.machines ${cluster.network.machines} has room for ${room} of a kind in a zone`,
        {
          next: 'use a larger range (network.machines), more zones, or more pools',
        },
      );
  }
  const pools = shares.slice(2);
  const room = 7 * block - 5;
  const full = cluster.zones
    .map((zone) => ({ zone, all: pools.reduce((sum, { inZones }) => sum + (inZones.get(zone) ?? 0), 0) }))
    .find(({ all }) => all > room);
  if (grouped && full && pools.every(({ inZones }) => Math.max(0, ...inZones.values()) <= room))
    yield error(
      'network.machines-capacity',
      ['network', 'machines'],
      `the pools may have ${full.all} machines in zone ${full.zone}, and network.machines ${cluster.network.machines} has room for ${room} there`,
      { next: 'use a larger range (network.machines), or more zones' },
    );
};

export const allowedCidrs: Rule = function* ({ kubernetes, bastion, provider }) {
  const lists = [
    { path: ['kubernetes', 'api', 'allowedCidrs'], cidrs: kubernetes.api.allowedCidrs },
    { path: ['bastion', 'allowedCidrs'], cidrs: bastion.allowedCidrs },
  ];
  for (const { path, cidrs } of lists) {
    for (const [i, cidr] of cidrs.entries()) {
      const first = `${ipaddr.IPv4.networkAddressFromCIDR(cidr).toString()}/${prefixOf(cidr)}`;
      if (first !== cidr)
        yield error('network.host-bits', [...path, i], `${cidr} does not begin at its first address`, {
          next: `write ${first}, or ${cidr.split('/')[0]}/32 for the one address`,
        });
      if (prefixOf(cidr) === 0)
        yield warning('network.open', [...path, i], `${pathText(path)} lets the whole Internet in`, {
          next: "name your own networks' addresses",
        });
    }
    if (provider.local && cidrs.length > 0)
      yield warning('network.local-cidrs', path, `${pathText(path)} has no effect with the local provider`, {
        why: 'its ports are published on 127.0.0.1 only',
      });
  }
};

/** Machines on clouds are reached through the bastion only, by `up` too. Open to everybody is never a default: somebody must have written it. */
export const bastionReachable: Rule = function* ({ bastion, provider }) {
  if (provider.local || bastion.allowedCidrs.length > 0) return;
  yield error(
    'bastion.closed',
    ['bastion'],
    'bastion.allowedCidrs is empty: nobody could reach the machines by SSH, nor could Slipway',
    {
      why: 'the bastion lets in only the ranges that are named there',
      next: 'name your own networks, such as 203.0.113.0/24, or your address with /32 (curl https://checkip.amazonaws.com says it)',
    },
  );
};
