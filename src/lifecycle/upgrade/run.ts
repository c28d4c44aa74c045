import { imageName } from '../../assets/catalogue.ts';
import { machinesOf } from '../../cluster/topology.ts';
import { messageOf, UserError } from '../../errors.ts';
import { chosenOf } from '../../plan/make.ts';
import { partOf } from '../../plan/part.ts';
import { type Only, only } from '../../rollout/only.ts';
import type { WaveResult } from '../../rollout/result.ts';
import type { Turn, Wave } from '../../rollout/rollout.ts';
import { type Outcome, runWaves } from '../../rollout/schedule.ts';
import { inWindow } from '../../rollout/window.ts';
import { coalesced } from '../../run/coalesced.ts';
import { during } from '../../run/during.ts';
import { bringImages } from './images.ts';
import { type Course, type Hop, rolloutRecord } from './course.ts';
import { foundationOf } from '../foundation.ts';
import { openGates } from './gates.ts';
import { drainCap } from './group-look.ts';
import { openGroupPools } from './group-roll.ts';
import { amendRecord } from '../identity.ts';
import { machineLooks } from './machine-look.ts';
import { nodeWork } from './node-work.ts';
import { recoveryTask, rolloutDigest, takePoint, touchesControlPlane } from '../recovery-point.ts';
import { runPlan } from '../round.ts';
import { maxRounds, notConverging } from '../rounds.ts';
import { planFrom, type Session } from '../session.ts';
import { together } from './together.ts';
import { takeTurn } from './turn.ts';
import { ensureAssets } from './assets.ts';
import { type Ahead, aheadOf, type HopLook, refuseUnseen } from './look.ts';
import { lookPatiently } from './patience.ts';
import { addonsKey, indexesOf, poolKey, type Variants, withSurge } from '../variants.ts';
import { untilWindow } from './windows.ts';

export interface RunOptions {
  readonly allowDataLoss: boolean;
  readonly only?: Only;
  readonly pauseAfter?: 'masters' | 'wave';
  /** Instead of what the pools say, in milliseconds. */
  readonly forceAfterMs?: number;
  /** For those who have backups of their own. */
  readonly skipRecoveryPoint?: boolean;
  /** First Ctrl-C: the machine at hand is finished. */
  readonly stopping: AbortSignal;
}
const policy = { command: 'upgrade', allowDataLoss: false } as const;

/** A run that came to no end, and did not fail. */
export interface Stopped {
  readonly end: 'paused' | 'stopped';
  readonly because: string;
  readonly left: readonly Pick<Turn, 'machine' | 'how'>[];
}

/** One run of an upgrade: where machines are by now, and the record of it. */
export class UpgradeRun {
  readonly #session: Session;
  readonly #course: Course;
  readonly #options: RunOptions;
  /** As the design has it: a machine whose turn it is counts as moved. */
  readonly #at: Record<string, number>;
  /** As the record has it: only what has come to its end. */
  readonly #reached: Record<string, number>;
  /** etcd machines whose turn is not at its end, also of a run that was killed. */
  readonly #turning: Set<string>;
  /** Machines that are made anew in turns that were begun, by the hop they are made at, until the old one is no more. */
  readonly #replacing: Map<string, number>;
  /** Each writes the whole. */
  readonly #write: () => Promise<unknown>;
  readonly done: WaveResult[] = [];

  /** Spares of pools that are replaced just now. */
  readonly #surge = new Map<string, number>();

  /** One is still to be taken, before etcd or a master is touched. */
  #takesPoint: boolean;

