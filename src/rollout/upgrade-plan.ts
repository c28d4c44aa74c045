import { z } from 'zod';
import { canonicalJson } from '../plan/canonical.ts';
import { isRemainder } from '../plan/make.ts';
import { planSchema } from '../plan/plan.ts';
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
 * become. Not: pods, obstacles, estimate and cost, which are other ones an hour later; the order inside a lane (etcd's leader comes last, and may be another
 * one by then); and which units happened to run.
 */
function promisedBy({ formatVersion, cluster, specDigest, changes, rollout }: UpgradePlan): string {
  const { versions, settings, waves } = rollout;
  const promised = changes.map(({ reason: _, ...change }) => change).sort(byJson);
  return canonicalJson({ formatVersion, cluster, specDigest, changes: promised, versions, settings, waves: waves.map(waveOf) });
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

/** After a crash, a pause or an abort: `now` is what remains of `saved` when every turn that it still has was promised, in that wave, with those files. */
export const isUpgradeRemainder = (now: UpgradePlan, saved: UpgradePlan): boolean =>
  isRemainder(now, saved) && canonicalJson(endOf(now)) === canonicalJson(endOf(saved)) && unpromised(now, saved).length === 0;
/** Where it ends. What it starts from may have moved. */
const endOf = ({ rollout }: UpgradePlan) => rollout.waves.at(-1)?.kubernetes;

/** For whoever has to look again: what the upgrade of now has or lacks against the saved one, a line each. */
export function upgradeDifferences(now: UpgradePlan, saved: UpgradePlan): readonly string[] {
  const missing = unpromised(saved, now).map((what) => `- ${what}`);
  return [...unpromised(now, saved).map((what) => `+ ${what}`), ...missing];
}

/** Turns of `now`, as lines, that `saved` does not have: a machine that is half done has some of its files already. */
function unpromised(now: UpgradePlan, saved: UpgradePlan): readonly string[] {
  const promised = new Map([...turnsOf(saved.rollout)].map((each) => [each.key, each.turn]));
  return [...turnsOf(now.rollout)].flatMap(({ key, turn }) => {
    const before = promised.get(key);
    if (!before) return [key];
    const files = new Map(before.files.map(({ path, diff }) => [path, diff]));
    const other = turn.files.filter(({ path, diff }) => files.get(path) !== diff).map(({ path }) => path);
    return other.length > 0 ? [`${key}: ${other.join(', ')}`] : [];
  });
}
function* turnsOf(rollout: Rollout): Generator<{ readonly key: string; readonly turn: Turn }> {
  for (const { name, kubernetes, lanes } of rollout.waves)
    for (const lane of lanes)
      for (const turn of [...lane.first, ...lane.turns, ...lane.last])
        yield { key: `${name} ${kubernetes}: ${turn.machine} ${turn.how}${turn.drain ? ', drained' : ''}`, turn };
}
