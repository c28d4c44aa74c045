import type { BundleFile, CertificateSpec } from './bundle.ts';

/** Where keys, certificates and trust lie on a host, and how one is asked for. */
const directory = '/etc/slipway/pki';

/** A leaf lives a year; upgrades and `pki renew` replace it long before. */
export const leafLifetimeDays = 365;

export const certFile = (name: string): string => `${directory}/${name}.pem`;
export const keyFile = (name: string): string => `${directory}/${name}-key.pem`;

/** The certificates of these authorities in one file. */
export const trust = (name: string, authorities: readonly string[] = [name]): BundleFile => ({
  path: trustFile(name),
  mode: '0644',
  content: { authorities },
});
export const trustFile = (name: string): string => `${directory}/${name}.ca.pem`;

export const certificate = (spec: {
  readonly name: string;
  readonly authority: string;
  readonly cn: string;
  readonly o?: readonly string[];
  readonly usages: CertificateSpec['usages'];
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
}): CertificateSpec => ({
  name: spec.name,
  authority: spec.authority,
  subject: spec.o ? { cn: spec.cn, o: spec.o } : { cn: spec.cn },
  sans: { dns: spec.dns ?? [], ip: spec.ip ?? [] },
  usages: spec.usages,
  lifetimeDays: leafLifetimeDays,
  files: { cert: certFile(spec.name), key: keyFile(spec.name) },
});

/** Groups and users that our certificates and RBAC agree on. */
export const identities = {
  /** Bound to cluster-admin by the rbac addon, and so revocable, unlike system:masters. */
  adminGroup: 'slipway:admins',
  kubeletClient: 'slipway:kube-apiserver',
  flannel: 'slipway:flanneld',
  agent: 'slipway:agent',
} as const;

/** TLS 1.2 suites with forward secrecy and AEAD; TLS 1.3 has its own and no choice. */
export const cipherSuites = [
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
] as const;
