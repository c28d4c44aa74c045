import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atExit } from '../run/at-exit.ts';
import { apiOf, type KubeconfigOptions, kubeconfigOf } from './kubeconfig.ts';
import type { Session } from './session.ts';
import { type ProxyWishes, withProxy } from './tunnel.ts';

export interface Lent extends Pick<KubeconfigOptions, 'user' | 'hours'>, Pick<ProxyWishes, 'failed'> {
  /** Of the directory's name: `slipway-kubectl-`. */
  readonly prefix: string;
}

/**
 * A kubeconfig for a program that runs here, as long as `use` does: with a client certificate of its own and, where the API is behind the bastion, a way through it.
 * Only this user can read it; it is gone afterwards, also when the process is ended in between.
 */
export async function lendKubeconfig<T>(
  session: Session,
  { prefix, failed, ...identity }: Lent,
  use: (file: string) => Promise<T>,
): Promise<T> {
  const api = apiOf(session);
  const lend = async (proxyUrl?: string): Promise<T> => {
    // Made with mode 0700.
    const directory = await mkdtemp(join(tmpdir(), prefix));
    const kept = atExit(() => rmSync(directory, { recursive: true, force: true }));
    try {
      const file = join(directory, 'kubeconfig');
      const { text } = await kubeconfigOf(session, { ...identity, proxyUrl });
      await writeFile(file, text, { mode: 0o600 });
      return await use(file);
    } finally {
      await rm(directory, { recursive: true, force: true });
      kept();
    }
  };
  return api.via === 'direct' ? lend() : withProxy(session, api, { port: 0, failed }, lend);
}
