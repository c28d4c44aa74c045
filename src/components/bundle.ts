import type { Asset } from '../assets/catalogue.ts';

/**
 * What all hosts of one role (and pool) should hold. Nothing in it names one host: what differs from host to host (name, address,
 * zone) reaches units through `/etc/slipway/host.env`, so that a pool of 5,000 has one bundle, rendered once.
 */
export interface Bundle {
  readonly name: string;
  readonly files: readonly BundleFile[];
  readonly units: readonly BundleUnit[];
  /** Files of the asset cache that belong under /opt/slipway. */
  readonly assets: readonly Asset[];
  readonly certificates: readonly CertificateSpec[];
  readonly probes: readonly Probe[];
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
export type FileContent = { readonly text: string } | { readonly authorities: readonly string[] } | { readonly secret: string };

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
}

/** A question that observing asks on the host, in the same round trip as everything else: `etcd-main`, a curl of its member list. */
export interface Probe {
  readonly name: string;
  /** `sh -c`, bounded by 3 s. */
  readonly command: string;
}

/** One certificate whose key is made on the host that uses it and never leaves it. `${NODE_NAME}` and `${NODE_IP}` in subject and SANs stand for the host's own. */
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
