import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { apiOf } from './load/credentials.ts';

export interface Traffic {
  readonly requests: number;
  /** What every failed request got, in order. */
  readonly failures: readonly string[];
  /** The longest time without a good answer, in milliseconds. */
  readonly longestGapMs: number;
}

/**
 * Asks the API for a namespace again and again through the balancer, each time over a new TLS connection, and retries nothing (hard part 23):
 * every answer but 200 counts. Runs until `stop`.
 */
export function startApiClient(kubeconfig: string, pauseMs = 50): { stop(): Promise<Traffic> } {
  const { server, tls } = apiOf(kubeconfig);
  const ask = (): Promise<string> =>
    new Promise((done) => {
      const call = request(
        new URL('/api/v1/namespaces/default', server),
        { agent: false, ...tls, signal: AbortSignal.timeout(5_000) },
        (response) => {
          response.resume();
          response.on('end', () => done(String(response.statusCode)));
          response.on('error', (error) => done(error.message));
        },
      );
      call.on('error', (error) => done(error.message));
      call.end();
    });
  const failures: string[] = [];
  let requests = 0;
  let stopped = false;
  let [lastGood, longestGapMs] = [performance.now(), 0];
  const running = (async () => {
    while (!stopped) {
      const answer = await ask();
      requests++;
      if (answer === '200') {
        longestGapMs = Math.max(longestGapMs, performance.now() - lastGood);
        lastGood = performance.now();
      } else failures.push(`${new Date().toISOString()} ${answer}`);
      await sleep(pauseMs);
    }
  })();
  return {
    async stop() {
      stopped = true;
      await running;
      return { requests, failures, longestGapMs: Math.round(longestGapMs) };
    },
  };
}
