import { isDeepStrictEqual } from 'node:util';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  LineCounter,
  type Pair,
  parseDocument,
  type Scalar,
  visit,
  type YAMLMap,
} from 'yaml';
import { exitCodes, type Problem, UserError } from '../errors.ts';
import { isFields } from './manifest-object.ts';
import { readSource } from './source.ts';
import { kubernetesVersions, nearestVersion } from './versions.ts';

/** Text to put in the place of what lies between two offsets. */
interface Splice {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/**
 * The text of a cluster.yaml with kubernetes.version set: all else stays, byte for byte, comments and line ends too. Throws UserError where the version
 * is written in a way that it cannot be changed alone: by an alias, or with an anchor that others use.
 */
export function setVersion(text: string, version: string, file = 'cluster.yaml'): string {
  if (!/^\d+\.\d+\.\d+$/.test(version))
    throw new UserError(
      { what: `${JSON.stringify(version.slice(0, 40))} is not a version`, next: 'Name all three parts, such as 1.36.3' },
      exitCodes.usage,
    );
  // Of the edited file it would be said with a line of this one, which says another version.
  if (!kubernetesVersions.includes(version))
    throw new UserError(
      {
        what: `Kubernetes ${version} is not among the versions that Slipway installs: ${kubernetesVersions.join(', ')}`,
        next: `such as ${nearestVersion(version, kubernetesVersions)}`,
      },
      exitCodes.usage,
    );
  const before = readSource(text).source?.value;
  const fail = (problem: Omit<Problem, 'where'>, offset = 0): UserError => {
    const { line, col } = lines.linePos(offset);
    return new UserError({ where: `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}`, ...problem }, exitCodes.config);
  };
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    version: '1.2',
    schema: 'core',
    uniqueKeys: false,
    logLevel: 'error',
  });
  const top = document.contents;
  if (!isFields(before) || !isMap(top))
    throw fail({ what: 'The file is not a valid cluster.yaml', next: `Correct it: cluster validate -f ${file}` });
  const wanted = { ...before, kubernetes: { ...(isFields(before.kubernetes) ? before.kubernetes : {}), version } };
  if (isDeepStrictEqual(before, wanted)) return text;

  const byHand = `Set kubernetes.version: ${version} by hand`;
  const kubernetes = pairOf(top, 'kubernetes');
  const pair = isMap(kubernetes?.value) ? pairOf(kubernetes.value, 'version') : undefined;
  for (const { value } of [kubernetes, pair].filter((one) => one !== undefined)) {
    if (isAlias(value))
      throw fail(
        {
          what: `The version of Kubernetes comes from the alias *${value.source}`,
          why: 'other values come from there too',
          next: byHand,
        },
        value.range?.[0],
      );
    const user = isMap(value) || isScalar(value) ? aliasOf(document, value.anchor) : undefined;
    if (user !== undefined)
      throw fail(
        { what: `The version of Kubernetes is also used elsewhere, by the alias *${user.source}`, next: byHand },
        user.range?.[0],
      );
  }
  const merge = isMap(kubernetes?.value) && !pair ? pairOf(kubernetes.value, '<<') : undefined;
  if (merge) throw fail({ what: 'The version of Kubernetes comes from a merge key (<<)', next: byHand }, offsetOf(merge));

  // What is right is decided by reading the outcome: places that are odd make one way of writing fail, and the next is tried.
  for (const { from, to, text: put } of splices(text, version, top, kubernetes, pair)) {
    const after = text.slice(0, from) + put + text.slice(to);
    if (isDeepStrictEqual(readSource(after).source?.value, wanted)) return after;
  }
  throw fail(
    { what: 'The version of Kubernetes cannot be changed here without changing more', next: byHand },
    offsetOf(pair ?? kubernetes),
  );
}

