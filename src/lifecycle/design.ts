import { storedAssetsResource } from '../assets/types/uploaded.ts';
import { designTopology } from '../cluster/design.ts';
import type { Topology } from '../cluster/topology.ts';
import { type Addon, designAddons } from '../components/addons.ts';
import type { Bundle } from '../components/bundle.ts';
import { designBundles, identityOf } from '../components/bundles.ts';
import type { Manifest } from '../config/manifests.ts';
import type { Cluster } from '../config/schema.ts';
import { etcdClusterAddresses, etcdMemberAddresses, etcdResources } from '../etcd/design.ts';
import { hostResources } from '../host/design.ts';
import { poolBundleResources } from '../host/pools.ts';
import { kubeResources } from '../kube/design.ts';
import { certificateResources } from '../pki/design.ts';
import type { Resource } from '../plan/resource.ts';
import type { Provider } from '../provider.ts';
import { assetsOfBundles } from './assets.ts';
import { type ClusterRecord, identityFrom, versionsFrom } from './identity.ts';
import { refuseOwn } from './manifests.ts';
import { secretResources } from './secrets.ts';

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
  cluster: Cluster,
  record: ClusterRecord | undefined,
  provider: Pick<
    Provider,
    'design' | 'machineAddress' | 'groupAddress' | 'providerId' | 'machineFacts' | 'cloudEndpoints' | 'delivery'
  >,
  manifests: readonly Manifest[] = [],
): ClusterDesign {
  const topology = designTopology(cluster, identityFrom(record), versionsFrom(record, cluster));
  const bundles = designBundles(topology);
  const addons = designAddons(topology, { cloudEndpoints: provider.cloudEndpoints });
  refuseOwn(manifests, addons);
  // A master's programs need etcd first: started earlier they would only fail, wait and try again.
  const etcd = { clusters: etcdClusterAddresses(topology), members: etcdMemberAddresses(topology) };
  const uploads = provider.delivery === 'fetched' ? [storedAssetsResource(assetsOfBundles(bundles.values()))] : [];
  const uploaded = uploads.map(({ address }) => address);
  const hosts = topology.machines.flatMap((machine) => {
    const bundle = bundles.get(machine.bundle);
    if (!bundle) throw new Error(`no bundle ${machine.bundle} for ${machine.name}`);
    const identity = identityOf(machine, topology);
    const known = {
      ...identityOf(machine, topology, provider.providerId?.(machine.name)),
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
    ...secretResources(cluster),
    ...uploads,
    ...poolBundleResources(topology, bundles, uploaded),
    ...provider.design(topology),
    ...hosts,
    ...etcdResources(topology),
    ...kubeResources(topology, addons, manifests, provider.groupAddress),
  ];
  return { topology, bundles, addons, manifests, resources };
}
