import type { Bundle, FileContent } from '../components/bundle.ts';
import type { HostFacts } from '../host/host.ts';
import { filesOf, hostEnvPath, renderHostEnv, unitDirectory } from '../host/manifest.ts';
import { sha256 } from '../plan/canonical.ts';
import type { FieldChange } from '../plan/resource.ts';
import { patchOf, type Side } from './patch.ts';
import type { FileDiff } from './rollout.ts';

/** What a plan changes on one host, and what is known of what lies there. */
export interface HostChange {
  readonly host: string;
  /** Of `host.bundle/HOST`: which files, units and keys of the identity differ, and what only digests may tell. */
  readonly fields: readonly FieldChange[];
  /** Of `host.units/HOST`, where it differs: what runs older content than lies there. */
  readonly units?: readonly FieldChange[];
  readonly facts: HostFacts;
  /** Designs of which the host may hold files: the one in force, others of the record. Their texts are known without asking the host. */
  readonly known: readonly Bundle[];
  readonly after: Bundle;
}
/** Texts that were read from a host, by path; or why they could not be. */
export type ReadTexts = ReadonlyMap<string, string> | { readonly unread: string };

/** One file or unit that differs. */
export interface Entry {
  readonly path: string;
  readonly before: Side | undefined;
  readonly after: Side | undefined;
}

/**
 * Paths whose old text no design knows: somebody changed them on the host, or an older version of Slipway wrote them. Only what every design that names
 * it has as plain text: never a secret, and nothing that no design names, for that may have been one.
 */
export const textsToRead = (change: HostChange): readonly string[] =>
  wholesOf(change.fields).flatMap(({ path, field }) => {
    if (field.before === null || path === hostEnvPath || !isPlain(change, path)) return [];
    return lyingText(change, path) === undefined && digestOn(change.facts, path) !== undefined ? [path] : [];
  });

/** What differs on one host, file by file in the order of the design. Pure. */
export function entriesOf(change: HostChange, read: ReadTexts = new Map()): readonly Entry[] {
  const env = envEntry(change);
  return [...(env ? [env] : []), ...wholesOf(change.fields).map(({ path, field }) => entryOf(change, path, field, read))];
}

/** What differs between two designs of a host: of a machine that is made anew, where what lies on the old one matters to nobody. */
export function entriesOfDesigns(before: Bundle, after: Bundle): readonly Entry[] {
  const [old, now] = [contentsOf(before), contentsOf(after)];
  return [...new Set([...now.keys(), ...old.keys()])].flatMap((path) => {
    const [from, to] = [old.get(path), now.get(path)];
    if (from && to && from.mode === to.mode && JSON.stringify(from.content) === JSON.stringify(to.content)) return [];
    const side = (whole: Whole | undefined): Side | undefined => whole && { mode: whole.mode, content: shownOf(whole.content) };
    return [{ path, before: side(from), after: side(to) }];
  });
}

/** Unified diffs that were made already: by path and modes, then by the content before, then by that after. */
export type Patches = Map<string, Map<string, Map<string, string | undefined>>>;

/** Unified diffs. Those of many hosts are mostly equal, and made once: the caller keeps `patches` while it draws one rollout. */
export const diffsOf = (entries: readonly Entry[], patches: Patches = new Map()): readonly FileDiff[] =>
  entries.flatMap(({ path, before, after }) => {
    const head = [path, before?.mode, before?.disabled, before && kindOf(before), after?.mode, after && kindOf(after)].join(' ');
    const made = within(within(patches, head), before ? wordsOf(before) : '');
    const key = after ? wordsOf(after) : '';
    if (!made.has(key)) made.set(key, patchOf(path, before, after));
    const diff = made.get(key);
    return diff === undefined ? [] : [{ path, diff }];
  });
const kindOf = ({ content }: Side): string => ('text' in content ? 'text' : 'shown');
const wordsOf = ({ content }: Side): string => ('text' in content ? content.text : content.shown);
function within<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  let found = maps.get(key);
  if (!found) {
    found = new Map();
    maps.set(key, found);
  }
  return found;
}

/** A file or unit of a design. */
interface Whole {
  readonly mode?: string;
  readonly content: FileContent;
  /** Of a text. */
  readonly digest: string | undefined;
}
const contentsMemo = new WeakMap<Bundle, ReadonlyMap<string, Whole>>();
/** Files and units of a design by absolute path; a pool of 5,000 shares its bundle, and this. */
function contentsOf(bundle: Bundle): ReadonlyMap<string, Whole> {
  let contents = contentsMemo.get(bundle);
  if (!contents) {
    const digest = (content: FileContent) => ('text' in content ? sha256(content.text) : undefined);
    contents = new Map<string, Whole>([
      ...filesOf(bundle).map(({ path, mode, content }): [string, Whole] => [path, { mode, content, digest: digest(content) }]),
      ...bundle.units.map(({ name, text }): [string, Whole] => [
        `${unitDirectory}/${name}`,
        { content: { text }, digest: sha256(text) },
      ]),
    ]);
    contentsMemo.set(bundle, contents);
  }
  return contents;
}

