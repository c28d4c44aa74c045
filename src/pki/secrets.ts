import { randomBytes } from 'node:crypto';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { generateP256, publicKeyOf } from './keys.ts';

export const secretKinds = ['p256-key', 'encryption-config', 'ssh-key'] as const;
export type SecretKind = (typeof secretKinds)[number];
export type EncryptionProvider = 'secretbox' | 'aescbc';

/** What may be told of a secret. */
export interface Told {
  readonly publicKey?: string;
  readonly provider?: EncryptionProvider;
}

/** New material, as the file that a master (or ssh) reads. */
export async function makeSecret(kind: SecretKind, provider: EncryptionProvider): Promise<string> {
  switch (kind) {
    case 'p256-key':
      return generateP256();
    case 'encryption-config':
      return encryptionConfig(provider);
    case 'ssh-key':
      return (await ssh()).generateKeyPairSync('ed25519', { comment: 'slipway' }).private;
  }
}

/** What may be told of material, derived from it alone. */
export async function tellOf(kind: SecretKind, material: string): Promise<Told> {
  switch (kind) {
    case 'p256-key':
      return { publicKey: publicKeyOf(material) };
    case 'encryption-config':
      return { provider: providerOf(material) };
    case 'ssh-key': {
      const key = (await ssh()).parseKey(material);
      if (key instanceof Error) throw new Error('the SSH key cannot be read');
      return { publicKey: `${key.type} ${key.getPublicSSH().toString('base64')} slipway` };
    }
  }
}

/** ssh2 is loaded only by those who make a key. */
const ssh = async () => (await import('ssh2')).default.utils;

/**
 * Both providers take keys of 32 bytes. `identity` last: what was written before encryption stays readable.
 * https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/
 */
const encryptionConfig = (provider: EncryptionProvider): string =>
  stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      {
        resources: ['secrets'],
        providers: [{ [provider]: { keys: [{ name: 'key1', secret: randomBytes(32).toString('base64') }] } }, { identity: {} }],
      },
    ],
  });

const encryptionConfigSchema = z.object({
  resources: z.tuple([z.object({ providers: z.tuple([z.record(z.string(), z.unknown())], z.unknown()) })]),
});
/** The first provider is the one that writes. */
function providerOf(material: string): EncryptionProvider {
  const parsed = encryptionConfigSchema.safeParse(parse(material));
  const provider = parsed.success ? Object.keys(parsed.data.resources[0].providers[0])[0] : undefined;
  if (provider !== 'secretbox' && provider !== 'aescbc') throw new Error('the encryption configuration cannot be read');
  return provider;
}
