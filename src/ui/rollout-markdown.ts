import { leftOf, unseenOf } from '../plan/make.ts';
import type { Change } from '../plan/plan.ts';
import type { Obstacle, Rollout } from '../rollout/rollout.ts';
import { turnsOfLane } from '../rollout/turns.ts';
import type { UpgradePlan } from '../rollout/upgrade-plan.ts';
import { codeSpan, details, escapeMarkdown, fenced, markdownTable } from './markdown.ts';
import { costMarkdown } from './plan-cost.ts';
import {
  extentText,
  forceText,
  groupTurns,
  howText,
  isNothing,
  laneText,
  leftOutText,
  packagesLines,
  recoveryText,
  restOf,
  restReason,
  type Shown,
  type TurnGroup,
  versionsText,
  waveText,
} from './rollout-layout.ts';
import { plural, sanitize } from './text.ts';

/** GitHub refuses comments of more than 65,536 characters. */
const commentLimit = 60_000;
/** What stands above the diffs has limits of its own (characters of one list, and of the table), so that something is always left for them. */
const listLimit = 6_000;
const tableLimit = 12_000;
const textLimit = 400;

/** An upgrade as a comment on a pull request: what is in the way, one row a lane, then what changes on each machine, folded. Never longer than GitHub takes. */
export function rolloutMarkdown(plan: UpgradePlan): string {
  const { rollout } = plan;
  const title = `### \`cluster upgrade\`: ${escapeMarkdown(plan.cluster)}`;
  const cost = plan.cost ? [costMarkdown(plan.cost)] : [];
  const problems = problemsOf(plan);
  if (isNothing(plan) && problems.length === 0) return [title, 'Nothing to upgrade.', ...cost].join('\n\n');
  const head = [
    title,
    ...problems,
    ...(rollout.versions.length > 0 ? [`${escapeMarkdown(cut(versionsText(rollout.versions)))}.`] : []),
    ...(rollout.settings.length > 0 ? [`Settings: ${cut(rollout.settings.map(codeSpan).join(', '))}.`] : []),
    ...[...recoveryText(rollout), ...forceText(rollout), ...leftOutText(rollout)].map(escapeMarkdown),
    ...lanesTable(rollout),
    ...listed('Last, what is shared and what goes', restOf(plan).map(restText)),
    extentText(rollout),
    ...cost,
  ].join('\n\n');
  const shown: Shown = new Map();
  const groups = rollout.waves.flatMap((wave) => wave.lanes.flatMap((lane) => groupTurns(turnsOfLane(lane), shown)));
  return [head, ...within(groups.map(sectionOf), commentLimit - head.length)].join('\n\n');
}

const cut = (text: string): string => cutTo(text, textLimit);
const cutTo = (text: string, limit: number): string => {
  const clean = sanitize(text);
  return clean.length <= limit ? clean : `${clean.slice(0, limit - 1).toWellFormed()}…`;
};

function problemsOf(plan: UpgradePlan): readonly string[] {
  const { obstacles } = plan.rollout;
  const errors = obstacles.filter(({ severity }) => severity === 'error');
  const warnings = obstacles.filter(({ severity }) => severity === 'warning');
  const lines = (changes: UpgradePlan['changes']) =>
    changes.map(
      (change) =>
        `${codeSpan(change.address)}: ${escapeMarkdown(cut('because' in change.when ? change.when.because : change.reason))}`,
    );
  return [
    ...listed('In the way: this upgrade would not begin', errors.map(obstacleText)),
    ...listed('Worth knowing', warnings.map(obstacleText)),
    ...listed('Left', lines(leftOf(plan))),
    ...listed('Not seen', lines(unseenOf(plan))),
  ];
}
/** A list under its name: as much of it as fits. */
function listed(name: string, items: readonly string[]): readonly string[] {
  const rows = first(items, listLimit);
  const more = items.length - rows.length;
  const all = [...rows, ...(more > 0 ? [`and ${more} more`] : [])];
  return items.length === 0 ? [] : [`**${name}**\n\n${all.map((row) => `- ${row}`).join('\n')}`];
}
const restText = (change: Change): string =>
  `${change.action} ${codeSpan(change.address)}: ${escapeMarkdown(cut(restReason(change)))}`;
const obstacleText = ({ where, what, why, next }: Obstacle): string =>
  `${codeSpan(cut(where))}: ${escapeMarkdown(cut([what, why, next && `next: ${next}`].filter(Boolean).join('; ')))}`;

