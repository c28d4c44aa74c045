import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Store, StoreConflict } from '../../../src/store/store.ts';

export interface MemoryStore extends Store {
  /** While set, every call fails with it. `hang`: never answers. */
  broken: Error | 'hang' | undefined;
  readonly puts: string[];
}

/** A store in memory; keeps the same contract as the real ones. */
export function memoryStore(objects = new Map<string, Uint8Array>()): MemoryStore {
  const versionOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  const expectVersion = (key: string, version: string): void => {
    const bytes = objects.get(key);
    if (!bytes || versionOf(bytes) !== version) throw new StoreConflict(`${key} changed`);
  };
  const checked = (key: string): string => {
    if (key.split('/').some((part) => ['', '.', '..'].includes(part))) throw new Error(`not a store key: ${key}`);
    return key;
  };
  const ready = async (): Promise<void> => {
    await Promise.resolve();
    if (store.broken === 'hang') await new Promise(() => undefined);
    else if (store.broken) throw store.broken;
  };
  const store: MemoryStore = {
    url: 'memory:',
    broken: undefined,
    puts: [],
    async get(key) {
      await ready();
      const bytes = objects.get(checked(key));
      return bytes && { version: versionOf(bytes), bytes: async () => bytes, stream: () => Readable.from([Buffer.from(bytes)]) };
    },
    async put(key, body, condition) {
      checked(key);
      const parts: Uint8Array[] = [];
      if (body instanceof Uint8Array) parts.push(body);
      else for await (const part of body) parts.push(Buffer.from(part));
      const bytes = new Uint8Array(Buffer.concat(parts));
      await ready();
      if (condition && 'ifAbsent' in condition && objects.has(key)) throw new StoreConflict(`${key} exists`);
      if (condition && 'ifMatch' in condition) expectVersion(key, condition.ifMatch);
      objects.set(key, bytes);
      store.puts.push(key);
      return versionOf(bytes);
    },
    async list(prefix) {
      await ready();
      return [...objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    },
    async delete(key, condition) {
      await ready();
      if (condition) expectVersion(key, condition.ifMatch);
      objects.delete(checked(key));
    },
  };
  return store;
}
