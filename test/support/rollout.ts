import { versionsFor } from '../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../src/cluster/design.ts';
import type { MachineSpec, Topology } from '../../src/cluster/topology.ts';
import type { Bundle, BundleFile } from '../../src/components/bundle.ts';
import { designBundles, identityOf } from '../../src/components/bundles.ts';
import type { Cluster, ClusterInput } from '../../src/config/schema.ts';
import { hostResources } from '../../src/host/design.ts';
import type { Seen } from '../../src/host/facts.ts';
import type { HostFacts, HostsClients } from '../../src/host/host.ts';
import { filesOf } from '../../src/host/manifest.ts';
import { hostBundle } from '../../src/host/types/bundle.ts';
import { keyedDigest, sha256 } from '../../src/plan/canonical.ts';
import { diff } from '../../src/plan/diff.ts';
import { ObservedMap } from '../../src/plan/observed.ts';
import { type Address, addressOf, nameOf } from '../../src/plan/resource.ts';
import type { HostChange } from '../../src/rollout/diffs.ts';
import { aCluster } from './builders.ts';

const uid = 'uid';

/** One cluster at one Kubernetes version. */
export interface Designed {
  readonly topology: Topology;
  readonly bundles: ReadonlyMap<string, Bundle>;
}
export function designedAt(kubernetes: string, over: Partial<ClusterInput> = {}): Designed {
  const cluster: Cluster = aCluster({ name: 'shop', ...over, kubernetes: { ...over.kubernetes, version: kubernetes } });
  const topology = designTopology(cluster, noIdentity, versionsFor(kubernetes));
  return { topology, bundles: designBundles(topology) };
}
export function bundleOf(design: Designed, machine: string): Bundle {
  const bundle = design.bundles.get(specOf(design, machine).bundle);
  if (!bundle) throw new Error(`no bundle of ${machine}`);
  return bundle;
}
const specOf = ({ topology }: Designed, machine: string): MachineSpec => {
  const found = topology.machines.find(({ name }) => name === machine);
  if (!found) throw new Error(`no machine ${machine}`);
  return found;
};

/** What authorities and secrets are on the host and in the store: made of their names, so that both sides agree unless a test says otherwise. */
const material = (name: string): string => `-----BEGIN ${name}-----\n`;
const contentOf = ({ content }: BundleFile): string => {
  if ('text' in content) return content.text;
  return 'secret' in content ? material(content.secret) : content.authorities.map(material).join('');
};

/** A host that holds and runs what a design says, with `lies` over some of its files and units (by path, or by a unit's name). */
export function factsOf(design: Designed, machine: string, lies: Readonly<Record<string, string>> = {}): HostFacts {
  const bundle = bundleOf(design, machine);
  return {
    bootId: 'boot',
    clockMs: 0,
    generation: 1,
    bundle: bundle.name,
    identity: identityOf(specOf(design, machine), design.topology),
    files: new Map(
      filesOf(bundle).map((file) => [file.path, { sha256: sha256(lies[file.path] ?? contentOf(file)), mode: file.mode }]),
    ),
    units: new Map(
      bundle.units.map(({ name, text, inputs, serving }) => [
        name,
        {
          active: 'active',
          enabled: true,
          stale: false,
          sha256: sha256(lies[name] ?? text),
          inputs,
          serving,
          waitsFor: undefined,
        },
      ]),
    ),
    assets: new Set(bundle.assets.map(({ path }) => path)),
    certificates: new Map(),
    probes: new Map(),
  };
}

const unused = (): never => {
  throw new Error('no host is asked');
};
/** What the plan says of one host: the real resource type's own observation and diff. */
export async function hostChange(
  [before, after]: readonly [Designed, Designed],
  machine: string,
  facts: HostFacts = factsOf(before, machine),
): Promise<HostChange> {
  const bundle = bundleOf(after, machine);
  const identity = identityOf(specOf(after, machine), after.topology);
  const clients: HostsClients = {
    hosts: { access: unused, get: unused, tunnel: unused, close: unused },
    machines: new Map([[machine, { bundle, identity }]]),
    uid,
    generation: 0,
    records: { get: unused, put: unused },
    delivery: 'mounted',
    storedAssets: unused,
    assetFile: unused,
    now: unused,
  };
  const seen: ReadonlyMap<string, Seen> = new Map([[machine, { state: 'present', facts, asked: { from: 0, to: 0 } }]]);
  const signal = new AbortController().signal;
  const observed = materials(bundle);
  observed.add(await hostBundle.observe({ clients, signal, read: async <T>() => seen as T }));
  const [resource] = hostResources({ name: machine }, bundle, identity, []);
  const fields = diff([resource], observed, new Map([['host.bundle', hostBundle]]))
    .filter(({ address }) => address === resource.address)
    .flatMap((difference) => difference.fields);
  return { host: machine, fields, facts, known: [bundleOf(before, machine)], after: bundle };
}

/** Authorities and secrets of a bundle, as they would be observed. */
function materials(bundle: Bundle): ObservedMap {
  const observed = new ObservedMap();
  const add = (address: Address, name: string) => {
    const certificate = material(nameOf(address));
    const digest = keyedDigest(uid, sha256(material(name)));
    // An authority is in two kinds of file: its certificate, and on masters its key.
    const before = observed.get(address);
    if (before?.state === 'present' && name === nameOf(address)) return;
    observed.set(address, { state: 'present', props: {}, outputs: { certificate, digest } });
  };
  for (const { content } of filesOf(bundle)) {
    if ('authorities' in content) for (const name of content.authorities) add(addressOf('pki.authority', name), name);
    else if ('secret' in content && content.secret.startsWith('authority.'))
      add(addressOf('pki.authority', content.secret.slice('authority.'.length)), content.secret);
    else if ('secret' in content) add(addressOf('secret', content.secret), content.secret);
  }
  return observed;
}
