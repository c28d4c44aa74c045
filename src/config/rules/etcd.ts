import { error, listed, type Rule, warning } from './rule.ts';
import { perZone } from './spread.ts';

const quorumOf = (members: number): number => Math.floor(members / 2) + 1;

export const memberCount: Rule = function* ({ etcd: { count } }) {
  if (count % 2 === 0)
    yield warning('etcd.even', ['etcd', 'count'], `etcd has ${count} members, an even number`, {
      why: `it bears no more failures than ${count - 1} would, and one more machine can fail`,
      next: `use ${count - 1} or ${count + 1}`,
    });
  if (count > 7)
    yield warning('etcd.many', ['etcd', 'count'], `etcd has ${count} members, more than 7`, {
      why: 'every write waits for a majority of them',
      next: 'use 5',
    });
};

/** The loss of one zone must leave a quorum, where there is more than one member. */
export const zoneLoss: Rule = function* (cluster) {
  const { count } = cluster.etcd;
  if (count < 3) return;
  const zones = cluster.etcd.zones ?? cluster.zones;
  const members = perZone(count, zones);
  const fatal = [...members]
    .filter(([, held]) => count - held < quorumOf(count))
    .map(([zone, held]) => `${zone} (${held} of ${count})`);
  if (fatal.length > 0)
    yield warning(
      'etcd.zone-quorum',
      cluster.etcd.zones ? ['etcd', 'zones'] : ['zones'],
      `The loss of one zone stops etcd: ${listed(fatal)}`,
      {
        why: `${quorumOf(count)} of ${count} members must be alive`,
        next: 'spread etcd over three zones, or accept it',
      },
    );
};

/** etcd's guide: 8 GiB is the most it suggests; defragmentation writes a second copy beside the first. */
export const quota: Rule = function* ({ etcd: { quotaMb, volumeGb } }) {
  const volumeMb = volumeGb * 1024;
  if (quotaMb >= volumeMb)
    yield error('etcd.quota', ['etcd', 'quotaMb'], `etcd.quotaMb ${quotaMb} does not fit on a volume of ${volumeGb} GiB`, {
      why: 'a full disk stops etcd; its quota alone makes it read-only',
      next: 'raise etcd.volumeGb, or lower etcd.quotaMb',
    });
  else if (quotaMb * 2 > volumeMb)
    yield warning(
      'etcd.quota',
      ['etcd', 'quotaMb'],
      `etcd.quotaMb ${quotaMb} is more than half of the volume (${volumeGb} GiB)`,
      {
        why: 'defragmentation writes a second copy beside the first',
        next: `set etcd.volumeGb to ${Math.ceil((quotaMb * 2.5) / 1024)}`,
      },
    );
  if (quotaMb > 8192)
    yield warning('etcd.quota', ['etcd', 'quotaMb'], `etcd.quotaMb ${quotaMb} is more than the 8192 that etcd suggests`, {
      why: 'starting and snapshots get slow',
    });
};
