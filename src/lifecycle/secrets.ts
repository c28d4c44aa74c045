import type { Cluster } from '../config/schema.ts';
import { authorityLifetimeDays, authorityNames } from '../pki/names.ts';
import { addressOf, type Resource } from '../plan/resource.ts';

/** The authorities and shared keys of a cluster: made first, because everything else is signed or opened with them. */
export function secretResources(cluster: Cluster): readonly Resource[] {
  // Without any in cluster.yaml they are sealed to whoever made them, and stay so.
  const recipients = cluster.secrets.recipients.length > 0 ? { recipients: cluster.secrets.recipients } : {};
  const authorities = authorityNames.map(
    (name): Resource => ({
      address: addressOf('pki.authority', name),
      type: 'pki.authority',
      props: { algorithm: 'p256', lifetimeDays: authorityLifetimeDays, ...recipients },
      after: [],
    }),
  );
  const secret = (name: string, props: object): Resource => ({
    address: addressOf('secret', name),
    type: 'secret',
    props: { ...props, ...recipients },
    after: [],
  });
  return [
    ...authorities,
    secret('service-account', { kind: 'p256-key' }),
    secret('encryption-config', { kind: 'encryption-config', provider: cluster.kubernetes.encryptionAtRest.provider }),
    secret('ssh', { kind: 'ssh-key' }),
  ];
}
