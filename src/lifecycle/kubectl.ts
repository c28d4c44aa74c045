import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { asset } from '../assets/catalogue.ts';
import { exitCodes } from '../errors.ts';
import { lendKubeconfig } from './lent-kubeconfig.ts';
import { withReach } from './look.ts';
import type { Opened } from './opened.ts';

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
    const failed = (error: Error, cut: boolean): void => {
      if (cut) options.say(error.message);
    };
    return lendKubeconfig(session, { prefix: 'slipway-kubectl-', user: opened.holder, hours: 12, failed }, (file) => {
      session.signal.throwIfAborted();
      return ended(program, args, { ...options.env, KUBECONFIG: file }, options.running);
    });
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
