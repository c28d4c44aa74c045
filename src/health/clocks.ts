import type { Finding } from '../config/finding.ts';
import type { Seen } from '../host/facts.ts';

/** Leases, etcd's elections and token lifetimes bear little more. */
const hostsApartMs = 2_000;
/** Certificates are issued by our clock, with a margin before it: a host further behind does not trust them yet. */
const oursApartMs = 60_000;

/**
 * Do the hosts' clocks agree, and agree with ours? A host's offset is known no better than the time its answer took: it lies between
 * `clock - to` and `clock - from`, and only what is certain is said.
 */
export function clockFindings(hosts: ReadonlyMap<string, Seen>): readonly Finding[] {
  const offsets = [...hosts].flatMap(([name, seen]) =>
    seen.state === 'present'
      ? [{ name, low: seen.facts.clockMs - seen.asked.to, high: seen.facts.clockMs - seen.asked.from }]
      : [],
  );
  if (offsets.length === 0) return [];
  const middles = offsets.map(({ low, high }) => (low + high) / 2).toSorted((a, b) => a - b);
  const median = middles[Math.floor((middles.length - 1) / 2)] ?? 0;
  const off = offsets.filter(({ low, high }) => low - median > hostsApartMs || median - high > hostsApartMs);
  const next = 'see that chronyd or systemd-timesyncd runs there and reaches a time server';
  const findings = off.map(({ name, low, high }): Finding => {
    const seconds = ((low + high) / 2 - median) / 1000;
    const what = `the clock is ${Math.abs(seconds).toFixed(1)} s ${seconds > 0 ? 'ahead of' : 'behind'} the other machines'`;
    return { severity: 'warning', check: 'clocks.skew', where: name, what, next };
  });
  if (offsets.every(({ low, high }) => low > oursApartMs || -high > oursApartMs)) {
    const what = `this machine's clock and the cluster's are ${Math.round(Math.abs(median) / 1000)} s apart`;
    const why = 'certificates are issued by this clock: elsewhere they are not valid yet, or seem to expire early';
    return [...findings, { severity: 'warning', check: 'clocks.ours', what, why, next: "set this machine's clock" }];
  }
  if (findings.length > 0) return findings;
  return [{ severity: 'ok', check: 'clocks.skew', what: `the clocks of ${offsets.length} machines agree` }];
}
