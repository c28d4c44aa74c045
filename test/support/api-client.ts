import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { z } from 'zod';

const kubeconfigSchema = z.object({
  clusters: z.tuple([
    z.object({
      cluster: z.object({ server: z.url(), 'tls-server-name': z.string(), 'certificate-authority-data': z.base64() }),
    }),
  ]),
  users: z.tuple([z.object({ user: z.object({ 'client-certificate-data': z.base64(), 'client-key-data': z.base64() }) })]),
});

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
  const { clusters, users } = kubeconfigSchema.parse(parse(kubeconfig));
  const [{ cluster }] = clusters;
  const [{ user }] = users;
  const pem = (data: string): Buffer => Buffer.from(data, 'base64');
  const options = {
    agent: false,
    ca: pem(cluster['certificate-authority-data']),
    cert: pem(user['client-certificate-data']),
    key: pem(user['client-key-data']),
    servername: cluster['tls-server-name'],
  } as const;
  const ask = (): Promise<string> =>
    new Promise((done) => {
      const call = request(
        new URL('/api/v1/namespaces/default', cluster.server),
        { ...options, signal: AbortSignal.timeout(5_000) },
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
