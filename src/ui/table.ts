import { type Look, plainLook } from './style.ts';
import { truncate, widthOf } from './text.ts';

export interface Column<R> {
  readonly title: string;
  /** Plain text of the cell: its width is measured before it is painted. */
  readonly text: (row: R) => string;
  readonly paint?: (row: R, look: Look) => ((text: string) => string) | undefined;
  readonly align?: 'left' | 'right';
  /** The column that is cut when the terminal is too narrow. */
  readonly flexible?: boolean;
}

/** Aligned columns with a dim head, no frame: reads well and greps well. Empty without rows. */
export const table = <R>(columns: readonly Column<R>[], rows: readonly R[], look: Look = plainLook): string => {
  if (rows.length === 0) return '';
  const cells = rows.map((row) => columns.map((column) => column.text(row).replaceAll('\n', ' ')));
  const widths = columns.map((column, i) => Math.max(widthOf(column.title), ...cells.map((line) => widthOf(line[i] ?? ''))));
  shrinkToFit(widths, columns, look.width);
  const line = (texts: readonly string[], painters: readonly (((text: string) => string) | undefined)[]): string =>
    columns
      .map((column, i) => {
        const width = widths[i] ?? 0;
        const text = truncate(texts[i] ?? '', width);
        const space = ' '.repeat(Math.max(0, width - widthOf(text)));
        const painted = painters[i]?.(text) ?? text;
        if (column.align === 'right') return space + painted;
        return i === columns.length - 1 ? painted : painted + space;
      })
      .join('  ')
      .trimEnd();
  return [
    line(
      columns.map((column) => column.title),
      columns.map(() => look.style.dim),
    ),
    ...rows.map((row, r) =>
      line(
        cells[r] ?? [],
        columns.map((column) => column.paint?.(row, look)),
      ),
    ),
  ].join('\n');
};

const least = 12;
const shrinkToFit = (
  widths: number[],
  columns: readonly { readonly flexible?: boolean }[],
  available: number | undefined,
): void => {
  if (available === undefined) return;
  const total = widths.reduce((sum, width) => sum + width, 0) + 2 * (widths.length - 1);
  const index = columns.findIndex((column) => column.flexible);
  const current = widths[index];
  if (total <= available || current === undefined) return;
  widths[index] = Math.max(least, current - (total - available));
};
