/**
 * What all hosts of one role (and pool) should hold. Nothing in it names one host: what differs from host to host (name, address,
 * zone) reaches units through `/etc/slipway/host.env`, so that a pool of 5,000 has one bundle, rendered once.
 */
export interface Bundle {
  readonly name: string;
  readonly files: readonly BundleFile[];
  readonly units: readonly BundleUnit[];
  readonly assets: readonly HostAsset[];
  readonly certificates: readonly CertificateSpec[];
  /** Container images (OCI archives, by asset name) to be imported into containerd before kubelet starts. */
  readonly images: readonly HostAsset[];
}

export interface BundleFile {
  readonly path: string;
  /** Octal, as in '0644'. */
  readonly mode: string;
  readonly content: FileContent;
}
/**
 * `text` is known at design time. `authorities` is the concatenated PEM certificates of authorities (public, known once they are made).
 * `secret` is a shared key out of the store: pushed to masters only.
 */
export type FileContent =
  | { readonly text: string }
  | { readonly authorities: readonly string[] }
  | { readonly secret: string };

export interface BundleUnit {
  /** `kubelet.service` */
  readonly name: string;
  readonly text: string;
  /** Files (absolute paths) that the program reads only at start: when one changes, the unit is due for a restart. The unit file itself always counts. */
  readonly inputs: readonly string[];
  /** Certificates (by spec name) without which it is not started. */
  readonly certificates: readonly string[];
  /** True for what serves everyone (etcd, kube-apiserver): `up` never restarts it while it serves, `upgrade` does. */
  readonly serving: boolean;
  /** Command (sh) that exits 0 when the program is ready; undefined: active is ready. */
  readonly ready?: string;
  /** False for units that the member or join steps start (etcd). */
  readonly startedByConverge: boolean;
}

/** A file of the asset cache that belongs on the host: `/opt/slipway/<path>`. */
export interface HostAsset {
  /** Catalogue name and version: `kube-apiserver`, `1.36.3`. */
  readonly name: string;
  readonly version: string;
  /** Under /opt/slipway: `kubernetes/1.36.3/kube-apiserver`. */
  readonly path: string;
}

/** One certificate whose key is made on the host that uses it and never leaves it. */
export interface CertificateSpec {
  /** Unique on its host: `kubelet-client`. */
  readonly name: string;
  /** Name of the authority that issues it: `kubernetes`, `nodes`, `etcd`, `etcd-peer`, `front-proxy`. */
  readonly authority: string;
  readonly subject: { readonly cn: string; readonly o?: readonly string[] };
  readonly sans: { readonly dns: readonly string[]; readonly ip: readonly string[] };
  readonly usages: readonly ('server' | 'client')[];
  readonly lifetimeDays: number;
  /** Absolute paths on the host. `combined` is certificate and key in one file (kubelet's rotation file), instead of the two. */
  readonly files: { readonly cert: string; readonly key: string } | { readonly combined: string };
  /** Owner of the files, `root` unless told. Mode is 0600 for keys. */
  readonly owner?: string;
}
/** In subject and SANs of a pool's certificates these stand for the host's own. */
export const hostVariables = ['${NODE_NAME}', '${NODE_IP}'] as const;
