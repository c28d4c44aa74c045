import type { Topology } from '../cluster/topology.ts';
import { awsCloudController } from './aws-cloud-controller.ts';
import type { CertificateSpec } from './bundle.ts';
import { clusterAutoscaler } from './cluster-autoscaler.ts';
import { coredns } from './coredns.ts';
import { ebsCsi } from './ebs-csi.ts';
import { hasCloudController } from './host-env.ts';
import type { KubeObject } from './manifest.ts';
import { metricsServer } from './metrics-server.ts';
import { rbac } from './rbac.ts';

/** What runs inside the cluster: objects to apply in this order, and what must be ready then. */
export interface Addon {
  readonly name: string;
  /** Fields may be Refs (see manifest.ts): resolved before they are applied. */
  readonly objects: readonly KubeObject[];
  /** Namespace is empty for what has none. */
  readonly ready: readonly { readonly kind: string; readonly namespace: string; readonly name: string }[];
  /** Made before the objects: pods that mount a Secret which is not there yet are tried again only much later. */
  readonly certificates: readonly AddonCertificate[];
}

/** A serving certificate for pods: the CLI makes key and certificate and puts them into a Secret of type kubernetes.io/tls. */
export interface AddonCertificate extends Omit<CertificateSpec, 'files' | 'owner' | 'name'> {
  readonly secret: { readonly namespace: string; readonly name: string };
}

/** Given by the provider; absent in any real cluster. */
export interface AddonOptions {
  /** Where the cloud's API and instance metadata are, instead of the cloud's own: for tests. */
  readonly cloudEndpoints?: { readonly api?: string | undefined; readonly metadata?: string | undefined } | undefined;
}

/** The addons of a cluster, in the order to apply them. `rbac` is what the rest stands on; the cloud controller makes nodes usable. */
export function designAddons(topology: Topology, { cloudEndpoints }: AddonOptions = {}): readonly Addon[] {
  const { addons, provider } = topology.cluster;
  return [
    rbac(topology),
    ...(hasCloudController(topology) ? [awsCloudController(topology, cloudEndpoints)] : []),
    coredns(topology),
    ...(addons.metricsServer ? [metricsServer(topology)] : []),
    ...(provider.aws?.addons.ebsCsi ? [ebsCsi(topology)] : []),
    // Nothing to scale without such a pool.
    ...(provider.aws?.addons.clusterAutoscaler && topology.groups.some((group) => group.autoscaled)
      ? [clusterAutoscaler(topology)]
      : []),
  ];
}
