import type { Versions } from '../../assets/catalogue.ts';
import type { Turn, Wave } from '../../rollout/rollout.ts';
import { coalesced } from '../../run/coalesced.ts';
import { amendRecord } from '../identity.ts';
import type { Session } from '../session.ts';
import { addonsKey, indexesOf, poolKey, withSurge } from '../variants.ts';
import { type Course, type Hop, rolloutRecord } from './course.ts';
import type { GatedPlace } from './user-gates.ts';

/** Where machines, addons and pools stand while an upgrade moves them: in the session's design, and in the record. */
export class Moves {
  readonly #session: Session;
  readonly #course: Course;
  /** As the design has it: a machine whose turn it is counts as moved. */
  readonly #at: Record<string, number>;
  /** As the record has it: only what has come to its end. */
  readonly #reached: Record<string, number>;
  /** etcd machines and masters whose turn is not at its end, also of a run that was killed. */
  readonly #turning: Set<string>;
  /** Machines that are made anew in turns that were begun, by the hop they are made at, until the old one is no more. */
  readonly #replacing: Map<string, number>;
  /** Who has moved, also in a run before this one, and whose gates have not been passed. */
  readonly #ungated: Map<string, GatedPlace>;
  /** Spares of pools that are replaced just now. */
  readonly #surge = new Map<string, number>();
  /** Gates have been passed of which the record does not know. */
  #unwritten = false;
  /** Each writes the whole. */
  readonly #write: () => Promise<unknown>;

