import type { Change, Plan } from '../plan/plan.ts';
import { typeOf } from '../plan/resource.ts';
import { costLines } from './plan-cost.ts';
import {
  commandOf,
  countsText,
  fieldText,
  isEmpty,
  layoutPlan,
  type PlanGroup,
  type PlanOptions,
  signOf,
} from './plan-layout.ts';
import { planMarkdown } from './plan-markdown.ts';
import type { Look, Style } from './style.ts';
import { sanitize, widthOf } from './text.ts';
import type { View } from './view.ts';

/** A plan: for people by zone and role, for a pull request as markdown, for programs as it is. */
export const planViewOf = (options: PlanOptions): View<Plan> => ({
  human: (plan, look) => planText(plan, options, look),
  json: (plan) => plan,
  markdown: (plan) => planMarkdown(plan, options),
});
export const planView: View<Plan> = planViewOf({});

const planText = (plan: Plan, options: PlanOptions, look: Look): string => {
  const { style } = look;
  const layout = layoutPlan(plan, options);
  const cost = plan.cost ? costLines(plan.cost, look) : [];
  if (isEmpty(layout)) return [`${style.green('✔')} ${plan.cluster}: nothing differs from cluster.yaml`, ...cost].join('\n');
  const lines: string[] = [];
  let zone: string | undefined | null = null;
  for (const group of layout.groups) {
    if (group.zone !== zone) lines.push(style.bold(group.zone === undefined ? 'cluster' : `zone ${group.zone}`));
    zone = group.zone;
    if (group.role !== undefined) lines.push(`  ${group.role}`);
    lines.push(...groupLines(group, look.verbose === true, look));
  }
  for (const [to, changes] of layout.left) {
    lines.push('', style.bold(`Left to ${commandOf(to)}`));
    for (const change of changes) {
      const because = 'because' in change.when ? change.when.because : change.reason;
      lines.push(...changeLines(change, sanitize(because), true, look));
    }
  }
  if (layout.unseen.length > 0) lines.push('', style.bold('Not seen (unknown is not absent: nothing is done about these)'));
  for (const change of layout.unseen) {
    const why = 'because' in change.when ? change.when.because : change.reason;
    lines.push(`    ${style.magenta('?')} ${change.address}  ${style.dim(sanitize(why))}`);
  }
  return [...lines, ...(cost.length > 0 ? ['', ...cost] : []), '', `${style.bold(plan.cluster)}: ${countsText(layout)}`].join(
    '\n',
  );
};

/** Of many of one kind in one place the first are shown. */
const shown = 8;
const hideFrom = 16;

const groupLines = (group: PlanGroup, detail: boolean, look: Look): readonly string[] => {
  const byKind = Map.groupBy(group.changes, (change) => `${change.action} ${typeOf(change.address)}`);
  return [...byKind].flatMap(([kind, changes]) => {
    const some = detail || changes.length < hideFrom ? changes : changes.slice(0, shown);
    const lines = some.flatMap((change) =>
      changeLines(change, sanitize(change.reason), detail || change.action !== 'create', look),
    );
    const hidden = changes.length - some.length;
    return hidden > 0 ? [...lines, look.style.dim(`      and ${hidden} more to ${kind} (-v shows all)`)] : lines;
  });
};

const changeLines = (change: Change, why: string, withFields: boolean, { style, width }: Look): readonly string[] => {
  const impact = change.impact === 'none' ? '' : `  ${impactText(change, style)}`;
  const head = `    ${paint(change, style)(`${signOf(change)} ${change.address}`)}${impact}`;
  const first = why === '' || why === 'does not exist' ? head : `${head}  ${style.dim(why)}`;
  if (!withFields) return [first];
  const limit = Math.max(24, Math.floor(((width ?? 160) - 24) / 2));
  const path = Math.max(0, ...change.fields.map((field) => widthOf(field.path)));
  return [
    first,
    ...change.fields.map((field) => {
      const text = fieldText({ ...field, path: field.path.padEnd(Math.min(path, 40)) }, limit);
      return `        ${text}${field.impact === 'none' ? '' : `  ${style.yellow(field.impact)}`}`;
    }),
  ];
};

const paint = (change: Change, style: Style): ((text: string) => string) =>
  ({ create: style.green, update: style.yellow, replace: style.red, delete: style.red, unknown: style.magenta })[change.action];

const impactText = (change: Change, style: Style): string =>
  (change.impact === 'data-loss' ? style.red : style.yellow)(`[${change.impact}]`);
