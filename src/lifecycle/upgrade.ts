import type { Finding } from '../config/finding.ts';
import { exitCodes, messageOf, UserError } from '../errors.ts';
import { chosenOf } from '../plan/make.ts';
import { partOf } from '../plan/part.ts';
import type { Plan } from '../plan/plan.ts';
import { resolveCap } from '../rollout/amounts.ts';
import type { UpgradeResult, WaveResult } from '../rollout/result.ts';
import type { Turn, Wave } from '../rollout/rollout.ts';
import { type Outcome, runWaves } from '../rollout/schedule.ts';
import { isUpgradeRemainder, sameUpgrade, type UpgradePlan, upgradeDifferences } from '../rollout/upgrade-plan.ts';
import { assetsOfBundles } from './assets.ts';
import { type Course, courseOf, type Hop, rolloutRecord, settingsAt, variantsAt } from './course.ts';
import { foundationOf, refuseLostKeys } from './foundation.ts';
import { passGates } from './gates.ts';
import { amendRecord } from './identity.ts';
import { nodeWork } from './node-work.ts';
import type { Opened } from './opened.ts';
import { runPlan } from './round.ts';
import { secretResources } from './secrets.ts';
import { lookSession, planFrom, type Session, withLockedSession, withSession } from './session.ts';
import { lastLook } from './status.ts';
import { takeTurn } from './turn.ts';
import { type HopLook, lookHop, refuseUnseen } from './upgrade-look.ts';
import { rolloutOf } from './upgrade-plan.ts';

export interface UpgradeOptions {
  readonly allowDataLoss: boolean;
  /** A dry run that was reviewed: only that, or what remains of it, is carried out. */
  readonly saved?: UpgradePlan;
  /** Shown before anything is done; false stops. */
  confirm(plan: UpgradePlan): Promise<boolean>;
  readonly lockWaitMs: number;
  readonly pauseAfter?: 'masters' | 'wave';
  /** Instead of what the pools say, in milliseconds. */
  readonly forceAfterMs?: number;
  /** First Ctrl-C: the machine at hand is finished. */
  readonly stopping: AbortSignal;
}

/** Healing may uncover what needs more of it. */
const maxRounds = 4;

/** What `upgrade` would do now: takes no lock, and changes nothing. */
export const planUpgrade = (opened: Opened): Promise<UpgradePlan> =>
  withSession(opened, async (session) => {
    refuseUnmade(session);
    const course = courseFor(session);
    const looks = await lookAhead(session, course);
    return rolloutOf(session, course, looks);
  });

/** Moves every machine, one after the other, to what cluster.yaml says. Succeeds only when a new plan is empty, and what was seen last is well. */
export async function upgrade(opened: Opened, options: UpgradeOptions): Promise<UpgradeResult> {
  return withLockedSession(opened, { command: 'upgrade', waitMs: options.lockWaitMs }, async (session) => {
    refuseUnmade(session);
    const started = opened.now();
    const course = courseFor(session);
    const looks = await lookAhead(session, course);
    refuseLostKeys(session.record?.keys, session.seen, session.store?.url ?? 'store');
    const plan = await rolloutOf(session, course, looks);
    refuseStale(plan, options.saved);
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
    const nothing = plan.rollout.waves.length === 0 && chosenOf(plan).length === 0;
    if (!nothing) {
      refuseObstacles(plan);
      if (!(await options.confirm(plan))) return result('declined');
      session.begin(plan);
    }
    const run = new Upgrade(session, course, options);
    const stopped = nothing ? undefined : await run.all(looks);
    if (stopped) {
      const left = stopped.outcome.notBegun.map(({ turn: { machine, how } }) => ({ machine, how }));
      return result(stopped.outcome.end === 'paused' ? 'paused' : 'stopped', {
        waves: run.done,
        left: [...left, ...stopped.later],
        because: stopped.because,
      });
    }
    const findings = await run.finish();
    return result(nothing ? 'nothing to do' : 'done', { waves: run.done, findings });
  });
}

const courseFor = ({ opened, inForce, record }: Session): Course => courseOf(opened.cluster, inForce.variants.all[0], record);

async function lookAhead(session: Session, course: Course): Promise<readonly HopLook[]> {
  const looks: HopLook[] = [];
  for (const hop of course.hops) {
    const found = await lookHop(session, course, hop);
    refuseUnseen(found.look.plan);
    looks.push(found);
  }
  return looks;
}

function refuseUnmade({ record }: Session): void {
  if (record?.settings) return;
  throw new UserError({
    what: 'there is no cluster to upgrade yet: no `cluster up` has come to its end',
    next: 'cluster up',
  });
}

function refuseObstacles({ rollout }: UpgradePlan): void {
  const errors = rollout.obstacles.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return;
  throw new UserError({
    what: `${errors.length === 1 ? 'one thing stands' : `${errors.length} things stand`} in the way; nothing was changed`,
    why: errors.map(({ where, what, why }) => [where, what, why].filter(Boolean).join(': ')).join('\n'),
    next: [...new Set(errors.flatMap(({ next }) => next ?? []))].join('\n') || 'mend that, and run the same command again',
  });
}

