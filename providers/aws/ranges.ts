import ipaddr from 'ipaddr.js';

/** Ranges of IPv4 addresses. What is no range overlaps nothing. */
export const overlap = (a: string, b: string): boolean => {
  if (!ipaddr.IPv4.isValidCIDR(a) || !ipaddr.IPv4.isValidCIDR(b)) return false;
  const [x, y] = [ipaddr.IPv4.parseCIDR(a), ipaddr.IPv4.parseCIDR(b)];
  return x[0].match(y[0], Math.min(x[1], y[1]));
};
export const holds = (whole: string, part: string): boolean => {
  if (!ipaddr.IPv4.isValidCIDR(whole) || !ipaddr.IPv4.isValidCIDR(part)) return false;
  const [x, y] = [ipaddr.IPv4.parseCIDR(whole), ipaddr.IPv4.parseCIDR(part)];
  return x[1] <= y[1] && y[0].match(x[0], x[1]);
};
