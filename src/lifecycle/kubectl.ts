import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { asset } from '../assets/catalogue.ts';
import { exitCodes } from '../errors.ts';
import { apiOf, kubeconfigOf } from './kubeconfig.ts';
import { withReach } from './look.ts';
import type { Opened } from './opened.ts';
import { withProxy } from './tunnel.ts';

export interface KubectlOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** It runs: from here on signals are for it. */
  readonly running: (kubectl: Pick<ChildProcess, 'kill'>) => void;
  /** Why a connection of it was cut, which it cannot know. */
  readonly say: (text: string) => void;
}

/** Runs the kubectl of the cluster's own version with credentials for this one command, through the bastion where that is the way. Returns its exit code, as a shell would. */
export const kubectl = (opened: Opened, args: readonly string[], options: KubectlOptions): Promise<number> =>
  withReach(opened, async (session) => {
    const tool = asset('kubectl', session.design.topology.versions);
    await opened.assets.ensure([tool], session.signal);
    const program = opened.assets.file(tool.path);
    const run = async (proxyUrl?: string): Promise<number> => {
      const directory = await mkdtemp(join(tmpdir(), 'slipway-kubectl-'));
      try {
        const file = join(directory, 'kubeconfig');
        const { text } = await kubeconfigOf(session, { user: opened.holder, hours: 12, proxyUrl });
        await writeFile(file, text, { mode: 0o600 });
        session.signal.throwIfAborted();
        return await ended(program, args, { ...options.env, KUBECONFIG: file }, options.running);
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    };
    const api = apiOf(session);
    if (api.via === 'direct') return run();
    const failed = (error: Error, cut: boolean): void => {
      if (cut) options.say(error.message);
    };
    return withProxy(session, api, { port: 0, failed }, run);
  });

async function ended(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  running: KubectlOptions['running'],
): Promise<number> {
  const child = spawn(program, [...args], { stdio: 'inherit', env });
  running(child);
  return new Promise<number>((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => done(code ?? (signal ? 128 + constants.signals[signal] : exitCodes.failed)));
  });
}
