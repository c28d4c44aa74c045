import { leftOf, unseenOf } from '../plan/make.ts';
import type { Obstacle, Turn, Wave } from '../rollout/rollout.ts';
import { turnsOfLane, turnsOfWave } from '../rollout/turns.ts';
import type { UpgradePlan } from '../rollout/upgrade-plan.ts';
import { costLines } from './plan-cost.ts';
import { signOf } from './plan-layout.ts';
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
import { rolloutMarkdown } from './rollout-markdown.ts';
import type { Look } from './style.ts';
import { indent, plural, sanitize, widthOf } from './text.ts';
import type { View } from './view.ts';

/** What an upgrade would do: wave by wave for people, with the diff of every machine; for programs as it is; for a pull request as markdown. */
export const rolloutView: View<UpgradePlan> = {
  human: (plan, look) => rolloutText(plan, look),
  json: (plan) => plan,
  markdown: rolloutMarkdown,
};

function rolloutText(plan: UpgradePlan, look: Look): string {
  const { rollout, cluster } = plan;
  const { style } = look;
  const [errors, warnings] = [obstaclesOf(plan, 'error'), obstaclesOf(plan, 'warning')];
  const cost = plan.cost ? ['', ...costLines(plan.cost, look)] : [];
  if (isNothing(plan) && errors.length + warnings.length + unseenOf(plan).length === 0)
    return [`${style.green('✔')} ${cluster}: nothing to upgrade`, ...laterBlocks(plan, look).flat(), ...cost].join('\n');
  const moves = [
    versionsText(rollout.versions),
    rollout.settings.length > 0 ? `settings ${rollout.settings.join(', ')}` : '',
  ].filter(Boolean);
  const shownDiffs: Shown = new Map();
  const blocks = [
    ...(errors.length > 0
      ? [[style.red(style.bold('In the way: this upgrade would not begin')), ...errors.map((each) => obstacleText(each, look))]]
      : []),
    [
      `${style.bold(cluster)}: upgrade${moves.length > 0 ? `: ${sanitize(moves.join('; '))}` : ''}`,
      ...[...recoveryText(rollout), ...forceText(rollout), ...leftOutText(rollout)].map((text) => `  ${sanitize(text)}`),
    ],
    ...rollout.waves.map((wave, index) => waveLines(wave, `${index + 1}. ${waveText(wave, rollout)}`, shownDiffs, look)),
    ...restBlock(plan, look),
    ...laterBlocks(plan, look),
    ...(warnings.length > 0 ? [[style.bold('Worth knowing before'), ...warnings.map((each) => obstacleText(each, look))]] : []),
    [verdict(plan, errors.length, look)],
  ];
  return [...blocks.flatMap((block, index) => (index === 0 ? block : ['', ...block])), ...cost].join('\n');
}

const obstaclesOf = ({ rollout }: UpgradePlan, severity: Obstacle['severity']): readonly Obstacle[] =>
  rollout.obstacles.filter((obstacle) => obstacle.severity === severity);

function obstacleText({ severity, where, what, why, next }: Obstacle, { style }: Look): string {
  const mark = severity === 'error' ? style.red('✖') : style.yellow('!');
  const lines = [`  ${mark} ${style.bold(sanitize(where))}: ${sanitize(what)}`];
  if (why) lines.push(indent(sanitize(why), 6));
  if (next) lines.push(indent(`${style.cyan('Next:')} ${sanitize(next)}`, 6));
  return lines.join('\n');
}

function waveLines(wave: Wave, title: string, shownDiffs: Shown, look: Look): readonly string[] {
  const { style } = look;
  return [
    style.bold(title),
    ...wave.lanes
      .filter((lane) => turnsOfLane(lane).length > 0)
      .flatMap((lane) => [
        `  ${lane.name}: ${plural(turnsOfLane(lane).length, 'machine')} ${style.dim(laneText(lane))}`,
        ...groupTurns(turnsOfLane(lane), shownDiffs).flatMap((group) => groupLines(group, look)),
      ]),
    ...wave.changes.map((address) => `    ${style.yellow(`~ ${sanitize(address)}`)}`),
  ];
}

/** Of many machines that are treated alike the first are shown. */
const shown = 8;
const hideFrom = 16;

