import { UserError } from '../../errors.ts';
import { keyedDigest, sha256 } from '../../plan/canonical.ts';
import { fields } from '../../plan/fields.ts';
import { addressOf, type Context, nameOf, type Observation, type Resolved, type ResourceType } from '../../plan/resource.ts';
import type { PublicPart } from '../../store/sealing.ts';
import type { SecretsClients } from '../clients.ts';
import { type EncryptionProvider, makeSecret, type SecretKind, secretKinds, tellOf } from '../secrets.ts';
import { resealed } from './recipients.ts';

export interface SecretProps {
  readonly kind: SecretKind;
  /** Of an `encryption-config`: what encrypts. Default secretbox. */
  readonly provider?: EncryptionProvider;
  /** Who can open it, where cluster.yaml says so. */
  readonly recipients?: readonly string[];
}
export interface SecretOutputs {
  /** SPKI PEM of a `p256-key`; the line for authorized_keys of an `ssh-key`. */
  readonly publicKey?: string;
  readonly digest: string;
}

/** A key that the CLI makes, seals in the store, and (but for SSH's) pushes to masters: `{ secret: 'service-account' }` is its file. */
export const secret: ResourceType<SecretProps, SecretOutputs, SecretsClients> = {
  name: 'secret',
  shrink: 'never',
  async observe({ clients: { sealing } }) {
    return new Map(
      [...(await sealing.publicParts())].flatMap(([name, part]) => {
        const kind = secretKinds.find((k) => k === part.kind);
        return kind ? [[addressOf('secret', name), observed(part, kind)] as const] : [];
      }),
    );
  },
  diff: (desired, observed) =>
    compare(desired.kind === 'encryption-config' ? { provider: 'secretbox', ...desired } : desired, observed),
  create: (desired, ctx) => make(desired, ctx),
  /** Sealed again for other recipients; the material stays. */
  async update(desired, outputs, { address, hold, clients: { sealing } }) {
    const name = nameOf(address);
    const part = await sealing.publicPart(name);
    if (!part) throw new Error(`${address} has no public part`);
    if (desired.provider !== undefined && part.settings?.provider !== desired.provider && !hold.includes('provider'))
      throw new UserError({
        what: 'encryption at rest cannot move to another provider yet',
        where: address,
        why: `it is ${part.settings?.provider}; changing it needs every Secret to be written again`,
        next: `set kubernetes.encryptionAtRest.provider back to ${part.settings?.provider}`,
      });
    await sealing.seal(name, await sealing.reveal(name), part);
    return outputs;
  },
};

const compare = resealed(fields<SecretProps>({ kind: 'restart', provider: 'restart', recipients: 'none' }));

function observed(part: PublicPart, kind: SecretKind): Observation<SecretProps, SecretOutputs> {
  const provider = part.settings?.provider;
  return {
    state: 'present',
    props: {
      kind,
      ...((provider === 'secretbox' || provider === 'aescbc') && { provider }),
      recipients: part.recipients,
    },
    outputs: { digest: part.digest, ...(part.publicKey !== undefined && { publicKey: part.publicKey }) },
  };
}

/** Material that a killed run sealed is kept; its public part is derived from it again. */
async function make(desired: Resolved<SecretProps>, { address, clients }: Context<SecretsClients>): Promise<SecretOutputs> {
  const { sealing, uid, now } = clients;
  const { kind, provider = 'secretbox' } = desired;
  const name = nameOf(address);
  const sealed = (await sealing.has(name)) ? new TextDecoder().decode(await sealing.reveal(name)) : undefined;
  const material = sealed ?? (await makeSecret(kind, provider));
  const told = await tellOf(kind, material);
  const digest = keyedDigest(uid, sha256(material));
  const publicKey = told.publicKey !== undefined && { publicKey: told.publicKey };
  await sealing.seal(name, new TextEncoder().encode(material), {
    kind,
    digest,
    ...publicKey,
    ...(told.provider !== undefined && { settings: { provider: told.provider } }),
    created: new Date(now()).toISOString(),
  });
  return { digest, ...publicKey };
}
