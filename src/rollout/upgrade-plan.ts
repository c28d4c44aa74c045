import { z } from 'zod';
import { canonicalJson } from '../plan/canonical.ts';
import { chosenOf, isRemainder } from '../plan/make.ts';
import { type Change, planSchema } from '../plan/plan.ts';
import { nameOf, typeOf } from '../plan/resource.ts';
import { type Lane, type Rollout, rolloutSchema, type Turn, type Wave } from './rollout.ts';

/** What `cluster upgrade --dry-run -o json` and `--out` write, and `--plan` reads: the plan, and the order in which it is carried out. */
export const upgradePlanSchema = z.strictObject({
  ...planSchema.shape,
  command: z.literal('upgrade'),
  rollout: rolloutSchema,
});
export type UpgradePlan = z.infer<typeof upgradePlanSchema>;

/**
 * What a saved upgrade promises to whoever approved it: what changes, in which waves, under which caps, how each machine is treated and what its files
 * become, and whether pods are deleted that would not leave. Not: pods, obstacles, estimate and cost, which are other ones an hour later; the order inside a lane (etcd's leader comes last, and may be another
 * one by then); and which units happened to run.
 */
function promisedBy({ formatVersion, cluster, specDigest, changes, rollout }: UpgradePlan): string {
  const { versions, settings, waves, forceAfterSeconds } = rollout;
  const promised = changes.map(({ reason: _, ...change }) => change).sort(byJson);
  return canonicalJson({
    formatVersion,
    cluster,
    specDigest,
    changes: promised,
    versions,
    settings,
    waves: waves.map(waveOf),
    ...(forceAfterSeconds !== undefined && { forceAfterSeconds }),
  });
}
const waveOf = ({ name, kubernetes, lanes, changes }: Wave) => ({
  name,
  kubernetes,
  lanes: lanes.map(laneOf).sort(byJson),
  changes: changes.toSorted(),
});
const laneOf = ({ first, turns, last, ...lane }: Lane) => ({
  ...lane,
  first: first.map(turnOf).sort(byJson),
  turns: turns.map(turnOf).sort(byJson),
  last: last.map(turnOf).sort(byJson),
});
const turnOf = ({ machine, how, drain, files }: Turn) => ({ machine, how, drain, files });
const byJson = (a: object, b: object): number => (canonicalJson(a) < canonicalJson(b) ? -1 : 1);

export const sameUpgrade = (a: UpgradePlan, b: UpgradePlan): boolean => promisedBy(a) === promisedBy(b);

/** No machine has a turn, and nothing else would change; what `--only` leaves out counts as something to do. */
export const isNothingToDo = (plan: UpgradePlan): boolean =>
  plan.rollout.waves.length === 0 && chosenOf(plan).length === 0 && !plan.rollout.only?.leftOut.length;

/**
 * After a crash, a pause or an abort: `now` is what remains of `saved` when every turn that it still has was promised, in that wave and with those files, and
 * so was everything that no turn brings about.
 */
export function isUpgradeRemainder(now: UpgradePlan, saved: UpgradePlan): boolean {
  const promised = new Map([...turnsOf(saved.rollout)].map(({ turn }) => [turn.machine, turn]));
  const others = now.changes.filter((change) => !endsTurn(change, promised));
  return (
    isRemainder({ ...now, changes: others }, saved) &&
    canonicalJson(endOf(now)) === canonicalJson(endOf(saved)) &&
    now.rollout.forceAfterSeconds === saved.rollout.forceAfterSeconds &&
    unpromised(now, saved).length === 0
  );
}

/** What a host holds and runs, and our cordon: wherever a turn was cut, the rest of it is among these. Files are compared by their diffs. */
const ofTurns = new Set(['host.packages', 'host.bundle', 'host.units', 'pki.certificate', 'kube.node', 'kube.api']);
/** A change that brings a promised turn to its end. Of a machine that was to be replaced whatever is made anew, never a deletion. */
function endsTurn({ address, action, impact }: Change, promised: ReadonlyMap<string, Turn>): boolean {
  const turn = nameOf(address)
    .split('.')
    .map((part) => promised.get(part))
    .find((found) => found !== undefined);
  if (!turn || impact === 'data-loss' || (action !== 'create' && action !== 'update')) return false;
  return ofTurns.has(typeOf(address)) || (action === 'create' && (turn.how === 'replace' || turn.how === 'add'));
}
/** Where it ends; nothing, when all machines are there. What it starts from may have moved. */
const endOf = ({ rollout }: UpgradePlan) => rollout.versions.map(({ what, after }) => ({ what, after }));

/** For whoever has to look again: what the upgrade of now has or lacks against the saved one, a line each. */
export function upgradeDifferences(now: UpgradePlan, saved: UpgradePlan): readonly string[] {
  if (now.cluster !== saved.cluster) return [`it was made for the cluster ${saved.cluster}, and this one is ${now.cluster}`];
  const missing = unpromised(saved, now).map((what) => `- ${what}`);
  return [...unpromised(now, saved).map((what) => `+ ${what}`), ...missing];
}

/** Turns of `now`, as lines, that `saved` does not have. A machine that was cut has some of its files already, or all: then only its turn is brought to its end. */
function unpromised(now: UpgradePlan, saved: UpgradePlan): readonly string[] {
  const promised = new Map([...turnsOf(saved.rollout)].map(({ key, turn }) => [key, turn]));
  return [...turnsOf(now.rollout)].flatMap(({ wave, key, turn }) => {
    const line = `${wave}: ${turn.machine} ${turn.how}${turn.drain ? ', drained' : ''}`;
    const before = promised.get(key);
    const ending = turn.how === 'in-place' && !turn.drain && turn.files.length === 0;
    if (!before || (turn.how !== before.how && !ending) || (turn.drain && !before.drain)) return [line];
    const files = new Map(before.files.map(({ path, diff }) => [path, diff]));
    const other = turn.files.filter(({ path, diff }) => files.get(path) !== diff).map(({ path }) => path);
    return other.length > 0 ? [`${line}: ${other.join(', ')}`] : [];
  });
}

/** Turns with what tells them apart: a surge machine has two in one wave. */
function* turnsOf(rollout: Rollout): Generator<{ readonly wave: string; readonly key: string; readonly turn: Turn }> {
  for (const { name, kubernetes, lanes } of rollout.waves) {
    const wave = `${name} ${kubernetes}`;
    for (const { first, turns, last } of lanes)
      for (const [part, all] of Object.entries({ first, turns, last }))
        for (const turn of all) yield { wave, key: `${wave} ${part} ${turn.machine}`, turn };
  }
}
