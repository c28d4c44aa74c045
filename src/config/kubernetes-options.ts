import { flagChanges, gates, groupVersionChanges, knownMinors } from './kubernetes-options.data.ts';
import type { Component } from './owned-flags.ts';
import { type Path, pathText } from './path.ts';
import { error, type RuleFinding, warning } from './rules/rule.ts';
import type { Cluster } from './schema.ts';

const programs: Readonly<Record<Component, string>> = {
  apiserver: 'kube-apiserver',
  controllerManager: 'kube-controller-manager',
  scheduler: 'kube-scheduler',
  kubelet: 'kubelet',
  kubeProxy: 'kube-proxy',
};
const components = ['apiserver', 'controllerManager', 'scheduler', 'kubelet', 'kubeProxy'] as const;
const minorOf = (version: string): number => Number(version.split('.')[1]);

/** What of cluster.yaml reaches Kubernetes' programs as it is. */
export type Options = Pick<Cluster, 'kubernetes' | 'pools'>;

/**
 * Flags and feature gates that this version of Kubernetes does not take: with one of them a program does not start. By upstream's own sources of
 * the versions that Slipway installs; of others nothing is said.
 */
export function optionFindings(options: Options, version: string): readonly RuleFinding[] {
  const minor = minorOf(version);
  if (!(minor >= knownMinors.from && minor <= knownMinors.to)) return [];
  return [
    ...flagFindings(options, minor),
    ...runtimeConfigFindings(options, minor),
    ...gateFindings(options.kubernetes.featureGates, minor),
  ];
}

/** Without what that version does not take: for versions that a cluster only passes through, of what they do not know anyway. */
export function withoutRefused(kubernetes: Options['kubernetes'], version: string): Options['kubernetes'] {
  const refused = optionFindings({ kubernetes, pools: [] }, version)
    .filter(({ severity }) => severity === 'error')
    .map(({ path }) => path.join(' '));
  const kept = <T>(path: string, set: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(set).filter(([name]) => !refused.includes(`${path} ${name}`)));
  const args = (component: Component) => kept(`kubernetes extraArgs ${component}`, kubernetes.extraArgs[component]);
  return {
    ...kubernetes,
    featureGates: kept('kubernetes featureGates', kubernetes.featureGates),
    extraArgs: {
      apiserver: args('apiserver'),
      controllerManager: args('controllerManager'),
      scheduler: args('scheduler'),
      kubelet: args('kubelet'),
      kubeProxy: args('kubeProxy'),
    },
  };
}

function flagFindings({ kubernetes, pools }: Options, minor: number): readonly RuleFinding[] {
  const of = (component: Component, path: Path, args: Readonly<Record<string, string>>): readonly RuleFinding[] =>
    Object.keys(args).flatMap((flag) => {
      const change = flagChanges.find((each) => each.component === component && each.flag === flag);
      const when = change && whenOf(change, minor);
      if (when === undefined) return [];
      return error('kubernetes.flag', [...path, flag], `${programs[component]} of Kubernetes 1.${minor} has no flag --${flag}`, {
        onKey: true,
        why: `${when}; with it the ${programs[component]} does not start`,
        next: `remove it from ${pathText(path)}`,
      });
    });
  return [
    ...components.flatMap((component) => of(component, ['kubernetes', 'extraArgs', component], kubernetes.extraArgs[component])),
    ...pools.flatMap((pool, i) => of('kubelet', ['pools', i, 'kubelet', 'extraArgs'], pool.kubelet.extraArgs)),
  ];
}

/** An API server does not start with a version that its group does not have, be it switched on or off (k8s.io/apiserver: pkg/server/resourceconfig). */
function runtimeConfigFindings({ kubernetes }: Options, minor: number): readonly RuleFinding[] {
  const flag = 'runtime-config';
  const path = ['kubernetes', 'extraArgs', 'apiserver', flag];
  return (kubernetes.extraArgs.apiserver[flag] ?? '').split(',').flatMap((entry) => {
    const [name = ''] = entry.trim().split('=');
    const change = groupVersionChanges.find(({ groupVersion }) => name === groupVersion || name.startsWith(`${groupVersion}/`));
    const when = change && whenOf(change, minor);
    if (when === undefined) return [];
    return error('kubernetes.flag', path, `kube-apiserver of Kubernetes 1.${minor} has no API version ${change?.groupVersion}`, {
      why: `${when}; with --${flag} of it the kube-apiserver does not start`,
      next: `remove ${entry.trim()} from ${pathText(path)}`,
    });
  });
}

function whenOf({ since, gone }: { readonly since?: number; readonly gone?: number }, minor: number): string | undefined {
  if (gone !== undefined && minor >= gone) return `it went away in 1.${gone}`;
  return since !== undefined && minor < since ? `it came in 1.${since}` : undefined;
}

/** Of every program, and of no version. */
const groups = ['AllAlpha', 'AllBeta'];

const gateFindings = (set: Readonly<Record<string, boolean>>, minor: number): readonly RuleFinding[] =>
  Object.entries(set).flatMap(([gate, value]): readonly RuleFinding[] => {
    const path = ['kubernetes', 'featureGates', gate];
    const known = Object.hasOwn(gates, gate) ? gates[gate] : undefined;
    if (groups.includes(gate)) return [];
    const what = `Kubernetes 1.${minor} has no feature gate ${gate}`;
    if (!known)
      return [
        warning('kubernetes.feature-gate', path, what, { onKey: true, why: 'a program that does not know it does not start' }),
      ];
    const when = whenOf(known, minor);
    if (when !== undefined) {
      const why = `${when}; with it no program of Kubernetes starts`;
      return [error('kubernetes.feature-gate', path, what, { onKey: true, why, next: 'remove it from kubernetes.featureGates' })];
    }
    if (known.locked === undefined || minor < known.locked || known.to === value) return [];
    return [
      error('kubernetes.feature-gate', path, `The feature gate ${gate} can no longer be ${value} in Kubernetes 1.${minor}`, {
        why: `it is locked to ${known.to} since 1.${known.locked <= knownMinors.from ? `${knownMinors.from} or longer` : known.locked}`,
        next: 'remove it from kubernetes.featureGates',
      }),
    ];
  });
