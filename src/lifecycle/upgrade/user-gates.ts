import { dirname, resolve } from 'node:path';
import { type GatePorts, runGates } from '../../rollout/gates.ts';
import type { RolloutRecord } from '../identity.ts';
import { lendKubeconfig } from '../lent-kubeconfig.ts';
import type { Session } from '../session.ts';

/** After one machine of a wave, or after all of it. */
export type GatedPlace = NonNullable<RolloutRecord['ungated']>[number];

const hourMs = 3_600_000;

/** Asks those of `upgrade.gates`, which the user has written, that are asked there. Throws UserError at the first that fails. */
export async function askUserGates(session: Session, { wave, machine }: GatedPlace, signal: AbortSignal): Promise<void> {
  const { opened, reach, runId } = session;
  const { gates } = opened.cluster.upgrade;
  const after = machine === undefined ? 'wave' : 'machine';
  if (!gates.some((gate) => gate.after === after)) return;
  const ports: GatePorts = {
    run: opened.runCommand,
    directory: dirname(resolve(opened.file)),
    env: opened.env,
    lend: (forMs, use) => {
      const hours = Math.ceil(forMs / hourMs + 0.1);
      // What cannot be reached is told to the command itself, which may try again.
      const failed = (): void => undefined;
      return lendKubeconfig(session, { prefix: 'slipway-gate-', user: `slipway:gates:${runId}`, hours, failed }, use);
    },
    api: await reach.kube().api({ waitMs: 30_000, signal }),
    jobs: opened.gateJobs,
    random: opened.randomBytes,
  };
  await runGates(gates, { cluster: opened.cluster.name, wave, machine }, ports, signal);
}
