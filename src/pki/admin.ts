import type { Authority } from './authorities.ts';
import { issue } from './issue.ts';
import { generateP256, publicKeyOf } from './keys.ts';
import { x509 } from './x509.ts';

/** A client certificate with its key, in memory: for the CLI's own API client, and for kubeconfig. */
export async function issueClient(options: {
  readonly authority: Authority;
  readonly cn: string;
  readonly o: readonly string[];
  readonly hours: number;
  readonly now: number;
}): Promise<{ readonly certPem: string; readonly keyPem: string }> {
  const { authority, cn, o, hours, now } = options;
  const keyPem = await generateP256();
  const certPem = await issue({
    publicKey: new x509.PublicKey(publicKeyOf(keyPem)),
    authority,
    spec: { subject: { cn, o }, sans: { dns: [], ip: [] }, usages: ['client'] },
    lifetimeMs: hours * 3_600_000,
    now,
  });
  return { certPem, keyPem };
}
