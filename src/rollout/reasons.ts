import type { AwsVersions, Versions } from '../assets/catalogue.ts';
import type { Bundle } from '../components/bundle.ts';
import { unitDirectory } from '../host/manifest.ts';
import type { Address, FieldChange, Impact } from '../plan/resource.ts';
import type { Entry } from './diffs.ts';
import type { VersionChange } from './rollout.ts';

/** A change of a plan. */
interface Changed {
  readonly address: Address;
  readonly fields: readonly FieldChange[];
}

/** Units that restart by these changes of one machine, in the order in which the plan names them: `kubelet`, `kube-apiserver`. */
export const restartsOf = (changes: readonly Pick<Changed, 'fields'>[]): readonly string[] => [
  ...new Set(changes.flatMap(({ fields }) => fields.flatMap(({ note }) => unitsIn(note)))),
];
/** The notes of host.bundle (`restarts kubelet, containerd`) and host.units (`restarts kubelet: it runs older content than lies there`). */
const unitsIn = (note: string | undefined): readonly string[] => /^restarts ([^:]+)/.exec(note ?? '')?.[1]?.split(', ') ?? [];

/** Units of a design that restart when these files and units change: each reads its inputs only at its start. */
export function restartsBetween(before: Bundle, entries: readonly Entry[]): readonly string[] {
  const changed = new Map(entries.map((entry) => [entry.path, entry]));
  return before.units
    .filter(({ name, inputs }) => {
      const own = changed.get(`${unitDirectory}/${name}`);
      return own ? own.after !== undefined : inputs.some((path) => changed.has(path));
    })
    .map(({ name }) => name.replace(/\.service$/, ''));
}

/** Why a machine drains, is replaced or restarts what serves: the fields that cost that, by name. `local.machine/workers-a-1: image "a" → "b"`. */
export const reasonsOf = (changes: readonly Changed[], impact: Impact): readonly string[] =>
  changes.flatMap(({ address, fields }) =>
    fields.filter((field) => field.impact === impact).map((field) => `${address}: ${fieldText(field)}`),
  );
const fieldText = ({ path, before, after }: FieldChange): string => `${path} ${valueText(before)} → ${valueText(after)}`;
const valueText = (value: FieldChange['after']): string => {
  if (value === null) return 'nothing';
  if (typeof value === 'object' && 'pending' in value) return `known after ${String(value.pending)}`;
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
};

/** What moves from which version to which on one machine, by what its files and units name under /opt/slipway, and the image of its pods' sandbox. */
export function versionsIn(entries: readonly Entry[]): readonly VersionChange[] {
  const [before, after] = [new Map<string, string>(), new Map<string, string>()];
  for (const collect of [collectPrograms, collectRest])
    for (const entry of entries) {
      collect(textOf(entry.before), before);
      collect(textOf(entry.after), after);
    }
  return [...after].flatMap(([what, version]) => {
    const old = before.get(what);
    return old === undefined || old === version ? [] : [{ what, before: old, after: version }];
  });
}
const textOf = (side: Entry['before']): string => (side && 'text' in side.content ? side.content.text : '');

/** Programs that a unit starts. Tools beside them (`ctr`) have the same version. */
function collectPrograms(text: string, into: Map<string, string>): void {
  for (const [, version = '', program = ''] of text.matchAll(/^ExecStart=\/opt\/slipway\/[a-z-]+\/(\d[\w.+-]*)\/([\w-]+)/gm))
    into.set(program, version);
}
/** What programs start or use. */
function collectRest(text: string, into: Map<string, string>): void {
  for (const [, directory = '', version = ''] of text.matchAll(/\/opt\/slipway\/(runc|cni)\/(\d[\w.+-]*)/g))
    into.set(directory, version);
  for (const [, version = ''] of text.matchAll(/\bpause:v?(\d[\w.-]*)/g)) into.set('pause', version);
}

const names: Readonly<Record<Exclude<keyof Versions, 'aws'>, string>> = {
  kubernetes: 'Kubernetes',
  etcd: 'etcd',
  containerd: 'containerd',
  runc: 'runc',
  cni: 'CNI plugins',
  flannel: 'flannel',
  coredns: 'CoreDNS',
  metricsServer: 'metrics-server',
  pause: 'pause',
};
const awsNames: Readonly<Record<keyof AwsVersions, string>> = {
  cloudController: 'AWS cloud controller',
  clusterAutoscaler: 'cluster-autoscaler',
  ebsCsi: 'EBS CSI driver',
  csiProvisioner: 'CSI provisioner',
  csiAttacher: 'CSI attacher',
  csiResizer: 'CSI resizer',
  csiNodeDriverRegistrar: 'CSI node-driver-registrar',
  livenessProbe: 'CSI livenessprobe',
};
/** What moves in the whole cluster. */
export const versionsBetween = (before: Versions, after: Versions): readonly VersionChange[] => [
  ...moves(names, before, after),
  ...moves(awsNames, before.aws ?? {}, after.aws ?? {}),
];
const moves = (named: Readonly<Record<string, string>>, before: object, after: object): readonly VersionChange[] =>
  Object.entries(named).flatMap(([key, what]) => {
    const [from, to] = [entry(before, key), entry(after, key)];
    return from === to ? [] : [{ what, before: from, after: to }];
  });
const entry = (versions: object, key: string): string => {
  const found: unknown = Object.entries(versions).find(([name]) => name === key)?.[1];
  return typeof found === 'string' ? found : 'none';
};
