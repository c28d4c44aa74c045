import { machinesOf } from '../../cluster/topology.ts';
import { messageOf, UserError } from '../../errors.ts';
import { chosenOf } from '../../plan/make.ts';
import { fewNames } from '../../rollout/few-names.ts';
import { type Only, only } from '../../rollout/only.ts';
import type { WaveResult } from '../../rollout/result.ts';
import type { Turn, Wave } from '../../rollout/rollout.ts';
import type { Outcome } from '../../rollout/schedule.ts';
import { turnsOfWave } from '../../rollout/turns.ts';
import { during } from '../../run/during.ts';
import { foundationOf } from '../foundation.ts';
import { amendRecord } from '../identity.ts';
import { recoveryTask, rolloutDigest, takePoint, touchesControlPlane } from '../recovery-point.ts';
import { runPlan } from '../round.ts';
import { maxRounds, notConverging } from '../rounds.ts';
import type { Session } from '../session.ts';
import type { Agreement } from './agreement.ts';
import { askAgain } from './ask-again.ts';
import { ensureAssets } from './assets.ts';
import type { Course, Hop } from './course.ts';
import { type HopOptions, runHop } from './hop.ts';
import { type Ahead, aheadOf, type HopLook, refuseUnseen } from './look.ts';
import { Moves } from './moves.ts';
import { bringsApiBack, lookPatiently } from './patience.ts';
import { together } from './together.ts';
import { isOutside, untilWindow, whileWaiting } from './windows.ts';

export interface RunOptions extends HopOptions {
  readonly allowDataLoss: boolean;
  readonly only?: Only;
  /** For those who have backups of their own. */
  readonly skipRecoveryPoint?: boolean;
  /** First Ctrl-C: the machine at hand is finished. */
  readonly stopping: AbortSignal;
}

/** A run that came to no end, and did not fail. */
export interface Stopped {
  readonly end: 'paused' | 'stopped';
  readonly because: string;
  readonly left: readonly Pick<Turn, 'machine' | 'how'>[];
}

/** One run of an upgrade, hop by hop. */
export class UpgradeRun {
  readonly #session: Session;
  readonly #course: Course;
  readonly #options: RunOptions;
  readonly #moves: Moves;
  readonly #agreement: Agreement;
  /** One is still to be taken, before etcd or a master is touched. */
  #takesPoint: boolean;
  #asksAgain = true;
  readonly done: WaveResult[] = [];

  constructor(session: Session, course: Course, options: RunOptions, agreement: Agreement, takesPoint: boolean) {
    this.#session = session;
    this.#course = course;
    this.#options = options;
    this.#moves = new Moves(session, course);
    this.#agreement = agreement;
    this.#takesPoint = takesPoint;
  }

