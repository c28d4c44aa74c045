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
import { digestOf, keyedDigest, sha256 } from '../../src/plan/canonical.ts';
import { diff } from '../../src/plan/diff.ts';
import { ObservedMap } from '../../src/plan/observed.ts';
import { type Address, addressOf, nameOf } from '../../src/plan/resource.ts';
import { describeDesigns, describeHosts } from '../../src/rollout/describe.ts';
import type { HostChange } from '../../src/rollout/diffs.ts';
import { versionsBetween } from '../../src/rollout/reasons.ts';
import type { Lane, Rollout, Turn, Wave } from '../../src/rollout/rollout.ts';
import type { UpgradePlan } from '../../src/rollout/upgrade-plan.ts';
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
          asApplied: lies[name] === undefined,
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

const turnFrom = async (designs: readonly [Designed, Designed], machine: string, over: Partial<Turn> = {}): Promise<Turn> => {
  const [before, after] = designs;
  const { role, zone, pool } = specOf(after, machine);
  const change = await hostChange(designs, machine);
  const content =
    over.how === 'replace'
      ? describeDesigns(bundleOf(before, machine), bundleOf(after, machine))
      : (await describeHosts([change], { get: unused }, new AbortController().signal)).get(machine);
  if (!content) throw new Error(`${machine} was not described`);
  const because = content.restarts.includes('kubelet') ? ['the kubelet moves to another minor version'] : [];
  return {
    machine,
    role,
    zone,
    ...(pool !== undefined && { pool }),
    how: 'in-place',
    drain: role === 'worker',
    because,
    ...content,
    ...over,
  };
};

/** The highly available cluster with a setting of etcd changed, moved from 1.35.4 to 1.36.3: etcd, masters and one pool in place, another pool by replacement. */
export async function sampleUpgrade(over: Partial<Rollout> = {}): Promise<UpgradePlan> {
  const pools = [
    { name: 'workers', count: 3 },
    { name: 'batch', count: 2, zones: ['a', 'b'] },
  ];
  const designs = [designedAt('1.35.4', { pools }), designedAt('1.36.3', { pools, etcd: { quotaMb: 4096 } })] as const;
  const turns = (prefix: string, over: Partial<Turn> = {}) =>
    Promise.all(
      designs[1].topology.machines.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => turnFrom(designs, name, over)),
    );
  const lane = (name: string, turns: Turn[], over: Partial<Lane> = {}): Lane => ({
    name,
    strategy: 'in-place',
    maxUnavailable: 1,
    maxSurge: 0,
    first: [],
    turns,
    last: [],
    ...over,
  });
  const wave = (name: string, lanes: Lane[], changes: string[] = []): Wave => ({ name, kubernetes: '1.36.3', lanes, changes });
  const replaced = (await turns('batch-', { how: 'replace' })).map((turn) => ({
    ...turn,
    because: [`local.machine/${turn.machine}: image "slipway/machine:bookworm" → "slipway/machine:trixie"`],
  }));
  return {
    formatVersion: 1,
    tool: 'slipway/test',
    cluster: 'shop',
    command: 'upgrade',
    specDigest: digestOf('file'),
    worldDigest: digestOf('world'),
    changes: [],
    steps: [],
    rollout: {
      versions: [...versionsBetween(versionsFor('1.35.4'), versionsFor('1.36.3'))],
      settings: ['etcd.quotaMb'],
      waves: [
        wave('etcd', [lane('etcd', await turns('etcd-'))]),
        wave('masters', [lane('masters', await turns('master-', { drain: false }))]),
        wave('addons', [], ['kube.addon/coredns']),
        wave('pools', [
          lane('pool workers', await turns('workers-')),
          lane('pool batch', replaced, { strategy: 'replace', maxSurge: 1, maxUnavailable: 0 }),
        ]),
      ],
      recoveryPoint: {
        what: 'take',
        newest: { id: '20261120T030000000Z-7f3a2b', at: Date.UTC(2026, 10, 20, 3), ageSeconds: 86_400 },
      },
      pods: 14,
      obstacles: [
        {
          severity: 'warning',
          where: 'pod shop/cache-0',
          what: 'has a local volume (emptyDir), which does not move with it',
          next: 'see that it can lose what it keeps there',
        },
      ],
      estimateSeconds: 112,
      ...over,
    },
  };
}
