import { exitCodes, UserError } from '../errors.ts';
import { agentVersion } from './own.ts';

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
  /** Of clusters on AWS only. */
  readonly aws?: AwsVersions | undefined;
}

/** What runs in clusters on AWS. */
export interface AwsVersions {
  readonly cloudController: string;
  readonly clusterAutoscaler: string;
  readonly ebsCsi: string;
  readonly csiProvisioner: string;
  readonly csiAttacher: string;
  readonly csiResizer: string;
  readonly csiNodeDriverRegistrar: string;
  readonly livenessProbe: string;
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
  flannel: '0.28.10',
  coredns: '1.15.0',
  metricsServer: '0.9.0',
} as const;

/**
 * Newest first. pause and the minor version of etcd are those of build/dependencies.yaml of the release, with etcd's newest patch:
 * 1.33 was released with etcd 3.5, later ones with 3.6.
 */
const releases: readonly Versions[] = [
  { kubernetes: '1.36.3', etcd: '3.6.16', pause: '3.10.2', ...common },
  { kubernetes: '1.36.2', etcd: '3.6.16', pause: '3.10.2', ...common },
  { kubernetes: '1.35.4', etcd: '3.6.16', pause: '3.10.1', ...common },
  { kubernetes: '1.35.3', etcd: '3.6.16', pause: '3.10.1', ...common },
  { kubernetes: '1.34.4', etcd: '3.6.16', pause: '3.10.1', ...common },
  { kubernetes: '1.33.13', etcd: '3.5.35', pause: '3.10', ...common },
];

/** What cluster.yaml may choose a version of, apart from Kubernetes itself. */
type Component = Exclude<keyof Versions, 'kubernetes' | 'pause' | 'aws'>;
/** Versions to choose from, instead of the one that goes with the Kubernetes version. Each runs with every Kubernetes version of the catalogue. */
export type Chosen = { readonly [each in Component]?: string | undefined };

/** The sidecars are those that this release of the EBS CSI driver is published with; it serves every Kubernetes version of the catalogue. */
const ebsCsi = {
  ebsCsi: '1.62.0',
  csiProvisioner: '6.3.0',
  csiAttacher: '4.12.0',
  csiResizer: '2.2.0',
  csiNodeDriverRegistrar: '2.17.0',
  livenessProbe: '2.19.0',
} as const;

/**
 * By Kubernetes' minor version: cloud controller and autoscaler are of the same minor (version skew policy: a cloud controller is never
 * newer than the API server; upstream supports an autoscaler with its own minor only). Each the newest whose image upstream has promoted
 * and, for the cloud controller, that the Go module proxy has too.
 */
const onAws: Readonly<Record<string, AwsVersions>> = {
  '1.36': { cloudController: '1.36.1', clusterAutoscaler: '1.36.1', ...ebsCsi },
  '1.35': { cloudController: '1.35.0', clusterAutoscaler: '1.35.2', ...ebsCsi },
  '1.34': { cloudController: '1.34.3', clusterAutoscaler: '1.34.5', ...ebsCsi },
  '1.33': { cloudController: '1.33.4', clusterAutoscaler: '1.33.6', ...ebsCsi },
};

/** Kubernetes versions that can be installed, newest first. */
export const knownKubernetes: readonly string[] = releases.map((release) => release.kubernetes);

/** Versions of everything that a cluster of this Kubernetes version runs; `chosen` replaces single ones. Throws UserError for an unknown Kubernetes version. */
export function versionsFor(kubernetes: string, chosen: Chosen = {}): Versions {
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
  return { ...release, ...Object.fromEntries(Object.entries(chosen).filter(([, version]) => version !== undefined)) };
}

/** What cluster.yaml asks for, as a whole. */
export const versionsAsked = ({
  kubernetes: { version, components },
  provider,
}: {
  readonly kubernetes: { readonly version: string; readonly components: Chosen };
  readonly provider: { readonly aws?: unknown };
}): Versions => forProvider(versionsFor(version, components), provider);

