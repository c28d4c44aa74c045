import { createPrivateKey, createPublicKey, generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';

/** A P-256 key as PKCS#8 PEM: what every program of Kubernetes and etcd reads. */
export async function generateP256(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'prime256v1' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** The public key of a private one, as SPKI PEM. */
export function publicKeyOf(privateKeyPem: string): string {
  return createPublicKey(readPrivateKey(privateKeyPem)).export({ type: 'spki', format: 'pem' }).toString();
}

/** An error of the parser could quote its input: say only that it failed. */
export function readPrivateKey(pem: string) {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error('a private key cannot be read');
  }
}
