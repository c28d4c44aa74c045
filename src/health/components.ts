import type { Seen } from '../host/facts.ts';
import type { ApiClient, SkewFacts } from './skew.ts';
import type { NodeStatus, VersionStatus } from './status.ts';

/** Programs beside the kubelet that run as units and talk to an API server. The kubelet says its version itself, on its Node. */
const units = ['kube-proxy', 'kube-controller-manager', 'kube-scheduler'] as const;
export type Component = (typeof units)[number];
const isComponent = (name: string): name is Component => units.some((each) => each === name);

export interface ComponentFact {
  readonly component: Component;
  readonly name: string;
  readonly version: string;
}

/**
 * What runs of these on each host, by the versioned path that its program lies at. Not known is the version of a unit that does not run, that runs older files
 * than lie there, or that is not the last bundle's: held back in a turn that was cut, or changed by hand.
 */
export function componentFacts(hosts: ReadonlyMap<string, Seen>): readonly ComponentFact[] {
  return [...hosts].flatMap(([name, seen]) => {
    if (seen.state !== 'present') return [];
    const { units: on, assets } = seen.facts;
    const running = units.filter((component) => {
      const unit = on.get(`${component}.service`);
      return unit?.active === 'active' && !unit.stale && unit.asApplied;
    });
    if (running.length === 0) return [];
    const versions = new Map([...assets].map(programOf));
    return running.flatMap((component): ComponentFact[] => {
      const version = versions.get(component);
      return version === undefined ? [] : [{ component, name, version }];
    });
  });
}
/** `kubernetes/1.36.3/kube-proxy` */
function programOf(path: string): [string, string] {
  const [, version = '', program = ''] = /^kubernetes\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
  return [program, version];
}

export const mastersIn = (nodes: readonly NodeStatus[]): ReadonlySet<string> =>
  new Set(nodes.flatMap(({ name, role }) => (role === 'master' ? [name] : [])));
/** As clients of API servers: on a master each talks to the master's own alone (hard part 14). */
export const asClients = (facts: readonly Omit<ApiClient, 'server'>[], masters: ReadonlySet<string>): readonly ApiClient[] =>
  facts.map((fact) => ({ ...fact, ...(masters.has(fact.name) && { server: fact.name }) }));

/** As `status` has read them: who asks for more than it does asks nobody twice. */
export const apiServersOf = ({ running }: Pick<VersionStatus, 'running'>): SkewFacts['apiServers'] =>
  running.flatMap(({ component, version, on }) => (component === 'kube-apiserver' ? on.map((name) => ({ name, version })) : []));
export const componentsOf = ({ running }: Pick<VersionStatus, 'running'>): readonly ComponentFact[] =>
  running.flatMap(({ component, version, on }) =>
    isComponent(component) ? on.map((name): ComponentFact => ({ component, name, version })) : [],
  );