function splices(
  text: string,
  version: string,
  top: YAMLMap,
  kubernetes: Pair | undefined,
  pair: Pair | undefined,
): readonly Splice[] {
  const entry = `version: ${version}`;
  const eol = /\r?\n/.exec(text)?.[0] ?? '\n';
  const block = (indent: string) => `${indent}kubernetes:${eol}${indent}  ${entry}${eol}`;
  if (isScalar(pair?.value)) return inScalar(text, version, pair.value);
  const map = kubernetes?.value;
  if (isMap(map)) {
    if (map.flow) return [intoFlow(text, map, entry)];
    const indent = indentAt(text, offsetOf(map.items[0]));
    const line = `${indent}${entry}${eol}`;
    return [insert(lineAfter(text, offsetOf(kubernetes)), line), insert(lineOf(text, offsetOf(map.items[0])), line)];
  }
  // `kubernetes:` and nothing behind it, or a null that is written out.
  if (kubernetes) {
    const at = offsetOf(kubernetes);
    const { value } = kubernetes;
    const [from, to] = isScalar(value) && value.value === null && value.range ? value.range : [0, 0];
    const end = lineAfter(text, at);
    const newline = text[end - 1] === '\n' ? '' : eol;
    return [
      ...(from < to ? [{ from, to, text: `{ ${entry} }` }] : []),
      insert(end, `${newline}${indentAt(text, at)}  ${entry}${eol}`),
    ];
  }
  if (top.flow) return [intoFlow(text, top, `kubernetes: { ${entry} }`)];
  const first = offsetOf(top.items[0]);
  const newline = text.endsWith('\n') ? '' : eol;
  return [
    insert(text.length, `${newline}${block(indentAt(text, first))}`),
    insert(lineOf(text, first), block(indentAt(text, first))),
  ];
}

const insert = (at: number, text: string): Splice => ({ from: at, to: at, text });

/** Within quotes and block scalars only the digits are touched. */
function inScalar(text: string, version: string, scalar: Scalar): readonly Splice[] {
  const [from, to] = scalar.range ?? [0, 0];
  const source = text.slice(from, to);
  const old = typeof scalar.value === 'string' ? scalar.value.trim() : '';
  const at = old === '' ? -1 : source.lastIndexOf(old);
  const digits = at === -1 ? [] : [{ from: from + at, to: from + at + old.length, text: version }];
  return [...digits, ...[version, ` ${version}`, `${version} `].map((put) => ({ from, to, text: put }))];
}

/** Behind the opening brace, spaced as what is there. */
function intoFlow(text: string, map: YAMLMap, entry: string): Splice {
  const at = (map.range?.[0] ?? 0) + 1;
  const [spaces = ''] = /^ */.exec(text.slice(at)) ?? [];
  if (map.items.length > 0) return insert(at, `${spaces}${entry},${spaces === '' ? ' ' : ''}`);
  const closes = text[at + spaces.length] === '}';
  return closes ? { from: at, to: at + spaces.length, text: ` ${entry} ` } : insert(at, ` ${entry}`);
}

const pairOf = (map: YAMLMap, key: string): Pair | undefined =>
  map.items.find((pair) => isScalar(pair.key) && String(pair.key.value ?? '') === key);
const offsetOf = (pair: Pair | undefined): number => (isScalar(pair?.key) ? (pair.key.range?.[0] ?? 0) : 0);
const lineOf = (text: string, offset: number): number => text.lastIndexOf('\n', offset - 1) + 1;
const lineAfter = (text: string, offset: number): number => {
  const end = text.indexOf('\n', offset);
  return end === -1 ? text.length : end + 1;
};
const indentAt = (text: string, offset: number): string => /^ */.exec(text.slice(lineOf(text, offset)))?.[0] ?? '';

/** Who else uses what has this anchor. */
function aliasOf(document: Document.Parsed, anchor: string | undefined) {
  let found: { readonly source: string; readonly range?: readonly [number, number, number] | null } | undefined;
  if (anchor !== undefined)
    visit(document, {
      Alias: (_, alias) => {
        if (alias.source !== anchor) return undefined;
        found = { source: alias.source, range: alias.range ?? null };
        return visit.BREAK;
      },
    });
  return found;
}
