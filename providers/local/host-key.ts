import { generateKeyPair, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { z } from 'zod';

export interface HostKey {
  /** `ssh-ed25519 AAAA...` */
  readonly publicKey: string;
  /** In OpenSSH's own format, for /etc/ssh/ssh_host_ed25519_key. */
  readonly privateKey: string;
}

const jwkSchema = z.object({ x: z.base64url(), d: z.base64url() });

/** A new SSH host key of type ed25519. Layout: PROTOCOL.key of OpenSSH. */
export async function makeHostKey(comment: string): Promise<HostKey> {
  const { privateKey } = await promisify(generateKeyPair)('ed25519');
  const { x, d } = jwkSchema.parse(privateKey.export({ format: 'jwk' }));
  const [open, seed] = [Buffer.from(x, 'base64url'), Buffer.from(d, 'base64url')];
  const publicBlob = Buffer.concat([text('ssh-ed25519'), text(open)]);
  const check = randomBytes(4);
  const secret = Buffer.concat([check, check, text('ssh-ed25519'), text(open), text(Buffer.concat([seed, open])), text(comment)]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, i) => i + 1));
  const blob = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    text('none'),
    text('none'),
    text(''),
    uint32(1),
    text(publicBlob),
    text(Buffer.concat([secret, padding])),
  ]);
  const lines = blob.toString('base64').match(/.{1,70}/g) ?? [];
  return {
    publicKey: `ssh-ed25519 ${publicBlob.toString('base64')}`,
    privateKey: ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n'),
  };
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
/** SSH's string: length, then bytes. */
const text = (value: string | Buffer): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
};