function lanesTable(rollout: Rollout): readonly string[] {
  const rows = rollout.waves.flatMap((wave, index) => {
    const name = `${index + 1}. ${escapeMarkdown(waveText(wave, rollout))}`;
    const lanes = wave.lanes.map((lane) => {
      const turns = turnsOfLane(lane);
      const moves = new Map(turns.flatMap(({ versions }) => versions.map((version) => [JSON.stringify(version), version])));
      const drained = turns.filter(({ drain }) => drain).length;
      return [
        name,
        escapeMarkdown(lane.name),
        String(turns.length),
        String(drained),
        laneText(lane),
        escapeMarkdown(cut(versionsText([...moves.values()]))),
      ];
    });
    const rest = wave.changes.length === 0 ? [] : [[name, '', '', '', '', cut(wave.changes.map(codeSpan).join(', '))]];
    return [...lanes, ...rest];
  });
  const lengths = rows.map((cells) => cells.join(' | '));
  const shown = rows.slice(0, first(lengths, tableLimit).length);
  const table = markdownTable(['wave', 'machines of', 'machines', 'drained', 'how', 'what changes'], shown);
  const more = rows.length - shown.length;
  return rows.length === 0 ? [] : [more > 0 ? `${table}\n\nand ${more} more rows` : table];
}

/** The first of these texts that fit. */
function first(texts: readonly string[], limit: number): readonly string[] {
  let length = 0;
  const end = texts.findIndex((text) => {
    length += text.length + 10;
    return length > limit;
  });
  return end === -1 ? texts : texts.slice(0, end);
}

interface Section {
  readonly machines: number;
  readonly summary: string;
  readonly text: string;
  readonly diff: string;
}
function sectionOf({ turns, because, asOn }: TurnGroup): Section {
  const [example, ...others] = turns;
  const names = others.slice(0, 20).map(({ machine }) => `, ${machine}`);
  const more = others.length - names.length;
  const list = (title: string, items: readonly string[]) =>
    items.length === 0 ? [] : [`${title} ${escapeMarkdown(cut(items.join(', ')))}`];
  return {
    machines: turns.length,
    summary: `<b>${escapeMarkdown(example.machine)}</b>${escapeMarkdown(names.join(''))}${more > 0 ? ` and ${more} more` : ''}: ${howText(example)}`,
    text: [
      ...list('Because', because),
      ...list('Versions:', example.versions.length === 0 ? [] : [versionsText(example.versions)]),
      ...packagesLines(example, 100).map((line) => escapeMarkdown(cutTo(line, 4000))),
      ...list('Restarts', example.restarts),
      ...(example.files.length === 0 ? ['No file changes.'] : []),
      ...(asOn === undefined ? [] : [`Files as on ${escapeMarkdown(asOn)}: ${plural(example.files.length, 'change')}`]),
    ].join('<br>\n'),
    diff: asOn !== undefined ? '' : sanitize(example.files.map(({ diff }) => diff).join('')),
  };
}

const render = ({ summary, text, diff }: Section): string =>
  details(summary, [text, ...(diff === '' ? [] : [fenced(diff, 'diff')])].join('\n\n'));

/**
 * Sections in `limit` characters. Where they do not fit, each gets an equal share: short ones are whole, long ones are cut, which they say; and of so many
 * that not even their summaries fit, the last are only counted.
 */
function within(sections: readonly Section[], limit: number): readonly string[] {
  const whole = sections.map(render);
  if (sum(whole.map(({ length }) => length + 2)) <= limit) return whole;
  const kept: Section[] = [];
  let left = limit - 200;
  for (const section of sections) {
    left -= render({ ...section, diff: '' }).length + cutNote.length + 40;
    if (left < 0) break;
    kept.push(section);
  }
  const share = fairShare(
    kept.map(({ diff }) => diff.length + 40),
    Math.max(0, left),
  );
  const dropped = sum(sections.slice(kept.length).map(({ machines }) => machines));
  return [
    ...kept.map((section) => render({ ...section, diff: shortened(section.diff, share - 40) })),
    ...(dropped > 0 ? [`_${plural(dropped, 'more machine')} do not fit into a comment: ${everything}_`] : []),
  ];
}
const everything = 'see the output of the job, or `cluster upgrade --dry-run`.';
const cutNote = `\n... 100000 lines do not fit into a comment: ${everything}`;
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** The largest share for which all that need less have what they need, and the others this. */
function fairShare(needs: readonly number[], total: number): number {
  let left = total;
  const sorted = needs.toSorted((a, b) => a - b);
  for (const [index, need] of sorted.entries()) {
    const share = Math.floor(left / (sorted.length - index));
    if (need > share) return share;
    left -= need;
  }
  return Number.POSITIVE_INFINITY;
}

function shortened(diff: string, limit: number): string {
  if (diff.length <= limit) return diff;
  const lines = diff.split('\n');
  const kept: string[] = [];
  let length = 0;
  for (const line of lines) {
    length += line.length + 1;
    if (length > limit) break;
    kept.push(line);
  }
  return [...kept, `... ${plural(lines.length - kept.length, 'line')} do not fit into a comment: ${everything}`, ''].join('\n');
}
