import { z } from 'zod';
import { exitCodes, messageOf, UserError } from '../errors.ts';
import type { SecretRef, Secrets } from '../plan/resource.ts';
import type { Store } from './store.ts';

/** What lies in the open beside a sealed secret: plan, diff and status need no more. */
const publicPartSchema = z.object({
  /** What it is: `authority`, `p256-key`, `ssh-key`, ... */
  kind: z.string(),
  /** The keyed digest of the material. */
  digest: z.string(),
  /** PEM, of an authority. */
  certificate: z.string().optional(),
  /** An authority's key ID, in hex. */
  keyId: z.string().optional(),
  /** PEM, or a line for authorized_keys. */
  publicKey: z.string().optional(),
  /** Settings it was made with. */
  settings: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
  created: z.iso.datetime(),
  /** Who can open it: age recipients. */
  recipients: z.array(z.string()),
});
export type PublicPart = z.infer<typeof publicPartSchema>;

export interface Recipients {
  /** What is sealed now is sealed to these. */
  readonly sealedTo: readonly string[];
  /** The recipients of the identities in the identity file. */
  readonly own: readonly string[];
  /** True when the identity file was made by this process: `up` then says to add a second recipient. */
  readonly made: boolean;
}

export interface Sealing {
  /**
   * Seals the material, then writes the public part: a kill in between leaves a secret that `has` and `reveal` know and `publicPart`
   * does not; whoever made it derives the public part again from the material.
   */
  seal(name: string, material: Uint8Array, publicPart: Omit<PublicPart, 'recipients'>): Promise<void>;
  has(name: string): Promise<boolean>;
  /** Throws a UserError (exit 77) that says who can open it. Kept in memory for the rest of the process. */
  reveal(name: string): Promise<Uint8Array>;
  publicPart(name: string): Promise<PublicPart | undefined>;
  /** All of them, by name: in two calls where the store can tell versions by a listing. */
  publicParts(): Promise<ReadonlyMap<string, PublicPart>>;
  /** Names of secrets that have a public part. */
  list(): Promise<readonly string[]>;
  /** Makes the identity where there is none. */
  recipients(): Promise<Recipients>;
  /** Seals what is too large to be held. */
  readonly sealStream: SealStream;
}
/** What was sealed, and to whom. Reading it fails as reading `material` fails. */
export type SealStream = (
  material: AsyncIterable<Uint8Array>,
) => Promise<{ readonly sealed: AsyncIterable<Uint8Array>; readonly recipients: readonly string[] }>;

export interface SealingOptions {
  readonly store: Store;
  /** From cluster.yaml. Empty: the identity file's own. */
  readonly recipients: readonly string[];
  /** `$XDG_CONFIG_HOME/slipway/identity.txt`, in the format of age-keygen. Made at the first seal, never by reading. */
  readonly identityFile: string;
}

const sealedKey = (name: string): string => `secrets/${name}.age`;
const publicKey = (name: string): string => `secrets/${name}.json`;
const nameIn = (key: string): string => key.slice('secrets/'.length, -'.json'.length);

/**
 * Copies of all public parts, each with the version of the object that it is a copy of: one whose object has another version counts for
 * nothing. Only a shortcut: what is missing or wrong here is read where it lies.
 */
const indexKey = 'secrets-index.json';
const indexSchema = z.record(z.string(), z.object({ version: z.string(), part: publicPartSchema }));
type Index = z.infer<typeof indexSchema>;

