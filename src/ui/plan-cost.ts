import type { Cost, CostLine, Money } from '../plan/cost.ts';
import { details, escapeMarkdown, markdownTable } from './markdown.ts';
import type { Look } from './style.ts';
import { table } from './table.ts';
import { sanitize } from './text.ts';

/** What a month costs, about: the lines that this plan's file changes, and the sum. */

const amount = (value: number): string => Math.round(value).toLocaleString('en-US');
const moneyText = ({ least, most }: Money): string =>
  Math.round(least) === Math.round(most) ? amount(least) : `${amount(least)} to ${amount(most)}`;
const changes = ({ before, after }: Pick<CostLine, 'before' | 'after'>): boolean => moneyText(before) !== moneyText(after);
const changeText = (line: Pick<CostLine, 'before' | 'after'>): string =>
  changes(line) ? `${moneyText(line.before)} → ${moneyText(line.after)}` : moneyText(line.after);
const whatText = ({ what, spot }: CostLine): string => sanitize(spot ? `${what} (spot)` : what);

const title = ({ pricesOf }: Cost): string => `US dollars a month, about (list prices on demand of ${pricesOf}, without traffic)`;
function* notes({ lines }: Cost): Generator<string> {
  const unknown = [...new Set(lines.flatMap((line) => line.unknown))];
  if (unknown.length > 0) yield `Not in it, as the price is not known here: ${sanitize(unknown.join(', '))}`;
  if (lines.some(({ spot }) => spot))
    yield 'Spot machines are counted at the full price: they cost less, mostly by more than half';
  if (lines.some(({ after }) => after.least !== after.most))
    yield 'Two numbers: with autoscaled pools at their min, and at their max';
}

interface Row {
  readonly of: string;
  readonly cost: string;
  readonly what: string;
}
const rowsOf = (cost: Cost): readonly Row[] => [
  ...cost.lines.filter(changes).map((line) => ({ of: sanitize(line.of), cost: changeText(line), what: whatText(line) })),
  { of: 'in all', cost: changeText(cost), what: '' },
];

export const costLines = (cost: Cost, look: Look): readonly string[] => {
  if (!changes(cost) && !cost.lines.some(changes)) return [look.style.dim(`  ${moneyText(cost.after)} ${title(cost)}`)];
  const text = table<Row>(
    [
      { title: '', text: ({ of }) => of },
      { title: 'cost', text: (row) => row.cost },
      { title: '', text: ({ what }) => what, flexible: true, paint: () => look.style.dim },
    ],
    rowsOf(cost),
    look.width === undefined ? look : { ...look, width: look.width - 2 },
  );
  const [, ...rows] = text.split('\n');
  return [
    look.style.bold(title(cost)),
    ...rows.map((row) => `  ${row}`),
    ...[...notes(cost)].map((note) => look.style.dim(`  ${note}`)),
  ];
};

export const costMarkdown = (cost: Cost): string => {
  const rows = rowsOf(cost).map(({ of, cost: text, what }) => [escapeMarkdown(of), text, escapeMarkdown(what)]);
  const body = [markdownTable(['', 'cost', ''], rows), ...[...notes(cost)].map(escapeMarkdown)].join('\n\n');
  return details(`${escapeMarkdown(changeText(cost))} ${escapeMarkdown(title(cost))}`, body);
};
