import { chmodSync, lstatSync, mkdtempSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CST, Parser, parse, stringify } from 'yaml';
import { setVersion } from '../../../src/config/edit.ts';
import { writeVersion } from '../../../src/config/edit-file.ts';
import { renderInit } from '../../../src/config/init.ts';
import { loadCluster, readCluster } from '../../../src/config/load.ts';

const to = '1.36.3';
describe('only the version changes', () => {
  test.each([
    [
      'plain',
      'a: 1\nkubernetes:\n  # why\n  version: 1.35.4 # pinned\n  maxPods: 50\n',
      'a: 1\nkubernetes:\n  # why\n  version: 1.36.3 # pinned\n  maxPods: 50\n',
    ],
    ['in double quotes', 'kubernetes:\n  version:   "1.35.4"\n', 'kubernetes:\n  version:   "1.36.3"\n'],
    ['in single quotes, without a last line end', "kubernetes:\n    version: '1.35.4'", "kubernetes:\n    version: '1.36.3'"],
    ['with an escape', 'kubernetes: { version: "1\\x2e35.4" }\n', 'kubernetes: { version: 1.36.3 }\n'],
    [
      'a block',
      'kubernetes:\n  version: |-  # 1.35.4\n    1.35.4\nb: 1\n',
      'kubernetes:\n  version: |-  # 1.35.4\n    1.36.3\nb: 1\n',
    ],
    ['a tag', 'kubernetes:\n  version: !!str 1.35.4\n', 'kubernetes:\n  version: !!str 1.36.3\n'],
    ['an anchor that nobody uses', 'kubernetes: &k\n  version: &v 1.35.4\n', 'kubernetes: &k\n  version: &v 1.36.3\n'],
    ['an explicit key', '? kubernetes\n: ? version\n  : 1.35.4\n', '? kubernetes\n: ? version\n  : 1.36.3\n'],
    ['flow', '{a: 1, kubernetes: {maxPods: 50, version: 1.35.4}}', '{a: 1, kubernetes: {maxPods: 50, version: 1.36.3}}'],
    [
      'CRLF and a mark',
      '\ufeffkubernetes:\r\n  version: 1.35.4\r\n# end\r\n',
      '\ufeffkubernetes:\r\n  version: 1.36.3\r\n# end\r\n',
    ],
    [
      'the same version elsewhere',
      'n: 1.35.4\nkubernetes: { version: 1.35.4 }\nm: 1.35.4\n',
      'n: 1.35.4\nkubernetes: { version: 1.36.3 }\nm: 1.35.4\n',
    ],
    ['the same version already', 'kubernetes: {version:    1.36.3}\n', 'kubernetes: {version:    1.36.3}\n'],
  ])('%s', (_, before, after) => expect(setVersion(before, to)).toBe(after));
});

describe('where there is none it is added', () => {
  test.each([
    [
      'to other keys',
      'a: 1\nkubernetes: # all of it\n    # pods\n    maxPods: 50\nb: 1\n',
      'a: 1\nkubernetes: # all of it\n    version: 1.36.3\n    # pods\n    maxPods: 50\nb: 1\n',
    ],
    [
      'behind an anchor on a line of its own',
      'kubernetes:\n  &k\n  maxPods: 50\n',
      'kubernetes:\n  &k\n  version: 1.36.3\n  maxPods: 50\n',
    ],
    [
      'with the line ends of the file',
      'a: 1\r\nkubernetes:\r\n  maxPods: 50\r\n',
      'a: 1\r\nkubernetes:\r\n  version: 1.36.3\r\n  maxPods: 50\r\n',
    ],
    ['to an empty mapping', 'kubernetes: {}\n', 'kubernetes: { version: 1.36.3 }\n'],
    ['to a flow mapping', 'kubernetes: { maxPods: 50 }\n', 'kubernetes: { version: 1.36.3, maxPods: 50 }\n'],
    ['to a tight flow mapping', 'kubernetes: {maxPods: 50}\n', 'kubernetes: {version: 1.36.3, maxPods: 50}\n'],
    ['to a flow mapping of lines', 'kubernetes: {\n  maxPods: 50,\n}\n', 'kubernetes: {version: 1.36.3, \n  maxPods: 50,\n}\n'],
    ['to an empty flow mapping with a comment', 'kubernetes: { # none\n}\n', 'kubernetes: { version: 1.36.3 # none\n}\n'],
    ['to nothing', 'kubernetes: # none\nb: 1\n', 'kubernetes: # none\n  version: 1.36.3\nb: 1\n'],
    ['to nothing, where the file ends', 'b: 1\nkubernetes:', 'b: 1\nkubernetes:\n  version: 1.36.3\n'],
    ['to a null', 'kubernetes: null # none\nb: 1\n', 'kubernetes: { version: 1.36.3 } # none\nb: 1\n'],
    ['to an empty version', 'kubernetes:\n  version: # which?\nb: 1\n', 'kubernetes:\n  version: 1.36.3 # which?\nb: 1\n'],
    ['at the end', 'a: 1\n# end\n', 'a: 1\n# end\nkubernetes:\n  version: 1.36.3\n'],
    ['at the end without a line end', '  a: 1', '  a: 1\n  kubernetes:\n    version: 1.36.3\n'],
    ['where the document ends before the file', '---\na: 1\n...\n', '---\nkubernetes:\n  version: 1.36.3\na: 1\n...\n'],
    ['where the last text would grow', 'a: |+\n  x\n', 'a: |+\n  x\nkubernetes:\n  version: 1.36.3\n'],
    ['to a file in flow style', '{ a: 1 }\n', '{ kubernetes: { version: 1.36.3 }, a: 1 }\n'],
  ])('%s', (_, before, after) => {
    expect(setVersion(before, to)).toBe(after);
    expect(parse(after).kubernetes.version).toBe(to);
  });
});

