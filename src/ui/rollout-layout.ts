import type { Change } from '../plan/plan.ts';
import { nameOf } from '../plan/resource.ts';
import type { Lane, Rollout, Turn, VersionChange, Wave } from '../rollout/rollout.ts';
import { turnsOfWave } from '../rollout/turns.ts';
import type { UpgradePlan } from '../rollout/upgrade-plan.ts';
import { duration, plural } from './text.ts';

/** Machines of one lane that are treated alike: the same versions, restarts, reasons and diffs. Shown once. */
export interface TurnGroup {
  readonly turns: readonly [Turn, ...Turn[]];
  /** Why, in words that hold for each of them. */
  readonly because: readonly string[];
  /** An earlier machine, of another group, with the very same diffs. */
  readonly asOn: string | undefined;
}

/** Machines by the diffs that were first shown with them. */
export type Shown = Map<string, string>;

/** Groups in the order of their first turn. The caller keeps `shown` for one whole rollout: twenty pools change the same files. */
export function groupTurns(turns: readonly Turn[], shown: Shown): readonly TurnGroup[] {
  const groups = new Map<string, [Turn, ...Turn[]]>();
  for (const turn of turns) {
    const { versions, restarts, files, packages } = turn;
    const key = JSON.stringify([turn.how, turn.drain, reasonsOf(turn, '*'), versions, restarts, files, packages]);
    const group = groups.get(key);
    if (group) group.push(turn);
    else groups.set(key, [turn]);
  }
  return [...groups.values()].map((turns) => {
    const [{ machine, files }] = turns;
    const diffs = JSON.stringify(files);
    const asOn = files.length > 0 ? shown.get(diffs) : undefined;
    if (asOn === undefined) shown.set(diffs, machine);
    return { turns, because: reasonsOf(turns[0], turns.length === 1 ? machine : '*'), asOn };
  });
}
const reasonsOf = ({ because, machine }: Turn, name: string): readonly string[] =>
  because.map((reason) => reason.replaceAll(machine, name));

export const isNothing = (plan: UpgradePlan): boolean =>
  restOf(plan).length === 0 &&
  !plan.rollout.only?.leftOut.length &&
  plan.rollout.waves.every((wave) => wave.changes.length === 0 && turnsOfWave(wave).length === 0);

const most = 12;
/** `Left out by --only role=masters: workers-a-1, workers-b-1` */
export const leftOutText = ({ only }: Rollout): readonly string[] =>
  only && only.leftOut.length > 0
    ? [
        `Left out by --only ${only.part}: ${only.leftOut.slice(0, most).join(', ')}${only.leftOut.length > most ? ` and ${only.leftOut.length - most} more` : ''}`,
      ]
    : [];

/** `Pods that would not leave are deleted after 10 min 00 s (--force-after)` */
export const forceText = ({ forceAfterSeconds }: Rollout): readonly string[] =>
  forceAfterSeconds === undefined
    ? []
    : [`Pods that would not leave are deleted after ${duration(forceAfterSeconds * 1000)} (--force-after)`];

/** What no turn and no wave names: changes of what is shared, and deletions. They come last, and so does what destroys data, whoever's it is. */
export function restOf({ changes, rollout: { waves } }: UpgradePlan): readonly Change[] {
  const named = new Set<string>(waves.flatMap((wave) => wave.changes));
  const machines = new Set(waves.flatMap(turnsOfWave).map(({ machine }) => machine));
  // `host.bundle/master-a`, `pki.certificate/master-a.apiserver`, `etcd.member/main.etcd-a`
  const ofMachine = ({ address }: Change) =>
    nameOf(address)
      .split('.')
      .some((part) => machines.has(part));
  return changes.filter(
    (change) => 'now' in change.when && !named.has(change.address) && (destroysData(change) || !ofMachine(change)),
  );
}
const destroysData = ({ impact }: Change): boolean => impact === 'data-loss';
/** Why, and that it is for good. */
export const restReason = (change: Change): string =>
  destroysData(change) ? `${change.reason}; its data is destroyed` : change.reason;

