import { planAddresses } from '../../../src/cluster/addresses.ts';
import type { TestCluster } from '../cli.ts';
import { type Kubectl, openKubectl } from '../workloads.ts';
import { type ApiTraffic, startApiLoad } from './api.ts';
import { startAppLoad } from './app.ts';
import { application, nodePort } from './application.ts';
import { startBalancer } from './balancer.ts';
import { keepImages } from './images.ts';
import type { Failure, Traffic } from './outcome.ts';
import { identities, store, storePorts } from './replicas.ts';
import { type StoreTraffic, startStoreLoad } from './store.ts';

export interface Load {
  /** All three clients, until `stop`. */
  start(): Promise<{ stop(): Promise<LoadResult> }>;
  readonly kubectl: Kubectl;
  /** Before `cluster down`: a network with a stranger in it cannot be removed. */
  remove(): Promise<void>;
}
export interface LoadResult {
  readonly api: ApiTraffic;
  readonly app: Traffic;
  readonly store: StoreTraffic;
  /** What the application's balancer said of the nodes. */
  readonly balancer: readonly string[];
}
export interface LoadOptions {
  /** Of the cluster as it is now, and kubectl's. */
  readonly version: string;
  readonly machines: string;
  readonly zones: readonly string[];
  readonly pool: string;
  /** How many the pool has now. */
  readonly workers: number;
  /** How many a zone may come to be: the balancer knows their addresses before. */
  readonly perZone: number;
}

const namespace = 'load';

/** The applications, their balancer and all clients on a cluster that is up: what must notice nothing (hard part 23). */
export async function openLoad(
  cluster: TestCluster,
  { version, machines, zones, pool, workers, perZone }: LoadOptions,
): Promise<Load> {
  const kubectl = await openKubectl(cluster, version, namespace);
  const images = keepImages(cluster, pool);
  await images.has(workers);
  await kubectl.apply([...application(namespace), ...store(namespace)]);
  await Promise.all(['deployment/web', 'statefulset/store'].map((one) => kubectl('rollout', 'status', one, '--timeout=90s')));
  // A new cluster counts zones from 0 and pools from 1.
  const slots = { zones: Object.fromEntries(zones.map((zone, index) => [zone, index])), pools: { [pool]: 1 } };
  const addresses = planAddresses(machines, slots);
  const backends = Object.fromEntries(
    zones.flatMap((zone) =>
      Array.from({ length: perZone }, (_, index) => [`${pool}-${zone}-${index + 1}`, addresses.member(pool, zone, index + 1)]),
    ),
  );
  const balancer = await startBalancer(cluster, backends, [nodePort, ...storePorts]);
  const [web, ...replicas] = balancer.urls;
  if (!web) throw new Error('a balancer has a port');
  return {
    kubectl,
    async remove() {
      await Promise.all([images.stop(), balancer.remove()]);
    },
    async start() {
      const kubeconfig = (await cluster.must('kubeconfig', '--stdout')).stdout;
      await Promise.all([answers(web), ...replicas.map((url) => answers(new URL('/value', url)))]);
      const api = startApiLoad(kubeconfig, { namespace });
      const app = startAppLoad(web);
      const stored = startStoreLoad(replicas);
      return {
        async stop() {
          const [ofApi, ofApp, ofStore] = await Promise.all([api.stop(), app.stop(), stored.stop()]);
          const failures = [...ofStore.failures, ...(await identities(kubectl))];
          return { api: ofApi, app: ofApp, store: { ...ofStore, failures }, balancer: await balancer.log() };
        },
      };
    },
  };
}

/** Until the balancer has heard of its nodes. */
async function answers(url: URL): Promise<void> {
  for (let good = 0, end = Date.now() + 30_000; good < 10; ) {
    const ok = await fetch(url, { signal: AbortSignal.timeout(1000) }).then(
      (answer) => answer.ok,
      () => false,
    );
    good = ok ? good + 1 : 0;
    if (Date.now() > end) throw new Error(`the application does not answer at ${url}`);
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

/** Whatever somebody would have noticed. */
export const failuresOf = ({ api, app, store }: LoadResult): readonly Failure[] => [
  ...api.failures,
  ...app.failures,
  ...store.failures,
];
const clock = (at: number): string => new Date(at).toISOString().slice(11, 23);

/** One line a client. */
export function summary({ api, app, store }: LoadResult): string {
  const line = (name: string, t: Traffic): string =>
    `${name}: ${t.requests} requests, ${t.failures.length} failed; ms: p50 ${t.latency.p50}, p90 ${t.latency.p90}, p99 ${t.latency.p99}, max ${t.latency.max}; longest gap ${t.longestGapMs} ms`;
  return [
    line('api', api),
    `watches: ${api.watches.reconnects} reconnects, ${api.watches.relists} relists, ${api.watches.events} events`,
    line('app', app),
    line('store', store),
    `store: ${store.without} without an answer of one replica, processes after the first: ${store.moves.join(', ')}`,
  ].join('\n');
}

/** Each failure with what the run was at just then: the tasks that were under way. */
export function explained(
  failures: readonly Failure[],
  events: readonly { readonly at: number; readonly task: string; readonly type: string }[],
): readonly string[] {
  return failures.map(({ at, ms, kind, text }) => {
    const running = new Set<string>();
    for (const event of events) {
      if (event.at > at + ms) break;
      if (event.type === 'started') running.add(event.task);
      // What ended during the last second may be the cause, too.
      else if (event.type !== 'progress' && event.at < at - 1000) running.delete(event.task);
    }
    return `${clock(at)} +${ms} ms ${kind}: ${text} [${[...running].join(', ')}]`;
  });
}
