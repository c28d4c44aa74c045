import { type Component, componentNames, componentVersions, isOlder, nearestVersion, oldestEtcd } from '../versions.ts';
import { error, type Rule, type RuleFinding, warning } from './rule.ts';

const components: readonly Component[] = ['etcd', 'containerd', 'runc', 'cni', 'flannel', 'coredns', 'metricsServer'];

/** Versions that are chosen must be known, and fit. What runs already is asked by `upgrade`: etcd never goes back by a minor version. */
export const versions: Rule = function* ({ kubernetes, network }) {
  for (const component of components) {
    const version = kubernetes.components[component];
    if (version === undefined) continue;
    yield* finding(component, version, kubernetes.version);
    if (component === 'flannel' && network.plugin === 'none')
      yield warning(
        'kubernetes.component',
        ['kubernetes', 'components', 'flannel'],
        'kubernetes.components.flannel has no effect: network.plugin is none',
        { next: 'remove one of the two' },
      );
  }
};

function* finding(component: Component, version: string, kubernetes: string): Iterable<RuleFinding> {
  const known: readonly string[] = componentVersions[component];
  const path = ['kubernetes', 'components', component];
  if (component === 'etcd' && isOlder(version, oldestEtcd))
    yield error('kubernetes.component', path, `Kubernetes ${kubernetes} does not run with etcd ${version}`, {
      why: `it needs etcd ${oldestEtcd} or later`,
      next: `use ${nearestVersion(version, known)}, or remove the key: what goes with kubernetes.version is taken`,
    });
  else if (!known.includes(version))
    yield error(
      'kubernetes.component',
      path,
      `Version ${version} of ${componentNames[component]} is not among those that Slipway installs: ${known.join(', ')}`,
      { next: `use ${nearestVersion(version, known)}, or remove the key: what goes with kubernetes.version is taken` },
    );
}