function refuseStale(plan: UpgradePlan, saved: UpgradePlan | undefined): void {
  if (!saved || sameUpgrade(plan, saved) || isUpgradeRemainder(plan, saved)) return;
  throw new UserError(
    {
      what: 'the saved plan is stale: the file or the world has changed since it was made',
      why: upgradeDifferences(plan, saved).slice(0, 20).join('\n') || 'values of the same changes differ',
      next: 'make and review a new one: cluster upgrade --dry-run --out FILE',
    },
    exitCodes.lockedOrStale,
  );
}

interface Stopped {
  readonly outcome: Outcome;
  readonly because: string;
  readonly later: readonly Pick<Turn, 'machine' | 'how'>[];
}

/** One run of an upgrade: where machines are by now, and the record of it. */
class Upgrade {
  readonly #session: Session;
  readonly #course: Course;
  readonly #options: UpgradeOptions;
  /** As the design has it: a machine whose turn it is counts as moved. */
  #at: Record<string, number>;
  /** As the record has it: only what has come to its end. */
  readonly #reached: Record<string, number>;
  #writing: Promise<unknown> = Promise.resolve();
  readonly done: WaveResult[] = [];

  constructor(session: Session, course: Course, options: UpgradeOptions) {
    this.#session = session;
    this.#course = course;
    this.#options = options;
    this.#at = { ...course.variants.at };
    this.#reached = { ...course.variants.at };
  }

