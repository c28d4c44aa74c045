import { exitCodes, UserError } from '../errors.ts';

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
  readonly pause: string;
}

/** A file of the asset cache. Its path in the cache and under /opt/slipway on a host are the same, versioned: `kubernetes/1.36.3/kube-apiserver`, `images/coredns-1.15.0.tar`. */
export interface Asset {
  readonly name: string;
  readonly version: string;
  readonly path: string;
}

/** An asset that is an OCI archive. `image` is upstream's full name, so that a cluster with a registry at hand runs the same manifests. */
export interface ImageAsset extends Asset {
  readonly image: string;
}

const common = {
  containerd: '2.4.2',
  runc: '1.5.2',
  cni: '1.9.1',
  flannel: '0.28.4',
  coredns: '1.15.0',
  metricsServer: '0.9.0',
} as const;

/**
 * Newest first. pause and the minor version of etcd are those of build/dependencies.yaml of the release, with etcd's newest patch:
 * 1.33 was released with etcd 3.5, later ones with 3.6.
 */
const releases: readonly Versions[] = [
  { kubernetes: '1.36.3', etcd: '3.6.16', pause: '3.10.2', ...common },
  { kubernetes: '1.35.4', etcd: '3.6.16', pause: '3.10.1', ...common },
  { kubernetes: '1.34.4', etcd: '3.6.16', pause: '3.10.1', ...common },
  { kubernetes: '1.33.13', etcd: '3.5.35', pause: '3.10', ...common },
];

/** Kubernetes versions that can be installed, newest first. */
export const knownKubernetes: readonly string[] = releases.map((release) => release.kubernetes);

/** Versions of everything that a cluster of this Kubernetes version runs; `overrides` replace single ones. Throws UserError for an unknown version. */
export function versionsFor(kubernetes: string, overrides: Partial<Omit<Versions, 'kubernetes'>> = {}): Versions {
  const plain = kubernetes.replace(/^v/, '');
  const release = releases.find((each) => each.kubernetes === plain);
  if (!release) {
    throw new UserError(
      {
        what: `Kubernetes ${kubernetes} is not among the versions that Slipway installs`,
        why: `Known versions: ${knownKubernetes.join(', ')}`,
        next: 'Set kubernetes.version in cluster.yaml to one of them',
      },
      exitCodes.config,
    );
  }
  return { ...release, ...overrides };
}

interface Program {
  readonly version: keyof Versions;
  readonly names: readonly string[];
  readonly directory: string;
}

const programs: readonly Program[] = [
  {
    version: 'kubernetes',
    directory: 'kubernetes',
    names: ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'kubelet', 'kubectl'],
  },
  { version: 'etcd', directory: 'etcd', names: ['etcd', 'etcdctl', 'etcdutl'] },
  { version: 'containerd', directory: 'containerd', names: ['containerd', 'containerd-shim-runc-v2', 'ctr'] },
  { version: 'runc', directory: 'runc', names: ['runc'] },
  { version: 'cni', directory: 'cni', names: ['bridge', 'ptp', 'loopback', 'host-local', 'portmap'] },
  { version: 'flannel', directory: 'flannel', names: ['flanneld'] },
];

const images: readonly {
  readonly name: string;
  readonly version: keyof Versions;
  readonly image: (version: string) => string;
}[] = [
  { name: 'coredns', version: 'coredns', image: (version) => `registry.k8s.io/coredns/coredns:v${version}` },
  {
    name: 'metrics-server',
    version: 'metricsServer',
    image: (version) => `registry.k8s.io/metrics-server/metrics-server:v${version}`,
  },
  { name: 'pause', version: 'pause', image: (version) => `registry.k8s.io/pause:${version}` },
];

/** The container images of a cluster, as archives to import on each host. */
export const imagesOf = (versions: Versions): readonly ImageAsset[] =>
  images.map(({ name, version, image }) => ({
    name,
    version: versions[version],
    path: `images/${name}-${versions[version]}.tar`,
    image: image(versions[version]),
  }));

/** Everything that a cluster of these versions needs: programs of the hosts, then images. */
export const assetsOf = (versions: Versions): readonly Asset[] => [
  ...programs.flatMap(({ version, directory, names }) =>
    names.map((name) => ({ name, version: versions[version], path: `${directory}/${versions[version]}/${name}` })),
  ),
  ...imagesOf(versions),
];

/** One asset by its name, such as `kubelet`, `portmap` or `coredns`. An unknown name is a bug of the caller. */
export function asset(name: string, versions: Versions): Asset {
  const found = assetsOf(versions).find((each) => each.name === name);
  if (!found) throw new Error(`No asset is named ${name}`);
  return found;
}

/** The full name of an image asset, such as `registry.k8s.io/pause:3.10.2`. */
export function imageName(name: string, versions: Versions): string {
  const found = imagesOf(versions).find((each) => each.name === name);
  if (!found) throw new Error(`No image is named ${name}`);
  return found.image;
}