  constructor(session: Session, course: Course, options: RunOptions, takesPoint: boolean) {
    this.#takesPoint = takesPoint;
    this.#session = session;
    this.#course = course;
    this.#options = options;
    // All of them: else each design would look for who is not among them.
    const { machines } = session.design.topology;
    const indexOf = indexesOf(course.variants, machines);
    const now = machines.map((machine) => [machine.name, indexOf(machine)] as const);
    this.#at = { ...Object.fromEntries(now), ...course.variants.at };
    this.#reached = { ...course.variants.at };
    this.#turning = new Set(session.record?.rollout?.turning);
    this.#replacing = new Map(Object.entries(session.record?.rollout?.replacing ?? {}));
    this.#write = coalesced(() =>
      amendRecord(session, {
        rollout: rolloutRecord(course, session.design.topology, {
          at: this.#reached,
          turning: this.#turning,
          replacing: this.#replacing,
        }),
      }),
    );
  }

  /** Undefined: all hops are done. */
  async all(looks: readonly Ahead[]): Promise<Stopped | undefined> {
    const { opened } = this.#session;
    const first = looks[0];
    const well = first !== undefined && chosenOf(first.heal).length === 0;
    // Nothing is touched by either, and each has what the other waits for.
    await together(this.#session.signal, [
      (signal) => during('assets of the upgrade', this.#session.emit, () => ensureAssets(this.#session, this.#course, signal)),
      // What a killed run left in the making is made first: it may be etcd's only machine.
      (signal) => (well ? this.#recoveryPoint(this.#partOf(first.waves), signal) : Promise.resolve()),
    ]);
    await amendRecord(this.#session, { foundation: foundationOf(opened.cluster) });
    if (this.#course.variants.all.length > 1) await this.#write();
    for (const [index, hop] of this.#course.hops.entries()) {
      const later = (): readonly Turn[] => looks.slice(index + 1).flatMap(({ waves }) => waves.flatMap(turnsOf));
      const stopped = await this.#hopInWindows((index === 0 ? first : undefined) ?? aheadOf(await this.#look(hop)), hop);
      if (stopped) return { ...stopped, left: [...stopped.left, ...later().map(shortOf)] };
      if (this.#options.pauseAfter !== undefined && later().length > 0)
        return { end: 'paused', because: `--pause-after ${this.#options.pauseAfter}`, left: later().map(shortOf) };
    }
    return undefined;
  }

  /** One hop, in as many windows as it takes where `upgrade.outside` is wait. */
  async #hopInWindows(first: Ahead, hop: Hop): Promise<Stopped | undefined> {
    for (let found = first; ; found = aheadOf(await this.#look(hop))) {
      found = await this.#heal(found, hop);
      const part = this.#partOf(found.waves);
      await this.#recoveryPoint(part, this.#session.signal);
      const outcome = await this.#hop(part, hop);
      const left = outcome.notBegun.map(({ turn }) => shortOf(turn));
      switch (outcome.end) {
        case 'failed':
        case 'aborted':
          throw this.#failure(outcome);
        case 'paused':
          return { end: 'paused', because: `--pause-after ${this.#options.pauseAfter}`, left };
        case 'stopped':
          return { end: 'stopped', because: 'interrupted: the machine at hand was finished', left };
        case 'window closed':
          if (this.#session.opened.cluster.upgrade.outside === 'refuse')
            return { end: 'stopped', because: 'the maintenance window has closed', left };
          await untilWindow(this.#session, this.#options.stopping);
          break;
        case 'done': {
          const done = new Set(part.flatMap(turnsOf).map(({ machine }) => machine));
          const others = found.waves.flatMap(turnsOf).filter(({ machine }) => !done.has(machine));
          if (others.length === 0) return undefined;
          return { end: 'paused', because: 'the rest was left out by --only', left: others.map(shortOf) };
        }
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
    const { all } = this.#course.variants;
    const runs = (name: string): string => (all[this.#at[name] ?? 0] ?? all[0]).versions.kubernetes;
    return only(this.#options.only, waves, new Map(masters.map(({ name }) => [name, runs(name)])));
  }

  #look(hop: Hop): Promise<HopLook> {
    return lookPatiently(this.#session, { ...this.#course, variants: { ...this.#course.variants, at: this.#at } }, hop);
  }

  /** Heals and grows at what is in force, until nothing of that is left. */
  async #heal(first: Ahead, hop: Hop): Promise<Ahead> {
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

  get #variants(): Variants {
    return withSurge({ ...this.#course.variants, at: this.#at }, this.#surge);
  }
  #redesign(): void {
    this.#session.redesign(this.#variants);
  }

  async #hop(waves: readonly Wave[], hop: Hop): Promise<Outcome> {
    const { opened, signal, emit } = this.#session;
    const { upgrade } = opened.cluster;
    const work = nodeWork(this.#session, this.#options.forceAfterMs);
    const gates = openGates(this.#session, work);
    const began = new Map<Wave, number>();
    const groups = openGroupPools(this.#session, work);
    const look = machineLooks(this.#session);
    const image = upgrade.canary ? imageName('pause', hop.versions) : undefined;
    const proven = new Set<readonly Turn[]>();
    const ports = {
      turn: async (turn: Turn, wave: Wave, own: AbortSignal) => {
        if (groups.owns(turn)) return groups.turn(turn, wave, own);
        this.#spare(turn, wave);
        this.#at[turn.machine] = hop.index;
        this.#redesign();
        const reached = () => this.#reach(turn.machine, hop);
        await this.#turns(turn, hop);
        // A machine that is made anew is made where it is to be, also when this run is killed in between.
        const proves = async (machine: string): Promise<void> => {
          const kin = lanesOf(wave).find((turns) => turns.includes(turn));
          if (image === undefined || !kin || proven.has(kin)) return;
          await work.podStarts(machine, image, own);
          proven.add(kin);
        };
        await takeTurn(turn, this.#session, { ...work, look, gone: reached, proves }, own);
        this.#turning.delete(turn.machine);
        await reached();
      },
      gate: (turn: Turn, wave: Wave, own: AbortSignal) => gates.afterMachine(turn, wave, own),
      wave: async (wave: Wave, at: 'begin' | 'end', own: AbortSignal) => {
        if (at === 'begin') {
          began.set(wave, opened.now());
          await work.due(wave, own);
          if (wave.name !== 'pools') return this.#shared(wave, hop, own);
          await this.#published(groups.pools(wave), hop);
          return groups.begin(wave, own);
        }
        await groups.end(own);
        await gates.afterWave(wave, own);
        this.done.push({
          name: wave.name,
          kubernetes: wave.kubernetes,
          machines: turnsOf(wave).map(({ machine }) => machine),
          changes: wave.changes,
          seconds: (opened.now() - (began.get(wave) ?? opened.now())) / 1000,
        });
      },
      emit,
    };
    try {
      await work.release(signal, this.#withoutTurn(waves), image);
      return await runWaves(waves, ports, {
        maxDrains: drainCap(this.#session),
        canary: upgrade.canary,
        stopping: this.#options.stopping,
        signal,
        pauseAfter: this.#options.pauseAfter,
        ...(upgrade.windows.length > 0 && { windowClosed: () => !inWindow(upgrade.windows, new Date(opened.now())).open }),
      });
    } finally {
      await groups.done();
      await work.done();
      await gates.close();
    }
  }

  /** Machines that a run which was killed has cordoned, and that are where they are to be: healed meanwhile, they have no turn that would uncordon them. */
  #withoutTurn(waves: readonly Wave[]): (node: string) => boolean {
    const turning = new Set(waves.flatMap(turnsOf).map(({ machine }) => machine));
    const designed = new Set(this.#session.design.topology.machines.map(({ name }) => name));
    return (node) => designed.has(node) && !turning.has(node);
  }

  /** A pool has its spares in the design from the first of them that is made to the first that goes. */
  #spare({ how, pool }: Turn, { lanes }: Wave): void {
    if (pool === undefined || (how !== 'add' && how !== 'remove')) return;
    const lane = lanes.find(({ first }) => first.some((turn) => turn.pool === pool));
    if (lane) this.#surge.set(pool, how === 'add' ? lane.first.length : 0);
  }

  /** From here on new machines of these pools are made by this hop: the record knows it before the first one can be. */
  async #published(pools: readonly string[], hop: Hop): Promise<void> {
    if (pools.length === 0) return;
    for (const pool of pools) this.#at[poolKey(pool)] = hop.index;
    this.#redesign();
    for (const pool of pools) await this.#reach(poolKey(pool), hop);
  }

  /** What a wave changes besides machines. */
  async #shared({ changes }: Wave, hop: Hop, signal: AbortSignal): Promise<void> {
    if (changes.length === 0) return;
    await this.#images(hop, signal);
    this.#at[addonsKey] = hop.index;
    this.#redesign();
    // What these addons run must serve, and be new, before nodes are drained: else a drain meets a roll of theirs.
    const wanted = new Set<string>([...changes, ...changes.map((address) => address.replace(/^kube\.addon\//, 'kube.ready/'))]);
    await runPlan(
      partOf(planFrom(this.#session, policy), (address) => wanted.has(address)),
      this.#session,
      signal,
    );
    await this.#reach(addonsKey, hop);
  }

  /** Workers have not moved, and are designed for a moment as if they had. */
  async #images(hop: Hop, signal: AbortSignal): Promise<void> {
    const workers = machinesOf(this.#session.design.topology, 'worker').map(({ name }) => name);
    const moved = Object.fromEntries(workers.map((name) => [name, Math.max(hop.index, this.#at[name] ?? 0)]));
    this.#session.redesign(withSurge({ ...this.#course.variants, at: { ...this.#at, ...moved } }, this.#surge));
    try {
      await bringImages(this.#session, signal);
    } finally {
      this.#redesign();
    }
  }

  /** Before anything of it: what a run that is killed in this turn leaves half done is known to the next one. */
  async #turns({ machine, role, how }: Turn, { index }: Hop): Promise<void> {
    if (this.#course.variants.all.length === 1) return;
    const serves = role === 'etcd' || role === 'master';
    if (serves) this.#turning.add(machine);
    if (how === 'replace') this.#replacing.set(machine, index);
    if (serves || how === 'replace') await this.#write();
  }
  async #reach(key: string, { index }: Hop): Promise<void> {
    if (this.#course.variants.all.length === 1) return;
    this.#reached[key] = index;
    this.#replacing.delete(key);
    await this.#write();
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

export const turnsOf = ({ lanes }: Wave): readonly Turn[] =>
  lanes.flatMap(({ first, turns, last }) => [...first, ...turns, ...last]);
/** Turns of which the first goes alone, and shows what the others would meet. */
const lanesOf = ({ lanes }: Wave): readonly (readonly Turn[])[] => lanes.flatMap(({ first, turns }) => [first, turns]);
const shortOf = ({ machine, how }: Turn): Pick<Turn, 'machine' | 'how'> => ({ machine, how });
/** Enough to know whom it is about. */
const fewNames = (names: readonly string[]): string =>
  names.length > 8 ? `${names.slice(0, 7).join(', ')} and ${names.length - 7} more` : names.join(', ');
