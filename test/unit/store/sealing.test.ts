import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { directoryStore } from '../../../src/store/directory.ts';
import { openSealing } from '../../../src/store/sealing.ts';
import type { Store } from '../../../src/store/store.ts';

const material = new TextEncoder().encode('-----BEGIN PRIVATE KEY-----\nvery-secret\n-----END PRIVATE KEY-----\n');
const part = { kind: 'p256-key', digest: 'd1', publicKey: 'PUB', created: '2026-11-21T03:00:00.000Z' };

let root: string;
let store: Store;
const identityFile = (person: string): string => join(root, person, 'slipway', 'identity.txt');
const sealing = (person: string, recipients: readonly string[] = []) =>
  openSealing({ store, recipients, identityFile: identityFile(person) });
const failure = async (attempt: Promise<unknown>): Promise<UserError> => {
  const error = await attempt.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (!(error instanceof UserError)) throw new Error(`expected a UserError, got ${String(error)}`);
  return error;
};
const giveIdentity = async (person: string): Promise<string> => {
  const identity = await generateX25519Identity();
  await mkdir(join(root, person, 'slipway'), { recursive: true });
  await writeFile(identityFile(person), `# a comment\n${identity}\n`, { mode: 0o600 });
  return identityToRecipient(identity);
};

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'slipway-sealing-'));
  store = directoryStore(join(root, 'store'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe('a sealed secret', () => {
  it('is opened by another process of the same person, with an identity made on the way (0600)', async () => {
    const mine = sealing('anna');
    await mine.seal('ca', material, part);
    expect((await mine.recipients()).made).toBe(true);
    expect(await sealing('anna').reveal('ca')).toEqual(material);
    expect((await stat(identityFile('anna'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(root, 'anna', 'slipway'))).mode & 0o777).toBe(0o700);
    expect((await sealing('anna').recipients()).made).toBe(false);
  });

  it('lies in the store unreadable, with its public part beside it', async () => {
    await sealing('anna').seal('ca', material, part);
    for (const key of await store.list('')) {
      const text = Buffer.from((await (await store.get(key))?.bytes()) ?? []).toString('latin1');
      expect(text).not.toContain('very-secret');
      expect(text).not.toContain('AGE-SECRET-KEY');
    }
    const { recipients } = await sealing('anna')
      .recipients()
      .then((r) => ({ recipients: r.sealedTo }));
    expect(await sealing('anna').publicPart('ca')).toEqual({ ...part, recipients });
    expect(await sealing('anna').list()).toEqual(['ca']);
  });

  it('of a team is opened by each of its recipients', async () => {
    const [anna, ben] = [await giveIdentity('anna'), await giveIdentity('ben')];
    await sealing('anna', [anna, ben]).seal('ca', material, part);
    expect(await sealing('ben', [anna, ben]).reveal('ca')).toEqual(material);
  });

  it('is refused to others with exit 77 and the names of those who can open it', async () => {
    const anna = await giveIdentity('anna');
    const ben = await giveIdentity('ben');
    await sealing('anna', [anna]).seal('ca', material, part);
    const error = await failure(sealing('ben').reveal('ca'));
    expect(error.exitCode).toBe(77);
    expect(error.message).toContain(anna);
    expect(error.message).toContain(`your identity is ${ben}`);
    const none = await failure(sealing('cleo').reveal('ca'));
    expect(none.exitCode).toBe(77);
    expect(none.message).toContain('there is no identity in');
  });

  it('that is damaged says so, and nothing of itself', async () => {
    await sealing('anna').seal('ca', material, part);
    const path = join(root, 'store', 'secrets', 'ca.age');
    const sealed = await readFile(path);
    await writeFile(path, sealed.subarray(0, -3));
    const error = await failure(sealing('anna').reveal('ca'));
    expect(error.message).toContain('damaged');
    expect(error.message).not.toMatch(/PRIVATE KEY|AGE-SECRET/);
  });

  it('is not made if its maker could not open it', async () => {
    const ben = await giveIdentity('ben');
    const error = await failure(sealing('anna', [ben]).seal('ca', material, part));
    expect(error.exitCode).toBe(77);
    expect(error.message).toMatch(/add age1\w+ to secrets.recipients/);
    expect(error.message).not.toContain(`add ${ben}`);
    expect(await store.list('secrets/')).toEqual([]);
  });

  it('whose public part was never written is known to be there', async () => {
    await sealing('anna').seal('ca', material, part);
    await store.delete('secrets/ca.json');
    expect(await sealing('anna').has('ca')).toBe(true);
    expect(await sealing('anna').publicPart('ca')).toBeUndefined();
    expect(await sealing('anna').reveal('ca')).toEqual(material);
  });

  it('is opened once a process', async () => {
    const mine = sealing('anna');
    await mine.seal('ca', material, part);
    await store.delete('secrets/ca.age');
    expect(await mine.reveal('ca')).toEqual(material);
    expect((await failure(sealing('anna').reveal('ca'))).message).toContain('the sealed secret ca is lost');
  });
});

describe('the identity', () => {
  it('is not made by reading', async () => {
    const mine = sealing('anna');
    await mine.publicPart('ca');
    await mine.list();
    await failure(mine.reveal('ca'));
    await expect(stat(identityFile('anna'))).rejects.toThrow('ENOENT');
  });

  it('is the same for two that make it at once', async () => {
    const made = await Promise.all(Array.from({ length: 10 }, () => sealing('anna').recipients()));
    expect(new Set(made.flatMap((r) => r.own)).size).toBe(1);
  });

  it('file that holds something else is refused without showing it', async () => {
    await giveIdentity('anna');
    await writeFile(identityFile('anna'), 'hunter2\n');
    const error = await failure(sealing('anna').seal('ca', material, part));
    expect(error.exitCode).toBe(77);
    expect(error.message).not.toContain('hunter2');
  });

  it('given as a recipient by mistake is not shown', async () => {
    const secret = await generateX25519Identity();
    const anna = await giveIdentity('anna');
    const error = await failure(sealing('anna', [anna, secret]).seal('ca', material, part));
    expect(error.message).not.toContain(secret);
  });
});

describe('public parts of a store whose listing tells versions', () => {
  let asked: string[];
  const counted = (): Store => ({
    ...store,
    async get(key) {
      asked.push(key);
      return store.get(key);
    },
    async versions(prefix) {
      const keys = await store.list(prefix);
      return new Map(await Promise.all(keys.map(async (key) => [key, (await store.get(key))?.version ?? ''] as const)));
    },
  });
  const open = () => openSealing({ store: counted(), recipients: [], identityFile: identityFile('anna') });
  const digests = async () => [...(await open().publicParts())].map(([name, { digest }]) => `${name} ${digest}`);
  beforeEach(async () => {
    asked = [];
    const mine = open();
    await Promise.all(['a', 'b', 'c'].map((name) => mine.seal(name, material, { ...part, digest: name })));
    asked.length = 0;
  });

  it('are read from one object', async () => {
    expect(await digests()).toEqual(['a a', 'b b', 'c c']);
    expect(asked).toEqual(['secrets-index.json']);
  });

  it('are read where they lie, once that has changed behind its back', async () => {
    const changed = JSON.stringify({ ...part, digest: 'new', recipients: [] });
    await store.put('secrets/b.json', new TextEncoder().encode(changed));
    await store.delete('secrets/c.json');
    expect(await digests()).toEqual(['a a', 'b new']);
    expect(asked).toEqual(['secrets-index.json', 'secrets/b.json']);
  });

  it('are read where they lie, if the one object is lost or broken', async () => {
    await store.put('secrets-index.json', new TextEncoder().encode('{'));
    expect(await digests()).toEqual(['a a', 'b b', 'c c']);
    await store.delete('secrets-index.json');
    expect(await digests()).toEqual(['a a', 'b b', 'c c']);
  });
});
