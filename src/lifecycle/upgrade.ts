import { exitCodes, UnreachableError, UserError } from '../errors.ts';
import { parseOnly } from '../rollout/only.ts';
import type { UpgradeResult } from '../rollout/result.ts';
import { turnsOfWave } from '../rollout/turns.ts';
import { isNothingToDo, type UpgradePlan } from '../rollout/upgrade-plan.ts';
import type { Opened } from './opened.ts';
import { recoveryNeed } from './recovery-point.ts';
import { lookSession, type Session, withLockedSession, withSession } from './session.ts';
import { Agreement, type AgreementOptions, lookAhead } from './upgrade/agreement.ts';
import { type Course, courseOf } from './upgrade/course.ts';
import { finishUpgrade } from './upgrade/finish.ts';
import { releaseGroups } from './upgrade/group-roll.ts';
import { type Ahead, type HopLook, lookHop } from './upgrade/look.ts';
import { nodeWork } from './upgrade/node-work.ts';
import { type DryRunOptions, rolloutOf } from './upgrade/plan.ts';
import { policy } from './upgrade/policy.ts';
import { type RunOptions, UpgradeRun } from './upgrade/run.ts';
import { refuseOutside, untilWindow, whileWaiting } from './upgrade/windows.ts';

export interface UpgradeOptions extends RunOptions, AgreementOptions {
  readonly allowDataLoss: boolean;
  /** From here on the cluster goes, or stands already, where the file is to say: also when this run is cut. */
  agreed?(): Promise<unknown>;
  readonly lockWaitMs: number;
}

/** What `upgrade` would do now: takes no lock, and changes nothing. */
export const planUpgrade = (opened: Opened, options?: DryRunOptions): Promise<UpgradePlan> =>
  withSession(opened, async (session) => {
    refuseUnmade(session);
    const course = courseFor(session);
    const looks = await lookAhead(session, course);
    return rolloutOf(session, course, looks, options);
  });

/** Moves every machine, one after the other, to what cluster.yaml says. Succeeds only when a new plan is empty, and what was seen last is well. */
export async function upgrade(opened: Opened, asked: UpgradeOptions): Promise<UpgradeResult> {
  const options = { ...asked, ...promisedOptions(opened, asked) };
  return withLockedSession(opened, { command: 'upgrade', waitMs: options.lockWaitMs }, async (session) => {
    refuseUnmade(session);
    const started = opened.now();
    const course = courseFor(session);
    const agreement = await Agreement.open(session, course, options);
    const result = (outcome: UpgradeResult['outcome'], more: Partial<UpgradeResult> = {}): UpgradeResult => ({
      cluster: opened.cluster.name,
      runId: session.runId,
      outcome,
      kubernetes: course.to.kubernetes,
      waves: [],
      seconds: (opened.now() - started) / 1000,
      left: [],
      findings: [],
      ...more,
    });
    const nothing = isNothingToDo(agreement.plan);
    if (!nothing) {
      refuseOutside(session);
      if (!(await agreement.confirmed())) return result('declined');
    }
    await options.agreed?.();
    if (!nothing) {
      session.begin(agreement.plan);
      const found = await untilWindow(session, options.stopping);
      if (found === 'interrupted') return result('stopped', { because: whileWaiting, left: leftOf(agreement.ahead) });
      if (found === 'waited' && !(await agreement.renewed(course))) return result('declined');
    }
    // Asked again: the plan may have been read for long, or a window waited for.
    const need = nothing
      ? undefined
      : await recoveryNeed(session, course, agreement.plan.rollout.waves, options.skipRecoveryPoint === true);
    const run = new UpgradeRun(session, course, options, agreement, need?.what === 'take');
    const stopped = nothing ? await run.askAgain([]) : await run.all();
    if (stopped) return result(stopped.end, { waves: run.done, left: stopped.left, because: stopped.because });
    const findings = await finishUpgrade(session, course, options.allowDataLoss);
    return result(nothing ? 'nothing to do' : 'done', { waves: run.done, findings });
  });
}