/** The fields that stand for a whole file or unit, by absolute path. */
const wholesOf = (fields: readonly FieldChange[]): readonly { readonly path: string; readonly field: FieldChange }[] =>
  fields.flatMap((field) => {
    if (field.path.startsWith('files.')) return [{ path: field.path.slice('files.'.length), field }];
    if (field.path.startsWith('units.')) return [{ path: `${unitDirectory}/${field.path.slice('units.'.length)}`, field }];
    return [];
  });

const designsOf = ({ known, after }: HostChange, path: string): readonly Whole[] =>
  [after, ...known].flatMap((bundle) => contentsOf(bundle).get(path) ?? []);
const isPlain = (change: HostChange, path: string): boolean => {
  const designs = designsOf(change, path);
  return designs.length > 0 && designs.every(({ content }) => 'text' in content);
};

const unitName = (path: string): string => path.slice(unitDirectory.length + 1);
const digestOn = (facts: HostFacts, path: string): string | undefined =>
  facts.files.get(path)?.sha256 ?? (facts.units.get(unitName(path))?.sha256 || undefined);
/** The text that lies there, if it is that of a design. */
function lyingText(change: HostChange, path: string): string | undefined {
  const digest = digestOn(change.facts, path);
  const found = designsOf(change, path).find((whole) => whole.digest !== undefined && whole.digest === digest);
  return found && 'text' in found.content ? found.content.text : undefined;
}

function entryOf(change: HostChange, path: string, field: FieldChange, read: ReadTexts): Entry {
  const designed = contentsOf(change.after).get(path);
  const secret = designsOf(change, path).some(({ content }) => 'secret' in content);
  return {
    path,
    before:
      field.before === null
        ? undefined
        : {
            mode: change.facts.files.get(path)?.mode,
            disabled: change.facts.units.get(unitName(path))?.enabled === false,
            content: beforeOf(change, path, field, read),
          },
    after:
      field.after === null
        ? undefined
        : {
            mode: designed?.mode,
            content:
              designed && !(secret && 'text' in designed.content)
                ? shownOf(designed.content, field.after)
                : shownAs('', field.after),
          },
  };
}

function beforeOf(change: HostChange, path: string, field: FieldChange, read: ReadTexts): Side['content'] {
  const designs = designsOf(change, path);
  if (!isPlain(change, path)) {
    const [special] = designs.flatMap(({ content }) => ('text' in content ? [] : [content]));
    return special ? shownOf(special, field.before) : shownAs('of an earlier design', field.before);
  }
  const text = lyingText(change, path) ?? ('unread' in read ? undefined : read.get(path));
  if (text !== undefined) return { text };
  return shownAs(`not read${'unread' in read ? `: ${read.unread}` : ''}`, field.before);
}

/** What may be seen of a content: a text as it is, all else by its name and digest. */
function shownOf(content: FileContent, value?: FieldChange['after']): Side['content'] {
  if ('text' in content) return content;
  return shownAs('secret' in content ? `secret ${content.secret}` : `authorities ${content.authorities.join(', ')}`, value);
}
const shownAs = (name: string, value: FieldChange['after'] | undefined): Side['content'] => ({
  shown: [...(name === '' ? [] : [name]), ...digestText(value)].join(', '),
});
/** A mode is told by the mode's own lines. */
function digestText(value: FieldChange['after'] | undefined): readonly string[] {
  if (typeof value === 'string') return value.startsWith('mode ') ? [] : [`digest ${value}`];
  return typeof value === 'object' && value !== null && 'pending' in value ? [`known after ${String(value.pending)}`] : [];
}

/** host.env, whose keys differ one by one. Values that only a machine to be made can tell stand as such. */
function envEntry({ fields, facts }: HostChange): Entry | undefined {
  const keys = fields.filter(({ path }) => path.startsWith('identity.'));
  if (keys.length === 0) return undefined;
  const after = new Map(Object.entries(facts.identity));
  for (const { path, after: value } of keys) {
    const key = path.slice('identity.'.length);
    if (value === null) after.delete(key);
    else after.set(key, typeof value === 'string' ? value : digestText(value).join(''));
  }
  const text = (identity: Readonly<Record<string, string>>): Side => ({ content: { text: renderHostEnv(identity) } });
  return {
    path: hostEnvPath,
    before: Object.keys(facts.identity).length === 0 ? undefined : text(facts.identity),
    after: text(Object.fromEntries(after)),
  };
}
