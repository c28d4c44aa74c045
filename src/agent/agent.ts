import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import type { AgentCloud } from './cloud.ts';
import type { AgentConfig } from './config.ts';
import { tendMachines } from './hooks.ts';
import { decideRequests } from './join.ts';
import type { AgentKube } from './kube.ts';
import { whileLeading } from './leader.ts';
import { refreshToken } from './tokens.ts';

export interface AgentPorts {
  readonly config: AgentConfig;
  readonly kube: AgentKube;
  readonly cloud: AgentCloud;
  /** Name of this master. */
  readonly holder: string;
  readonly log: (line: string) => void;
  readonly now: () => number;
  readonly monotonic: () => number;
  readonly random: (bytes: number) => Uint8Array;
  readonly signal: AbortSignal;
}

const everyMs = { requests: 1_000, machines: 5_000, tokens: 60_000 } as const;

/**
 * What joining and leaving needs while no CLI runs (hard part 19): one of the masters' agents leads, and keeps the pools' tokens fresh,
 * decides requests for certificates, and tends machines that come and go. It keeps nothing: the next leader sees what this one saw.
 */
export const runAgent = (ports: AgentPorts): Promise<void> =>
  whileLeading(ports, async (signal) => {
    const { config, kube, cloud, now, random, log } = ports;
    const running = new Map<string, Promise<void>>();
    const rounds = [
      repeat(everyMs.tokens, ports, signal, async () => {
        for (const pool of Object.keys(config.pools))
          if (await refreshToken(pool, { kube, cloud, now: now(), random, signal })) log(`pool ${pool} has a new token`);
      }),
      repeat(everyMs.requests, ports, signal, async () => {
        await decideRequests({ config, kube, cloud, log, now, signal });
      }),
      repeat(everyMs.machines, ports, signal, () => tendMachines({ config, kube, cloud, log, now, signal }, running)),
    ];
    await Promise.all(rounds);
    await Promise.all(running.values());
  });

/** A round that fails is tried again, a little later each time. */
async function repeat(ms: number, { log }: AgentPorts, signal: AbortSignal, round: () => Promise<void>): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    try {
      await round();
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      failures++;
      log(messageOf(error));
    }
    await sleep(ms * Math.min(1 + failures, 10), undefined, { signal }).catch(() => undefined);
  }
}
