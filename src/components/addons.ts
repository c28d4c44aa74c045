import type { Topology } from '../cluster/topology.ts';
import type { CertificateSpec } from './bundle.ts';
import { coredns } from './coredns.ts';
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

/** The addons of a cluster, in the order to apply them. `rbac` is what the rest stands on. */
export const designAddons = (topology: Topology): readonly Addon[] => [
  rbac(topology),
  coredns(topology),
  ...(topology.cluster.addons.metricsServer ? [metricsServer(topology)] : []),
];
