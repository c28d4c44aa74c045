import { type Asset, imageName, type Versions } from './catalogue.ts';
import { agentFile, ownRuntime } from './own.ts';

/** A Go build. Its main module, pinned by go.mod and go.sum, is `templates/build/<name>/<version>`; main packages of our own lie beside it. */
export interface GoBuild {
  readonly name: string;
  readonly version: string;
  /** Asset name → main package. `.` is a main package of our own. */
  readonly programs: Readonly<Record<string, string>>;
  /** `-X` settings: variable → value. */
  readonly variables: Readonly<Record<string, string>>;
  /** Set where a program needs C: the build tags. It is linked statically. */
  readonly cgo?: { readonly tags: string; readonly header: string; readonly packages: string };
  /** Takes main.go of a module, without some of its imports. */
  readonly borrowedMain?: { readonly module: string; readonly without: readonly string[] };
}

/** How an image asset is made of the program that a build yields. */
export interface ImageRecipe {
  readonly name: string;
  readonly program: string;
  readonly user: string;
  readonly bindsLowPorts?: boolean;
  /** With /etc/passwd and, where this machine has them, the certificates of public authorities. */
  readonly base: boolean;
}

/** Where the project itself publishes an asset. URLs begin with one of the bases that `openAssets` knows: `{kubernetes}`, `{github}`, `{githubApi}`, `{registry}`, `{node}`. */
export type Upstream =
  | { readonly kind: 'file'; readonly url: string; readonly checksum: Checksum }
  | {
      readonly kind: 'archive';
      readonly url: string;
      readonly checksum: Checksum;
      readonly members: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'image'; readonly repository: string; readonly tag: string };

/** `sums`: the digest alone, or lines of `sha256sum`. `githubRelease`: the digest that GitHub's release API states, for a project that publishes none. */
export type Checksum =
  | { readonly kind: 'sums'; readonly url: string }
  | { readonly kind: 'githubRelease'; readonly repository: string; readonly tag: string };

export interface Recipe {
  /** What is fetched or built together, under one lock: `kubernetes/1.36.3`. */
  readonly group: string;
  readonly build?: GoBuild;
  /** In place of a build: a file that this machine has anyway. Undefined: it has none that fits. */
  readonly own?: () => string | undefined;
  readonly image?: ImageRecipe;
  /** Absent: nobody else publishes it. */
  readonly upstream?: (asset: string) => Upstream;
}

const sums = (url: string): Checksum => ({ kind: 'sums', url });

function kubernetes(version: string): Recipe {
  const [major = '', minor = ''] = version.split('.');
  const names = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'kubelet', 'kubectl'];
  const variables = { gitVersion: `v${version}`, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' };
  return {
    group: `kubernetes/${version}`,
    build: {
      name: 'kubernetes',
      version,
      programs: Object.fromEntries(names.map((name) => [name, `k8s.io/kubernetes/cmd/${name}`])),
      // Both packages, as hack/lib/version.sh of Kubernetes does: the second is what clients name themselves with.
      variables: Object.fromEntries(
        ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap((at) =>
          Object.entries(variables).map(([key, value]) => [`${at}.${key}`, value]),
        ),
      ),
    },
    upstream: (name) => {
      const url = `{kubernetes}/release/v${version}/bin/linux/amd64/${name}`;
      return { kind: 'file', url, checksum: sums(`${url}.sha256`) };
    },
  };
}

function etcd(version: string): Recipe {
  const release = `{github}/etcd-io/etcd/releases/download/v${version}`;
  const directory = `etcd-v${version}-linux-amd64`;
  return {
    group: `etcd/${version}`,
    build: {
      name: 'etcd',
      version,
      programs: {
        etcd: 'go.etcd.io/etcd/server/v3',
        etcdctl: 'go.etcd.io/etcd/etcdctl/v3',
        etcdutl: 'go.etcd.io/etcd/etcdutl/v3',
      },
      variables: {},
    },
    upstream: () => ({
      kind: 'archive',
      url: `${release}/${directory}.tar.gz`,
      checksum: sums(`${release}/SHA256SUMS`),
      members: Object.fromEntries(['etcd', 'etcdctl', 'etcdutl'].map((name) => [name, `${directory}/${name}`])),
    }),
  };
}

function containerd(version: string): Recipe {
  const names = ['containerd', 'containerd-shim-runc-v2', 'ctr'];
  const url = `{github}/containerd/containerd/releases/download/v${version}/containerd-static-${version}-linux-amd64.tar.gz`;
  return {
    group: `containerd/${version}`,
    build: {
      name: 'containerd',
      version,
      programs: Object.fromEntries(names.map((name) => [name, `github.com/containerd/containerd/v2/cmd/${name}`])),
      variables: { 'github.com/containerd/containerd/v2/version.Version': version },
    },
    upstream: () => ({
      kind: 'archive',
      url,
      checksum: sums(`${url}.sha256sum`),
      members: Object.fromEntries(names.map((name) => [name, `bin/${name}`])),
    }),
  };
}

function runc(version: string): Recipe {
  const release = `{github}/opencontainers/runc/releases/download/v${version}`;
  return {
    group: `runc/${version}`,
    build: {
      name: 'runc',
      version,
      programs: { runc: 'github.com/opencontainers/runc' },
      variables: { 'main.version': version },
      // Without seccomp no pod starts whose profile is RuntimeDefault.
      cgo: { tags: 'seccomp netgo osusergo', header: 'seccomp.h', packages: 'gcc libc6-dev libseccomp-dev' },
    },
    upstream: () => ({ kind: 'file', url: `${release}/runc.amd64`, checksum: sums(`${release}/runc.sha256sum`) }),
  };
}

