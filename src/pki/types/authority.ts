import { keyedDigest, sha256 } from '../../plan/canonical.ts';
import { fields } from '../../plan/fields.ts';
import { addressOf, type Context, nameOf, type Observation, type Resolved, type ResourceType } from '../../plan/resource.ts';
import type { SecretsClients } from '../clients.ts';
import { authoritySecret } from '../names.ts';
import { resealed } from './recipients.ts';

export interface AuthorityProps {
  readonly algorithm: 'p256';
  readonly lifetimeDays: number;
  /** Who can open its key, where cluster.yaml says so. */
  readonly recipients?: readonly string[];
}
export interface AuthorityOutputs {
  /** PEM. */
  readonly certificate: string;
  /** The PEM in base64, as webhooks and APIServices want it. */
  readonly certificateBase64: string;
  /** Hex: what its certificates name as their issuer. */
  readonly keyId: string;
  readonly digest: string;
}
const prefix = authoritySecret('');

/** An authority of the cluster: its key sealed in the store, its certificate beside it. Source: RFC 5280. */
export const pkiAuthority: ResourceType<AuthorityProps, AuthorityOutputs, SecretsClients> = {
  name: 'pki.authority',
  shrink: 'never',
  async observe({ clients: { sealing } }) {
    return new Map(
      [...(await sealing.publicParts())].flatMap(([name, part]) => {
        if (!name.startsWith(prefix) || part.certificate === undefined || part.keyId === undefined) return [];
        const { certificate, keyId, digest, recipients } = part;
        const props = { algorithm: 'p256' as const, lifetimeDays: Number(part.settings?.lifetimeDays), recipients };
        const observation: Observation<AuthorityProps, AuthorityOutputs> = {
          state: 'present',
          props,
          outputs: outputsOf(certificate, keyId, digest),
        };
        return [[addressOf('pki.authority', name.slice(prefix.length)), observation] as const];
      }),
    );
  },
  /** A longer life comes with the next rotation: a certificate made anew would have to reach every trust file. */
  diff: resealed(fields<AuthorityProps>({ algorithm: 'ignore', lifetimeDays: 'ignore', recipients: 'none' })),
  create: (desired, ctx) => make(desired, ctx),
  /** Only the recipients can change without a rotation: sealed again, the key stays. */
  async update(_desired, outputs, { address, clients: { sealing } }) {
    const name = authoritySecret(nameOf(address));
    const part = await sealing.publicPart(name);
    if (part) await sealing.seal(name, await sealing.reveal(name), part);
    return outputs;
  },
};

/** A key that a killed run sealed is kept, and its certificate made anew: nothing has seen the first one. */
async function make(desired: Resolved<AuthorityProps>, { address, clients }: Context<SecretsClients>): Promise<AuthorityOutputs> {
  const { sealing, uid, now } = clients;
  const name = nameOf(address);
  const secret = authoritySecret(name);
  const { createAuthority } = await import('../authorities.ts');
  const sealed = (await sealing.has(secret)) ? new TextDecoder().decode(await sealing.reveal(secret)) : undefined;
  const { lifetimeDays } = desired;
  const { certPem, keyPem, keyId } = await createAuthority({
    name,
    uid,
    lifetimeDays,
    now: now(),
    ...(sealed !== undefined && { keyPem: sealed }),
  });
  const digest = keyedDigest(uid, sha256(keyPem));
  await sealing.seal(secret, new TextEncoder().encode(keyPem), {
    kind: 'authority',
    digest,
    certificate: certPem,
    keyId,
    settings: { lifetimeDays },
    created: new Date(now()).toISOString(),
  });
  return outputsOf(certPem, keyId, digest);
}

const outputsOf = (certificate: string, keyId: string, digest: string): AuthorityOutputs => ({
  certificate,
  certificateBase64: Buffer.from(certificate).toString('base64'),
  keyId,
  digest,
});