describe('what would change more is refused, with its place', () => {
  test.each([
    ['an alias', 'v: &v 1.35.4\nkubernetes:\n  version: *v\n', 'c.yaml:3:12: The version of Kubernetes comes from the alias *v'],
    [
      'an alias for all of it',
      'k: &k { version: 1.35.4 }\nkubernetes: *k\n',
      'c.yaml:2:13: The version of Kubernetes comes from the alias *k',
    ],
    [
      'an anchor',
      'kubernetes:\n  version: &v 1.35.4\nl: *v\n',
      'c.yaml:3:4: The version of Kubernetes is also used elsewhere, by the alias *v',
    ],
    [
      'an anchor on all of it',
      'kubernetes: &k\n  version: 1.35.4\nl: *k\n',
      'c.yaml:3:4: The version of Kubernetes is also used elsewhere',
    ],
    [
      'a merge key',
      'k: &k { version: 1.35.4 }\nkubernetes:\n  <<: *k\n',
      'c.yaml:3:3: The version of Kubernetes comes from a merge key',
    ],
    ['a list', '- kubernetes\n', 'c.yaml:1:1: The file is not a valid cluster.yaml'],
    ['no YAML', 'kubernetes: {', 'c.yaml:1:1: The file is not a valid cluster.yaml'],
    [
      'a text where a mapping must be',
      'a: 1\nkubernetes: none\n',
      'c.yaml:2:1: The version of Kubernetes cannot be changed here',
    ],
  ])('%s', (_, text, message) => expect(() => setVersion(text, to, 'c.yaml')).toThrow(message));
  test('a version that nothing is known of is wrong usage, not a mistake in the file', () =>
    expect(() => setVersion('kubernetes: { version: 1.35.4 }\n', '1.36.99', 'c.yaml')).toThrow(
      expect.objectContaining({
        exitCode: 64,
        problem: { what: expect.stringContaining('1.36.99 is not among'), next: 'such as 1.36.3' },
      }),
    ));
  test('no version', () => expect(() => setVersion('a: 1\n', '1.36')).toThrow('"1.36" is not a version'));
});

const comments = (text: string): readonly string[] => {
  const found: string[] = [];
  const look = (token: unknown): void => {
    if (Array.isArray(token)) for (const inner of token) look(inner);
    else if (typeof token === 'object' && token !== null) {
      if ('type' in token && token.type === 'comment' && 'source' in token) found.push(String(token.source));
      for (const inner of Object.values(token)) look(inner);
    }
  };
  for (const token of new Parser().parse(text) as Iterable<CST.Token>) look(token);
  return found;
};

