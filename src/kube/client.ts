import { z } from 'zod';
import { UserError } from '../errors.ts';
import type { Credentials } from './clients.ts';
import { type ApiServer, type Call, type Http, KubeRefusal, openHttp } from './http.ts';
import { groupPath, type Kind, knownKinds } from './kinds.ts';
import { fieldManager, type KubeObject, kubeObjectSchema, type ObjectName } from './objects.ts';

export interface ListOptions {
  readonly labelSelector?: string;
  readonly namespace?: string;
  /** Names, labels, annotations and nothing else: a tenth of the bytes. */
  readonly metadataOnly?: boolean;
  readonly signal?: AbortSignal;
}
export interface Page {
  readonly items: readonly KubeObject[];
  /** Of the whole list: a watch goes on from here. */
  readonly resourceVersion: string;
}
export type Watched =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: KubeObject }
  /** Nothing has happened up to this version. */
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };
export interface PodName {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}
/** `refused`: by a disruption budget, by overload, or for a reason of its own. `causes`: budgets with their numbers, where it names any. */
export type Eviction =
  | { readonly state: 'accepted' | 'gone' }
  | { readonly state: 'refused'; readonly why: string; readonly causes: readonly string[]; readonly retryAfterMs: number };

/** The Kubernetes API as one user. Every call throws KubeRefusal (it said no) or UnreachableError (it said nothing). */
export interface KubeApi {
  readonly server: string;
  /** Undefined: there is none. */
  get(name: ObjectName, signal?: AbortSignal): Promise<KubeObject | undefined>;
  /** Empty too when the API does not know the kind. */
  list(apiVersion: string, kind: string, options?: ListOptions): Promise<readonly KubeObject[]>;
  /** A list page by page, for what is too much to hold as it comes. */
  pages(apiVersion: string, kind: string, options?: ListOptions): AsyncIterable<Page>;
  /**
   * What changes from a version on, for at most `seconds`. Throws KubeRefusal 410 when the API remembers that version no more, and
   * UnreachableError when it is cut.
   */
  watch(apiVersion: string, kind: string, from: WatchFrom): AsyncIterable<Watched>;
  /** Asks once for a pod's eviction, by its UID: repeating it is the caller's. What has been sent is brought to its end (10 s at most), also when `signal` aborts. */
  evict(pod: PodName, signal?: AbortSignal): Promise<Eviction>;
  /** Server-side apply: this field manager owns exactly the fields of `object`; conflicts are won. */
  apply(object: KubeObject, options?: { readonly manager?: string; readonly signal?: AbortSignal }): Promise<KubeObject>;
  /** JSON patch, merge patch or strategic merge patch, by content type. */
  patch(name: ObjectName, contentType: string, body: unknown, signal?: AbortSignal): Promise<KubeObject>;
  /** As patch, of what the object says of itself. */
  patchStatus(name: ObjectName, contentType: string, body: unknown, signal?: AbortSignal): Promise<KubeObject>;
  /**
   * Idempotent: what is not there is deleted. What it owns goes after it (the API's own default leaves the pods of a Job). With `only`
   * the API refuses (409) when it is another or has changed since.
   */
  delete(
    name: ObjectName,
    signal?: AbortSignal,
    only?: { readonly uid: string; readonly resourceVersion?: string; readonly gracePeriodSeconds?: number },
  ): Promise<void>;
  /** Undefined: the API does not know the kind. */
  kind(apiVersion: string, kind: string, signal?: AbortSignal): Promise<Kind | undefined>;
  /** GET of any path, as text: `/readyz?verbose`, `/version`. */
  raw(path: string, options?: Pick<Call, 'signal' | 'timeoutMs' | 'took'>): Promise<string>;
  close(): void;
}

export interface WatchFrom {
  readonly namespace?: string | undefined;
  readonly resourceVersion: string;
  readonly seconds: number;
  readonly signal?: AbortSignal;
}

