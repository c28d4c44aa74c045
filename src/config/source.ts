import {
  type Alias,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  visit,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import type { Path } from './path.ts';

/** A place in the file, both from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}
export interface SyntaxProblem {
  readonly position: Position;
  readonly check: string;
  readonly what: string;
  readonly why?: string;
  readonly next?: string;
}
/** A YAML file as data, with the way back from data to places. */
export interface Source {
  readonly value: unknown;
  /** The place of a value, or of its key; of the nearest parent that the file has, where it has none. */
  positionOf(path: Path, which?: 'key' | 'value'): Position;
  has(path: Path): boolean;
  /** A scalar as it is written: `1.30`, where the value is 1.3. */
  written(path: Path): string | undefined;
}

const maxAliases = 100;

/** Parses one YAML 1.2 document. Never throws: whatever is wrong is in `problems`, and `source` is there only if nothing is. */
export function readSource(text: string): { readonly problems: readonly SyntaxProblem[]; readonly source?: Source } {
  const lines = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  let document: Document.Parsed;
  try {
    // Keys are compared below: the library compares each with each, which takes a minute for a hostile megabyte.
    document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      version: '1.2',
      schema: 'core',
      logLevel: 'error',
    });
  } catch (error) {
    return { problems: [tooDeep(error)] };
  }
  const deep = document.errors.find((error) => isOverflow(error));
  if (deep) return { problems: [tooDeep(deep)] };
  if (document.errors.length > 0 || document.warnings.length > 0)
    return { problems: [...document.errors, ...document.warnings].map((error) => explain(error, text, at)) };
  try {
    const problems = [...checkStructure(document, at)];
    if (problems.length > 0) return { problems };
    const value: unknown = document.toJS({ maxAliasCount: maxAliases });
    return { problems: [], source: { value, ...lookups(document, at) } };
  } catch (error) {
    if (error instanceof ReferenceError) return { problems: [aliasBomb({ line: 1, column: 1 })] };
    return { problems: [tooDeep(error)] };
  }
}

const isOverflow = (error: unknown): boolean =>
  error instanceof RangeError || (error instanceof Error && /call stack/.test(error.message));

function tooDeep(error: unknown): SyntaxProblem {
  const what = isOverflow(error)
    ? 'The file is nested too deeply'
    : `The file cannot be read as YAML: ${error instanceof Error ? error.message : String(error)}`;
  return {
    position: { line: 1, column: 1 },
    check: 'config.syntax',
    what,
    next: 'Write a cluster.yaml as `cluster init` makes it',
  };
}
const aliasBomb = (position: Position): SyntaxProblem => ({
  position,
  check: 'config.aliases',
  what: `The file uses more than ${maxAliases} aliases (*name)`,
  why: 'nested aliases can stand for more text than fits into memory',
  next: 'write the values out',
});

function explain(error: YAMLError, text: string, at: (offset: number) => Position): SyntaxProblem {
  const position = at(error.pos[0]);
  const problem = (what: string, next?: string): SyntaxProblem => ({
    position,
    check: 'config.syntax',
    what,
    ...(next === undefined ? {} : { next }),
  });
  switch (error.code) {
    case 'TAB_AS_INDENT': {
      // The library points behind the tab; the tab is what is to be found.
      const tab = text.lastIndexOf('\t', error.pos[0]);
      return {
        ...problem('A tab is used for indentation', 'indent with spaces: YAML allows no tabs there'),
        position: at(tab === -1 ? error.pos[0] : tab),
      };
    }
    case 'MULTIPLE_DOCS':
      return problem(
        'A second document begins here',
        'one file declares one cluster: remove what follows, or split the file at ---',
      );
    case 'TAG_RESOLVE_FAILED':
      return problem(`${error.message}: cluster.yaml has no tags`, 'remove the tag');
    default:
      return problem(`Not valid YAML: ${error.message}`);
  }
}

