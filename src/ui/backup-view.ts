import type { BackupList, BackupResult, PointSummary } from '../recovery/result.ts';
import type { Look } from './style.ts';
import { type Column, table } from './table.ts';
import { bytes, duration, plural, sanitize, timestamp } from './text.ts';
import type { View } from './view.ts';

/** A recovery point that was just taken: what is in it, where it lies, how long it took. */
export const backupView: View<BackupResult> = {
  json: (result) => ({ formatVersion: 1, ...result }),
  human({ cluster, point, pruned }, { style }) {
    return [
      `${style.green('✔')} ${cluster}: recovery point ${style.bold(point.id)}, taken in ${duration(point.seconds * 1000)}`,
      ...point.snapshots.map(
        ({ cluster: etcd, member, revision, keys, size }) =>
          `  etcd ${etcd}: ${plural(keys, 'key')}, revision ${revision}, ${bytes(size)}, of ${sanitize(member)}`,
      ),
      `  Kubernetes ${kubernetesOf(point)}, ${plural(point.secrets.length, 'secret')} (sealed)`,
      `  ${sanitize(point.where)}`,
      ...(pruned.length > 0 ? [style.dim(`  backup.keep: removed ${pruned.join(', ')}`)] : []),
    ].join('\n');
  },
};

const kubernetesOf = ({ versions }: PointSummary): string => sanitize(String(versions.kubernetes ?? '-'));

const columns: readonly Column<PointSummary>[] = [
  { title: 'RECOVERY POINT', text: ({ id }) => id },
  { title: 'TAKEN (UTC)', text: ({ at }) => timestamp(at) },
  { title: 'AGE', text: ({ ageSeconds }) => duration(ageSeconds * 1000), align: 'right' },
  { title: 'BY', text: ({ command, by }) => sanitize(`${command}, ${by}`), flexible: true },
  { title: 'KUBERNETES', text: kubernetesOf },
  { title: 'ETCD', text: ({ snapshots }) => snapshots.map(({ cluster, revision }) => `${cluster} ${revision}`).join(', ') },
  { title: 'SIZE', text: ({ size }) => bytes(size), align: 'right' },
];

/** Recovery points, newest first. */
export const backupListView: View<BackupList> = { human: listText };

function listText({ cluster, points, damaged, unfinished }: BackupList, look: Look): string {
  const { style } = look;
  return [
    points.length === 0 ? `${cluster} has no recovery point. Next: cluster backup` : table(columns, points, look),
    ...damaged.map((id) => `${style.red('✖')} ${sanitize(id)}: something of it is missing, so it is no recovery point`),
    ...unfinished.map((id) =>
      style.dim(`${sanitize(id)}: not finished (being taken just now, or cut: the next \`cluster backup\` removes it)`),
    ),
  ].join('\n');
}
