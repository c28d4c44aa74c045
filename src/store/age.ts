import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { exitCodes, messageOf, UserError } from '../errors.ts';

/** Identities and recipients of age. Loaded only by those who seal or reveal: the import costs 70 ms. */

export async function sealTo(recipients: readonly string[], material: Uint8Array): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  for (const recipient of recipients) addRecipient(encrypter, recipient);
  return encrypter.encrypt(material);
}

/** Throws when none of the identities fits. */
export async function unsealWith(identities: readonly string[], sealed: Uint8Array): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  return decrypter.decrypt(sealed);
}

export const recipientsOf = (identities: readonly string[]): Promise<string[]> =>
  Promise.all(identities.map(identityToRecipient));

function addRecipient(encrypter: Encrypter, recipient: string): void {
  try {
    encrypter.addRecipient(recipient);
  } catch (error) {
    throw new UserError(
      {
        what: `not an age recipient: ${recipient.startsWith('AGE-SECRET-KEY') ? 'a secret key (not shown)' : recipient}`,
        where: 'secrets.recipients',
        why: recipient.startsWith('AGE-SECRET-KEY') ? 'recipients are public: age1...' : messageOf(error),
        next: 'give recipients as `age-keygen -y` prints them: age1...',
      },
      exitCodes.config,
    );
  }
}

/** Empty when there is no such file. */
export async function readIdentities(path: string): Promise<readonly string[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw new UserError({ what: 'your identity cannot be read', where: path, why: messageOf(error) }, exitCodes.credentials);
  }
  const lines = text.split('\n').map((line) => line.trim());
  const identities = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (identities.length === 0 || identities.some((line) => !/^AGE-SECRET-KEY-(PQ-)?1[A-Z0-9]+$/.test(line)))
    throw new UserError(
      {
        what: 'this is no file of age identities',
        where: path,
        next: 'it holds one AGE-SECRET-KEY-1... a line, as age-keygen writes it; if it is empty, delete it',
      },
      exitCodes.credentials,
    );
  return identities;
}

/** Of two processes that make it at once, one wins, and both use the winner's. */
export async function makeIdentity(path: string): Promise<readonly string[]> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const identity = await generateX25519Identity();
  const text = `# Made by slipway. Whoever has this file can open the secrets of your clusters: keep a copy in a safe place.
# public key: ${await identityToRecipient(identity)}
${identity}
`;
  const temporary = join(dirname(path), `.identity-${randomUUID()}`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(temporary, path);
    return [identity];
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return readIdentities(path);
    throw new UserError({ what: 'an identity cannot be made', where: path, why: messageOf(error) }, exitCodes.credentials);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** As sealTo, for what is too large to be held: 64 KiB of it are in memory at a time. Fails as what it reads fails. */
export async function sealStreamTo(
  recipients: readonly string[],
  material: AsyncIterable<Uint8Array>,
): Promise<AsyncIterable<Uint8Array>> {
  const encrypter = new Encrypter();
  for (const recipient of recipients) addRecipient(encrypter, recipient);
  return encrypter.encrypt(ReadableStream.from(material));
}
