import { exitCodes, UserError } from '../../errors.ts';
import { isUpgradeRemainder, sameUpgrade, type UpgradePlan, upgradeDifferences } from '../../rollout/upgrade-plan.ts';
import { during } from '../../run/during.ts';
import { refuseLostKeys } from '../foundation.ts';
import type { Session } from '../session.ts';
import type { Course } from './course.ts';
import { type Ahead, aheadOf, type HopLook, refuseUnseen } from './look.ts';
import { bringsApiBack, lookPatiently } from './patience.ts';
import { type DryRunOptions, rolloutOf } from './plan.ts';

export interface AgreementOptions extends DryRunOptions {
  /** A dry run that was reviewed: only that, or what remains of it, is carried out. */
  readonly saved?: UpgradePlan;
  /** Shown before anything is done; false stops. */
  confirm(plan: UpgradePlan): Promise<boolean>;
  /** Somebody sits there who can answer once more. */
  readonly asks: boolean;
}

/** What is carried out: the plan that somebody has said yes to, and the hops as they were looked at last. */
export class Agreement {
  readonly #session: Session;
  readonly #options: AgreementOptions;
  #plan: UpgradePlan;
  #ahead: readonly Ahead[];

  /** Looks at every hop. Throws UserError where the saved plan promises something else. */
  static async open(session: Session, course: Course, options: AgreementOptions): Promise<Agreement> {
    const { plan, ahead } = await preflight(session, course, options);
    refuseStale(plan, options.saved, course);
    return new Agreement(session, options, plan, ahead);
  }
  private constructor(session: Session, options: AgreementOptions, plan: UpgradePlan, ahead: readonly Ahead[]) {
    this.#session = session;
    this.#options = options;
    this.#plan = plan;
    this.#ahead = ahead;
  }

  get plan(): UpgradePlan {
    return this.#plan;
  }
  /** A hop each, in their order. */
  get ahead(): readonly Ahead[] {
    return this.#ahead;
  }

  /** False: declined. Throws UserError with what is in the way. */
  async confirmed(): Promise<boolean> {
    refuseObstacles(this.#plan, 'nothing was changed');
    return this.#stillOurs(await this.#options.confirm(this.#plan));
  }

  /**
   * Looks again, after a time in which anything may have happened. False: it is no longer what was agreed on, and this was declined. Throws UserError where nobody
   * can be asked, and with what is in the way.
   */
  async renewed(course: Course): Promise<boolean> {
    const before = this.#plan;
    const { saved, asks, confirm } = this.#options;
    const { plan, ahead } = await preflight(this.#session, course, this.#options);
    refuseStale(plan, saved, course);
    refuseObstacles(plan, 'nothing more was changed');
    const same = sameUpgrade(plan, before) || isUpgradeRemainder(plan, before);
    if (!same && !asks) throw changedMeanwhile(plan, before);
    [this.#plan, this.#ahead] = [plan, ahead];
    return this.#stillOurs(same || (await confirm(plan)));
  }

  /** Whoever answers may read for long, and what is looked at takes its time, too: throws where the lock was lost meanwhile. */
  async #stillOurs(agreed: boolean): Promise<boolean> {
    if (agreed) await this.#session.lock?.check();
    return agreed;
  }
}

/** Every hop, each as the ones before will leave it. Throws UserError where something cannot be seen. */
export async function lookAhead(session: Session, course: Course): Promise<readonly HopLook[]> {
  const looks: HopLook[] = [];
  for (const hop of course.hops) {
    const found = await lookPatiently(session, course, hop, looks);
    if (!bringsApiBack(session, found)) refuseUnseen(found.look.plan);
    looks.push(found);
  }
  return looks;
}

async function preflight(session: Session, course: Course, options: DryRunOptions) {
  const looks = await lookAhead(session, course);
  refuseLostKeys(session.record?.keys, session.seen, session.store?.url ?? 'store');
  const plan = await during('preflight', session.emit, () => rolloutOf(session, course, looks, options));
  return { plan, ahead: looks.map(aheadOf) };
}

function refuseObstacles({ rollout }: UpgradePlan, changed: string): void {
  const errors = rollout.obstacles.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return;
  throw new UserError({
    what: `${errors.length === 1 ? 'one thing stands' : `${errors.length} things stand`} in the way; ${changed}`,
    why: errors.map(({ where, what, why }) => [where, what, why].filter(Boolean).join(': ')).join('\n'),
    next: [...new Set(errors.flatMap(({ next }) => next ?? []))].join('\n') || 'mend that, and run the same command again',
  });
}

function refuseStale(plan: UpgradePlan, saved: UpgradePlan | undefined, { to }: Course): void {
  if (!saved || sameUpgrade(plan, saved) || isUpgradeRemainder(plan, saved)) return;
  // A dry run with --to leaves the file as it is: what it was made for is not in the file yet.
  const meant = saved.rollout.versions.find(({ what }) => what === 'Kubernetes')?.after;
  const other = plan.cluster === saved.cluster && meant !== undefined && meant !== to.kubernetes ? meant : undefined;
  const destroys = ({ changes }: UpgradePlan): boolean =>
    changes.some(({ impact, when }) => impact === 'data-loss' && 'now' in when);
  throw new UserError(
    {
      what:
        other === undefined
          ? 'the saved plan is stale: the file or the world has changed since it was made'
          : `the saved plan goes to Kubernetes ${other}, and cluster.yaml says ${to.kubernetes}`,
      why: upgradeDifferences(plan, saved).slice(0, 20).join('\n') || 'values of the same changes differ',
      next: [
        ...(other === undefined
          ? []
          : [`was it made with --to? Then give that with --plan, too: cluster upgrade --to ${other} --plan FILE`]),
        ...(destroys(saved) && !destroys(plan) ? ['it was made with --allow-data-loss: give that with --plan, too'] : []),
        'make and review a new one: cluster upgrade --dry-run --out FILE',
      ].join('\n'),
    },
    exitCodes.lockedOrStale,
  );
}

const changedMeanwhile = (now: UpgradePlan, before: UpgradePlan): UserError =>
  new UserError(
    {
      what: 'what is to be done has changed while the maintenance window was waited for, and there is nobody to ask',
      why: upgradeDifferences(now, before).slice(0, 20).join('\n') || 'other things than machines differ',
      next: 'review it: cluster upgrade --dry-run; then run the same command again',
    },
    exitCodes.lockedOrStale,
  );
