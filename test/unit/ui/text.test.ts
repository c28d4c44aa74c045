import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeSpan } from '../../../src/ui/markdown.ts';
import { makeStyle, plainLook, wantsColour } from '../../../src/ui/style.ts';
import { table } from '../../../src/ui/table.ts';
import { bytes, duration, sanitize, truncate, widthOf } from '../../../src/ui/text.ts';

describe('text', () => {
  it.each([
    [0, '0 ms'],
    [999.4, '999 ms'],
    [1000, '1.0 s'],
    [59_949, '59.9 s'],
    [59_960, '1 min 00 s'],
    [125_000, '2 min 05 s'],
    [3_599_800, '1 h 00 min'],
    [86_400_000, '24 h 00 min'],
    [30 * 86_400_000, '30 days'],
    [-5, '-'],
    [Number.NaN, '-'],
  ])('%d ms is %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_999, '1.0 MB'],
    [62_400_000, '62.4 MB'],
    [5e15, '5000.0 TB'],
  ])('%d bytes are %s', (count, text) => {
    expect(bytes(count)).toBe(text);
  });
  it('cuts to the width that it is told, also wide characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 0, max: 40 }), (text, columns) => {
        expect(widthOf(truncate(sanitize(text), columns))).toBeLessThanOrEqual(columns);
      }),
    );
    expect(truncate('日本語', 5)).toBe('日本…');
  });
  it('takes every control character out but newline and tab', () => {
    expect(sanitize('a\u001b[31mb\u0007\rc\td\ne\u009b2Jf')).toBe('abc\td\nef');
  });
  it('puts any text into a code span', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('`', '|', 'a', '\n') }), (text) => {
        const span = codeSpan(text);
        const fence = /^`+/.exec(span)?.[0] ?? '';
        expect(span.endsWith(fence)).toBe(true);
        const inside = span.slice(fence.length, -fence.length);
        expect(inside.match(/`+/g) ?? []).not.toContain(fence);
        expect(inside).not.toContain('\n');
      }),
    );
  });
});

describe('a table', () => {
  const rows = [
    { name: 'etcd-a', size: 12, note: 'well' },
    { name: '日本', size: 3, note: 'a note that is much too long for the line' },
  ];
  const columns = [
    { title: 'NAME', text: (row: (typeof rows)[0]) => row.name },
    { title: 'SIZE', text: (row: (typeof rows)[0]) => `${row.size}`, align: 'right' as const },
    { title: 'NOTE', text: (row: (typeof rows)[0]) => row.note, flexible: true },
  ];
  it('aligns columns by what they take on a terminal', () => {
    expect(table(columns, rows).split('\n')).toEqual([
      'NAME    SIZE  NOTE',
      'etcd-a    12  well',
      '日本       3  a note that is much too long for the line',
    ]);
  });
  it('cuts the flexible column to fit', () => {
    for (const line of table(columns, rows, { ...plainLook, width: 34 }).split('\n'))
      expect(widthOf(line)).toBeLessThanOrEqual(34);
  });
  it('is nothing without rows', () => {
    expect(table(columns, [])).toBe('');
  });
  it('keeps its alignment when it is coloured', () => {
    const painted = table(
      columns.map((column) => ({ ...column, paint: () => makeStyle(true).red })),
      rows,
      { style: makeStyle(true) },
    );
    expect(painted).toContain('\u001b[31m');
    expect(sanitize(painted)).toBe(table(columns, rows));
  });
});

describe('colour', () => {
  const tty = { isTTY: true };
  it.each([
    [tty, {}, false, true],
    [{}, {}, false, false],
    [tty, {}, true, false],
    [tty, { NO_COLOR: '1' }, false, false],
    [tty, { NO_COLOR: '' }, false, true],
    [tty, { TERM: 'dumb' }, false, false],
    [{}, { FORCE_COLOR: '1' }, false, true],
    [{}, { FORCE_COLOR: '1', NO_COLOR: '1' }, false, false],
  ])('%o with %o, --no-color %s: %s', (stream, variables, flag, wanted) => {
    expect(wantsColour(stream, variables, flag)).toBe(wanted);
  });
});
