/** Versions that fit each other: what one Kubernetes version is run with. Chosen from upstream's own build dependencies of that release. */
export interface Versions {
  readonly kubernetes: string;
  readonly etcd: string;
  readonly containerd: string;
  readonly runc: string;
  readonly cni: string;
  readonly flannel: string;
  readonly coredns: string;
  readonly metricsServer: string;
  /** Our own pause image (one static binary). */
  readonly pause: string;
}

/** A file of the asset cache. Its path in the cache and under /opt/slipway on a host are the same, versioned: `kubernetes/1.36.3/kube-apiserver`, `images/coredns-1.15.0.tar`. */
export interface Asset {
  readonly name: string;
  readonly version: string;
  readonly path: string;
}