  /** Undefined: all hops are done. */
  async all(looks: readonly HopLook[]): Promise<Stopped | undefined> {
    const { opened, design, signal } = this.#session;
    await opened.assets.ensure(this.#assets(), signal, { verify: true });
    await amendRecord(this.#session, { foundation: foundationOf(opened.cluster) });
    const hops = this.#course.hops;
    if (this.#course.variants.all.length > 1) await this.#write(design.topology);
    for (const [index, hop] of hops.entries()) {
      const first = index === 0 ? looks[0] : undefined;
      const found = await this.#heal(first ?? (await this.#look(hop)), hop);
      const outcome = await this.#hop(found, hop);
      const later = looks.slice(index + 1).flatMap(({ waves }) => waves.flatMap(turnsOf));
      const paused =
        outcome.end === 'paused' || (outcome.end === 'done' && later.length > 0 && this.#options.pauseAfter !== undefined);
      if (outcome.end === 'failed' || outcome.end === 'aborted') throw this.#failure(outcome);
      if (outcome.end !== 'done' || paused)
        return { outcome: paused ? { ...outcome, end: 'paused' } : outcome, because: reasonOf(outcome, this.#options), later };
    }
    return undefined;
  }

  /** Everyone is there: the record says so, what is left is carried out, and nothing differs any more. */
  async finish(): Promise<readonly Finding[]> {
    const { opened } = this.#session;
    const course = this.#course;
    this.#session.redesign(variantsAt(course, lastHop(course), this.#session.design.topology));
    for (let round = 1; ; round++) {
      const { plan } = await lookSession(this.#session, { command: 'upgrade', allowDataLoss: this.#options.allowDataLoss });
      refuseUnseen(plan);
      if (chosenOf(plan).length === 0) break;
      if (round > maxRounds) throw this.#notConverging(plan);
      await runPlan(plan, this.#session);
    }
    await amendRecord(this.#session, {
      foundation: foundationOf(opened.cluster),
      versions: course.to,
      settings: settingsAt(course),
      rollout: undefined,
      keys: secretResources(opened.cluster).map(({ address }) => address),
    });
    const findings = await lastLook(
      this.#session,
      await lookSession(this.#session, { command: 'upgrade', allowDataLoss: false }),
    );
    const errors = findings.filter(({ severity }) => severity === 'error');
    if (errors.length > 0)
      throw new UserError({
        what: 'every machine is upgraded, and not everything is healthy',
        why: errors.map(({ where, what, why }) => [where, what, why].filter(Boolean).join(': ')).join('\n'),
        next: 'cluster status shows it all',
      });
    return findings;
  }

  #assets() {
    const { design } = this.#session;
    const found = this.#course.hops.flatMap((hop) => {
      this.#session.redesign(variantsAt(this.#course, hop, design.topology));
      return [...this.#session.design.bundles.values()];
    });
    this.#session.redesign({ ...this.#course.variants, at: this.#at });
    return assetsOfBundles(found);
  }
  #look(hop: Hop): Promise<HopLook> {
    return lookHop(this.#session, { ...this.#course, variants: { ...this.#course.variants, at: this.#at } }, hop);
  }

  /** Heals and grows at what is in force, until nothing of that is left. */
  async #heal(first: HopLook, hop: Hop): Promise<HopLook> {
    let found = first;
    for (let round = 1; chosenOf(found.heal).length > 0; round++) {
      if (round > maxRounds) throw this.#notConverging(found.heal);
      await runPlan(found.heal, this.#session);
      found = await this.#look(hop);
      refuseUnseen(found.look.plan);
    }
    return found;
  }

  async #hop({ waves, plan }: HopLook, hop: Hop): Promise<Outcome> {
    const { opened, signal, emit } = this.#session;
    const work = nodeWork(this.#session, this.#options.forceAfterMs);
    const began = new Map<Wave, number>();
    const workers = this.#session.design.topology.machines.filter(({ role }) => role === 'worker').length;
    return runWaves(
      waves,
      {
        turn: async (turn, _wave, own) => {
          this.#at = { ...this.#at, [turn.machine]: hop.index };
          this.#session.redesign({ ...this.#course.variants, at: this.#at });
          // A machine that is made anew is made where it is to be, also when this run is killed in between.
          if (turn.how === 'replace') await this.#reach(turn.machine, hop);
          await takeTurn(turn, this.#session, work, own);
          await this.#reach(turn.machine, hop);
        },
        gate: (turn, _wave, own) => passGates(turn, this.#session, own),
        wave: async (wave, at, own) => {
          if (at === 'begin') {
            began.set(wave, opened.now());
            await work.due(wave, own);
            await this.#shared(wave, plan, hop, own);
            return;
          }
          this.done.push({
            name: wave.name,
            kubernetes: wave.kubernetes,
            machines: turnsOf(wave).map(({ machine }) => machine),
            changes: wave.changes,
            seconds: (opened.now() - (began.get(wave) ?? opened.now())) / 1000,
          });
        },
        emit,
      },
      {
        maxDrains: resolveCap(workers, opened.cluster.upgrade.maxDrains),
        canary: opened.cluster.upgrade.canary,
        stopping: this.#options.stopping,
        signal,
        pauseAfter: this.#options.pauseAfter,
      },
    ).finally(() => work.done());
  }

  /** What a wave changes besides machines. */
  async #shared({ changes }: Wave, plan: Plan, hop: Hop, signal: AbortSignal): Promise<void> {
    if (changes.length === 0) return;
    this.#at = { ...this.#at, addons: hop.index };
    this.#session.redesign({ ...this.#course.variants, at: this.#at });
    const wanted = new Set<string>(changes);
    void plan;
    await runPlan(
      partOf(planFrom(this.#session, { command: 'upgrade', allowDataLoss: false }), (address) => wanted.has(address)),
      this.#session,
      signal,
    );
    await this.#reach('addons', hop);
  }

  async #reach(key: string, { index }: Hop): Promise<void> {
    if (this.#course.variants.all.length === 1) return;
    this.#reached[key] = index;
    await this.#write(this.#session.design.topology);
  }
  /** One after the other: each writes the whole. */
  #write(topology: Session['design']['topology']): Promise<unknown> {
    this.#writing = this.#writing.then(() =>
      amendRecord(this.#session, { rollout: rolloutRecord(this.#course, this.#reached, topology) }),
    );
    return this.#writing;
  }

  #failure({ failures, cut, notBegun }: Outcome): UserError {
    const [first] = failures;
    const what = first?.place
      ? `${first.at} of ${first.place.turn.machine} failed; the upgrade stopped there`
      : 'the upgrade was stopped';
    return new UserError({
      what,
      ...(first?.place && { where: first.place.turn.machine }),
      why: [...failures.map(({ error }) => messageOf(error)), ...cut.map(({ turn }) => `${turn.machine}: cut`)].join('\n'),
      next: [
        `${notBegun.length} machines have not begun, and serve as before`,
        `mend that and run the same command again: it goes on from what it finds. Details: cluster history show ${this.#session.runId}`,
      ].join('\n'),
    });
  }
  #notConverging(plan: Plan): UserError {
    return new UserError({
      what: `after ${maxRounds} rounds there are still differences`,
      why: chosenOf(plan)
        .slice(0, 10)
        .map((change) => `${change.address}: ${change.fields.map((field) => field.path).join(', ') || change.reason}`)
        .join('\n'),
      next: `something undoes these changes. Details: cluster history show ${this.#session.runId}`,
    });
  }
}

const turnsOf = ({ lanes }: Wave): readonly Turn[] => lanes.flatMap(({ first, turns, last }) => [...first, ...turns, ...last]);
const lastHop = ({ hops }: Course): Hop => {
  const last = hops.at(-1);
  if (!last) throw new Error('a course has at least one hop');
  return last;
};
const reasonOf = ({ end }: Outcome, { pauseAfter }: UpgradeOptions): string =>
  end === 'stopped'
    ? 'interrupted: the machine at hand was finished'
    : end === 'window closed'
      ? 'the maintenance window closed'
      : `--pause-after ${pauseAfter}`;