/** What the library takes, and a configuration must not have. */
function* checkStructure(document: Document.Parsed, at: (offset: number) => Position): Generator<SyntaxProblem> {
  const place = (node: unknown): Position => (isNode(node) ? at(node.range?.[0] ?? 0) : { line: 1, column: 1 });
  if (document.directives.yaml.explicit && document.directives.yaml.version !== '1.2')
    yield {
      position: { line: 1, column: 1 },
      check: 'config.syntax',
      what: 'The file says that it is YAML 1.1',
      next: 'remove the %YAML line: cluster.yaml is YAML 1.2',
    };
  const maps: YAMLMap[] = [];
  const aliases: Alias[] = [];
  visit(document, { Map: (_, map) => void maps.push(map), Alias: (_, alias) => void aliases.push(alias) });
  if (aliases.length > maxAliases) return yield aliasBomb(place(aliases[maxAliases]));
  for (const alias of aliases) {
    const target = alias.resolve(document);
    const [start, , end] = target?.range ?? [0, 0, 0];
    const own = alias.range?.[0] ?? 0;
    if (!target) yield { position: at(own), check: 'config.aliases', what: `No anchor &${alias.source} comes before this alias` };
    else if (isCollection(target) && own >= start && own < end)
      yield {
        position: at(own),
        check: 'config.aliases',
        what: `The alias *${alias.source} stands inside of what it stands for`,
      };
  }
  for (const map of maps) {
    const seen = new Map<string, Position>();
    for (const { key } of map.items) {
      if (!isScalar(key)) {
        yield {
          position: place(key),
          check: 'config.syntax',
          what: 'A key must be plain text, and this is a list, mapping or alias',
        };
        continue;
      }
      const text = String(key.value ?? '');
      const first = seen.get(text);
      if (first)
        yield {
          position: place(key),
          check: 'config.duplicate-key',
          what: `The key ${JSON.stringify(text)} is given twice`,
          why: `it is at line ${first.line} already`,
          next: 'remove one of the two',
        };
      else seen.set(text, place(key));
    }
  }
}

function lookups(document: Document.Parsed, at: (offset: number) => Position): Omit<Source, 'value'> {
  const resolve = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  // A finding for each of a hundred thousand keys must not search them all.
  const indexes = new WeakMap<YAMLMap, Map<string, Pair>>();
  const pairOf = (map: YAMLMap, part: string | number): Pair | undefined => {
    let index = indexes.get(map);
    if (!index) {
      index = new Map(map.items.flatMap((pair) => (isScalar(pair.key) ? [[String(pair.key.value ?? ''), pair] as const] : [])));
      indexes.set(map, index);
    }
    return index.get(String(part));
  };
  /** The nodes on the way, as far as the file has them. */
  const follow = (path: Path): { readonly found: number; readonly key: unknown; readonly value: unknown } => {
    let value: unknown = document.contents;
    let key: unknown = value;
    for (const [index, part] of path.entries()) {
      const parent = resolve(value);
      if (isMap(parent)) {
        const pair = pairOf(parent, part);
        if (!pair) return { found: index, key, value };
        key = pair.key;
        value = pair.value ?? pair.key;
      } else if (isSeq(parent) && typeof part === 'number' && parent.items[part] !== undefined) {
        key = parent.items[part];
        value = key;
      } else return { found: index, key, value };
    }
    return { found: path.length, key, value };
  };
  return {
    positionOf(path, which = 'value') {
      const { found, key, value } = follow(path);
      // Of a value that the file does not have, the nearest key says best where it would be.
      const node = which === 'key' || found < path.length ? key : value;
      return at(
        isNode(node) && found > 0 ? (node.range?.[0] ?? 0) : isNode(document.contents) ? (document.contents.range?.[0] ?? 0) : 0,
      );
    },
    has: (path) => follow(path).found === path.length,
    written(path) {
      const { found, value } = follow(path);
      const node = resolve(value);
      return found === path.length && isScalar(node) ? node.source : undefined;
    },
  };
}
