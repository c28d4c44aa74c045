import { storedAssetsResource } from '../assets/types/uploaded.ts';
import { designTopology } from '../cluster/design.ts';
import type { MachineSpec, Topology } from '../cluster/topology.ts';
import { type Addon, designAddons } from '../components/addons.ts';
import type { Bundle } from '../components/bundle.ts';
import { designBundles, identityOf } from '../components/bundles.ts';
import type { Manifest } from '../config/manifests.ts';
import { etcdClusterAddresses, etcdMemberAddresses, etcdResources } from '../etcd/design.ts';
import { hostResources } from '../host/design.ts';
import type { HostsClients } from '../host/host.ts';
import { poolBundleResources } from '../host/pools.ts';
import { kubeResources } from '../kube/design.ts';
import { certificateResources } from '../pki/design.ts';
import type { Resource } from '../plan/resource.ts';
import type { Provider } from '../provider.ts';
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
 * from a variant alone, and what lies on a machine at a variant, is derived once.
 */
export function designer(
  record: ClusterRecord | undefined,
  provider: Designing,
  manifests: readonly Manifest[] = [],
): (variants: Variants) => ClusterDesign {
  let all: readonly Variant[] = [];
  let designs: readonly VariantDesign[] = [];
  return (variants) => {
    if (all.length !== variants.all.length || all.some((variant, index) => variant !== variants.all[index])) {
      all = variants.all;
      designs = all.map(({ cluster, versions }) =>
        designVariant(designTopology(cluster, identityFrom(record), versions), provider),
      );
    }
    return assemble(variants, designs, provider, manifests);
  };
}

/** What one variant makes of the file, for all machines. */
interface VariantDesign {
  readonly topology: Topology;
  readonly bundles: ReadonlyMap<string, Bundle>;
  readonly addons: () => readonly Addon[];
  /** Resources of hosts that are at this variant, by machine. */
  readonly hosts: Map<string, readonly Resource[]>;
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
    hosts: new Map(),
  };
}

function assemble(
  variants: Variants,
  designs: readonly VariantDesign[],
  provider: Designing,
  manifests: readonly Manifest[],
): ClusterDesign {
  const [base] = designs;
  if (!base) throw new Error('a cluster has at least one variant');
  const indexOf = indexesOf(variants, base.topology.machines);
  const topology = placed(base.topology, variants, indexOf);
  const bundles = new Map(
    designs.flatMap((each, index) => [...each.bundles].map(([name, bundle]) => [keyOf(name, index), bundle] as const)),
  );
  const addons = (designs[indexOfKey(variants, addonsKey)] ?? base).addons();
  refuseOwn(manifests, addons);
  // A master's programs need etcd first: started earlier they would only fail, wait and try again.
  const etcd = { clusters: etcdClusterAddresses(topology), members: etcdMemberAddresses(topology) };
  const uploads = provider.delivery === 'fetched' ? [storedAssetsResource(assetsOfBundles(bundles.values()))] : [];
  const uploaded = uploads.map(({ address }) => address);
  const lyingOn = (machine: MachineSpec, own: Topology): readonly Resource[] => {
    const bundle = bundles.get(machine.bundle);
    if (!bundle) throw new Error(`no bundle ${machine.bundle} for ${machine.name}`);
    const identity = identityOf(machine, own);
    const known = {
      ...identityOf(machine, own, provider.providerId?.(machine.name)),
      ...provider.machineFacts?.(machine, topology),
    };
    return [
      ...hostResources(
        machine,
        bundle,
        known,
        [provider.machineAddress(machine.name), ...uploaded],
        ...(machine.role === 'master' ? [etcd.clusters, etcd.members] : []),
      ),
      ...certificateResources(machine, bundle, identity),
    ];
  };
  const hosts = topology.machines.flatMap((machine) => {
    const own = designs[indexOf(machine)] ?? base;
    const found = own.hosts.get(machine.name) ?? lyingOn(machine, own.topology);
    own.hosts.set(machine.name, found);
    return found;
  });
  const resources = [
    ...secretResources(topology.cluster),
    ...uploads,
    ...poolBundleResources(topology, bundles, uploaded),
    ...provider.design(topology),
    ...hosts,
    ...etcdResources(topology),
    ...kubeResources(topology, addons, manifests, provider),
  ];
  return { topology, bundles, addons, manifests, resources };
}

/** What each machine of a design holds, and may hold while an upgrade moves it. */
export function designedHosts({ topology, bundles }: Pick<ClusterDesign, 'topology' | 'bundles'>): HostsClients['machines'] {
  const states = Map.groupBy(bundles.values(), ({ name }) => name);
  // Once a bundle, not once a machine.
  const others = new Map(
    [...bundles.values()].map((bundle) => [bundle, (states.get(bundle.name) ?? []).filter((each) => each !== bundle)]),
  );
  return new Map(
    topology.machines.map((machine) => {
      const bundle = bundles.get(machine.bundle);
      if (!bundle) throw new Error(`no bundle ${machine.bundle}`);
      return [machine.name, { bundle, identity: identityOf(machine, topology), others: others.get(bundle) ?? [] }];
    }),
  );
}

/** Bundles of later variants have names of their own, so that the cluster's own keep theirs. */
const keyOf = (bundle: string, variant: number): string => (variant === 0 ? bundle : `${bundle}@${variant}`);

/** The topology of all, each machine and group with the bundle of the variant that it is at. */
function placed(topology: Topology, variants: Variants, indexOf: (machine: MachineSpec) => number): Topology {
  if (variants.all.length === 1) return topology;
  return {
    ...topology,
    machines: topology.machines.map((machine) => ({
      ...machine,
      bundle: keyOf(machine.bundle, indexOf(machine)),
    })),
    groups: topology.groups.map((group) => ({
      ...group,
      bundle: keyOf(group.bundle, indexOfKey(variants, poolKey(group.pool))),
    })),
  };
}
