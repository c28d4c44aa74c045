import type { Change, Plan } from '../plan/plan.ts';
import { codeSpan, details, escapeMarkdown, markdownTable } from './markdown.ts';
import { costMarkdown } from './plan-cost.ts';
import { commandOf, countsText, fieldText, isEmpty, layoutPlan, type PlanGroup, type PlanOptions } from './plan-layout.ts';

/** GitHub refuses comments of more than 65,536 characters. */
const commentLimit = 60_000;

/** A plan as a comment on a pull request: counts on top, the changes of each zone and role folded. */
export const planMarkdown = (plan: Plan, options: PlanOptions = {}): string => {
  const layout = layoutPlan(plan, options);
  const title = `### \`cluster ${plan.command}\`: ${escapeMarkdown(plan.cluster)}`;
  const cost = plan.cost ? [costMarkdown(plan.cost)] : [];
  if (isEmpty(layout)) return [title, 'Nothing differs from cluster.yaml.', ...cost].join('\n\n');
  const { create, update, replace, delete: gone } = layout.counts;
  const left = [...layout.left.values()].reduce((sum, changes) => sum + changes.length, 0);
  const counts = markdownTable(
    ['create', 'update', 'replace', 'delete', 'left to later', 'not seen'],
    [[create, update, replace, gone, left, layout.unseen.length].map(String)],
  );
  const sections = [
    ...layout.groups.map((group) => details(`${placeOf(group)}: ${group.changes.length}`, changesTable(group.changes))),
    ...[...layout.left].map(([to, changes]) =>
      details(`Left to <code>${commandOf(to).replaceAll('`', '')}</code>: ${changes.length}`, changesTable(changes)),
    ),
    ...(layout.unseen.length > 0 ? [details(`Not seen: ${layout.unseen.length}`, changesTable(layout.unseen))] : []),
  ];
  return [title, `${escapeMarkdown(countsText(layout)).replaceAll('\\`', '`')}.`, counts, ...cost, ...withinLimit(sections)].join(
    '\n\n',
  );
};

const placeOf = ({ zone, role }: PlanGroup): string =>
  escapeMarkdown([zone === undefined ? 'Cluster' : `Zone ${zone}`, ...(role === undefined ? [] : [role])].join(', '));

/** A first plan of a big cluster makes thousands of things of one kind: these rows show what they are. */
const tableLimit = 120;

const changesTable = (changes: readonly Change[]): string => {
  const table = markdownTable(
    ['', 'resource', 'impact', 'why', 'fields'],
    changes
      .slice(0, tableLimit)
      .map((change) => [
        change.action,
        codeSpan(change.address),
        change.impact === 'none' ? '' : `**${change.impact}**`,
        escapeMarkdown('because' in change.when ? change.when.because : change.reason),
        change.action === 'create' ? '' : change.fields.map((field) => codeSpan(fieldText(field, 120))).join('<br>'),
      ]),
  );
  return changes.length > tableLimit ? `${table}\n\nand ${changes.length - tableLimit} more` : table;
};

const withinLimit = (sections: readonly string[]): readonly string[] => {
  let length = 0;
  const kept: string[] = [];
  for (const section of sections) {
    length += section.length + 2;
    if (length > commentLimit) break;
    kept.push(section);
  }
  const dropped = sections.length - kept.length;
  return dropped === 0 ? kept : [...kept, `_${dropped} more groups do not fit into a comment: see the output of the job._`];
};
