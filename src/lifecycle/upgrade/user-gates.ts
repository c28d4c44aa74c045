import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { runGates } from '../../rollout/gates.ts';
import type { RolloutRecord } from '../identity.ts';
import { kubeconfigOf } from '../kubeconfig.ts';
import type { Session } from '../session.ts';

/** After one machine of a wave, or after all of it. */
export type GatedPlace = NonNullable<RolloutRecord['ungated']>[number];

/** `upgrade.gates`, which the user has written. */
export interface UserGates {
  /** Those that are asked there. Throws UserError at the first that fails. */
  ask(place: GatedPlace, signal: AbortSignal): Promise<void>;
  /** Takes away what commands of gates were given. */
  close(): Promise<void>;
}

export function openUserGates(session: Session): UserGates {
  const { opened, reach, runId } = session;
  const { gates } = opened.cluster.upgrade;
  let directory: Promise<string> | undefined;
  const kubeconfig = async (): Promise<string> => {
    directory ??= mkdtemp(join(tmpdir(), 'slipway-gates-'));
    const file = join(await directory, 'kubeconfig');
    const { text } = await kubeconfigOf(session, { user: `slipway:gates:${runId}`, hours: 24 });
    await writeFile(file, text, { mode: 0o600 });
    return file;
  };
  return {
    async ask({ wave, machine }, signal) {
      const after = machine === undefined ? 'wave' : 'machine';
      if (!gates.some((gate) => gate.after === after)) return;
      const ports = {
        run: opened.runCommand,
        directory: dirname(resolve(opened.file)),
        env: opened.env,
        kubeconfig: await kubeconfig(),
        api: await reach.kube().api({ waitMs: 30_000, signal }),
        jobs: opened.gateJobs,
        random: opened.randomBytes,
      };
      await runGates(gates, { cluster: opened.cluster.name, wave, machine }, ports, signal);
    },
    async close() {
      if (directory) await rm(await directory, { recursive: true, force: true });
    },
  };
}