/** `kube-apiserver, kubelet 1.35.4 → 1.36.3; pause 3.10.1 → 3.10.2`: what makes the same move is named together. */
export const versionsText = (versions: readonly VersionChange[]): string =>
  [...Map.groupBy(versions, ({ before, after }) => `${before} → ${after}`)]
    .map(([move, all]) => `${all.map(({ what }) => what).join(', ')} ${move}`)
    .join('; ');

/** Of the operating system, in lines: `12 packages: libc6 2.36-9 → 2.36-10, …`, what stays, and whether the machine restarts. */
export function packagesLines({ packages }: Turn, most: number): readonly string[] {
  if (!packages) return [];
  const { moves, held, reboot } = packages;
  const some = moves.slice(0, most).map(({ what, before, after }) => {
    if (before === 'none') return `${what} ${after} (new)`;
    return after === 'none' ? `${what} ${before} (goes)` : `${what} ${before} → ${after}`;
  });
  const more = moves.length > most ? `, and ${moves.length - most} more` : '';
  return [
    moves.length === 0
      ? 'packages: nothing newer on its mirrors now'
      : `${plural(moves.length, 'package')}: ${some.join(', ')}${more}`,
    ...(held.length > 0 ? [`held, and stay: ${held.join(', ')}`] : []),
    reboot.length > 0 ? `the machine restarts: ${reboot.join(', ')}` : 'the machine restarts only if a package asks for it',
  ];
}

export const howText = ({ how, drain }: Turn): string => {
  switch (how) {
    case 'in-place':
      return drain ? 'in place, drained' : 'in place';
    case 'replace':
      return drain ? 'drained and replaced' : 'replaced';
    case 'add':
      return 'added';
    case 'remove':
      return drain ? 'drained and removed' : 'removed';
  }
};

/** `in place, 1 at a time`, `by replacement, at most 0 missing, 1 extra` */
export const laneText = ({ strategy, maxUnavailable, maxSurge }: Lane): string =>
  [
    strategy === 'in-place' ? 'in place' : 'by replacement',
    maxSurge > 0 ? `at most ${maxUnavailable} missing, ${maxSurge} extra` : `${maxUnavailable} at a time`,
  ].join(', ');

/** What a wave is called: with the version where the rollout goes through several. */
export const waveText = ({ name, kubernetes }: Wave, { waves }: Rollout): string =>
  new Set(waves.map((wave) => wave.kubernetes)).size > 1 ? `${name}, to ${kubernetes}` : name;

/** `12 pods move. It takes about 2 min 05 s, as earlier upgrades of this cluster did.` */
export const extentText = ({ pods, estimateSeconds }: Rollout): string =>
  [
    pods === 0 ? 'No pod moves.' : `${plural(pods, 'pod')} ${pods === 1 ? 'moves' : 'move'}.`,
    estimateSeconds === null
      ? 'There is no estimate of time: this cluster was not upgraded before.'
      : `It takes about ${duration(estimateSeconds * 1000)}, going by earlier upgrades of this cluster.`,
  ].join(' ');

/** What is done about a recovery point before etcd or a master is touched; nothing, where neither is. */
export function recoveryText({ recoveryPoint }: Rollout): readonly string[] {
  if (!recoveryPoint) return [];
  const { what, newest } = recoveryPoint;
  const age = newest && duration(newest.ageSeconds * 1000);
  const known = age === null ? 'there is none' : `the newest is ${age} old`;
  switch (what) {
    case 'take':
      return [`It takes a recovery point first: ${known}.`];
    case 'have':
      return [`It takes no recovery point first: ${newest?.id} is there, ${age} old.`];
    case 'skip':
      return [`It takes no recovery point first (--skip-recovery-point): ${known}.`];
  }
}
