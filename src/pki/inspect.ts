import { X509Certificate } from 'node:crypto';
import ipaddr from 'ipaddr.js';

export interface CertificateFacts {
  readonly subject: { readonly cn: string; readonly o: readonly string[] };
  /** Key IDs in lower-case hex; empty where the certificate has none. */
  readonly keyId: string;
  readonly issuerKeyId: string;
  /** Sorted; addresses in their shortest form. */
  readonly sans: { readonly dns: readonly string[]; readonly ip: readonly string[] };
  readonly usages: readonly ('client' | 'server')[];
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly state: CertificateState;
}
/** `due`: it should be renewed now. */
export type CertificateState = 'fresh' | 'due' | 'expired';

/** Renewed when less than a third of its life is left, as cert-manager does. */
export const dueShare = 1 / 3;
/** kubelet renews its own at 70 to 90 % of their life: one with less than a tenth left was not renewed. */
export const rotatedDueShare = 1 / 10;

/** What a certificate says. By node:crypto, without the X.509 library: observing reads hundreds of them and signs none. Throws when it is none. */
export function inspectCertificate(pem: string, now: number, share: number = dueShare): CertificateFacts {
  const certificate = new X509Certificate(pem);
  const { subject } = certificate.toLegacyObject();
  const [notBefore, notAfter] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  return {
    subject: { cn: listOf(subject.CN)[0] ?? '', o: listOf(subject.O).toSorted() },
    keyId: keyIdOf(certificate.raw, subjectKeyIdentifier),
    issuerKeyId: keyIdOf(certificate.raw, authorityKeyIdentifier),
    sans: sansOf(certificate.subjectAltName ?? ''),
    usages: usagesOf(certificate.keyUsage ?? []),
    notBefore,
    notAfter,
    state: now >= notAfter ? 'expired' : notAfter - now < (notAfter - notBefore) * share ? 'due' : 'fresh',
  };
}

/** The form in which an address of a SAN is compared. */
export const canonicalAddress = (address: string): string =>
  ipaddr.isValid(address) ? ipaddr.parse(address).toString() : address;

const listOf = (value: unknown): readonly string[] =>
  (Array.isArray(value) ? value : [value]).filter((v): v is string => typeof v === 'string');

const usageNames = new Map<string, 'client' | 'server'>([
  ['1.3.6.1.5.5.7.3.1', 'server'],
  ['1.3.6.1.5.5.7.3.2', 'client'],
]);
const usagesOf = (oids: readonly string[]): readonly ('client' | 'server')[] =>
  oids
    .map((oid) => usageNames.get(oid))
    .filter((usage) => usage !== undefined)
    .sort();

/** Node prints `DNS:a, IP Address:10.0.0.1`. Names of ours need no quotes; others are kept as they are. */
function sansOf(text: string): CertificateFacts['sans'] {
  const parts = text === '' ? [] : text.split(', ');
  const of = (prefix: string): readonly string[] =>
    parts.filter((part) => part.startsWith(prefix)).map((part) => part.slice(prefix.length));
  return { dns: of('DNS:').toSorted(), ip: of('IP Address:').map(canonicalAddress).sort() };
}

// DER of the two extensions' object identifiers, 2.5.29.14 and 2.5.29.35.
const subjectKeyIdentifier = { oid: Buffer.from('0603551d0e', 'hex'), before: '04' };
const authorityKeyIdentifier = { oid: Buffer.from('0603551d23', 'hex'), before: '30' };
/**
 * Node shows no key IDs. Extensions come last in a certificate, so the last match is the extension; then an OCTET STRING holds
 * either the ID as an OCTET STRING (subject) or a SEQUENCE with the ID as its first, context-tagged [0] (authority).
 */
function keyIdOf(der: Buffer, { oid, before }: typeof subjectKeyIdentifier): string {
  const at = der.lastIndexOf(oid);
  if (at < 0) return '';
  const value = der.subarray(at + oid.length + 2);
  if (der[at + oid.length] !== 0x04 || value[0] !== Number.parseInt(before, 16)) return '';
  const id = before === '04' ? value : value.subarray(2);
  if (before === '30' && id[0] !== 0x80) return '';
  return id.subarray(2, 2 + (id[1] ?? 0)).toString('hex');
}
