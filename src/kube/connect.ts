import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { apiPort } from '../components/apiserver.ts';
import type { Manifest } from '../config/manifests.ts';
import { UnreachableError, type UserError } from '../errors.ts';
import { nameOfBastion } from '../host/access.ts';
import type { Access, Hosts } from '../host/host.ts';
import { type KubeApi, openKube } from './client.ts';
import type { Credentials, KubeClients } from './clients.ts';
import { renewing } from './credentials.ts';
import { type Followed, type Kept, watchAll } from './feed.ts';
import { KubeRefusal, type Way } from './http.ts';
import { type KubeObject, keyOf, marks, nameOfObject } from './objects.ts';
import { type SharedPoll, sharedPoll } from './wait.ts';

export interface ConnectOptions {
  readonly uid: string;
  /** Live: what exists now. */
  access(): Access;
  /** Names of the design's masters. */
  readonly masters: readonly string[];
  /** An admin's client certificate, issued in memory: when something connects, and again before it ends. Lasts for `clientHours`. */
  credentials(): Promise<Credentials>;
  /** Whether the store says that etcd main was initialised. */
  initialised(): Promise<boolean>;
  readonly hosts?: Hosts;
  /** How long a node may take to be Ready. Default: 2 minutes. */
  readonly readyWithinMs?: number;
  readonly addonKinds?: readonly string[];
  readonly manifests?: readonly Manifest[];
  now(): number;
}

/** How long an API server that should be there may take while looking, and after `kube.api` said that it is ready. */
const lookMs = 2_000;
export const patienceMs = 30_000;
const pollMs = 100;

/** Reaches nothing until somebody asks. */
export function connectKube(options: ConnectOptions): KubeClients {
  const { uid, hosts, now, addonKinds = [], manifests = [], readyWithinMs = 120_000 } = options;
  let open: { readonly at: string; readonly api: Promise<KubeApi> } | undefined;
  const close = (): unknown => open?.api.then((api) => api.close()).catch(() => undefined);
  const credentials = renewing(options.credentials, now);
  let answered: KubeApi | undefined;

  const connect = async (): Promise<KubeApi> => {
    const access = options.access();
    const target = access.api;
    if (!target) throw new UnreachableError({ what: 'the Kubernetes API has no address: its balancer does not run' });
    const { server, tlsServerName } = target;
    const way = target.via === 'bastion' ? throughBastion(access, hosts) : undefined;
    const at = `${server} ${way?.name}`;
    if (open?.at !== at) {
      close();
      const api = credentials().then((own) => openKube({ server, tlsServerName, way, ...own }, credentials));
      open = { at, api };
      api.catch(() => {
        if (open?.api === api) open = undefined;
      });
    }
    return open.api;
  };
  const api: KubeClients['api'] = async ({ waitMs = lookMs, signal = new AbortController().signal } = {}) => {
    const end = performance.now() + waitMs;
    for (;;) {
      try {
        const connected = await connect();
        if (answered !== connected) await connected.raw('/readyz', { signal, timeoutMs: Math.max(500, Math.min(3000, waitMs)) });
        answered = connected;
        return connected;
      } catch (error) {
        if (!isPassing(error) || signal.aborted) throw error;
        if (performance.now() > end)
          throw new UnreachableError({ what: 'the Kubernetes API does not get ready', why: error.message }, { cause: error });
      }
      await sleep(pollMs, undefined, { signal });
    }
  };
  const closing = new AbortController();
  const live: Pick<KubeApi, 'pages' | 'watch'> = {
    async *pages(...question) {
      yield* (await api()).pages(...question);
    },
    async *watch(...question) {
      yield* (await api()).watch(...question);
    },
  };
  return {
    uid,
    readyWithinMs,
    hosts,
    now,
    addonKinds,
    manifests: new Map(manifests.map((manifest) => [manifest.key, manifest])),
    api,
    async servers(ask) {
      const access = options.access();
      if (!access.api) return new Map();
      const { tlsServerName } = access.api;
      const own = await credentials();
      const askOne = async (master: string) => {
        const host = access.hosts.get(master);
        if (host?.state !== 'reachable') return undefined;
        const way = throughBastion(access, hosts);
        const server = openKube({ server: `https://${host.endpoint.address}:${apiPort}`, tlsServerName, way, ...own });
        try {
          return await ask(server);
        } catch (error) {
          if (isPassing(error)) return undefined;
          throw error;
        } finally {
          server.close();
        }
      };
      return new Map(await Promise.all(options.masters.map(async (master) => [master, await askOne(master)] as const)));
    },
    async state() {
      const access = options.access();
      const master = options.masters.some((name) => access.hosts.has(name));
      return master && access.api && (await options.initialised()) ? 'there' : 'absent';
    },
    nodes: fewOrMany(live, { apiVersion: 'v1', kind: 'Node', what: 'the nodes', everyMs: 150 }, withoutBulk, closing.signal),
    leases: fewOrMany(live, kubeletLeases, renewedAt, closing.signal),
    workloads: sharedPoll(
      async () => listWorkloads(await api()),
      () => 200,
    ),
    close: () => {
      closing.abort();
      void close();
    },
  };
}