/** A dry run of a part promises that part, and one with --force-after what it forces. Throws a usage error where another time is asked for. */
function promisedOptions(
  { cluster }: Opened,
  { only, forceAfterMs, saved }: UpgradeOptions,
): Pick<UpgradeOptions, 'only' | 'forceAfterMs'> {
  if (!saved) return {};
  const { only: { part } = {}, forceAfterSeconds } = saved.rollout;
  if (forceAfterMs !== undefined && forceAfterMs / 1000 !== forceAfterSeconds)
    throw new UserError(
      {
        what: `the saved plan was made ${forceAfterSeconds === undefined ? 'without --force-after' : `with --force-after ${forceAfterSeconds}s`}, and does not promise ${forceAfterMs / 1000}s`,
        next: 'leave --force-after out: what the plan promises is done; or make and review a new one: cluster upgrade --dry-run --force-after TIME --out FILE',
      },
      exitCodes.usage,
    );
  return {
    ...(forceAfterSeconds !== undefined && { forceAfterMs: forceAfterSeconds * 1000 }),
    ...(!only &&
      part !== undefined && { only: parseOnly(part, { pools: cluster.pools.map(({ name }) => name), zones: cluster.zones }) }),
  };
}

/** Gives up an upgrade that was stopped: no node is cordoned or avoided by us any more. What has moved stays where it is, as the version skew policy allows. */
export async function abortUpgrade(opened: Opened, { lockWaitMs }: { readonly lockWaitMs: number }): Promise<UpgradeResult> {
  return withLockedSession(opened, { command: 'upgrade', waitMs: lockWaitMs }, async (session) => {
    refuseUnmade(session);
    const started = opened.now();
    const underWay = session.record?.rollout !== undefined;
    const left = await stillToGo(session);
    const freed = await nodeWork(session, undefined).release(session.signal).catch(apiFirst);
    const groups = await releaseGroups(session);
    const gaveUp = underWay || freed.length > 0 || groups.length > 0;
    return {
      cluster: opened.cluster.name,
      runId: session.runId,
      outcome: gaveUp ? 'aborted' : 'nothing to abort',
      kubernetes:
        session.record?.rollout?.hops.at(-1)?.versions.kubernetes ?? session.inForce.variants.all[0].versions.kubernetes,
      waves: [],
      seconds: (opened.now() - started) / 1000,
      left: gaveUp ? left : [],
      ...(gaveUp && {
        because: [
          freed.length > 0 ? `uncordoned: ${freed.join(', ')}` : 'no node was cordoned by an upgrade',
          ...(groups.length > 0 ? [`back at their sizes: ${groups.join(', ')}`] : []),
        ].join('; '),
      }),
      findings: [],
    };
  });
}

/** Nodes are freed through the API. */
function apiFirst(error: unknown): never {
  if (!(error instanceof UnreachableError)) throw error;
  const next = 'cluster up brings back what is in force; then cluster upgrade --abort again';
  throw new UnreachableError({ ...error.problem, next }, { cause: error });
}

/** Who has not arrived. Nobody, where no way leads to what the file says by now: giving up needs none, nor that every machine answers. */
async function stillToGo(session: Session): Promise<UpgradeResult['left']> {
  const looks: HopLook[] = [];
  try {
    const course = courseFor(session);
    for (const hop of course.hops) looks.push(await lookHop(session, course, hop, looks));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    await lookSession(session, policy);
  }
  return leftOf(looks);
}
const leftOf = (looks: readonly Ahead[]): UpgradeResult['left'] =>
  looks.flatMap(({ waves }) => waves.flatMap(turnsOfWave)).map(({ machine, how }) => ({ machine, how }));

const courseFor = ({ opened, inForce, record }: Session): Course => courseOf(opened.cluster, inForce.variants.all[0], record);

function refuseUnmade({ record }: Session): void {
  if (record?.settings) return;
  throw new UserError({
    what: 'there is no cluster to upgrade yet: no `cluster up` has come to its end',
    next: 'cluster up',
  });
}
