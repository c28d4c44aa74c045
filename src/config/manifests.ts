import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseAllDocuments, type Tags, visit } from 'yaml';
import type { Finding } from './finding.ts';
import { readManifestFiles } from './manifest-files.ts';
import { isFields, type ManifestObject, manifestKey, toManifestObject } from './manifest-object.ts';
import { error, type RuleFinding } from './rules/rule.ts';

/** One object of addons.manifests. */
export interface Manifest {
  readonly key: string;
  /** file:line */
  readonly where: string;
  readonly object: ManifestObject;
}
export interface ReadManifests {
  readonly manifests: readonly Manifest[];
  /** Of entries of addons.manifests, for a place in cluster.yaml. */
  readonly ofEntries: readonly RuleFinding[];
  /** Of what the files hold, with the place there. */
  readonly ofFiles: readonly Finding[];
}

const check = 'addons.manifest';
const mostObjects = 5000;

/** Reads all files of addons.manifests. Throws nothing: whatever is wrong is among the findings. */
export async function readManifests(clusterFile: string, entries: readonly string[]): Promise<ReadManifests> {
  const read = await Promise.all(entries.map((entry) => readManifestFiles(clusterFile, entry)));
  const ofEntries = read.flatMap(({ problems }, i) =>
    problems.map(({ what, ...details }) => error(check, ['addons', 'manifests', i], what, details)),
  );
  const parsed = read.flatMap(({ files }) => files.map(({ name, text }) => parseManifest(text, name)));
  const manifests = parsed.flatMap((one) => one.manifests);
  const ofFiles = [...parsed.flatMap(({ problems }) => problems), ...duplicates(manifests)];
  const [first] = manifests;
  if (first && manifests.length > mostObjects)
    ofFiles.push({
      severity: 'error',
      check,
      where: clusterFile,
      what: `addons.manifests hold ${manifests.length} objects; they may hold ${mostObjects}`,
    });
  return { manifests, ofEntries, ofFiles };
}

function duplicates(manifests: readonly Manifest[]): readonly Finding[] {
  const seen = new Map<string, Manifest>();
  return manifests.flatMap((manifest): readonly Finding[] => {
    const first = seen.get(manifest.key);
    if (!first) {
      seen.set(manifest.key, manifest);
      return [];
    }
    return [
      {
        severity: 'error',
        check,
        where: manifest.where,
        what: `${manifest.key} is given twice`,
        why: `it is at ${first.where} already`,
        next: 'remove one of the two',
      },
    ];
  });
}

/** Kubernetes reads YAML 1.1 (0644 is octal, `on` is true) with 0o17 of 1.2; times and numbers to the base of 60 are text. */
const kubernetesTags = (tags: Tags): Tags => [
  ...tags.filter(
    (tag) =>
      typeof tag === 'string' ||
      !(('format' in tag && tag.format === 'TIME') || /:(timestamp|binary|omap|pairs|set)$/.test(tag.tag)),
  ),
  {
    tag: 'tag:yaml.org,2002:int',
    default: true,
    test: /^0o[0-7]+$/,
    resolve: (text: string) => Number.parseInt(text.slice(2), 8),
  },
];
const maxAliases = 100;

