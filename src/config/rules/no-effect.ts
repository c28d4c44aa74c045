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
  {
    path: ['addons', 'manifests'],
    why: 'this version applies its own addons only: apply your files with `cluster kubectl -- apply -f`',
  },
];

export function noEffect(cluster: Cluster, written: (path: Path) => boolean): readonly RuleFinding[] {
  const upgrades = cluster.pools.map((_, i) => ({
    path: ['pools', i, 'upgrade'],
    why: 'this version upgrades no cluster that stands',
  }));
  const unused = [...notYet, ...upgrades]
    .filter(({ path }) => written(path))
    .map(({ path, why }) => warning('config.no-effect', path, `${path.join('.')} has no effect in this version`, { why }));
  if (cluster.network.plugin !== 'none') return unused;
  return [
    ...unused,
    warning(
      'config.no-effect',
      ['network', 'plugin'],
      'with plugin none `cluster up` ends with an error, after all machines are made',
      {
        why: 'nodes get Ready only with a pod network, this version waits for them, and installs none of yours',
        next: 'apply your network with `cluster kubectl -- apply -f` when `up` waits for nodes, or use flannel',
      },
    ),
  ];
}
