import { X509Certificate } from 'node:crypto';
import { inspectCertificate } from './inspect.ts';
import { generateP256, publicKeyOf } from './keys.ts';
import { backdatedMs, dayMs, nameOf, newSerial, signature, signingKey, x509 } from './x509.ts';

export interface Authority {
  readonly certPem: string;
  /** PKCS#8. */
  readonly keyPem: string;
}

/**
 * A self-signed authority. With `keyPem` the certificate is made anew for that key: subject and key ID stay, so what it issued stays
 * valid. The subject names the cluster: two clusters' authorities must not look alike in a browser or a keychain.
 */
export async function createAuthority(options: {
  readonly name: string;
  readonly uid: string;
  readonly lifetimeDays: number;
  readonly now: number;
  readonly keyPem?: string;
}): Promise<Authority & { readonly keyId: string }> {
  const { name, uid, lifetimeDays, now } = options;
  const keyPem = options.keyPem ?? (await generateP256());
  const publicKey = new x509.PublicKey(publicKeyOf(keyPem));
  const subject = nameOf({ cn: `slipway ${name}`, o: uid === '' ? [] : [uid] });
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject,
    issuer: subject,
    publicKey,
    signingKey: signingKey(keyPem),
    signingAlgorithm: signature,
    notBefore: new Date(now - backdatedMs),
    notAfter: new Date(now + lifetimeDays * dayMs),
    extensions: [
      // It issues leaves only.
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  const certPem = `${certificate.toString('pem')}\n`;
  return { certPem, keyPem, keyId: inspectCertificate(certPem, now).keyId };
}

/** Throws when the certificate is not this key's. */
export function assertFits({ certPem, keyPem }: Authority): void {
  const own = new X509Certificate(certPem).publicKey.export({ type: 'spki', format: 'pem' });
  if (own !== publicKeyOf(keyPem)) throw new Error("the authority's certificate does not fit its key");
}