/** All objects of one text in YAML or JSON: its documents, and what is in lists. */
export function parseManifest(
  text: string,
  file: string,
): { readonly manifests: readonly Manifest[]; readonly problems: readonly Finding[] } {
  const lines = new LineCounter();
  const at = (offset: number): string => `${file}:${Math.max(1, lines.linePos(offset).line)}`;
  const manifests: Manifest[] = [];
  const problems: Finding[] = [];
  const wrong = (where: string, what: string, next?: string): void =>
    void problems.push({ severity: 'error', check, where, what, ...(next === undefined ? {} : { next }) });
  try {
    const documents = parseAllDocuments(text, {
      lineCounter: lines,
      prettyErrors: false,
      // Compared below: the library compares each with each.
      uniqueKeys: false,
      version: '1.1',
      merge: true,
      customTags: kubernetesTags,
      logLevel: 'error',
    });
    for (const document of documents) {
      const [bad] = [...document.errors, ...document.warnings];
      if (bad) {
        wrong(at(bad.pos[0]), `Not valid YAML: ${withoutSource(bad.message)}`);
        continue;
      }
      const twice = duplicateKey(document);
      if (twice) {
        wrong(at(twice.offset), `The key ${JSON.stringify(twice.key.slice(0, 80))} is given twice`, 'remove one of the two');
        continue;
      }
      const value: unknown = document.toJS({ maxAliasCount: maxAliases });
      // Between two `---` there may be nothing but a comment.
      if (value === null || value === undefined) continue;
      collect(document, value, []);
    }
  } catch (thrown) {
    if (thrown instanceof ReferenceError)
      wrong(
        `${file}:1`,
        /unresolved/i.test(thrown.message)
          ? 'An alias (*name) has no anchor (&name) before it'
          : `The file uses more than ${maxAliases} aliases`,
        'write the values out',
      );
    else if (thrown instanceof RangeError) wrong(`${file}:1`, 'The file is nested too deeply');
    else throw thrown;
  }
  return { manifests, problems };

  function collect(document: Document.Parsed, value: unknown, path: readonly (string | number)[]): void {
    const place = (inner: readonly (string | number)[]): string => at(offsetOf(document, [...path, ...inner]));
    if (!isFields(value)) {
      wrong(place([]), 'This is no Kubernetes object, but text, a number or a list');
      return;
    }
    const odd = notJson(value, []);
    if (odd) {
      wrong(place(odd), `${odd.join('.')} cannot be said in JSON`);
      return;
    }
    const { kind, items } = value;
    if (typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items)) {
      const ofItem = kind === 'List' ? {} : { apiVersion: value.apiVersion, kind: kind.slice(0, -'List'.length) };
      for (const [i, item] of items.entries())
        collect(document, isFields(item) ? { ...ofItem, ...item } : item, [...path, 'items', i]);
      return;
    }
    const { object, problems: found } = toManifestObject(value);
    for (const problem of found) wrong(place(problem.path), problem.what, problem.next);
    if (!object) return;
    const { apiVersion, metadata } = object;
    manifests.push({ key: manifestKey(apiVersion, object.kind, metadata.namespace, metadata.name), where: place([]), object });
  }
}

/** The library's messages quote the file, which may hold a secret. */
const withoutSource = (message: string): string => message.replace(/\s*["'`][\s\S]*$/, '').replace(/[:,]\s*$/, '');

function duplicateKey(document: Document.Parsed): { readonly key: string; readonly offset: number } | undefined {
  let found: { key: string; offset: number } | undefined;
  visit(document, {
    Map(_, map) {
      const seen = new Set<string>();
      for (const { key } of map.items) {
        const text = isScalar(key) ? String(key.value ?? '') : undefined;
        if (text === undefined || text === '<<') continue;
        if (seen.has(text)) {
          found = { key: text, offset: isNode(key) ? (key.range?.[0] ?? 0) : 0 };
          return visit.BREAK;
        }
        seen.add(text);
      }
      return undefined;
    },
  });
  return found;
}

/** Where a value is, or the nearest above it that the document has. */
function offsetOf(document: Document.Parsed, path: readonly (string | number)[]): number {
  for (let length = path.length; length > 0; length--) {
    const parent: unknown = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    if (isMap(parent)) {
      const key = parent.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(last))?.key;
      if (isNode(key)) return key.range?.[0] ?? 0;
    }
    if (isSeq(parent) && typeof last === 'number') {
      const item = parent.items[last];
      if (isNode(item)) return item.range?.[0] ?? 0;
    }
  }
  return document.contents?.range?.[0] ?? 0;
}

/** The path to what YAML can say and JSON cannot: an infinite number, a mapping with keys that are no text. */
function notJson(value: unknown, path: readonly string[]): readonly string[] | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : path;
  if (Array.isArray(value) || (isFields(value) && Object.getPrototypeOf(value) === Object.prototype)) {
    for (const [key, inner] of Object.entries(value)) {
      const odd = notJson(inner, [...path, key]);
      if (odd) return odd;
    }
    return undefined;
  }
  return path;
}
