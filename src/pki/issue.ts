import type { CertificateSpec } from '../components/bundle.ts';
import { type Authority, assertFits } from './authorities.ts';
import { inspectCertificate } from './inspect.ts';
import { backdatedMs, dayMs, nameOf, newSerial, signature, signingKey, x509 } from './x509.ts';

/** What a certificate says, with the host's own names in it. */
export type LeafSpec = Pick<CertificateSpec, 'subject' | 'sans' | 'usages'>;

/**
 * Issues a certificate for the key that made this request. Only the public key is taken from the request, after its signature has
 * shown that the sender holds the private one; everything that the certificate says comes from the spec.
 */
export async function signRequest(options: {
  readonly csrPem: string;
  readonly authority: Authority;
  readonly spec: LeafSpec & Pick<CertificateSpec, 'lifetimeDays'>;
  readonly now: number;
}): Promise<string> {
  const { csrPem, authority, spec, now } = options;
  const request = readRequest(csrPem);
  if (!(await request.verify())) throw new Error('a signing request is not signed by its own key');
  return issue({ publicKey: request.publicKey, authority, spec, lifetimeMs: spec.lifetimeDays * dayMs, now });
}

function readRequest(csrPem: string): x509.Pkcs10CertificateRequest {
  try {
    return new x509.Pkcs10CertificateRequest(csrPem);
  } catch (error) {
    throw new Error('a signing request cannot be read', { cause: error });
  }
}

/** A leaf. It never outlives its authority. */
export async function issue(options: {
  readonly publicKey: x509.PublicKey;
  readonly authority: Authority;
  readonly spec: LeafSpec;
  readonly lifetimeMs: number;
  readonly now: number;
}): Promise<string> {
  const { publicKey, authority, spec, lifetimeMs, now } = options;
  assertResolved(spec);
  assertP256(publicKey);
  assertFits(authority);
  const issuer = issuerOf(authority.certPem);
  const { keyId, notAfter } = inspectCertificate(authority.certPem, now);
  if (now >= notAfter) throw new Error(`the authority ${issuer.toString()} has expired`);
  const names: x509.JsonGeneralNames = [
    ...spec.sans.dns.map((value) => ({ type: 'dns' as const, value })),
    ...spec.sans.ip.map((value) => ({ type: 'ip' as const, value })),
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: nameOf(spec.subject),
    issuer,
    publicKey,
    signingKey: signingKey(authority.keyPem),
    signingAlgorithm: signature,
    notBefore: new Date(now - backdatedMs),
    notAfter: new Date(Math.min(now + lifetimeMs, notAfter)),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      // An EC key signs; it encrypts nothing.
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(spec.usages.map((usage) => usageOids[usage])),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      new x509.AuthorityKeyIdentifierExtension(keyId),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}
const issuers = new Map<string, x509.Name>();
/** Reading an authority's certificate costs as much as the signature: once a process. */
function issuerOf(certPem: string): x509.Name {
  let name = issuers.get(certPem);
  if (!name) {
    name = new x509.X509Certificate(certPem).subjectName;
    issuers.set(certPem, name);
  }
  return name;
}
const usageOids = { server: x509.ExtendedKeyUsage.serverAuth, client: x509.ExtendedKeyUsage.clientAuth } as const;

function assertResolved({ subject, sans }: LeafSpec): void {
  const open = [subject.cn, ...(subject.o ?? []), ...sans.dns, ...sans.ip].find((name) => name.includes('${') || name === '');
  if (open !== undefined) throw new Error(`a certificate cannot say ${JSON.stringify(open)}`);
}

function assertP256({ algorithm }: x509.PublicKey): void {
  const curve = 'namedCurve' in algorithm ? algorithm.namedCurve : undefined;
  if (curve !== 'P-256') throw new Error(`a signing request is for a key that is not P-256 (${algorithm.name})`);
}
