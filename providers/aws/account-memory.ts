import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { sha256 } from '../../src/plan/canonical.ts';

/** Of which accounts access keys are: learnt from AWS, which never moves a key. */
export interface AccountMemory {
  account(accessKeyId: string): Promise<string | undefined>;
  learn(accessKeyId: string, account: string): Promise<void>;
}

/** So many, the last that were learnt: keys of roles are new every hour. */
const most = 100;
const schema = z.array(z.tuple([z.string(), z.string().regex(/^\d{12}$/)]));

/**
 * In a file of the state directory that only its owner reads; of the keys it holds hashes. What cannot be read or written is a call more, and no
 * reason to fail. `endpoint`: whose word it is; an emulator's keys are not AWS's.
 */
export function accountMemory(stateDirectory: string, endpoint = ''): AccountMemory {
  const file = join(stateDirectory, 'aws-accounts.json');
  const idOf = (accessKeyId: string): string => sha256(`${endpoint} ${accessKeyId}`);
  const read = async (): Promise<z.infer<typeof schema>> => {
    try {
      return schema.parse(JSON.parse(await readFile(file, 'utf8')));
    } catch {
      return [];
    }
  };
  return {
    account: async (accessKeyId) => new Map(await read()).get(idOf(accessKeyId)),
    async learn(accessKeyId, account) {
      const all = await read();
      const id = idOf(accessKeyId);
      if (new Map(all).get(id) === account) return;
      const scratch = `${file}.${process.pid}`;
      try {
        await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
        const handle = await open(scratch, 'w', 0o600);
        try {
          await handle.writeFile(JSON.stringify([...all.filter(([known]) => known !== id), [id, account]].slice(-most)));
        } finally {
          await handle.close();
        }
        await rename(scratch, file);
      } catch {
        await rm(scratch, { force: true }).catch(() => undefined);
      }
    },
  };
}
