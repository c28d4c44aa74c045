import { storedAssetsResource } from '../assets/types/uploaded.ts';
import { designTopology } from '../cluster/design.ts';
import type { MachineSpec, Topology } from '../cluster/topology.ts';
import { type Addon, designAddons } from '../components/addons.ts';
import type { Bundle } from '../components/bundle.ts';
import { designBundles, identityOf } from '../components/bundles.ts';
import type { Manifest } from '../config/manifests.ts';
import { etcdClusterAddresses, etcdMemberAddresses, etcdResources } from '../etcd/design.ts';
import { hostResources } from '../host/design.ts';
import { poolBundleResources } from '../host/pools.ts';
import { kubeResources } from '../kube/design.ts';
import { certificateResources } from '../pki/design.ts';
import type { Resource } from '../plan/resource.ts';
import type { Provider } from '../provider.ts';
import { assetsOfBundles } from './assets.ts';
import { type ClusterRecord, identityFrom } from './identity.ts';
import { refuseOwn } from './manifests.ts';
import { secretResources } from './secrets.ts';
import { addonsKey, indexesOf, indexOfKey, poolKey, type Variants } from './variants.ts';

export interface ClusterDesign {
  readonly topology: Topology;
  readonly bundles: ReadonlyMap<string, Bundle>;
  readonly addons: readonly Addon[];
  readonly manifests: readonly Manifest[];
  /** Every resource of the cluster, of all layers. */
  readonly resources: readonly Resource[];
}

/** Everything that the file asks for, derived without looking at the world, the clock or the environment. Throws UserError for manifests of what is Slipway's own. */
export function designCluster(
  variants: Variants,
  record: ClusterRecord | undefined,
  provider: Pick<
    Provider,
    'design' | 'machineAddress' | 'groupAddress' | 'providerId' | 'machineFacts' | 'cloudEndpoints' | 'delivery'
  >,
  manifests: readonly Manifest[] = [],
): ClusterDesign {
  const topologies = variants.all.map(({ cluster, versions }) => designTopology(cluster, identityFrom(record), versions));
  const [base] = topologies;
  if (!base) throw new Error('a cluster has at least one variant');
  const indexOf = indexesOf(variants, base.machines);
  const topology = placed(base, variants, indexOf);
  const bundles = new Map(
    topologies.flatMap((each, index) => [...designBundles(each)].map(([name, bundle]) => [keyOf(name, index), bundle] as const)),
  );
  const addonTopology = topologies[indexOfKey(variants, addonsKey)] ?? base;
  const addons = designAddons(addonTopology, { cloudEndpoints: provider.cloudEndpoints });
  refuseOwn(manifests, addons);
  // A master's programs need etcd first: started earlier they would only fail, wait and try again.
  const etcd = { clusters: etcdClusterAddresses(topology), members: etcdMemberAddresses(topology) };
  const uploads = provider.delivery === 'fetched' ? [storedAssetsResource(assetsOfBundles(bundles.values()))] : [];
  const uploaded = uploads.map(({ address }) => address);
  const hosts = topology.machines.flatMap((machine) => {
    const bundle = bundles.get(machine.bundle);
    if (!bundle) throw new Error(`no bundle ${machine.bundle} for ${machine.name}`);
    const own = topologies[indexOf(machine)] ?? base;
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
