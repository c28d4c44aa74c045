import { z } from 'zod';
import { parseJson, sha256 } from '../../src/plan/canonical.ts';
import { directoryStore } from '../../src/store/directory.ts';

/** Of which accounts access keys are: learnt from AWS, which never moves a key. */
export interface AccountMemory {
  account(accessKeyId: string): Promise<string | undefined>;
  learn(accessKeyId: string, account: string): Promise<void>;
}

/** So many, the last that were learnt: keys of roles are new every hour. */
const most = 100;
const key = 'aws-accounts.json';
const schema = z.array(z.tuple([z.string(), z.string().regex(/^\d{12}$/)]));

/**
 * In a file of the state directory that only its owner reads; of the keys it holds hashes. What cannot be read or written is a call more, and no
 * reason to fail. `endpoint`: whose word it is; an emulator's keys are not AWS's.
 */
export function accountMemory(stateDirectory: string, endpoint = ''): AccountMemory {
  const store = directoryStore(stateDirectory);
  const idOf = (accessKeyId: string): string => sha256(`${endpoint} ${accessKeyId}`);
  const read = async (): Promise<z.infer<typeof schema>> => {
    const bytes = await store
      .get(key)
      .then((found) => found?.bytes())
      .catch(() => undefined);
    const parsed = schema.safeParse(bytes && parseJson(new TextDecoder().decode(bytes)));
    return parsed.success ? parsed.data : [];
  };
  return {
    account: async (accessKeyId) => new Map(await read()).get(idOf(accessKeyId)),
    async learn(accessKeyId, account) {
      const all = await read();
      const id = idOf(accessKeyId);
      if (new Map(all).get(id) === account) return;
      const text = JSON.stringify([...all.filter(([known]) => known !== id), [id, account]].slice(-most));
      await store.put(key, new TextEncoder().encode(text)).catch(() => undefined);
    },
  };
}
