import { z } from 'zod';
import { UserError } from '../errors.ts';
import { type ApiServer, type Http, KubeRefusal, openHttp } from './http.ts';
import { groupPath, type Kind, knownKinds } from './kinds.ts';
import { fieldManager, type KubeObject, kubeObjectSchema, type ObjectName } from './objects.ts';

export interface ListOptions {
  readonly labelSelector?: string;
  readonly namespace?: string;
  /** Names, labels, annotations and nothing else: a tenth of the bytes. */
  readonly metadataOnly?: boolean;
  readonly signal?: AbortSignal;
}
/** The Kubernetes API as one user. Every call throws KubeRefusal (it said no) or UnreachableError (it said nothing). */
export interface KubeApi {
  readonly server: string;
  /** Undefined: there is none. */
  get(name: ObjectName, signal?: AbortSignal): Promise<KubeObject | undefined>;
  /** Empty too when the API does not know the kind. */
  list(apiVersion: string, kind: string, options?: ListOptions): Promise<readonly KubeObject[]>;
  /** Server-side apply: this field manager owns exactly the fields of `object`; conflicts are won. */
  apply(object: KubeObject, options?: { readonly manager?: string; readonly signal?: AbortSignal }): Promise<KubeObject>;
  /** JSON patch, merge patch or strategic merge patch, by content type. */
  patch(name: ObjectName, contentType: string, body: unknown, signal?: AbortSignal): Promise<KubeObject>;
  /**
   * Idempotent: what is not there is deleted. What it owns goes after it (the API's own default leaves the pods of a Job). With `only`
   * the API refuses (409) when it is another or has changed since.
   */
  delete(
    name: ObjectName,
    signal?: AbortSignal,
    only?: { readonly uid: string; readonly resourceVersion: string },
  ): Promise<void>;
  /** Undefined: the API does not know the kind. */
  kind(apiVersion: string, kind: string, signal?: AbortSignal): Promise<Kind | undefined>;
  /** GET of any path, as text: `/readyz?verbose`, `/version`. */
  raw(path: string, options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<string>;
  close(): void;
}

export function openKube(server: ApiServer): KubeApi {
  const http = openHttp(server);
  const kindOf = kindsBy(http);
  const path = async (name: Omit<ObjectName, 'name'>, signal?: AbortSignal): Promise<string> => {
    const { plural, namespaced } = await kindOf(name.apiVersion, name.kind, signal);
    const scope = namespaced && name.namespace ? `/namespaces/${encodeURIComponent(name.namespace)}` : '';
    return `${groupPath(name.apiVersion)}${scope}/${plural}`;
  };
  const one = async (name: ObjectName, signal?: AbortSignal): Promise<string> =>
    `${await path(name, signal)}/${encodeURIComponent(name.name)}`;
  const parse = (answer: unknown): KubeObject => kubeObjectSchema.parse(answer);
  return {
    server: server.server,
    async get(name, signal) {
      return orMissing(async () => parse(await http.json(await one(name, signal), { signal })), undefined);
    },
    async list(apiVersion, kind, { labelSelector, namespace, metadataOnly = false, signal } = {}) {
      return orMissing(async () => {
        const items: KubeObject[] = [];
        let next = '';
        const base = await path({ apiVersion, kind, namespace }, signal);
        do {
          const query = new URLSearchParams({
            limit: '1000',
            ...(labelSelector === undefined ? {} : { labelSelector }),
            ...(next === '' ? {} : { continue: next }),
          });
          const accept = metadataOnly ? 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' : 'application/json';
          const page = listSchema.parse(await http.json(`${base}?${query}`, { accept, signal }));
          // Items of a list carry neither, or (metadata only) those of PartialObjectMetadata.
          for (const item of page.items) items.push(parse({ ...item, apiVersion, kind }));
          next = page.metadata.continue ?? '';
        } while (next !== '');
        return items;
      }, []);
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
    async delete(name, signal, only) {
      const body = {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy: 'Background',
        ...(only && { preconditions: only }),
      };
      await orMissing(async () => http.text(await one(name, signal), { method: 'DELETE', body, signal }), '');
    },
    kind: (apiVersion, kind, signal) => orMissing(() => kindOf(apiVersion, kind, signal), undefined),
    raw: (target, { signal, timeoutMs } = {}) =>
      http.text(target, { accept: '*/*', signal, ...(timeoutMs ? { timeoutMs } : {}) }),
    close: () => http.close(),
  };
}

const listSchema = z.object({
  metadata: z.object({ continue: z.string().optional() }).default({}),
  items: z
    .array(z.record(z.string(), z.unknown()))
    .nullable()
    .transform((items) => items ?? []),
});

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
