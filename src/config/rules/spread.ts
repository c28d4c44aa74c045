/** Machines a zone, when they are dealt out over the zones in turn, as the topology does. */
export function perZone(count: number, zones: readonly string[]): ReadonlyMap<string, number> {
  return new Map(zones.map((zone, i) => [zone, Math.floor(count / zones.length) + (i < count % zones.length ? 1 : 0)]));
}