  constructor(session: Session, course: Course) {
    this.#session = session;
    this.#course = course;
    // All of them: else each design would look for who is not among them.
    const { machines } = session.design.topology;
    const indexOf = indexesOf(course.variants, machines);
    const now = machines.map((machine) => [machine.name, indexOf(machine)] as const);
    this.#at = { ...Object.fromEntries(now), ...course.variants.at };
    this.#reached = { ...this.#at };
    this.#turning = new Set(session.record?.rollout?.turning);
    this.#replacing = new Map(Object.entries(session.record?.rollout?.replacing ?? {}));
    this.#ungated = new Map((session.record?.rollout?.ungated ?? []).map((place) => [keyOfPlace(place), place]));
    this.#write = coalesced(() => {
      this.#unwritten = false;
      return amendRecord(session, {
        rollout: rolloutRecord(course, session.design.topology, {
          at: this.#reached,
          turning: this.#turning,
          replacing: this.#replacing,
          ungated: [...this.#ungated.values()],
        }),
      });
    });
  }

  /** The course, from where everything stands by now. */
  get course(): Course {
    return { ...this.#course, variants: { ...this.#course.variants, at: this.#at } };
  }
  /** Versions of a machine, by the design. */
  versionsOf(machine: string): Versions {
    const { all } = this.#course.variants;
    return (all[this.#at[machine] ?? 0] ?? all[0]).versions;
  }
  /** Whose gates are still to be passed. */
  get ungated(): readonly GatedPlace[] {
    return [...this.#ungated.values()];
  }
  /** What a machine's gates do not wait for, as it was before a turn that was begun and whose gates have not been passed. Undefined: there is none. */
  unreadyBefore(machine: string): readonly string[] | undefined {
    const place = this.#ungated.get(machine);
    if (place) return place.unready ?? [];
    return this.#turning.has(machine) || this.#replacing.has(machine) ? [] : undefined;
  }
  /** From now on the record knows the course; and of machines that are to go where they stand, for they may stay after all. Of those that are gone it knows nothing. */
  async recorded(waves: readonly Wave[]): Promise<void> {
    if (!this.#isRecorded) return;
    const { machines } = this.#session.design.topology;
    const indexOf = indexesOf(this.#course.variants, machines);
    const leaving = waves.flatMap(({ lanes }) =>
      lanes.flatMap(({ first, last }) => last.filter(({ machine }) => !first.some((spare) => spare.machine === machine))),
    );
    for (const { machine: name, role, pool } of leaving)
      this.#reached[name] ??= indexOf({ name, role, ...(pool !== undefined && { pool }) });
    const there = new Set([...machines.map(({ name }) => name), ...leaving.map(({ machine }) => machine)]);
    for (const key of Object.keys(this.#reached))
      if (!there.has(key) && key !== addonsKey && !key.startsWith(poolKey(''))) delete this.#reached[key];
    await this.#write();
  }

  /** Before anything of a turn: what a run that is killed in it leaves half done is known to the next one. */
  async begin(turn: Turn, wave: Wave, { index }: Hop): Promise<void> {
    const { machine, role, how } = turn;
    this.#spare(turn, wave);
    if (how !== 'remove') this.#at[machine] = index;
    this.#redesign();
    if (!this.#isRecorded) return;
    const serves = role === 'etcd' || role === 'master';
    if (serves) this.#turning.add(machine);
    if (how === 'replace') this.#replacing.set(machine, index);
    if (serves || how === 'replace') await this.#write();
  }
  /** The old machine is no more: a new one is made where it is to be, also when this run is killed in between. */
  gone({ machine }: Turn, hop: Hop): Promise<void> {
    return this.#reach(machine, hop);
  }
  /** `unready`: what its gates do not wait for. */
  async end({ machine, how }: Turn, wave: Wave, hop: Hop, unready: readonly string[]): Promise<void> {
    this.#turning.delete(machine);
    const place = { wave: wave.name, machine, ...(unready.length > 0 && { unready: [...unready] }) };
    if (!this.#isRecorded) return this.#gates(place);
    this.#ungated.set(keyOfPlace(place), place);
    return how === 'remove' ? this.#left(machine) : this.#reach(machine, hop);
  }

  /** One that no record names by itself: a member of a group. */
  moved({ machine }: Turn, wave: Wave): Promise<void> {
    return this.#gates({ wave: wave.name, machine });
  }
  /** Its gates have succeeded: the next thing that is written says so. */
  passed(place: Partial<GatedPlace>): void {
    if (this.#ungated.delete(keyOfPlace(place))) this.#unwritten = true;
  }
  /** Nothing may be written after this for days: gates that have succeeded are not asked again then. Never rejects: at worst they are. */
  async rest(): Promise<void> {
    if (this.#unwritten && !this.#session.signal.aborted) await this.#write().catch(() => undefined);
  }
  /** A wave, with its gates: until they have succeeded the record names it. */
  async gated({ name }: Wave, ask: () => Promise<void>): Promise<void> {
    const { gates } = this.#session.opened.cluster.upgrade;
    if (name === 'etcd' || gates.some(({ after }) => after === 'wave')) await this.#gates({ wave: name });
    await ask();
    this.passed({ wave: name });
  }

  /** Addons: designed at a hop, then, once `work` is done, recorded there. */
  async addons(hop: Hop, work: () => Promise<unknown>): Promise<void> {
    this.#at[addonsKey] = hop.index;
    this.#redesign();
    await work();
    await this.#reach(addonsKey, hop);
  }
  /** From here on new machines of these pools are made by this hop: the record knows it before the first one can be. */
  async pools(names: readonly string[], hop: Hop): Promise<void> {
    if (names.length === 0) return;
    for (const name of names) this.#at[poolKey(name)] = hop.index;
    this.#redesign();
    for (const name of names) await this.#reach(poolKey(name), hop);
  }
  /** Designs these machines, while `work` is done, as if they had made this hop. */
  async asIfMoved(machines: readonly string[], { index }: Hop, work: () => Promise<void>): Promise<void> {
    const moved = Object.fromEntries(machines.map((name) => [name, Math.max(index, this.#at[name] ?? 0)]));
    this.#redesign({ ...this.#at, ...moved });
    try {
      await work();
    } finally {
      this.#redesign();
    }
  }

  /** A pool has its spares in the design from the first of them that is made to the first that goes. */
  #spare({ how, pool }: Turn, { lanes }: Wave): void {
    if (pool === undefined || (how !== 'add' && how !== 'remove')) return;
    const lane = lanes.find(({ first }) => first.some((turn) => turn.pool === pool));
    if (lane) this.#surge.set(pool, how === 'add' ? lane.first.length : 0);
  }
  #redesign(at: Readonly<Record<string, number>> = this.#at): void {
    this.#session.redesign(withSurge({ ...this.#course.variants, at }, this.#surge));
  }
  async #gates(place: GatedPlace): Promise<void> {
    this.#ungated.set(keyOfPlace(place), place);
    await this.#write();
  }
  /** One state alone is all that there is to be at. */
  get #isRecorded(): boolean {
    return this.#course.variants.all.length > 1;
  }
  /** One of its name that comes back is new: it goes by its kind. */
  async #left(machine: string): Promise<void> {
    if (!this.#isRecorded) return;
    delete this.#at[machine];
    delete this.#reached[machine];
    await this.#write();
  }
  async #reach(key: string, { index }: Hop): Promise<void> {
    if (!this.#isRecorded) return;
    this.#reached[key] = index;
    this.#replacing.delete(key);
    await this.#write();
  }
}

/** One wave at a time is under way. */
const keyOfPlace = ({ machine = '' }: Partial<GatedPlace>): string => machine;