/** Secrets in the store, sealed with age. */
export function openSealing({ store, recipients: configured, identityFile }: SealingOptions): Sealing {
  const revealed = new Map<string, Promise<Uint8Array>>();
  let asked: Promise<Recipients> | undefined;

  async function findRecipients(): Promise<Recipients> {
    const { makeIdentity, readIdentities, recipientsOf } = await import('./age.ts');
    const found = await readIdentities(identityFile);
    const identities = found.length > 0 ? found : await makeIdentity(identityFile);
    const own = await recipientsOf(identities);
    return { sealedTo: configured.length > 0 ? configured : own, own, made: found.length === 0 };
  }

  async function publicPart(name: string): Promise<PublicPart | undefined> {
    const object = await store.get(publicKey(name));
    if (!object) return undefined;
    try {
      return publicPartSchema.parse(JSON.parse(new TextDecoder().decode(await object.bytes())));
    } catch (error) {
      throw new UserError({
        what: 'the public part of a secret cannot be read',
        where: `${store.url}, key ${publicKey(name)}`,
        why: messageOf(error),
        next: 'delete this file: `cluster up` makes it again from the sealed secret',
      });
    }
  }

  async function readIndex(): Promise<Index> {
    const object = await store.get(indexKey);
    if (!object) return {};
    try {
      return indexSchema.parse(JSON.parse(new TextDecoder().decode(await object.bytes())));
    } catch {
      return {};
    }
  }
  let unwritten: Index = {};
  let writing: Promise<void> | undefined;
  /** Those that are sealed while it is written go together, afterwards. */
  function addToIndex(name: string, version: string, part: PublicPart): Promise<void> {
    unwritten[name] = { version, part };
    writing ??= (async () => {
      while (Object.keys(unwritten).length > 0) {
        const added = unwritten;
        unwritten = {};
        await store.put(indexKey, new TextEncoder().encode(JSON.stringify({ ...(await readIndex()), ...added })));
      }
    })()
      // It costs the next look some calls.
      .catch(() => undefined)
      .finally(() => {
        writing = undefined;
      });
    return writing;
  }

  async function readParts(): Promise<ReadonlyMap<string, PublicPart>> {
    const [versions, index]: readonly [ReadonlyMap<string, string>, Index] = store.versions
      ? await Promise.all([store.versions('secrets/'), readIndex()])
      : [new Map((await store.list('secrets/')).map((key) => [key, ''])), {}];
    const found = await Promise.all(
      [...versions].map(async ([key, version]) => {
        if (!key.endsWith('.json')) return [];
        const name = nameIn(key);
        const copy: Index[string] | undefined = index[name];
        const part = copy?.version === version ? copy.part : await publicPart(name);
        return part ? [[name, part] as const] : [];
      }),
    );
    return new Map(found.flat());
  }
  let reading: Promise<ReadonlyMap<string, PublicPart>> | undefined;
  /** Who asks while it is read gets the same answer. */
  const publicParts = (): Promise<ReadonlyMap<string, PublicPart>> => {
    reading ??= readParts().finally(() => {
      reading = undefined;
    });
    return reading;
  };

  async function unseal(name: string): Promise<Uint8Array> {
    const object = await store.get(sealedKey(name));
    if (!object) {
      // Made anew it would be another key than the one that machines trust.
      const wasThere = (await publicPart(name)) !== undefined;
      throw new UserError({
        what: wasThere ? `the sealed secret ${name} is lost: only its public part is there` : `there is no secret ${name}`,
        where: `${store.url}, key ${sealedKey(name)}`,
        next: wasThere ? 'bring this file back from a backup of the store' : 'run `cluster up`, which makes it',
      });
    }
    const { readIdentities, recipientsOf, unsealWith } = await import('./age.ts');
    const identities = await readIdentities(identityFile);
    const own = await recipientsOf(identities);
    try {
      return await unsealWith(identities, await object.bytes());
    } catch (error) {
      const can = (await publicPart(name).catch(() => undefined))?.recipients ?? [];
      const mayBeBroken = own.some((recipient) => can.includes(recipient));
      throw new UserError(
        {
          what: `the secret ${name} cannot be opened`,
          where: `${store.url}, key ${sealedKey(name)}`,
          why: mayBeBroken
            ? `it is sealed to your identity, but damaged: ${messageOf(error)}`
            : `${own.length > 0 ? `your identity is ${own.join(', ')}` : `there is no identity in ${identityFile}`}; it can be opened by ${can.length > 0 ? can.join(', ') : 'recipients that are not known here'}`,
          next: mayBeBroken
            ? 'restore this file from a backup of the store'
            : `put one of these identities into ${identityFile}, or ask its owner to run \`cluster up\` with your recipient in secrets.recipients`,
        },
        exitCodes.credentials,
      );
    }
  }

  const recipients = (): Promise<Recipients> => {
    asked ??= findRecipients();
    return asked;
  };

  return {
    recipients,
    publicPart,
    publicParts,
    async seal(name, material, part) {
      const { sealedTo, own } = await recipients();
      requireOwn(sealedTo, own, identityFile);
      const { sealTo } = await import('./age.ts');
      await store.put(sealedKey(name), await sealTo(sealedTo, material));
      const open = { ...part, recipients: [...sealedTo] } satisfies PublicPart;
      const version = await store.put(publicKey(name), new TextEncoder().encode(`${JSON.stringify(open, null, 2)}\n`));
      if (store.versions) await addToIndex(name, version, open);
      revealed.set(name, Promise.resolve(material));
    },
    async sealStream(material) {
      const { sealedTo, own } = await recipients();
      requireOwn(sealedTo, own, identityFile);
      const { sealStreamTo } = await import('./age.ts');
      return { sealed: await sealStreamTo(sealedTo, material), recipients: [...sealedTo] };
    },
    has: async (name) => (await store.list(sealedKey(name))).includes(sealedKey(name)),
    reveal(name) {
      const known = revealed.get(name);
      if (known) return known;
      const opening = unseal(name);
      revealed.set(name, opening);
      // What could not be opened is asked for again next time.
      opening.catch(() => revealed.delete(name));
      return opening;
    },
    async list() {
      const keys = await store.list('secrets/');
      return keys.filter((key) => key.endsWith('.json')).map(nameIn);
    },
  };
}

/** What handlers of steps get. */
export const secretsOf = (sealing: Sealing): Secrets => ({ reveal: (ref: SecretRef) => sealing.reveal(ref.secret) });

/** What we could not open again tomorrow is not sealed today. */
function requireOwn(sealedTo: readonly string[], own: readonly string[], identityFile: string): void {
  if (own.some((recipient) => sealedTo.includes(recipient))) return;
  throw new UserError(
    {
      what: 'none of the recipients in cluster.yaml is yours: you could not open what this run makes',
      where: 'secrets.recipients',
      why: `your identity (${identityFile}) is ${own.join(', ')}`,
      next: `add ${own[0] ?? 'your recipient'} to secrets.recipients`,
    },
    exitCodes.credentials,
  );
}