test('of any file all but the version stays: its data, its comments, and every line that does not hold it', () => {
  const key = fc.constantFrom('a', 'b', 'zones', 'x y', '1', 'version');
  const leaf = fc.oneof(
    fc.integer(),
    fc.boolean(),
    fc.string(),
    fc.constantFrom('1.35.4', 'a\nb\n', '# no comment', 'x: y', '|+'),
  );
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 3 }),
    ),
  }));
  const inner = fc.tuple(
    fc.dictionary(
      key.filter((k) => k !== 'version'),
      value,
      { maxKeys: 3 },
    ),
    fc.option(fc.constant('1.35.4')),
  );
  const style = fc.record({
    collectionStyle: fc.constantFrom<'any' | 'block' | 'flow'>('any', 'block', 'flow'),
    defaultStringType: fc.constantFrom<'PLAIN' | 'QUOTE_DOUBLE' | 'QUOTE_SINGLE' | 'BLOCK_LITERAL'>(
      'PLAIN',
      'QUOTE_DOUBLE',
      'QUOTE_SINGLE',
      'BLOCK_LITERAL',
    ),
    indent: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(
      fc.dictionary(key, value, { maxKeys: 4 }),
      fc.option(inner),
      style,
      fc.boolean(),
      fc.array(fc.nat()),
      (rest, kubernetes, how, crlf, places) => {
        const [others, version] = kubernetes ?? [{}, null];
        const data = { ...rest, ...(kubernetes && { kubernetes: version === null ? others : { ...others, version } }), last: 1 };
        const plain = stringify(data, { ...how, defaultKeyType: 'PLAIN', aliasDuplicateObjects: false, lineWidth: 0 });
        const lines = plain.split('\n');
        // A comment at the end of lines that are whole entries.
        for (const place of places) {
          const at = place % lines.length;
          const commented = lines.with(at, `${lines[at]} # 1.35.4 ${place}`);
          try {
            if (JSON.stringify(parse(commented.join('\n'))) === JSON.stringify(data)) lines.splice(0, lines.length, ...commented);
          } catch {
            // Within a text.
          }
        }
        const before = lines.join(crlf ? '\r\n' : '\n');
        const after = setVersion(before, to);
        const parsed = parse(before);
        expect(parse(after)).toEqual({ ...parsed, kubernetes: { ...parsed.kubernetes, version: to } });
        expect(comments(after)).toEqual(comments(before));
        if (version !== null) {
          expect(after.length).toBe(before.length);
          expect([...after].filter((c, i) => c !== before[i]).length).toBeLessThanOrEqual(2);
        } else expect(after.length - before.length).toBeLessThan(60);
      },
    ),
    { numRuns: 300 },
  );
});

test('the file that init writes is edited in one place', () => {
  const text = renderInit({ name: 'demo', provider: 'local', zones: ['a'], masters: 1, etcd: 1, workers: 1, version: '1.35.4' });
  expect(setVersion(text, to)).toBe(text.replace('version: 1.35.4', 'version: 1.36.3'));
  expect(readCluster(setVersion(text, to)).cluster.kubernetes.version).toBe(to);
});

test('a dry run looks at the file as it would be, and leaves it as it is', async () => {
  const file = join(import.meta.dirname, '../../../examples/local/cluster.yaml');
  const before = readFileSync(file, 'utf8');
  const { cluster, digest } = await loadCluster(file, (text) => setVersion(text, '1.35.4'));
  expect(cluster.kubernetes.version).toBe('1.35.4');
  expect(digest).not.toBe((await loadCluster(file)).digest);
  expect(readFileSync(file, 'utf8')).toBe(before);
});

describe('the file', () => {
  const dir = mkdtempSync(join(tmpdir(), 'edit-'));
  const make = (name: string, mode: number): string => {
    const file = join(dir, name);
    writeFileSync(file, '# mine\nkubernetes:\n  version: 1.35.4\n');
    chmodSync(file, mode);
    return file;
  };
  const after = '# mine\nkubernetes:\n  version: 1.36.3\n';
  test('keeps its mode, and nothing is left beside it', async () => {
    const file = make('mode.yaml', 0o666);
    expect(await writeVersion(file, to)).toEqual({ changed: true });
    expect(readFileSync(file, 'utf8')).toBe(after);
    expect(statSync(file).mode & 0o7777).toBe(0o666);
    expect(readdirSync(dir).filter((name) => name.includes('.tmp'))).toEqual([]);
  });
  test('is not written when nothing changes', async () => {
    const file = make('same.yaml', 0o644);
    const { mtimeMs, ino } = statSync(file);
    expect(await writeVersion(file, '1.35.4')).toEqual({ changed: false });
    expect(statSync(file)).toMatchObject({ mtimeMs, ino });
  });
  test('keeps the mark at its beginning', async () => {
    const file = make('mark.yaml', 0o644);
    writeFileSync(file, '\ufeffkubernetes: { version: 1.35.4 }\n');
    await writeVersion(file, to);
    expect(readFileSync(file, 'utf8')).toBe('\ufeffkubernetes: { version: 1.36.3 }\n');
  });
  test('behind a symbolic link is written, and the link stays', async () => {
    const file = make('target.yaml', 0o600);
    const link = join(dir, 'link.yaml');
    symlinkSync('target.yaml', link);
    await writeVersion(link, to);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(readFileSync(file, 'utf8')).toBe(after);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });
  test('that is read-only stays as it is', async () => {
    const file = make('read-only.yaml', 0o444);
    await expect(writeVersion(file, to)).rejects.toMatchObject({
      problem: { where: file, what: 'The file is read-only' },
      exitCode: 64,
    });
    expect(readFileSync(file, 'utf8')).toContain('1.35.4');
  });
  test('that is not there is said to be', async () => {
    await expect(writeVersion(join(dir, 'none.yaml'), to)).rejects.toMatchObject({ problem: { what: 'There is no such file' } });
  });
});
