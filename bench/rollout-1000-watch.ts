/** What is counted while bench/rollout-1000.ts upgrades: turns by their events, cordons by the API server's word, calls to the API server. */
import { subscribe } from 'node:diagnostics_channel';
import type { ClientRequest } from 'node:http';
import { openKube } from '../src/kube/client.ts';
import { isCordoned } from '../src/kube/drain/cordon.ts';
import type { Event } from '../src/run/events.ts';
import type { Place } from './rollout-1000-cluster.ts';

/**
 * How long workers' turns took, part by part, and how many ran at once. `change`: from the end of its drain to what its verification waits for; `pod`: until one
 * has run there; `free`: from there until its gate, that is its uncordon and the record.
 */
export class Turns {
  readonly #begun = new Map<string, number>();
  readonly #since = new Map<string, number>();
  readonly #seconds: Record<Part, number> = {
    turn: 0,
    before: 0,
    drain: 0,
    change: 0,
    verify: 0,
    wait: 0,
    pod: 0,
    free: 0,
    gate: 0,
  };
  readonly #away = new Most();
  #turns = 0;

  emit = ({ type, task }: Pick<Event, 'type' | 'task'>): void => {
    const found = kindOf(task);
    if (!found || type === 'progress') return;
    const { kind, worker } = found;
    const now = performance.now();
    const lap = (part: Exclude<Part, 'turn'>): void => {
      this.#seconds[part] += (now - (this.#since.get(worker) ?? now)) / 1000;
      this.#since.set(worker, now);
    };
    if (type !== 'started') {
      if (kind !== 'turn') {
        lap(kind);
        return;
      }
      this.#seconds.turn += (now - (this.#begun.get(worker) ?? now)) / 1000;
      this.#away.set(worker, false);
      this.#turns++;
    } else if (kind !== 'turn') lap(partsBefore[kind]);
    else {
      this.#begun.set(worker, now);
      this.#since.set(worker, now);
      this.#away.set(worker, true);
    }
  };
  figures() {
    const each = (sum: number): number => Math.round((sum / this.#turns) * 1000) / 1000;
    const { turn, drain, pod } = this.#seconds;
    return {
      overhead: each(turn - drain - pod),
      ...Object.fromEntries(Object.entries(this.#seconds).map(([part, sum]) => [part, each(sum)])),
      drain: each(drain),
      turns: this.#turns,
      most: this.#away.all,
      mostOfPool: this.#away.pool,
    };
  }
}
type Part = 'turn' | 'before' | 'drain' | 'change' | 'verify' | 'wait' | 'pod' | 'free' | 'gate';
type Kind = 'turn' | 'drain' | 'verify' | 'pod' | 'gate';
/** What lies between one task and the next. */
const partsBefore = { drain: 'before', verify: 'change', pod: 'wait', gate: 'free' } as const;
const tasks: readonly (readonly [Kind, RegExp])[] = [
  ['turn', /^pools \S+\/(pool\S+)$/],
  ['drain', /^drain (pool\S+)$/],
  ['verify', /^verify kube.node\/(pool\S+)$/],
  ['pod', /^pod on (pool\S+)$/],
  ['gate', /^gate (pool\S+)$/],
];
function kindOf(task: string): { readonly kind: Kind; readonly worker: string } | undefined {
  for (const [kind, pattern] of tasks) {
    const worker = pattern.exec(task)?.[1];
    if (worker !== undefined) return { kind, worker };
  }
  return undefined;
}

/** The most that there ever were at once, in all and of one pool. */
class Most {
  readonly #now = new Map<string, Set<string>>();
  all = 0;
  pool = 0;
  set(worker: string, is: boolean): void {
    const pool = worker.split('-')[0] ?? '';
    const own = this.#now.get(pool) ?? new Set();
    this.#now.set(pool, own);
    if (is) own.add(worker);
    else own.delete(worker);
    this.pool = Math.max(this.pool, own.size);
    this.all = Math.max(
      this.all,
      [...this.#now.values()].reduce((sum, { size }) => sum + size, 0),
    );
  }
}

/** Every change of every Node, in the order in which the API server made them. */
export async function watchCordons({ server, credentials }: Place) {
  const api = openKube({ server, tlsServerName: 'api.demo.internal', ...credentials });
  const most = new Most();
  const stop = new AbortController();
  let version = '';
  for await (const page of api.pages('v1', 'Node', { metadataOnly: true })) version = page.resourceVersion;
  const watching = (async () => {
    while (!stop.signal.aborted) {
      for await (const event of api.watch('v1', 'Node', { resourceVersion: version, seconds: 60, signal: stop.signal })) {
        if (event.type !== 'BOOKMARK' && event.object.metadata.name.startsWith('pool'))
          most.set(event.object.metadata.name, isCordoned(event.object));
        version = event.type === 'BOOKMARK' ? event.resourceVersion : (event.object.metadata.resourceVersion ?? version);
      }
    }
  })();
  watching.catch(() => undefined);
  return {
    async most() {
      stop.abort();
      await watching.catch((error: unknown) => {
        if (error !== stop.signal.reason) throw error;
      });
      api.close();
      if (most.all === 0) throw new Error('nothing was seen to be cordoned');
      return most;
    },
  };
}

interface Bounds {
  readonly nodes: number;
  readonly pods: number;
  readonly seconds: number;
}
/** Every HTTP request of this process, by what it asks; without those of the kubelets that it plays. */
export class Calls {
  readonly #count = new Map<string, number>();

  constructor() {
    subscribe('http.client.request.start', (message) => {
      const { request } = message as { request: ClientRequest };
      const { pathname, searchParams } = new URL(request.path, 'https://api');
      // A played kubelet's sign of life, when it starts.
      if (pathname.includes('/kube-node-lease/leases/')) return;
      const [resource = '', name, sub] = pathname
        .replace(/^\/apis?(\/[^/]+)?\/v\w+(\/namespaces\/[^/]+(?=\/))?\//, '')
        .split('/');
      const verb =
        name !== undefined
          ? `${request.method} ${resource}${sub === undefined ? '' : `/${sub}`}`
          : `${searchParams.has('watch') ? 'WATCH' : searchParams.has('continue') ? 'PAGE' : 'LIST'} ${resource}`;
      this.#count.set(verb, (this.#count.get(verb) ?? 0) + 1);
    });
  }
  get all(): number {
    return [...this.#count.values()].reduce((sum, count) => sum + count, 0);
  }
  told(): string {
    return `calls: ${[...this.#count]
      .toSorted(([, a], [, b]) => b - a)
      .map(([verb, count]) => `${count} ${verb}`)
      .join(', ')}`;
  }
  /** Throws when more was asked than each node's own, or when what is for all nodes was asked for each. */
  check({ nodes, pods, seconds }: Bounds): void {
    const of = (verb: string): number => this.#count.get(verb) ?? 0;
    const most: readonly (readonly [string, number])[] = [
      ['LIST nodes', 30],
      ['LIST pods', 30],
      ['LIST leases', 30],
      // What a list does not say at once.
      ['PAGE nodes', (30 * nodes) / 500],
      ['PAGE pods', (30 * pods) / 400],
      ['PAGE leases', (30 * nodes) / 500],
      // They go on for 20 s each.
      ['WATCH nodes', 5 + seconds / 15],
      ['WATCH pods', 5 + seconds / 15],
      ['WATCH leases', 5 + seconds / 15],
      // How long the API takes: a hundred requests, for all turns that end within 5 s.
      ['GET namespaces', 100 * (2 + seconds / 5)],
      ['GET nodes', 2.1 * nodes],
      // Cordon, uncordon, and the mark that it is due: put there and taken away. A little is asked again where somebody else was faster.
      ['PATCH nodes', 4.5 * nodes],
      // The pod that is tried on each.
      ['PATCH pods', 1.05 * nodes],
      ['DELETE pods', 1.05 * nodes],
      // One each; what was refused for a moment is asked again.
      ['POST pods/eviction', 1.1 * pods],
    ];
    for (const [verb, count] of most)
      if (of(verb) > count) throw new Error(`${of(verb)} times ${verb}, and ${Math.floor(count)} are enough`);
    const rest = [...this.#count].filter(([verb]) => !most.some(([known]) => known === verb));
    const others = rest.reduce((sum, [, count]) => sum + count, 0);
    if (others > 400) throw new Error(`${others} other calls: they must not grow with the nodes. ${this.told()}`);
  }
}
