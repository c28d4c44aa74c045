/**
 * Kubernetes versions that can be installed, newest first. The catalogue of assets has what goes with each; a test holds the two together.
 * Here too, because `validate` knows nothing but config.
 */
export const newestKubernetes = '1.36.3';
export const kubernetesVersions: readonly string[] = [newestKubernetes, '1.36.2', '1.35.4', '1.35.3', '1.34.4', '1.33.13'];

/**
 * Versions of each component that can be installed, newest first: those that the releases of the catalogue run, and earlier ones to come from or go
 * back to. Each has pins (scripts/pin-builds.ts).
 */
export const componentVersions = {
  etcd: ['3.6.16', '3.6.15', '3.5.35', '3.5.34'],
  containerd: ['2.4.2', '2.4.1', '2.3.7'],
  runc: ['1.5.2', '1.4.3'],
  cni: ['1.9.1', '1.9.0'],
  flannel: ['0.28.10', '0.28.4'],
  coredns: ['1.15.0', '1.14.7'],
  metricsServer: ['0.9.0'],
} as const;
export type Component = keyof typeof componentVersions;
export const componentNames: Readonly<Record<Component, string>> = {
  etcd: 'etcd',
  containerd: 'containerd',
  runc: 'runc',
  cni: 'the CNI plugins',
  flannel: 'flannel',
  coredns: 'CoreDNS',
  metricsServer: 'metrics-server',
};
/** The oldest etcd that every Kubernetes version above runs with: kubeadm's MinExternalEtcdVersion of each of these releases. */
export const oldestEtcd = '3.5.24';

/** Of those known, the one to use in place of another: by its minor version, then by its patch. */
export function nearestVersion(version: string, known: readonly string[]): string | undefined {
  const [minor, patch] = [1, 2].map((i) => (of: string) => Math.abs(part(of, i) - part(version, i)));
  if (!minor || !patch) return undefined;
  return known.toSorted((a, b) => minor(a) - minor(b) || patch(a) - patch(b))[0];
}
const part = (version: string, index: number): number => Number(version.split('.')[index]);
export const isOlder = (version: string, than: string): boolean => {
  const differing = [0, 1, 2].find((i) => part(version, i) !== part(than, i));
  return differing !== undefined && part(version, differing) < part(than, differing);
};