function groupLines({ turns, because, asOn }: TurnGroup, look: Look): readonly string[] {
  const { style } = look;
  const some = look.verbose === true || turns.length < hideFrom ? turns : turns.slice(0, shown);
  const widest = Math.max(...some.map(({ machine }) => widthOf(machine)));
  const [example] = turns;
  const names = turns.slice(1, shown).map(({ machine }) => machine);
  const more = turns.length - 1 - names.length;
  const same = names.length === 0 ? '' : ` (the same on ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''})`;
  return [
    ...some.map((turn) => turnLine(turn, widest, look)),
    ...(turns.length > some.length ? [style.dim(`    and ${turns.length - some.length} more like these (-v shows all)`)] : []),
    ...because.map((reason) => `        ${style.dim('because')} ${sanitize(reason)}`),
    ...packagesLines(example, look.verbose === true ? Number.POSITIVE_INFINITY : 12).map((line) => `        ${sanitize(line)}`),
    ...(example.restarts.length > 0 ? [`        ${style.dim('restarts')} ${sanitize(example.restarts.join(', '))}`] : []),
    ...(asOn === undefined ? [] : [`        ${style.dim(`${plural(example.files.length, 'file')}, as on ${asOn}`)}`]),
    ...(example.files.length > 0 && asOn === undefined
      ? [
          `        ${style.dim(`${plural(example.files.length, 'file')} of ${example.machine}${same}`)}`,
          ...example.files.flatMap(({ diff }) => diffLines(diff, look)),
        ]
      : []),
  ];
}

function turnLine(turn: Turn, widest: number, { style }: Look): string {
  const paint = { 'in-place': style.yellow, replace: style.red, add: style.green, remove: style.red }[turn.how];
  const sign = { 'in-place': '~', replace: '±', add: '+', remove: '-' }[turn.how];
  const versions = versionsText(turn.versions);
  const name = turn.machine + ' '.repeat(widest - widthOf(turn.machine));
  return [
    `    ${paint(`${sign} ${name}`)}`,
    `zone ${turn.zone}`,
    howText(turn),
    ...(versions === '' ? [] : [sanitize(versions)]),
  ].join('  ');
}

const diffLines = (diff: string, { style }: Look): readonly string[] =>
  sanitize(diff)
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => `          ${paintOf(line, style)(line)}`.trimEnd());

function paintOf(line: string, style: Look['style']): (text: string) => string {
  if (line.startsWith('+++') || line.startsWith('---')) return style.bold;
  if (line.startsWith('@@')) return style.cyan;
  if (line.startsWith('+')) return style.green;
  return line.startsWith('-') ? style.red : style.dim;
}

function restBlock(plan: UpgradePlan, { style, verbose }: Look): readonly (readonly string[])[] {
  const rest = restOf(plan);
  if (rest.length === 0) return [];
  const some = verbose === true || rest.length < hideFrom ? rest : rest.slice(0, shown);
  const more = rest.length - some.length;
  return [
    [
      style.bold('Last, what is shared and what goes'),
      ...some.map((change) => `    ${signOf(change)} ${change.address}  ${style.dim(sanitize(restReason(change)))}`),
      ...(more > 0 ? [style.dim(`    and ${more} more (-v shows all)`)] : []),
    ],
  ];
}

/** What this upgrade does not do: data that it would not destroy, and things that nobody could see. */
function laterBlocks(plan: UpgradePlan, { style }: Look): readonly (readonly string[])[] {
  const lines = (changes: UpgradePlan['changes'], sign: string) =>
    changes.map((change) => {
      const why = 'because' in change.when ? change.when.because : change.reason;
      return `    ${sign} ${change.address}  ${style.dim(sanitize(why))}`;
    });
  const [left, unseen] = [leftOf(plan), unseenOf(plan)];
  return [
    ...(left.length > 0 ? [[style.bold('Left'), ...lines(left, '~')]] : []),
    ...(unseen.length > 0
      ? [[style.bold('Not seen (unknown is not absent: nothing is done about these)'), ...lines(unseen, style.magenta('?'))]]
      : []),
  ];
}

function verdict({ cluster, rollout }: UpgradePlan, errors: number, { style }: Look): string {
  const turns = rollout.waves.flatMap(turnsOfWave);
  const drained = turns.filter(({ drain }) => drain).length;
  const counts = [
    plural(rollout.waves.length, 'wave'),
    plural(turns.length, 'machine'),
    `${drained} drained`,
    ...(errors > 0 ? [style.red(`${errors} in the way`)] : []),
  ];
  return `${style.bold(cluster)}: ${counts.join(', ')}. ${extentText(rollout)}`;
}
