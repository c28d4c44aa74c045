import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../../src/errors.ts';
import { digestOf, sha256 } from '../../src/plan/canonical.ts';
import type { Address, Observed } from '../../src/plan/resource.ts';
import { type Store, StoreConflict } from '../../src/store/store.ts';
import { isRefusal, isThrottle } from './errors.ts';

/**
 * Hard part 18. Before a create leaves, what it is about is written to the store; that is dropped when its answer is there. So after a
 * crash the same token is sent again, and a create that takes no token waits until what the dead run may have made would be visible.
 */
export interface Nonces {
  /** The open nonce of this address, or a new one; `open`: an earlier run wrote it and never said what became of it. */
  take(address: Address): Promise<{ readonly nonce: string; readonly open: boolean }>;
  drop(address: Address): Promise<void>;
  /** What an earlier run made, and could not say that it did: seen, it is open no more. */
  settle(seen: Observed): Promise<void>;
}

/** Nonces as objects `nonces/TYPE/NAME` of the cluster's store. */
export function storedNonces(store: Store, random: () => string): Nonces {
  const prefix = 'nonces/';
  const keyOf = (address: Address): string => `${prefix}${address}`;
  const read = async (address: Address): Promise<string | undefined> => {
    const found = await store.get(keyOf(address));
    return found && new TextDecoder().decode(await found.bytes());
  };
  const removeAll = async (keys: readonly string[]): Promise<void> => {
    if (store.deleteAll && keys.length > 1) await store.deleteAll(keys);
    else await Promise.all(keys.map((key) => store.delete(key)));
  };
  // One call at a time: what is dropped while it runs goes with the next.
  let next: { readonly keys: string[]; readonly done: Promise<void> } | undefined;
  let last: Promise<unknown> = Promise.resolve();
  const remove = (key: string): Promise<void> => {
    if (!next) {
      const keys: string[] = [];
      const done = last.then(() => {
        next = undefined;
        return removeAll(keys);
      });
      last = done.catch(() => undefined);
      next = { keys, done };
    }
    next.keys.push(key);
    return next.done;
  };
  return {
    async take(address) {
      const nonce = random();
      try {
        // Written first and read only where it exists: one call in the ordinary case.
        await store.put(keyOf(address), new TextEncoder().encode(nonce), { ifAbsent: true });
        return { nonce, open: false };
      } catch (error) {
        if (!(error instanceof StoreConflict)) throw error;
        const before = await read(address);
        return before === undefined ? this.take(address) : { nonce: before, open: true };
      }
    },
    drop: (address) => remove(keyOf(address)),
    async settle(seen) {
      const open = new Set(await store.list(prefix));
      const made = [...seen.entries()].filter(([address, { state }]) => state === 'present' && open.has(keyOf(address)));
      await Promise.all(made.map(([address]) => remove(keyOf(address))));
    },
  };
}

/** Before there is a store nothing is created. */
export const noNonces: Nonces = {
  take: async (address) => {
    throw new Error(`nothing can be made before the store: ${address}`);
  },
  drop: async () => undefined,
  settle: async () => undefined,
};

interface Creating {
  readonly address: Address;
  readonly signal: AbortSignal;
  readonly clients: { readonly uid: string; readonly nonces: Nonces; readonly windowMs: number };
}

/**
 * A create that takes a token: sent again with the same one after a crash, however often. `dead` says that what came back is gone already
 * (a token stays bound to an instance that was terminated): then a new one is made. Its `open`: the token is one of an earlier run.
 */
export async function createWithToken<T>(
  { address, clients }: Creating,
  props: object,
  create: (token: string) => Promise<T>,
  dead: (made: T, open: boolean) => boolean | Promise<boolean> = () => false,
): Promise<T> {
  const { uid, nonces } = clients;
  for (let attempt = 1; ; attempt++) {
    const { nonce, open } = await nonces.take(address);
    // EC2 takes 64 characters, ELB and NAT gateways fewer or as many.
    const token = sha256(`${uid} ${address} ${digestOf(props)} ${nonce}`).slice(0, 60);
    try {
      const made = await create(token);
      await nonces.drop(address);
      if (!(await dead(made, open))) return made;
      if (attempt === 3)
        throw new UserError({ what: 'what was made is gone again at once', where: address, next: 'run the same command again' });
    } catch (error) {
      if (isRefusal(error) && !isThrottle(error)) await nonces.drop(address);
      throw error;
    }
  }
}

const pollMs = 500;
const attempts = 5;
/**
 * A create that takes no token: the intent is written first; where its fate is open (a crash, a cut connection), the thing is looked
 * for, as long as AWS may hide it, before it is made again. `create` must try once only (AwsClients.ec2Once).
 */
export async function createWithIntent<T>(
  { address, clients, signal }: Creating,
  { find, create }: { readonly find: () => Promise<T | undefined>; readonly create: () => Promise<T> },
): Promise<T> {
  const { nonces, windowMs } = clients;
  const { open } = await nonces.take(address);
  const search = async (): Promise<T | undefined> => {
    for (const end = performance.now() + windowMs; ; ) {
      const found = await find();
      if (found !== undefined || performance.now() > end) return found;
      await sleep(Math.min(pollMs, windowMs), undefined, { signal });
    }
  };
  let found = open ? await search() : undefined;
  for (let attempt = 1; found === undefined; attempt++) {
    try {
      found = await create();
    } catch (error) {
      signal.throwIfAborted();
      if (isThrottle(error) && attempt < attempts * 2) await sleep(2 ** Math.min(attempt, 5) * 100, undefined, { signal });
      else if (isRefusal(error)) {
        await nonces.drop(address);
        throw error;
      } else {
        found = await search();
        if (found === undefined && attempt >= attempts) throw error;
      }
    }
  }
  await nonces.drop(address);
  return found;
}