  /** Undefined: all hops are done. */
  async all(): Promise<Stopped | undefined> {
    const { opened } = this.#session;
    const looks = this.#agreement.ahead;
    const first = looks[0];
    const well = first !== undefined && chosenOf(first.heal).length === 0;
    // Nothing is touched by either, and each has what the other waits for.
    await together(this.#session.signal, [
      (signal) => during('assets of the upgrade', this.#session.emit, () => ensureAssets(this.#session, this.#course, signal)),
      // What a killed run left in the making is made first: it may be etcd's only machine.
      (signal) => (well ? this.#recoveryPoint(this.#partOf(first.waves), signal) : Promise.resolve()),
    ]);
    await amendRecord(this.#session, { foundation: foundationOf(opened.cluster) });
    await this.#moves.recorded(looks.flatMap(({ waves }) => waves));
    for (const [index, hop] of this.#course.hops.entries()) {
      const before = this.done.length;
      const later = (): readonly Turn[] =>
        this.#agreement.ahead.slice(index + 1).flatMap(({ waves }) => waves.flatMap(turnsOfWave));
      const stopped = await this.#hopInWindows((index === 0 ? first : undefined) ?? aheadOf(await this.#look(hop)), hop);
      if (stopped) return { ...stopped, left: [...stopped.left, ...later().map(shortOf)] };
      if (this.#pausesAfter(this.done.slice(before)) && later().length > 0)
        return { end: 'paused', because: `--pause-after ${this.#options.pauseAfter}`, left: later().map(shortOf) };
    }
    return this.askAgain([]);
  }

  /** Once a run, and when all is healed: what a run before this one has left ungated. `waves`: who is gated in a turn of its own, which begins next. */
  async askAgain(waves: readonly Wave[]): Promise<undefined> {
    if (!this.#asksAgain) return;
    this.#asksAgain = false;
    await askAgain(this.#session, this.#moves, waves);
  }

  /** Not after a hop in which nothing of that was left to do: a run that goes on would pause there again, for ever. */
  #pausesAfter(done: readonly WaveResult[]): boolean {
    const { pauseAfter } = this.#options;
    return pauseAfter !== undefined && done.some(({ name }) => pauseAfter === 'wave' || pauseAfter === name);
  }

  /** One hop, in as many windows as it takes where `upgrade.outside` is wait. */
  async #hopInWindows(first: Ahead, hop: Hop): Promise<Stopped | undefined> {
    for (let found = first; ; ) {
      found = await this.#heal(found, hop);
      const begins = chosenOf(found.heal).length + found.waves.length > 0;
      if (begins && isOutside(this.#session)) {
        const next = await this.#nextWindow(found.waves.flatMap(turnsOfWave), hop);
        if ('end' in next) return next;
        found = next;
        continue;
      }
      const part = this.#partOf(found.waves);
      if (part.length > 0) await this.askAgain(part);
      await this.#recoveryPoint(part, this.#session.signal);
      const outcome = await runHop(this.#session, this.#moves, hop, part, this.#options, (result) => this.done.push(result));
      const left = outcome.notBegun.map(({ turn }) => shortOf(turn));
      switch (outcome.end) {
        case 'failed':
        case 'aborted':
          throw this.#failure(outcome);
        case 'paused':
          return { end: 'paused', because: `--pause-after ${this.#options.pauseAfter}`, left };
        case 'stopped':
          return { end: 'stopped', because: 'interrupted: the machine at hand was finished', left };
        case 'window closed': {
          const next = await this.#nextWindow(left, hop);
          if ('end' in next) return next;
          found = next;
          break;
        }
        case 'done': {
          const done = new Set(part.flatMap(turnsOfWave).map(({ machine }) => machine));
          const others = found.waves.flatMap(turnsOfWave).filter(({ machine }) => !done.has(machine));
          if (others.length === 0) return undefined;
          return { end: 'paused', because: 'the rest was left out by --only', left: others.map(shortOf) };
        }
      }
    }
  }

  /** The hop as it is in the next window, or why it does not go on in one. */
  async #nextWindow(notBegun: Stopped['left'], hop: Hop): Promise<Ahead | Stopped> {
    const left = notBegun.map(shortOf);
    if (this.#session.opened.cluster.upgrade.outside === 'refuse')
      return { end: 'stopped', because: 'the maintenance window has closed', left };
    switch (await untilWindow(this.#session, this.#options.stopping)) {
      case 'interrupted':
        return { end: 'stopped', because: whileWaiting, left };
      case 'open':
        return aheadOf(await this.#look(hop));
      case 'waited': {
        const { course } = this.#moves;
        if (!(await this.#agreement.renewed(course))) return { end: 'stopped', because: 'what is left was declined', left };
        const found = this.#agreement.ahead[course.hops.indexOf(hop)];
        if (!found) throw new Error('a hop that is made is on the course');
        return found;
      }
    }
  }

  /** Once, and only where what begins now touches etcd or a master. */
  async #recoveryPoint(waves: readonly Wave[], signal: AbortSignal): Promise<void> {
    if (!this.#takesPoint || !waves.some(touchesControlPlane)) return;
    const rollout = rolloutDigest(this.#course);
    await during(recoveryTask, this.#session.emit, () => takePoint(this.#session, { command: 'upgrade', rollout, signal }));
    this.#takesPoint = false;
  }

  #partOf(waves: readonly Wave[]): readonly Wave[] {
    if (!this.#options.only) return waves;
    const masters = machinesOf(this.#session.design.topology, 'master');
    return only(this.#options.only, waves, new Map(masters.map(({ name }) => [name, this.#moves.versionsOf(name).kubernetes])));
  }

  /** Who is not seen has no turn: no hop begins beside it, or others would go where its API server has not been. */
  async #look(hop: Hop): Promise<HopLook> {
    const found = await lookPatiently(this.#session, this.#moves.course, hop);
    if (!bringsApiBack(this.#session, found)) refuseUnseen(found.look.plan);
    return found;
  }

  /** Heals and grows at what is in force, until nothing of that is left. A window that closes keeps it from beginning, and never halfway: the API may be what is healed. */
  async #heal(first: Ahead, hop: Hop): Promise<Ahead> {
    if (isOutside(this.#session)) return first;
    let found = first;
    for (let round = 1; chosenOf(found.heal).length > 0; round++) {
      if (round > maxRounds) throw notConverging(found.heal, this.#session);
      await runPlan(found.heal, this.#session);
      const again = await this.#look(hop);
      refuseUnseen(again.look.plan);
      found = aheadOf(again);
    }
    return found;
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
        ...(notBegun.length > 0 ? [`not begun, and as before: ${fewNames(notBegun.map(({ turn }) => turn.machine))}`] : []),
        `mend that and run the same command again: it goes on from what it finds; or cluster upgrade --abort. Details: cluster history show ${this.#session.runId}`,
      ].join('\n'),
    });
  }
}

const shortOf = ({ machine, how }: Pick<Turn, 'machine' | 'how'>): Pick<Turn, 'machine' | 'how'> => ({ machine, how });