/**
 * A Node as waits ask for it: without who owns which field, and which images lie there. That is most of it, and would be held for each of thousands, anew
 * with each of their changes.
 */
function withoutBulk({ metadata: { managedFields: _, ...metadata }, ...node }: KubeObject): KubeObject {
  return { ...node, metadata, ...askedSchema.parse(node) };
}
const askedSchema = z.object({ status: z.object({ conditions: z.unknown(), nodeInfo: z.unknown() }).partial().optional() });

/** More are watched: a list of 5,000 nodes is 50 MB, and not for several times a second. */
const few = 100;
function fewOrMany<T>(
  api: Pick<KubeApi, 'pages' | 'watch'>,
  { everyMs, ...followed }: Followed & { readonly everyMs: number },
  read: (object: KubeObject) => T,
  signal: AbortSignal,
): SharedPoll<ReadonlyMap<string, T>> & { latest(): ReadonlyMap<string, T> | undefined } {
  const { apiVersion, kind, namespace } = followed;
  let many = false;
  const list = sharedPoll(
    async () => {
      const found = new Map<string, T>();
      for await (const { items } of api.pages(apiVersion, kind, namespace === undefined ? {} : { namespace }))
        for (const item of items) found.set(item.metadata.name, read(item));
      many = found.size > few;
      return found;
    },
    () => everyMs,
  );
  const feed = watchAll(api, followed, new KeptByName(read), signal);
  return { next: (asking) => (many ? feed : list).next(asking), latest: () => feed.latest() };
}
type Named<T> = readonly [string, T];
class KeptByName<T> implements Kept<Named<T>, ReadonlyMap<string, T>> {
  readonly view = new Map<string, T>();
  readonly #of: (object: KubeObject) => T;
  constructor(of: (object: KubeObject) => T) {
    this.#of = of;
  }
  read(object: KubeObject): Named<T> {
    return [object.metadata.name, this.#of(object)];
  }
  replace(all: readonly Named<T>[]): void {
    this.view.clear();
    for (const one of all) this.put(one);
  }
  put([name, one]: Named<T>): void {
    this.view.set(name, one);
  }
  remove([name]: Named<T>): void {
    this.view.delete(name);
  }
}

const isPassing = (error: unknown): error is UserError =>
  error instanceof UnreachableError || (error instanceof KubeRefusal && error.status >= 500);

/** Over the bastion's one SSH connection. */
function throughBastion(access: Access, hosts: Hosts | undefined): Way {
  if (!hosts) throw new Error('the API is behind the bastion, and there is no SSH to it');
  return { name: `through ${nameOfBastion(access)}`, connect: (host, port) => hosts.tunnel(host, port) };
}

const leaseSchema = z.looseObject({ spec: z.looseObject({ renewTime: z.string().default('') }).prefault({}) });
const kubeletLeases = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  namespace: 'kube-node-lease',
  what: 'the leases of kubelets',
  everyMs: 300,
};
const renewedAt = (lease: KubeObject): number => Date.parse(leaseSchema.parse(lease).spec.renewTime);

const workloadKinds = [
  ['apps/v1', 'Deployment'],
  ['apps/v1', 'DaemonSet'],
  ['apps/v1', 'StatefulSet'],
  ['apiregistration.k8s.io/v1', 'APIService'],
] as const;
/** Everything of our addons that gets ready, by key. */
export async function listWorkloads(api: KubeApi, signal?: AbortSignal): Promise<ReadonlyMap<string, KubeObject>> {
  const options = { labelSelector: marks.addon, ...(signal ? { signal } : {}) };
  const lists = await Promise.all(workloadKinds.map(([apiVersion, kind]) => api.list(apiVersion, kind, options)));
  return new Map(lists.flat().map((object) => [keyOf(nameOfObject(object)), object]));
}
