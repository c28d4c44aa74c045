import { setTimeout as sleep } from 'node:timers/promises';
import { durationMs } from '../config/duration.ts';
import { UserError } from '../errors.ts';
import type { KubeClients } from './clients.ts';
import { patiently } from './wait.ts';

const probes = 100;
const atOnce = 10;
/** A slow answer or two may be a coincidence: so many rounds of probes are given to the API to get well. */
const rounds = 5;

/** 1 of 100 requests may take longer than `limit` (`upgrade.apiP99`); asked again a few times before that throws UserError. */
export async function answersInTime(kube: Pick<KubeClients, 'api'>, limit: string, signal: AbortSignal): Promise<void> {
  let p99 = 0;
  for (let round = 1; round <= rounds; round++) {
    const api = await kube.api({ signal, waitMs: 30_000 });
    const times: number[] = [];
    const took = (ms: number): void => void times.push(ms);
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (let i = 0; i < probes / atOnce; i++)
          await patiently(() => api.raw('/api/v1/namespaces/kube-system', { signal, took }), signal);
      }),
    );
    p99 = times.sort((a, b) => a - b)[Math.ceil(times.length * 0.99) - 1] ?? 0;
    if (p99 <= durationMs(limit)) return;
    await sleep(1000, undefined, { signal });
  }
  throw new UserError({
    what: `the API answers slowly: 1 of 100 requests took ${Math.round(p99)} ms, and upgrade.apiP99 allows ${durationMs(limit)}`,
    next: 'find out what loads it; then run the same command again: it goes on from there. Or allow more: upgrade.apiP99',
  });
}
