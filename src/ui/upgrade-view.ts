import type { UpgradeResult, WaveResult } from '../rollout/result.ts';
import { findingText } from './findings-view.ts';
import { codeSpan, escapeMarkdown, markdownTable } from './markdown.ts';
import type { Look } from './style.ts';
import { table } from './table.ts';
import { duration, plural, sanitize } from './text.ts';
import type { View } from './view.ts';

/** How an upgrade ended: what was done, how long each wave took, what is left, and the command that goes on. */
export const upgradeView: View<UpgradeResult> = {
  json: (result) => ({ formatVersion: 1, ...result, next: nextOf(result)?.command ?? null }),
  human: (result, look) => upgradeText(result, look),
  markdown: (result) => upgradeMarkdown(result),
};

function upgradeText(result: UpgradeResult, look: Look): string {
  const { style } = look;
  const next = nextOf(result);
  const waves = table<WaveResult>(
    [
      { title: 'wave', text: ({ name, kubernetes }) => `${name} ${kubernetes}` },
      { title: 'done', text: doneText, flexible: true },
      { title: 'time', text: ({ seconds }) => duration(seconds * 1000), align: 'right' },
    ],
    result.waves,
    look,
  );
  return [
    `${markOf(result, look)} ${headline(result)}`,
    ...(result.because === undefined ? [] : [`  ${sanitize(result.because)}`]),
    ...(waves === '' ? [] : [waves]),
    ...(result.left.length > 0 ? [`Left: ${leftText(result)}`] : []),
    ...result.findings.map((finding) => findingText(finding, look)),
    ...(next === undefined ? [] : [`${style.cyan('Next:')} ${next.command} (${next.says})`]),
  ].join('\n');
}

function upgradeMarkdown(result: UpgradeResult): string {
  const next = nextOf(result);
  const rows = result.waves.map((wave) => [
    escapeMarkdown(`${wave.name} ${wave.kubernetes}`),
    escapeMarkdown(doneText(wave)),
    duration(wave.seconds * 1000),
  ]);
  return [
    `### \`cluster upgrade\`: ${escapeMarkdown(headline(result))}`,
    ...(result.because === undefined ? [] : [escapeMarkdown(sanitize(result.because))]),
    ...(rows.length > 0 ? [markdownTable(['wave', 'done', 'time'], rows)] : []),
    ...(result.left.length > 0 ? [`Left: ${escapeMarkdown(leftText(result))}`] : []),
    ...result.findings.map(
      ({ severity, what, where }) => `- ${severity}: ${escapeMarkdown([where, what].filter(Boolean).join(': '))}`,
    ),
    ...(next === undefined ? [] : [`Next: ${codeSpan(next.command)} (${escapeMarkdown(next.says)})`]),
  ].join('\n\n');
}

const markOf = ({ outcome }: UpgradeResult, { style }: Look): string =>
  outcome === 'done' || outcome === 'nothing to do' || outcome === 'nothing to abort' ? style.green('✔') : style.yellow('!');

function headline({ cluster, outcome, kubernetes, waves, seconds, runId }: UpgradeResult): string {
  const machines = waves.reduce((sum, wave) => sum + wave.machines.length, 0);
  const did = `${plural(machines, 'machine')} in ${duration(seconds * 1000)} (run ${runId})`;
  switch (outcome) {
    case 'nothing to do':
      return `${cluster} is at ${kubernetes}, and as its file says: nothing to do.`;
    case 'done':
      return `${cluster} is at ${kubernetes}: ${did}, and a new look finds nothing left to do.`;
    case 'paused':
      return `${cluster} is on its way to ${kubernetes}, and paused where it was told to: ${did}. It serves.`;
    case 'stopped':
      return `${cluster} is on its way to ${kubernetes}, and was stopped: ${did}. The machine at hand was finished; it serves.`;
    case 'aborted':
      return `The upgrade of ${cluster} to ${kubernetes} is given up: no machine is cordoned by it any more, and each keeps the version that it has.`;
    case 'nothing to abort':
      return `No upgrade of ${cluster} is under way: there is nothing to give up, and no node is cordoned by one. It is at ${kubernetes}.`;
    case 'declined':
      return 'Nothing was changed.';
  }
}

const doneText = ({ machines, changes }: WaveResult): string => listText([...machines, ...changes]);
const leftText = ({ left }: UpgradeResult): string => listText(left.map(({ machine }) => machine));

const most = 12;
const listText = (names: readonly string[]): string =>
  names.length <= most ? names.join(', ') : `${names.slice(0, most).join(', ')} and ${names.length - most} more`;

interface Next {
  readonly command: string;
  readonly says: string;
}
function nextOf({ outcome }: UpgradeResult): Next | undefined {
  switch (outcome) {
    case 'done':
      return { command: 'cluster status', says: 'shows what runs' };
    case 'paused':
    case 'stopped':
      return { command: 'cluster upgrade', says: 'goes on; with --abort it is left as it is' };
    case 'aborted':
      return { command: 'cluster plan', says: 'shows what differs now; cluster upgrade takes it up again' };
    case 'nothing to do':
    case 'nothing to abort':
    case 'declined':
      return undefined;
  }
}
