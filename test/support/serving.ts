import { createAuthority } from '../../src/pki/authorities.ts';
import { issue } from '../../src/pki/issue.ts';
import { generateP256, publicKeyOf } from '../../src/pki/keys.ts';
import { x509 } from '../../src/pki/x509.ts';

/** An authority, and what an API server of this name shows to its clients, for an hour. */
export async function servingIdentity(name: string, now = Date.now()) {
  const authority = await createAuthority({ name: 'kubernetes', uid: 'uid-1', lifetimeDays: 1, now });
  const key = await generateP256();
  const cert = await issue({
    publicKey: new x509.PublicKey(publicKeyOf(key)),
    authority,
    spec: { subject: { cn: 'kube-apiserver' }, sans: { dns: [name], ip: [] }, usages: ['server'] },
    lifetimeMs: 3_600_000,
    now,
  });
  return { authority, key, cert };
}
