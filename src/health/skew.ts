import { minorOf } from '../assets/version-order.ts';

/** One running program, and the machine that it runs on. */
interface Running {
  readonly name: string;
  readonly version: string;
}
export interface ApiClient extends Running {
  readonly component: 'kubelet' | 'kube-proxy' | 'kube-controller-manager' | 'kube-scheduler' | 'cloud-controller-manager';
  /** The API server that it alone talks to, by its machine: a master's own (hard part 14). Default: any of them. */
  readonly server?: string;
}
export interface SkewFacts {
  readonly apiServers: readonly Running[];
  readonly clients: readonly ApiClient[];
  /** Members of one etcd cluster. */
  readonly etcd?: readonly Running[];
}
export interface SkewBreach {
  /** `kubelet`, `kube-apiserver`, `etcd` */
  readonly component: string;
  readonly version: string;
  readonly on: readonly string[];
  readonly what: string;
}

/** How many minor versions each may be older than the API server that it talks to (Kubernetes' version skew policy). */
const behind = {
  kubelet: 3,
  'kube-proxy': 3,
  'kube-controller-manager': 1,
  'kube-scheduler': 1,
  'cloud-controller-manager': 1,
} as const;
const said: Readonly<Record<number, string>> = { 1: 'one minor version', 3: 'three minor versions' };

/** Where the version skew policy is broken: API servers among each other, everyone who talks to them, and etcd's members. */
export function skewOf({ apiServers, clients, etcd = [] }: SkewFacts): readonly SkewBreach[] {
  return [
    ...apart('API servers', 'kube-apiserver', apiServers),
    ...clientBreaches(apiServers, clients),
    ...apart('etcd members', 'etcd', etcd),
  ];
}

function apart(what: string, component: string, running: readonly Running[]): readonly SkewBreach[] {
  const sorted = running.toSorted((a, b) => minorOf(a.version) - minorOf(b.version));
  const [oldest, newest] = [sorted[0], sorted.at(-1)];
  if (!oldest || !newest || minorOf(newest.version) - minorOf(oldest.version) <= 1) return [];
  const on = sorted.filter(({ version }) => minorOf(version) === minorOf(oldest.version)).map(({ name }) => name);
  const text = `${what} are more than one minor version apart: ${oldest.version} on ${on.join(', ')}, ${newest.version} on ${newest.name}`;
  return [{ component, version: oldest.version, on, what: text }];
}

function clientBreaches(servers: readonly Running[], clients: readonly ApiClient[]): readonly SkewBreach[] {
  const sorted = servers.toSorted((a, b) => minorOf(a.version) - minorOf(b.version));
  const [oldest, newest] = [sorted[0], sorted.at(-1)];
  if (!oldest || !newest) return [];
  const broken = clients.flatMap(({ component, name, version, server }) => {
    // One whose own server's version is not known is measured by the newest only: it may well be newer than another's.
    const own = server === undefined ? oldest : servers.find((each) => each.name === server);
    const high = server === undefined ? newest : (own ?? newest);
    if (own && minorOf(version) > minorOf(own.version)) return [{ component, name, version, than: own.version, newer: true }];
    if (minorOf(high.version) - minorOf(version) > behind[component])
      return [{ component, name, version, than: high.version, newer: false }];
    return [];
  });
  const alike = Map.groupBy(broken, ({ component, version, than }) => `${component} ${version} ${than}`);
  return [...alike.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const { component, version, than, newer } = first;
    const on = group.map(({ name }) => name);
    const what = newer ? `is newer than the API server (${than})` : `is more than ${said[behind[component]]} older than ${than}`;
    return [{ component, version, on, what: `${component} ${version} on ${on.join(', ')} ${what}` }];
  });
}
