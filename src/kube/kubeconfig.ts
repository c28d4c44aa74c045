import { type Document, isMap, isSeq, parseDocument, stringify, YAMLMap, YAMLSeq } from 'yaml';
import { z } from 'zod';
import { messageOf, UserError } from '../errors.ts';
import { canonicalJson } from '../plan/canonical.ts';
import { changeKubeconfig, type Written } from './kubeconfig-file.ts';

/** What we put into a kubeconfig: one cluster, one user and one context, all under one name. */
export interface KubeconfigEntry {
  readonly name: string;
  readonly server: string;
  readonly tlsServerName: string;
  /** What kubectl connects through: `http://`, `https://` or `socks5://`. */
  readonly proxyUrl?: string | undefined;
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

const base64 = (pem: string): string => Buffer.from(pem).toString('base64');
const sections = ['clusters', 'users', 'contexts'] as const;
type Section = (typeof sections)[number];

const itemsOf = (entry: KubeconfigEntry): Record<Section, object> => ({
  clusters: {
    name: entry.name,
    cluster: {
      server: entry.server,
      'tls-server-name': entry.tlsServerName,
      ...(entry.proxyUrl === undefined ? {} : { 'proxy-url': entry.proxyUrl }),
      'certificate-authority-data': base64(entry.caPem),
    },
  },
  users: {
    name: entry.name,
    user: { 'client-certificate-data': base64(entry.certPem), 'client-key-data': base64(entry.keyPem) },
  },
  contexts: { name: entry.name, context: { cluster: entry.name, user: entry.name } },
});

/** A kubeconfig of its own: for stdout, or a file for one cluster. */
export function renderKubeconfig(entry: KubeconfigEntry): string {
  const { clusters, users, contexts } = itemsOf(entry);
  return stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [clusters],
      users: [users],
      contexts: [contexts],
      'current-context': entry.name,
    },
    { lineWidth: 0 },
  );
}

/** Merges a kubeconfig that `renderKubeconfig` made into the user's file. */
export const writeMerged = (file: string, ours: string): Promise<Written> =>
  changeKubeconfig(file, (existing) => mergeKubeconfig(existing, readEntry(ours), file));

const first = <T extends z.ZodType>(item: T) => z.tuple([item]).transform(([only]) => only);
const entrySchema = z.object({
  'current-context': z.string(),
  clusters: first(
    z.object({
      cluster: z.object({
        server: z.string(),
        'tls-server-name': z.string(),
        'proxy-url': z.string().optional(),
        'certificate-authority-data': z.base64(),
      }),
    }),
  ),
  users: first(z.object({ user: z.object({ 'client-certificate-data': z.base64(), 'client-key-data': z.base64() }) })),
});
function readEntry(text: string): KubeconfigEntry {
  const { 'current-context': name, clusters, users } = entrySchema.parse(parseDocument(text).toJS());
  const decode = (data: string): string => Buffer.from(data, 'base64').toString();
  return {
    name,
    server: clusters.cluster.server,
    tlsServerName: clusters.cluster['tls-server-name'],
    proxyUrl: clusters.cluster['proxy-url'],
    caPem: decode(clusters.cluster['certificate-authority-data']),
    certPem: decode(users.user['client-certificate-data']),
    keyPem: decode(users.user['client-key-data']),
  };
}

/**
 * The user's kubeconfig with our entries and our context as the current one. Everything else stays: other entries, unknown keys,
 * order, comments. Throws UserError when the text is no kubeconfig, or when it could not be kept whole.
 */
export function mergeKubeconfig(existing: string | undefined, entry: KubeconfigEntry, file = 'kubeconfig'): string {
  if (existing === undefined || existing.trim() === '') return renderKubeconfig(entry);
  const document = parse(existing, file);
  if (document.contents === null) return `${existing.trimEnd()}\n${renderKubeconfig(entry)}`;
  const items = itemsOf(entry);
  for (const section of sections) {
    const list = sectionOf(document, section, file);
    const own = document.createNode(items[section]);
    const [first, ...doubles] = indexesOf(list, entry.name);
    if (first === undefined) list.items.push(own);
    else list.items[first] = own;
    for (const index of doubles.reverse()) list.items.splice(index, 1);
  }
  document.set('current-context', entry.name);
  if (!document.has('apiVersion')) document.set('apiVersion', 'v1');
  if (!document.has('kind')) document.set('kind', 'Config');
  return checked(existing, print(document, file), entry.name, file);
}

/** The user's kubeconfig without our entries: for a cluster that is gone. A current context of ours is unset. */
export function removeFromKubeconfig(existing: string, name: string, file = 'kubeconfig'): string {
  const document = parse(existing, file);
  if (document.contents === null) return existing;
  let found = false;
  for (const section of sections) {
    const list = document.get(section);
    if (!isSeq(list)) continue;
    for (const index of indexesOf(list, name).reverse()) {
      list.items.splice(index, 1);
      found = true;
    }
  }
  if (document.get('current-context') === name) {
    document.set('current-context', '');
    found = true;
  }
  return found ? checked(existing, print(document, file), name, file) : existing;
}

function parse(text: string, file: string): Document {
  // Merge keys and the like are the user's; what is a warning to the parser is no reason to refuse.
  const document = parseDocument(text, { keepSourceTokens: false });
  const [problem] = document.errors;
  if (problem) throw broken(file, problem.message);
  const { contents } = document;
  if (contents !== null && !isMap(contents)) throw broken(file, 'it is no mapping of keys to values');
  const kind = document.get('kind');
  if (kind !== undefined && kind !== null && kind !== 'Config') throw broken(file, `its kind is ${String(kind)}, not Config`);
  return document;
}

function sectionOf(document: Document, section: Section, file: string): YAMLSeq {
  const list = document.get(section);
  if (isSeq(list)) return list;
  if (list !== undefined && list !== null) throw broken(file, `${section} is no list`);
  const fresh = new YAMLSeq();
  document.set(section, fresh);
  return fresh;
}

const indexesOf = (list: YAMLSeq, name: string): number[] =>
  list.items.flatMap((item, index) => (item instanceof YAMLMap && item.get('name') === name ? [index] : []));

function print(document: Document, file: string): string {
  try {
    return document.toString({ lineWidth: 0 });
  } catch (error) {
    // An alias elsewhere points into an entry of ours.
    throw broken(file, messageOf(error));
  }
}

const configSchema = z.record(z.string(), z.unknown());
const namedSchema = z.looseObject({ name: z.unknown() });

/** The user's file is worth a proof: read both again; all that is not ours must be the same data. */
function checked(before: string, after: string, name: string, file: string): string {
  if (canonicalJson(others(before, name)) !== canonicalJson(others(after, name)))
    throw broken(file, 'it is written in a way in which it cannot be changed without loss (aliases into an entry?)');
  return after;
}
function others(text: string, name: string): unknown {
  const config = configSchema.parse(parseDocument(text).toJS() ?? {});
  const { 'current-context': _current, apiVersion: _version, kind: _kind, ...rest } = config;
  for (const section of sections) {
    const list = rest[section];
    const items: readonly unknown[] = Array.isArray(list) ? list : [];
    rest[section] = items.filter((item) => namedSchema.safeParse(item).data?.name !== name);
  }
  return rest;
}

const broken = (file: string, why: string): UserError =>
  new UserError({
    what: 'this kubeconfig is not touched, because it cannot be read as one',
    where: file,
    why,
    next: 'mend or move the file; or print ours: cluster kubeconfig --stdout',
  });
