import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where scripts/moto-setup put it. Throws where it is not. */
export function motoHome(): string {
  const requirements = readFileSync(fileURLToPath(new URL('../../../scripts/moto-requirements.txt', import.meta.url)), 'utf8');
  const version = /^moto==(.*)$/m.exec(requirements)?.[1];
  const home = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'slipway', `moto-${version}`);
  if (!existsSync(join(home, '.slipway-installed'))) throw new Error('moto is not installed. Next: sh scripts/moto-setup');
  return home;
}

export interface Moto {
  readonly url: string;
  readonly pid: number;
  /** The end of what it wrote to its standard error: where it broke. */
  said(): string;
  /** Forgets everything of all accounts. 0.4 s: a new account is quicker, and does for most. */
  reset(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts the emulator on a free port. It ends when the pipe to it does, so none is left behind by a run that was killed: no record of
 * process ids is needed.
 */
export async function startMoto({
  host = '127.0.0.1',
  port = 0,
  smallestPart = 5 * 1024 * 1024,
  /** Members of groups wait for whoever answers their lifecycle hooks; a second of a hook's time lasts so many. 0: no hooks. */
  hooks = 0,
  /** vCPUs that machines of groups may have in all, two each; 0: as many as they like. With hooks only. */
  groupVcpus = 0,
} = {}): Promise<Moto> {
  const script = fileURLToPath(new URL('./moto_server.py', import.meta.url));
  const child = spawn(join(motoHome(), 'bin/python'), [script, host, String(port)], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // Nothing of the user's own credentials. Its own images: moto's hundred would be made anew for every account.
    env: {
      MOTO_AMIS_PATH: fileURLToPath(new URL('./images.json', import.meta.url)),
      PATH: process.env.PATH,
      HOME: '/nonexistent',
      AWS_EC2_METADATA_DISABLED: 'true',
      S3_UPLOAD_PART_MIN_SIZE: String(smallestPart),
      ...(hooks > 0 && { SLIPWAY_MOTO_HOOKS: String(hooks), SLIPWAY_MOTO_GROUP_VCPUS: String(groupVcpus) }),
      PYTHONDONTWRITEBYTECODE: '1',
    },
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4_000);
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const listening = await new Promise<number>((resolve, reject) => {
    child.stdout.setEncoding('utf8').once('data', (text: string) => resolve(Number(text)));
    void ended.then(() => reject(new Error(`moto ended before it listened. The end of what it said:\n${said}`)));
    child.once('error', reject);
  });
  const pid = child.pid;
  if (pid === undefined) throw new Error('moto has no process id');
  const url = `http://${host}:${listening}`;
  return {
    url,
    pid,
    said: () => said,
    async reset() {
      const answer = await fetch(`${url}/moto-api/reset`, { method: 'POST' });
      if (!answer.ok) throw new Error(`moto's reset answered ${answer.status}`);
      await answer.body?.cancel();
    },
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}

let accounts = 0;
/** A fresh account: credentials that the proxy knows by their access key, whose things no other account sees. */
export function newAccount(): Account {
  accounts++;
  const id = String(100_000_000_000 + process.pid * 10_000 + accounts);
  return { id, credentials: { accessKeyId: `AKIATEST${id}`, secretAccessKey: 'secret' } };
}
export interface Account {
  readonly id: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}
/** undefined: made with other credentials, so moto's own account. */
export const accountOf = (accessKeyId: string): string | undefined => /^AKIATEST(\d{12})$/.exec(accessKeyId)?.[1];
