import { join } from 'node:path';
import { inspectCertificate } from '../../src/pki/inspect.ts';
import { signRequest } from '../../src/pki/issue.ts';
import { authoritySecret } from '../../src/pki/names.ts';
import { directoryStore } from '../../src/store/directory.ts';
import { openSealing } from '../../src/store/sealing.ts';
import type { TestCluster } from './cli.ts';

/** The same certificate for the same key, as if it had been issued so many days ago for a year. */
export async function aged(
  cluster: TestCluster,
  { certPem, csrPem, authority, days }: { certPem: string; csrPem: string; authority: string; days: number },
): Promise<string> {
  const sealing = openSealing({
    store: directoryStore(join(cluster.directory, 'state/slipway/clusters', cluster.name)),
    recipients: [],
    identityFile: join(cluster.directory, 'config/slipway/identity.txt'),
  });
  const secret = authoritySecret(authority);
  const [key, part] = await Promise.all([sealing.reveal(secret), sealing.publicPart(secret)]);
  const now = Date.now() - days * 86_400_000;
  const { subject, sans, usages } = inspectCertificate(certPem, Date.now());
  return signRequest({
    csrPem,
    authority: { certPem: part?.certificate ?? '', keyPem: new TextDecoder().decode(key) },
    spec: { subject, sans, usages, lifetimeDays: 365 },
    now,
  });
}
