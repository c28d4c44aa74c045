import ipaddr from 'ipaddr.js';

/** `172.30.0.0/16` as numbers: first and last address. */
export function boundsOf(cidr: string): { readonly first: number; readonly last: number; readonly prefix: number } {
  const [address, prefix] = ipaddr.IPv4.parseCIDR(cidr);
  const size = 2 ** (32 - prefix);
  const first = Math.floor(toNumber(address.toString()) / size) * size;
  return { first, last: first + size - 1, prefix };
}
export const toNumber = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
export const toAddress = (value: number): string => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');

export function overlaps(a: string, b: string): boolean {
  const [x, y] = [boundsOf(a), boundsOf(b)];
  return x.first <= y.last && y.first <= x.last;
}

/**
 * Where Docker may take addresses from by itself: between the bastion and the first etcd machine of the first slot, where the design
 * (src/cluster/addresses.ts) puts nobody. Undefined where the range is too small to spare one.
 */
export function automaticRange(cidr: string): string | undefined {
  const { first, last } = boundsOf(cidr);
  const block = (last - first + 1) / 256;
  const size = block / 8;
  return size >= 8 ? `${toAddress(first + size)}/${32 - Math.log2(size)}` : undefined;
}