function cni(version: string): Recipe {
  const url = `{github}/containernetworking/plugins/releases/download/v${version}/cni-plugins-linux-amd64-v${version}.tgz`;
  const packages = {
    bridge: 'main/bridge',
    ptp: 'main/ptp',
    loopback: 'main/loopback',
    'host-local': 'ipam/host-local',
    portmap: 'meta/portmap',
  };
  return {
    group: `cni/${version}`,
    build: {
      name: 'cni',
      version,
      programs: Object.fromEntries(
        Object.entries(packages).map(([name, at]) => [name, `github.com/containernetworking/plugins/plugins/${at}`]),
      ),
      variables: { 'github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion': `v${version}` },
    },
    upstream: () => ({
      kind: 'archive',
      url,
      checksum: sums(`${url}.sha256`),
      members: Object.fromEntries(Object.keys(packages).map((name) => [name, name])),
    }),
  };
}

function flannel(version: string): Recipe {
  const backend = 'github.com/flannel-io/flannel/pkg/backend';
  return {
    group: `flannel/${version}`,
    build: {
      name: 'flannel',
      version,
      programs: { flanneld: '.' },
      variables: { 'github.com/flannel-io/flannel/pkg/version.Version': `v${version}` },
      // Modules of ipsec and tencentvpc are not on the module proxy; udp, which upstream keeps for debugging, needs C. No cluster of ours uses them.
      borrowedMain: {
        module: 'github.com/flannel-io/flannel',
        without: [`${backend}/ipsec`, `${backend}/tencentvpc`, `${backend}/udp`],
      },
    },
    upstream: () => ({
      kind: 'file',
      url: `{github}/flannel-io/flannel/releases/download/v${version}/flanneld-amd64`,
      checksum: { kind: 'githubRelease', repository: 'flannel-io/flannel', tag: `v${version}` },
    }),
  };
}

function image(name: string, build: GoBuild, full: string, recipe: Omit<ImageRecipe, 'name' | 'program'>): Recipe {
  const colon = full.lastIndexOf(':');
  const repository = full.slice(full.indexOf('/') + 1, colon);
  return {
    group: `images/${name}-${build.version}`,
    build,
    image: { name: full, program: name, ...recipe },
    upstream: () => ({ kind: 'image', repository, tag: full.slice(colon + 1) }),
  };
}

const coredns = (version: string, full: string): Recipe =>
  image('coredns', { name: 'coredns', version, programs: { coredns: '.' }, variables: {} }, full, {
    user: '65532:65532',
    bindsLowPorts: true,
    base: true,
  });

const metricsServer = (version: string, full: string): Recipe =>
  image(
    'metrics-server',
    {
      name: 'metrics-server',
      version,
      programs: { 'metrics-server': 'sigs.k8s.io/metrics-server/cmd/metrics-server' },
      variables: { 'k8s.io/client-go/pkg/version.gitVersion': `v${version}` },
    },
    full,
    { user: '65534', base: true },
  );

const pause = (version: string, full: string): Recipe =>
  image('pause', { name: 'pause', version, programs: { pause: '.' }, variables: { 'main.version': version } }, full, {
    user: '65535:65535',
    base: false,
  });

const awsCloudController = (version: string, full: string): Recipe =>
  image(
    'aws-cloud-controller',
    {
      name: 'aws-cloud-controller',
      version,
      programs: { 'aws-cloud-controller': 'k8s.io/cloud-provider-aws/cmd/aws-cloud-controller-manager' },
      variables: { 'k8s.io/component-base/version.gitVersion': `v${version}` },
    },
    full,
    { user: '65532:65532', base: true },
  );

const runtime = (version: string): Recipe => ({
  group: `node/${version}`,
  own: () => ownRuntime(version),
  upstream: () => ({
    kind: 'archive',
    url: `{node}/dist/v${version}/node-v${version}-linux-x64.tar.gz`,
    checksum: sums(`{node}/dist/v${version}/SHASUMS256.txt`),
    members: { node: `node-v${version}-linux-x64/bin/node` },
  }),
});
const agent = (version: string): Recipe => ({ group: `agent/${version}`, own: agentFile });

/** All recipes of one set of versions. */
export const recipesOf = (versions: Versions): readonly Recipe[] => [
  kubernetes(versions.kubernetes),
  etcd(versions.etcd),
  containerd(versions.containerd),
  runc(versions.runc),
  cni(versions.cni),
  flannel(versions.flannel),
  coredns(versions.coredns, imageName('coredns', versions)),
  metricsServer(versions.metricsServer, imageName('metrics-server', versions)),
  pause(versions.pause, imageName('pause', versions)),
  ...(versions.aws ? [awsCloudController(versions.aws.cloudController, imageName('aws-cloud-controller', versions))] : []),
];

const makers: Readonly<Record<string, (version: string) => Recipe>> = {
  kubernetes,
  etcd,
  containerd,
  runc,
  cni,
  flannel,
  node: runtime,
  agent,
};

/** The recipe of an asset. An asset that is not of the catalogue is a bug of the caller. */
export function recipeFor({ name, version, path }: Asset): Recipe {
  const directory = path.slice(0, path.indexOf('/'));
  const maker = makers[directory];
  if (maker) return maker(version);
  if (name === 'coredns') return coredns(version, `registry.k8s.io/coredns/coredns:v${version}`);
  if (name === 'metrics-server') return metricsServer(version, `registry.k8s.io/metrics-server/metrics-server:v${version}`);
  if (name === 'pause') return pause(version, `registry.k8s.io/pause:${version}`);
  if (name === 'aws-cloud-controller')
    return awsCloudController(version, `registry.k8s.io/provider-aws/cloud-controller-manager:v${version}`);
  throw new Error(`No recipe for the asset ${path}`);
}
