import { nearest } from '../nearest.ts';
import { type Path, pathText } from '../path.ts';
import type { Cluster } from '../schema.ts';
import { error, type Rule, warning } from './rule.ts';

const zoneLists = (cluster: Cluster): readonly { readonly path: Path; readonly zones: readonly string[] }[] => [
  { path: ['etcd', 'zones'], zones: cluster.etcd.zones ?? [] },
  { path: ['masters', 'zones'], zones: cluster.masters.zones ?? [] },
  ...cluster.pools.map((pool, i) => ({ path: ['pools', i, 'zones'], zones: pool.zones ?? [] })),
];

export const unknownZones: Rule = function* (cluster) {
  for (const { path, zones } of zoneLists(cluster)) {
    for (const [i, zone] of zones.entries()) {
      if (cluster.zones.includes(zone)) continue;
      const near = nearest(zone, cluster.zones);
      yield error(
        'zones.unknown',
        [...path, i],
        `${pathText(path)} names zone ${zone}, and zones has only ${cluster.zones.join(', ')}`,
        {
          next: near && zone.length > 1 ? `did you mean ${near}?` : `use one of these, or add ${zone} to zones`,
        },
      );
    }
  }
};

export const duplicateZones: Rule = function* (cluster) {
  for (const { path, zones } of [{ path: ['zones'], zones: cluster.zones }, ...zoneLists(cluster)]) {
    for (const [i, zone] of zones.entries())
      if (zones.indexOf(zone) < i)
        yield error('zones.duplicate', [...path, i], `${pathText(path)} names zone ${zone} twice`, {
          next: 'remove one of the two',
        });
  }
};

/** Slots are for life: two zones in one slot would have the same addresses. */
export const zoneSlots: Rule = function* ({ zones, network }) {
  const taken = new Map<number, string>();
  for (const [zone, slot] of Object.entries(network.zoneSlots)) {
    const path = ['network', 'zoneSlots', zone];
    const other = taken.get(slot);
    if (other !== undefined)
      yield error('zones.slot', path, `Zones ${other} and ${zone} both have slot ${slot}`, {
        next: 'give the newer zone the next free number',
      });
    else taken.set(slot, zone);
    if (!zones.includes(zone)) {
      const near = zone.length > 1 ? nearest(zone, zones) : undefined;
      yield warning('zones.slot', path, `network.zoneSlots has a slot for zone ${zone}, which is not in zones`, {
        onKey: true,
        why: 'right if the zone was removed: its addresses stay reserved',
        ...(near === undefined ? {} : { next: `did you mean ${near}?` }),
      });
    }
  }
};

export const cloudZones: Rule = function* ({ zones, provider }) {
  const region = provider.aws?.region ?? provider.gcp?.region;
  if (region === undefined) return;
  const pattern = provider.aws ? new RegExp(`^${region}[a-z]$`) : new RegExp(`^${region}-[a-z]$`);
  const example = provider.aws ? `${region}a` : `${region}-a`;
  for (const [i, zone] of zones.entries())
    if (!pattern.test(zone))
      yield error('zones.region', ['zones', i], `${zone} is not a zone of ${region}`, {
        next: `zones of ${region} are named as ${example}`,
      });
};

/** Volumes and the bucket are encrypted by keys of their own region. */
export const keyRegion: Rule = function* ({ provider: { aws } }) {
  const [, region] = /^arn:[^:]+:kms:([^:]+):/.exec(aws?.kmsKey ?? '') ?? [];
  if (aws && region !== undefined && region !== aws.region)
    yield error(
      'aws.key-region',
      ['provider', 'aws', 'kmsKey'],
      `the KMS key is of region ${region}, and the cluster of ${aws.region}`,
      {
        next: `name a key of ${aws.region}; a multi-Region key has an ARN in each of its regions`,
      },
    );
};