export function openKube(server: ApiServer, current?: () => Promise<Credentials>): KubeApi {
  const http = openHttp(server, current);
  const kindOf = kindsBy(http);
  const path = async (name: Omit<ObjectName, 'name'>, signal?: AbortSignal): Promise<string> => {
    const { plural, namespaced } = await kindOf(name.apiVersion, name.kind, signal);
    const scope = namespaced && name.namespace ? `/namespaces/${encodeURIComponent(name.namespace)}` : '';
    return `${groupPath(name.apiVersion)}${scope}/${plural}`;
  };
  const one = async (name: ObjectName, signal?: AbortSignal): Promise<string> =>
    `${await path(name, signal)}/${encodeURIComponent(name.name)}`;
  const parse = (answer: unknown): KubeObject => kubeObjectSchema.parse(answer);
  async function* pages(
    apiVersion: string,
    kind: string,
    { labelSelector, namespace, metadataOnly = false, signal }: ListOptions = {},
  ): AsyncGenerator<Page> {
    let next = '';
    const base = await path({ apiVersion, kind, namespace }, signal);
    do {
      const query = new URLSearchParams({
        // All that a page takes is there at once: its text, its JSON, its objects.
        limit: '500',
        ...(labelSelector === undefined ? {} : { labelSelector }),
        ...(next === '' ? {} : { continue: next }),
      });
      const accept = metadataOnly ? 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' : 'application/json';
      const { items, metadata } = listSchema.parse(await http.json(`${base}?${query}`, { accept, signal }));
      // Items of a list carry neither, or (metadata only) those of PartialObjectMetadata.
      yield { items: items.map((item) => parse({ ...item, apiVersion, kind })), resourceVersion: metadata.resourceVersion };
      next = metadata.continue ?? '';
    } while (next !== '');
  }
  return {
    server: server.server,
    async get(name, signal) {
      return orMissing(async () => parse(await http.json(await one(name, signal), { signal })), undefined);
    },
    async list(apiVersion, kind, options) {
      return orMissing(async () => {
        const items: KubeObject[] = [];
        for await (const page of pages(apiVersion, kind, options)) items.push(...page.items);
        return items;
      }, []);
    },
    pages,
    async *watch(apiVersion, kind, { namespace, resourceVersion, seconds, signal }) {
      const query = new URLSearchParams({
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion,
        timeoutSeconds: String(seconds),
      });
      // Twice the time: the server ends it, unless it is frozen.
      const call = { signal, timeoutMs: seconds * 2000 };
      for await (const line of http.lines(`${await path({ apiVersion, kind, namespace }, signal)}?${query}`, call)) {
        const event = watchSchema.parse(JSON.parse(line));
        if (event.type === 'ERROR') throw watchRefusal(apiVersion, kind, event.object);
        if (event.type !== 'BOOKMARK') yield { type: event.type, object: parse({ ...event.object, apiVersion, kind }) };
        else yield { type: event.type, resourceVersion: bookmarkSchema.parse(event.object).metadata.resourceVersion };
      }
    },
    async evict({ namespace, name, uid }, signal) {
      const body = {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name, namespace },
        deleteOptions: { preconditions: { uid } },
      };
      const target = `${await one({ apiVersion: 'v1', kind: 'Pod', name, namespace }, signal)}/eviction`;
      try {
        await http.text(target, { method: 'POST', body, signal, timeoutMs: evictionMs, atOnce: true, whole: true });
        return { state: 'accepted' };
      } catch (error) {
        if (!(error instanceof KubeRefusal) || error.status === 401) throw error;
        if (error.status === 404) return { state: 'gone' };
        const { causes, retryAfterMs } = error;
        return { state: 'refused', why: error.problem.what, causes, retryAfterMs };
      }
    },
    async apply(object, { manager = fieldManager, signal } = {}) {
      const { apiVersion, kind, metadata } = object;
      const target = await one({ apiVersion, kind, name: metadata.name, namespace: metadata.namespace }, signal);
      const query = new URLSearchParams({ fieldManager: manager, force: 'true' });
      return parse(
        await http.json(`${target}?${query}`, {
          method: 'PATCH',
          body: object,
          contentType: 'application/apply-patch+yaml',
          signal,
        }),
      );
    },
    async patch(name, contentType, body, signal) {
      const query = new URLSearchParams({ fieldManager });
      return parse(await http.json(`${await one(name, signal)}?${query}`, { method: 'PATCH', body, contentType, signal }));
    },
    async patchStatus(name, contentType, body, signal) {
      const query = new URLSearchParams({ fieldManager });
      return parse(await http.json(`${await one(name, signal)}/status?${query}`, { method: 'PATCH', body, contentType, signal }));
    },
    async delete(name, signal, only) {
      const { gracePeriodSeconds, ...preconditions } = only ?? {};
      const body = {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy: 'Background',
        ...(only && { preconditions }),
        ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      };
      await orMissing(async () => http.text(await one(name, signal), { method: 'DELETE', body, signal }), '');
    },
    kind: (apiVersion, kind, signal) => orMissing(() => kindOf(apiVersion, kind, signal), undefined),
    raw: (target, options) => http.text(target, { accept: '*/*', ...options }),
    close: () => http.close(),
  };
}

const listSchema = z.object({
  metadata: z.object({ continue: z.string().optional(), resourceVersion: z.string().default('') }).prefault({}),
  items: z
    .array(z.record(z.string(), z.unknown()))
    .nullable()
    .transform((items) => items ?? []),
});

/** An eviction waits for nothing but etcd and webhooks. */
const evictionMs = 10_000;
const watchSchema = z.object({
  type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']),
  object: z.record(z.string(), z.unknown()),
});
const bookmarkSchema = z.object({ metadata: z.object({ resourceVersion: z.string() }) });
const errorSchema = z.object({ code: z.number().default(500), reason: z.string().default(''), message: z.string().default('') });
const watchRefusal = (apiVersion: string, kind: string, status: unknown): KubeRefusal => {
  const { code, reason, message } = errorSchema.parse(status);
  return new KubeRefusal(`${apiVersion} ${kind}`, code, { reason, message, details: { causes: [] } });
};

/** A kind that the API does not serve: of a CustomResourceDefinition that is not there, or not yet. */
export class UnknownKind extends UserError {
  override readonly name = 'UnknownKind';
}

async function orMissing<T, M>(ask: () => Promise<T>, missing: M): Promise<T | M> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof UnknownKind || (error instanceof KubeRefusal && error.status === 404)) return missing;
    throw error;
  }
}

const discoverySchema = z.object({
  resources: z.array(z.object({ name: z.string(), kind: z.string(), namespaced: z.boolean() })),
});

function kindsBy(http: Http) {
  const discovered = new Map<string, ReadonlyMap<string, Kind>>();
  return async (apiVersion: string, kind: string, signal?: AbortSignal): Promise<Kind> => {
    const known = knownKinds.get(`${apiVersion}/${kind}`) ?? discovered.get(apiVersion)?.get(kind);
    if (known) return known;
    // Asked again each time until it is there: a CustomResourceDefinition may have been applied a moment ago.
    const { resources } = discoverySchema.parse(await http.json(groupPath(apiVersion), { signal }));
    const kinds = new Map<string, Kind>();
    for (const { name, kind: own, namespaced } of resources)
      if (!name.includes('/')) kinds.set(own, { plural: name, namespaced });
    discovered.set(apiVersion, kinds);
    const found = kinds.get(kind);
    if (found) return found;
    throw new UnknownKind({ what: `the Kubernetes API knows no ${kind} in ${apiVersion}` });
  };
}
