import { durationMs } from '../config/duration.ts';
import type { ManifestObject } from '../config/manifest-object.ts';
import type { Gate } from '../config/schema.ts';
import { messageOf, UserError } from '../errors.ts';
import type { KubeApi } from '../kube/client.ts';
import { type Ended, type RunCommand, tooLong } from './gate-command.ts';
import { runJob } from './gate-job.ts';

/** Where in the rollout a gate is asked. */
export interface GatePlace {
  readonly cluster: string;
  readonly wave: string;
  /** Undefined: after a wave. */
  readonly machine?: string | undefined;
}
export interface GatePorts {
  readonly run: RunCommand;
  /** The directory of cluster.yaml: commands run there. */
  readonly directory: string;
  /** What the CLI itself was started with. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Gives a command a kubeconfig (its path) that works for so long, and takes it away again. */
  readonly lend: <T>(forMs: number, use: (kubeconfig: string) => Promise<T>) => Promise<T>;
  readonly api: KubeApi;
  /** By the name of their gate, as loadCluster has them. */
  readonly jobs: ReadonlyMap<string, ManifestObject>;
  readonly random: (bytes: number) => Uint8Array;
}

/** Asks all gates that are asked after a machine, or after a wave, in the order of the file. Throws as runGate does, at the first that fails. */
export async function runGates(gates: readonly Gate[], place: GatePlace, ports: GatePorts, signal: AbortSignal): Promise<void> {
  const after = place.machine === undefined ? 'wave' : 'machine';
  for (const gate of gates) if (gate.after === after) await runGate(gate, place, ports, signal);
}

/**
 * Asks one of the user's own gates: bounded by its timeout, and ended with all that it has started when that is over or the signal aborts (which
 * rejects with its reason). Throws UserError when the gate fails.
 */
export async function runGate(gate: Gate, place: GatePlace, ports: GatePorts, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { name, failure, lastLines } = await ask(gate, place, ports, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    throw failed(gate, place, 'it could not be asked', undefined, [messageOf(error)]);
  });
  signal.throwIfAborted();
  if (failure !== undefined)
    throw failed(gate, place, failure === tooLong ? `no end within ${gate.timeout}` : failure, name, lastLines);
}

type Asked = Ended & { readonly name?: string };
async function ask(gate: Gate, place: GatePlace, ports: GatePorts, signal: AbortSignal): Promise<Asked> {
  const { command, timeout } = gate;
  const timeoutMs = durationMs(timeout);
  const env = {
    SLIPWAY_CLUSTER: place.cluster,
    SLIPWAY_WAVE: place.wave,
    SLIPWAY_MACHINE: place.machine ?? '',
  };
  if (command === undefined) {
    const manifest = ports.jobs.get(gate.name);
    if (!manifest) throw new Error(`the Job of gate ${gate.name} was not read`);
    const suffix = Buffer.from(ports.random(4)).toString('hex');
    return runJob(ports.api, { manifest, suffix, labels: { [gateLabel]: gate.name }, env, timeoutMs, signal });
  }
  return ports.lend(timeoutMs, async (kubeconfig) => {
    const timedOut = AbortSignal.timeout(timeoutMs);
    const ended = await ports.run({
      argv: typeof command === 'string' ? ['/bin/sh', '-c', command] : command,
      cwd: ports.directory,
      env: { ...ports.env, ...env, KUBECONFIG: kubeconfig },
      signal: AbortSignal.any([signal, timedOut]),
    });
    return ended.failure !== undefined && timedOut.aborted ? { ...ended, failure: tooLong } : ended;
  });
}
const gateLabel = 'slipway.dev/gate';

function failed(
  { name }: Gate,
  { machine, wave }: GatePlace,
  failure: string,
  job: string | undefined,
  lastLines: readonly string[],
): UserError {
  const after = machine === undefined ? `wave ${wave}` : machine;
  return new UserError({
    what: `gate ${name} failed after ${after}: ${failure}`,
    ...(job !== undefined && { where: `Job ${job}` }),
    why: lastLines.length === 0 ? 'it printed nothing' : lastLines.join('\n'),
    next: 'Nothing more is rolled on. Find out why, then upgrade again: it goes on from here',
  });
}
