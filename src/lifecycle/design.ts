import { storedAssetsResource } from '../assets/types/uploaded.ts';
import { designTopology } from '../cluster/design.ts';
import type { MachineSpec, Topology } from '../cluster/topology.ts';
import { type Addon, designAddons } from '../components/addons.ts';
import type { Bundle } from '../components/bundle.ts';
import { designBundles, identityOf } from '../components/bundles.ts';
import { instantOf } from '../config/instant.ts';
import type { Manifest } from '../config/manifests.ts';
import type { Cluster } from '../config/schema.ts';
import { etcdClusterAddresses, etcdMemberAddresses, etcdResources } from '../etcd/design.ts';
import { hostResources } from '../host/design.ts';
import { poolBundleResources } from '../host/pools.ts';
import { packagesResource } from '../host/types/packages.ts';
import { kubeResources } from '../kube/design.ts';
import { certificateResources } from '../pki/design.ts';
import type { Resource } from '../plan/resource.ts';
import type { Provider } from '../provider.ts';
import { machineOf } from '../rollout/waves.ts';
import { assetsOfBundles } from './assets.ts';
import { type ClusterRecord, identityFrom } from './identity.ts';
import { refuseOwn } from './manifests.ts';
import { secretResources } from './secrets.ts';
import { addonsKey, indexesOf, indexOfKey, poolKey, type Variant, type Variants } from './variants.ts';

export interface ClusterDesign {
  readonly topology: Topology;
  readonly bundles: ReadonlyMap<string, Bundle>;
  readonly addons: readonly Addon[];
  readonly manifests: readonly Manifest[];
  /** Every resource of the cluster, of all layers. */
  readonly resources: readonly Resource[];
  /** Those of no machine: what machines share, or what stands on all of them. */
  readonly shared: readonly Resource[];
  /** Those of one machine, of all layers. */
  of(machine: string): readonly Resource[];
}

type Designing = Pick<
  Provider,
  'design' | 'machineAddress' | 'groupAddress' | 'providerId' | 'machineFacts' | 'cloudEndpoints' | 'delivery'
>;

/** Everything that the file asks for, derived without looking at the world, the clock or the environment. Throws UserError for manifests of what is Slipway's own. */
export const designCluster = (
  variants: Variants,
  record: ClusterRecord | undefined,
  provider: Designing,
  manifests: readonly Manifest[] = [],
): ClusterDesign => designer(record, provider, manifests)(variants);

/**
 * designCluster for one who designs again and again: an upgrade of 1,000 machines does so 1,000 times, and each time one machine has moved. What follows
 * from the variants alone, and what lies on a machine at one of them, is derived once.
 */
export function designer(
  record: ClusterRecord | undefined,
  provider: Designing,
  manifests: readonly Manifest[] = [],
): (variants: Variants) => ClusterDesign {
  const known = new WeakMap<Variant, VariantDesign>();
  const designOf = (variant: Variant): VariantDesign => {
    const { cluster, versions } = variant;
    const found = known.get(variant) ?? designVariant(designTopology(cluster, identityFrom(record), versions), provider);
    known.set(variant, found);
    return found;
  };
  let families: readonly Family[] = [];
  return (variants) => {
    const { all } = variants;
    const found = families.find((each) => each.all.length === all.length && each.all.every((one, i) => one === all[i]));
    const family = found ?? newFamily(all, all.map(designOf), provider, manifests);
    if (!found) families = [...families.slice(1 - familiesKept), family];
    return place(family, variants);
  };
}
/** A look at an upgrade goes to and fro between a few: as things stand, the hops, and the spares of pools. */
const familiesKept = 4;

/** What one variant makes of the file, for all machines. */
interface VariantDesign {
  readonly topology: Topology;
  readonly bundles: ReadonlyMap<string, Bundle>;
  readonly addons: () => readonly Addon[];
}
function designVariant(topology: Topology, { cloudEndpoints }: Designing): VariantDesign {
  let addons: readonly Addon[] | undefined;
  return {
    topology,
    bundles: designBundles(topology),
    addons: () => {
      addons ??= designAddons(topology, { cloudEndpoints });
      return addons;
    },
  };
}

/** Variants that machines are at, whoever is at which. */
interface Family {
  readonly all: readonly Variant[];
  readonly base: VariantDesign;
  readonly bundles: ReadonlyMap<string, Bundle>;
  readonly manifests: readonly Manifest[];
  /** Where hosts fetch their programs from. */
  readonly uploads: readonly Resource[];
  /** Where each machine stands among all. */
  readonly position: ReadonlyMap<string, number>;
  /** A machine at one of them, and what lies on it then. */
  at(machine: MachineSpec, index: number): Placed;
  frame(variants: Variants): Frame;
}
type Parts = Pick<Family, 'base' | 'bundles' | 'uploads'>;
interface Placed {
  readonly spec: MachineSpec;
  readonly resources: readonly Resource[];
}

/** Everything but what lies on machines: it follows from where addons and pools are. */
interface Frame {
  readonly groups: Topology['groups'];
  readonly addons: readonly Addon[];
  /** In the order of the whole, before what lies on machines and after it. */
  readonly before: readonly Resource[];
  readonly after: readonly Resource[];
  readonly shared: readonly Resource[];
  readonly own: ReadonlyMap<string, readonly Resource[]>;
}

