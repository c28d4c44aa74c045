import { setTimeout as sleep } from 'node:timers/promises';
import { apiOf } from './credentials.ts';
import { steadily, Tally, type Traffic } from './outcome.ts';
import { type Call, outcomeOf } from './request.ts';
import { type Watched, watchSteadily } from './watch.ts';

export interface ApiTraffic extends Traffic {
  readonly watches: Watched;
}
export interface ApiLoadOptions {
  readonly namespace: string;
  readonly perSecond?: number;
  readonly watches?: number;
}

const turns = ['create', 'get', 'update', 'list', 'delete'] as const;
const timeoutMs = 10_000;

/**
 * A client of the API through the balancer's published port (hard part 23): ten requests a second, each on a new TLS connection, nothing
 * retried, and every answer but 2xx a failure. ConfigMaps are made, read, changed, listed and deleted in turn: a write that was answered
 * and is not there for the next request is a failure too. Beside that, streams that watch them.
 */
export function startApiLoad(
  kubeconfig: string,
  { namespace, perSecond = 10, watches = 3 }: ApiLoadOptions,
): { stop(): Promise<ApiTraffic> } {
  const api = apiOf(kubeconfig);
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const tally = new Tally();
  const run = `load-${Date.now().toString(36)}`;

  const configMap = (name: string, value: string): object => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, labels: { run } },
    data: { value },
  });
  const request = (turn: (typeof turns)[number], name: string): { path: string; method?: string; body?: object } => {
    switch (turn) {
      case 'create':
        return { path, method: 'POST', body: configMap(name, 'made') };
      case 'get':
        return { path: `${path}/${name}` };
      case 'update':
        return { path: `${path}/${name}`, method: 'PUT', body: configMap(name, 'changed') };
      case 'list':
        return { path: `${path}?limit=50&labelSelector=run%3D${run}` };
      case 'delete':
        return { path: `${path}/${name}`, method: 'DELETE' };
    }
  };
  const stepMs = 1000 / perSecond;
  const steady = steadily(turns.length * stepMs, async (index) => {
    const began = performance.now();
    for (const [at, turn] of turns.entries()) {
      await sleep(Math.max(0, began + at * stepMs - performance.now()));
      const { path: of, ...rest } = request(turn, `${run}-${index}`);
      const call: Call = { url: new URL(of, api.server), tls: api.tls, signal: AbortSignal.timeout(timeoutMs), ...rest };
      // What follows a write that failed would fail by its own fault.
      if (!(await tally.count(`api ${turn}`, () => outcomeOf(call)))) return;
    }
  });

  const watching = new AbortController();
  const streams = Array.from({ length: watches }, () => watchSteadily(api, path, tally, watching.signal));
  return {
    async stop() {
      await steady.stop();
      watching.abort();
      const seen = await Promise.all(streams);
      const sum = (of: keyof Watched): number => seen.reduce((total, stream) => total + stream[of], 0);
      return { ...tally.traffic, watches: { reconnects: sum('reconnects'), relists: sum('relists'), events: sum('events') } };
    },
  };
}
