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