/** With what runs only at this provider, where it is not named yet. `aws` is `provider.aws` of cluster.yaml. */
export function forProvider(versions: Versions, { aws }: { readonly aws?: unknown }): Versions {
  if (aws === undefined || versions.aws) return versions;
  const found = onAws[versions.kubernetes.split('.').slice(0, 2).join('.')];
  if (!found) throw new Error(`the catalogue has nothing of AWS for Kubernetes ${versions.kubernetes}`);
  return { ...versions, aws: found };
}

type Plain = Exclude<keyof Versions, 'aws'>;

interface Program {
  readonly version: Plain;
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

interface Image {
  readonly name: string;
  readonly version: string;
  readonly image: string;
}

/** Images that come as archives: those that can be built from source, so that a cluster comes up without any registry. */
const archives = ({ coredns, metricsServer, pause, aws }: Versions): readonly Image[] => [
  { name: 'coredns', version: coredns, image: `registry.k8s.io/coredns/coredns:v${coredns}` },
  {
    name: 'metrics-server',
    version: metricsServer,
    image: `registry.k8s.io/metrics-server/metrics-server:v${metricsServer}`,
  },
  { name: 'pause', version: pause, image: `registry.k8s.io/pause:${pause}` },
  ...(aws
    ? [
        {
          name: 'aws-cloud-controller',
          version: aws.cloudController,
          image: `registry.k8s.io/provider-aws/cloud-controller-manager:v${aws.cloudController}`,
        },
      ]
    : []),
];

/** Images that nodes pull from upstream's registry: no assets. */
const pulled = ({ aws }: Versions): readonly Image[] => {
  if (!aws) return [];
  const of = (name: string, version: string, repository: string): Image => ({
    name,
    version,
    image: `registry.k8s.io/${repository}:v${version}`,
  });
  return [
    of('aws-ebs-csi-driver', aws.ebsCsi, 'provider-aws/aws-ebs-csi-driver'),
    of('csi-provisioner', aws.csiProvisioner, 'sig-storage/csi-provisioner'),
    of('csi-attacher', aws.csiAttacher, 'sig-storage/csi-attacher'),
    of('csi-resizer', aws.csiResizer, 'sig-storage/csi-resizer'),
    of('csi-node-driver-registrar', aws.csiNodeDriverRegistrar, 'sig-storage/csi-node-driver-registrar'),
    of('livenessprobe', aws.livenessProbe, 'sig-storage/livenessprobe'),
    of('cluster-autoscaler', aws.clusterAutoscaler, 'autoscaling/cluster-autoscaler'),
  ];
};

/** The container images of a cluster, as archives to import on each host. */
export const imagesOf = (versions: Versions): readonly ImageAsset[] =>
  archives(versions).map(({ name, version, image }) => ({ name, version, path: `images/${name}-${version}.tar`, image }));

/** What the agent on masters runs on: the Node that Slipway itself is tested with. */
const runtimeVersion = '24.21.0';
export const runtimeAsset: Asset = { name: 'node', version: runtimeVersion, path: `node/${runtimeVersion}/node` };
/** The agent itself: comes with Slipway. */
export const agentAsset = (): Asset => {
  const version = agentVersion();
  return { name: 'agent', version, path: `agent/${version}/agent.mjs` };
};

/** Everything that a cluster of these versions needs: programs of the hosts, then images. */
export const assetsOf = (versions: Versions): readonly Asset[] => [
  ...programs.flatMap(({ version, directory, names }) =>
    names.map((name) => ({ name, version: versions[version], path: `${directory}/${versions[version]}/${name}` })),
  ),
  ...imagesOf(versions),
  // Where machines join by themselves.
  ...(versions.aws ? [runtimeAsset, agentAsset()] : []),
];

/** One asset by its name, such as `kubelet`, `portmap` or `coredns`. An unknown name is a bug of the caller. */
export function asset(name: string, versions: Versions): Asset {
  const found = assetsOf(versions).find((each) => each.name === name);
  if (!found) throw new Error(`No asset is named ${name}`);
  return found;
}

/** The full name of an image, such as `registry.k8s.io/pause:3.10.2`. */
export function imageName(name: string, versions: Versions): string {
  const found = [...archives(versions), ...pulled(versions)].find((each) => each.name === name);
  if (!found) throw new Error(`No image is named ${name}`);
  return found.image;
}
