import type { Path } from '../path.ts';
import type { Cluster } from '../schema.ts';
import { type RuleFinding, warning } from './rule.ts';

/** Keys that this version accepts and does not act on yet: only what a person wrote is worth a word, so this asks the file and not the defaults. */
const notYet: readonly { readonly path: Path; readonly why: string }[] = [
  {
    path: ['backup'],
    why: 'this version makes no backups: copy the etcd volumes or take `etcdctl snapshot save` by `cluster ssh`',
  },
  { path: ['secrets', 'observers'], why: 'this version seals secrets to secrets.recipients only' },
];

export function noEffect(cluster: Cluster, written: (path: Path) => boolean): readonly RuleFinding[] {
  const upgrades = cluster.pools.map((_, i) => ({
    path: ['pools', i, 'upgrade'],
    why: 'this version upgrades no cluster that stands',
  }));
  return [...notYet, ...upgrades]
    .filter(({ path }) => written(path))
    .map(({ path, why }) => warning('config.no-effect', path, `${path.join('.')} has no effect in this version`, { why }));
}