function newFamily(
  all: readonly Variant[],
  designs: readonly VariantDesign[],
  provider: Designing,
  manifests: readonly Manifest[],
): Family {
  const [base] = designs;
  if (!base) throw new Error('a cluster has at least one variant');
  const bundles = new Map(
    designs.flatMap((each, index) => [...each.bundles].map(([name, bundle]) => [keyOf(name, index), bundle] as const)),
  );
  const uploads = provider.delivery === 'fetched' ? [storedAssetsResource(assetsOfBundles(bundles.values()))] : [];
  const parts = { base, bundles, uploads };
  const placed = designs.map(() => new Map<string, Placed>());
  const frames = new Map<string, Frame>();
  return {
    all,
    base,
    bundles,
    manifests,
    uploads,
    position: new Map(base.topology.machines.map(({ name }, index) => [name, index])),
    at(machine, index) {
      const known = placed[index]?.get(machine.name);
      if (known) return known;
      const spec = index === 0 ? machine : { ...machine, bundle: keyOf(machine.bundle, index) };
      let resources: readonly Resource[] | undefined;
      const made: Placed = {
        spec,
        get resources() {
          resources ??= lyingOn(spec, designs[index] ?? base, parts, provider);
          return resources;
        },
      };
      placed[index]?.set(machine.name, made);
      return made;
    },
    frame(variants) {
      const where = [addonsKey, ...base.topology.groups.map(({ pool }) => poolKey(pool))].map((key) => indexOfKey(variants, key));
      const key = where.join(' ');
      const known = frames.get(key);
      if (known) return known;
      const made = newFrame(variants, parts, designs, provider, manifests);
      frames.set(key, made);
      return made;
    },
  };
}

function newFrame(
  variants: Variants,
  { base, bundles, uploads }: Parts,
  designs: readonly VariantDesign[],
  provider: Designing,
  manifests: readonly Manifest[],
): Frame {
  const groups = base.topology.groups.map((group) => ({
    ...group,
    bundle: keyOf(group.bundle, indexOfKey(variants, poolKey(group.pool))),
  }));
  const topology = { ...base.topology, groups };
  const addons = (designs[indexOfKey(variants, addonsKey)] ?? base).addons();
  refuseOwn(manifests, addons);
  const before = [
    ...secretResources(topology.cluster),
    ...uploads,
    ...poolBundleResources(
      topology,
      bundles,
      uploads.map(({ address }) => address),
      sinceOf(topology.cluster),
    ),
    ...provider.design(topology),
  ];
  const after = [...etcdResources(topology), ...kubeResources(topology, addons, manifests, provider)];
  const names = new Set(topology.machines.map(({ name }) => name));
  const byMachine = Map.groupBy([...before, ...after], ({ address }) => machineOf(address, names));
  const own = new Map([...byMachine].flatMap(([machine, resources]) => (machine === undefined ? [] : [[machine, resources]])));
  return { groups, addons, before, after, own, shared: byMachine.get(undefined) ?? [] };
}

function lyingOn(
  machine: MachineSpec,
  { topology: own }: VariantDesign,
  { base: { topology }, bundles, uploads }: Parts,
  provider: Designing,
): readonly Resource[] {
  const bundle = bundles.get(machine.bundle);
  if (!bundle) throw new Error(`no bundle ${machine.bundle} for ${machine.name}`);
  const identity = identityOf(machine, own);
  const known = {
    ...identityOf(machine, own, provider.providerId?.(machine.name)),
    ...provider.machineFacts?.(machine, topology),
  };
  const since = sinceOf(topology.cluster);
  const packages = since === undefined ? [] : [packagesResource(machine, since, [provider.machineAddress(machine.name)])];
  // A master's programs need etcd first: started earlier they would only fail, wait and try again.
  const [clusters, members] = machine.role === 'master' ? [etcdClusterAddresses(topology), etcdMemberAddresses(topology)] : [];
  return [
    ...packages,
    ...hostResources(
      machine,
      bundle,
      known,
      [provider.machineAddress(machine.name), ...uploads.map(({ address }) => address)],
      clusters,
      members,
      packages.map(({ address }) => address),
    ),
    ...certificateResources(machine, bundle, identity),
  ];
}

/** The design of all, each machine and group with the bundle of the variant that it is at. */
function place(family: Family, variants: Variants): ClusterDesign {
  const { base, bundles, position } = family;
  const indexOf = indexesOf(variants, base.topology.machines);
  // Nothing but a row of what is there already: this is done at each machine's turn, and for all of them.
  const placed = base.topology.machines.map((machine) => family.at(machine, indexOf(machine)));
  const { groups, addons, before, after, own, shared } = family.frame(variants);
  let resources: readonly Resource[] | undefined;
  return {
    topology: { ...base.topology, machines: placed.map(({ spec }) => spec), groups },
    bundles,
    addons,
    manifests: family.manifests,
    get resources() {
      // A turn asks for those of its machine, and never for all.
      resources ??= [...before, ...placed.flatMap(({ resources: own }) => own), ...after];
      return resources;
    },
    shared,
    of: (machine) => [...(own.get(machine) ?? []), ...(placed[position.get(machine) ?? -1]?.resources ?? [])],
  };
}

const sinceOf = ({ os: { packages } }: Cluster): string | undefined => (packages === undefined ? undefined : instantOf(packages));

/** Bundles of later variants have names of their own, so that the cluster's own keep theirs. */
const keyOf = (bundle: string, variant: number): string => (variant === 0 ? bundle : `${bundle}@${variant}`);
