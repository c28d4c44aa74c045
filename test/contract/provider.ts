import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { forProvider, versionsFor } from '../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../src/cluster/design.ts';
import type { Cluster } from '../../src/config/schema.ts';
import { messageOf } from '../../src/errors.ts';
import { ensureRecord } from '../../src/lifecycle/identity.ts';
import type { Policy } from '../../src/plan/choose.ts';
import { chosenOf, makePlan } from '../../src/plan/make.ts';
import { ObservedMap } from '../../src/plan/observed.ts';
import type { Plan } from '../../src/plan/plan.ts';
import { type Address, isRef, type Layer, type Resource, type ResourceType, typeOf } from '../../src/plan/resource.ts';
import type { Provider } from '../../src/provider.ts';
import type { Emit } from '../../src/run/events.ts';
import { closeAll, connectAll, observe } from '../../src/run/observe.ts';
import { run } from '../../src/run/runner.ts';

/** Somewhere with nothing in it where a provider can make one cluster, and ways to disturb it. */
export interface Place {
  readonly cluster: Cluster;
  /** The provider as a new process opens it: nothing is remembered of an earlier one. */
  open(): Promise<Provider>;
  /** Everything that is there, whoever it belongs to: a line a thing, which says what it is and not which (no IDs, no times). */
  inventory(): Promise<readonly string[]>;
  /** What is there before the first `up`, and must be there unchanged after the last `down`. */
  foreign(): Promise<void>;
  /** The process dies with its nth change from now: it is carried out, its answer is lost, and nothing that it asks later arrives. */
  killAfter(changes: number, died: () => void): void;
  /** A new process begins. Whether the old one was killed. */
  revive(): boolean;
  /** From now on calls fail, are lost, come late or see the past, as the seed has it. Undefined: no more. */
  storm(seed: number | undefined): void;
  /** How many changes were carried out since the place was made. */
  changes(): number;
  /** Throws for everything that a real one would have refused, and where the emulation itself broke. */
  check(): void;
  close(): Promise<void>;
}

/** Something done by hand, or by the weather, and what a plan must say of it: exactly this. */
export interface Drift {
  readonly name: string;
  act(place: Place): Promise<void>;
  /** `update aws.security-group/etcd`; in any order. */
  readonly expected: readonly string[];
}

export interface Subject {
  readonly name: string;
  place(): Promise<Place>;
  readonly drifts: readonly Drift[];
  /** Outputs of resources of other layers that this one refers to, where any text would not do: `secret/ssh` → publicKey. */
  readonly given?: Readonly<Record<Address, Readonly<Record<string, unknown>>>>;
  /** Sees every event of every run: for whoever looks for the place where one hangs. */
  readonly emit?: Emit;
  readonly runs: {
    /** Seeded runs under storms. */
    readonly storms: number;
    readonly firstSeed: number;
    /** Every how manyeth change is killed at; 1: each. */
    readonly killEvery: number;
    /** Every how manyeth of them goes down again, under another storm. */
    readonly downEvery: number;
    /** How many run at once: most of a run is waiting. */
    readonly atOnce: number;
  };
}

/** Three in a row that fail are no weather. */
const attemptsInStorms = 3;

/** What every provider must do, over whatever it runs on. */
export function providerContract(subject: Subject): void {
  const { name, drifts, runs } = subject;
  const places: Place[] = [];
  const aPlace = async (): Promise<Place> => {
    const place = await subject.place();
    places.push(place);
    return place;
  };
  const up = (place: Place, attempts = 1) => converge(subject, place, 'upgrade', attempts);
  const down = (place: Place, attempts = 1) => converge(subject, place, 'down', attempts);
  const plan = (place: Place) => planned(subject, place, 'upgrade');

  describe(`the provider contract: ${name}`, () => {
    afterEach(async () => {
      const all = places.splice(0);
      try {
        for (const place of all) place.check();
      } finally {
        await Promise.all(all.map((place) => place.close()));
      }
    });

    it('what is up plans empty; down leaves nothing, twice in a row, and what belongs to others stays', async () => {
      const place = await aPlace();
      await place.foreign();
      const before = await place.inventory();
      await up(place);
      expect(await plan(place)).toEqual([]);
      expect((await place.inventory()).length).toBeGreaterThan(before.length);
      await down(place);
      expect(await place.inventory()).toEqual(before);
      await down(place);
      expect(await place.inventory()).toEqual(before);
    });

    describe.skipIf(drifts.length === 0)('drift', () => {
      // One cluster stands for all of them: what heals leaves no trace, which each of them shows. After one that failed it is made anew.
      let standing: { readonly place: Place; readonly whole: readonly string[] } | undefined;
      const stand = async (): Promise<{ readonly place: Place; readonly whole: readonly string[] }> => {
        const place = await subject.place();
        await up(place);
        return { place, whole: await place.inventory() };
      };
      afterAll(() => standing?.place.close());
      for (const drift of drifts) {
        it(`${drift.name}: the plan shows it and nothing else, up heals it`, async () => {
          const { place, whole } = standing ?? (await stand());
          standing = undefined;
          places.push(place);
          await drift.act(place);
          expect(await plan(place)).toEqual([...drift.expected].sort());
          await up(place);
          expect(await plan(place)).toEqual([]);
          expect(await place.inventory()).toEqual(whole);
          place.check();
          places.splice(places.indexOf(place), 1);
          standing = { place, whole };
        });
      }
    });

    it(`killed after ${runs.killEvery === 1 ? 'each change' : `every ${runs.killEvery}th change`} of up, and begun again: the same end, nothing doubled, nothing left over`, async () => {
      const undisturbed = await aPlace();
      await up(undisturbed);
      const changes = undisturbed.changes();
      const whole = await undisturbed.inventory();
      const points = Array.from({ length: Math.ceil(changes / runs.killEvery) }, (_, n) => 1 + n * runs.killEvery);
      await all(points, runs.atOnce, async (n) => {
        const place = await aPlace();
        expectKilled(await killed(subject, place, 'upgrade', n), n, changes);
        await up(place);
        expect(await plan(place), `killed after change ${n}`).toEqual([]);
        expect(await place.inventory(), `killed after change ${n}`).toEqual(whole);
        await finished(places, place);
      });
    }, 1_800_000);

    it(`killed during down, and begun again: nothing is left`, async () => {
      const undisturbed = await aPlace();
      const before = await undisturbed.inventory();
      await up(undisturbed);
      const made = undisturbed.changes();
      await down(undisturbed);
      const changes = undisturbed.changes() - made;
      const every = Math.max(runs.killEvery, 3);
      const points = Array.from({ length: Math.ceil(changes / every) }, (_, n) => 1 + n * every);
      await all(points, runs.atOnce, async (n) => {
        const place = await aPlace();
        await up(place);
        expectKilled(await killed(subject, place, 'down', n), n, changes);
        await down(place);
        expect(await place.inventory(), `killed after change ${n}`).toEqual(before);
        await finished(places, place);
      });
    }, 1_800_000);

    it(`${runs.storms} runs under faults (seeds ${runs.firstSeed} and on): all come up the same, plan empty and go down`, async () => {
      const calm = await aPlace();
      const before = await calm.inventory();
      await up(calm);
      const whole = await calm.inventory();
      const again: string[] = [];
      const seeds = Array.from({ length: runs.storms }, (_, n) => runs.firstSeed + n);
      await all(seeds, runs.atOnce, async (seed) => {
        const place = await aPlace();
        place.storm(seed);
        // A run may fail, and says so; the same command again goes on.
        again.push(...(await up(place, attemptsInStorms)).map((why) => `seed ${seed}: up: ${why}`));
        place.storm(undefined);
        expect(await plan(place), `seed ${seed}`).toEqual([]);
        expect(await place.inventory(), `seed ${seed}`).toEqual(whole);
        if (seed % runs.downEvery === 0) {
          place.storm(seed + 1_000_000);
          again.push(...(await down(place, attemptsInStorms)).map((why) => `seed ${seed}: down: ${why}`));
          place.storm(undefined);
          expect(await place.inventory(), `seed ${seed}`).toEqual(before);
        }
        await finished(places, place);
      });
      console.info([`${seeds.length} runs under faults, ${again.length} times begun again`, ...again].join('\n  '));
    }, 7_200_000);
  });
}

/** Checks and closes a place as soon as its part is done: hundreds at once are too many. */
async function finished(places: Place[], place: Place): Promise<void> {
  place.check();
  places.splice(places.indexOf(place), 1);
  await place.close();
}

async function all<T>(items: readonly T[], atOnce: number, act: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const failures: unknown[] = [];
  const work = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined && failures.length === 0; item = left.shift()) {
      const here = item;
      await act(here).catch((error: unknown) =>
        failures.push(new Error(`${String(here)}: ${messageOf(error)}`, { cause: error })),
      );
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, work));
  if (failures.length > 0) throw failures[0];
}

// --- The engine, over the provider's layer alone ------------------------------------------------------------------------------------------

type Command = Policy['command'];
interface Opened {
  readonly provider: Provider;
  readonly design: readonly Resource[];
  /** Observes everything and plans. */
  plan(): Promise<Plan>;
  /** Carries it out. Throws with everything that failed. */
  carryOut(plan: Plan): Promise<void>;
}

async function opened<T>(
  { given = {}, emit = () => undefined }: Subject,
  place: Place,
  command: Command,
  signal: AbortSignal,
  use: (opened: Opened) => Promise<T>,
): Promise<T> {
  const { cluster } = place;
  const provider = await place.open();
  const store = await provider.store(cluster, { create: true }, signal);
  // As every command does that changes something.
  if (store) await ensureRecord(store, cluster, () => 'uid');
  const topology = designTopology(cluster, noIdentity, forProvider(versionsFor(cluster.kubernetes.version), cluster.provider));
  const design = command === 'down' ? [] : provider.design(topology);
  const layers: Layer[] = [below(provider.design(topology), given), provider];
  if (command === 'down') layers.push({ ...provider, name: 'leftovers', types: [...(provider.leftovers ?? [])] });
  const seen = new ObservedMap();
  const connected = await connectAll(layers, seen, signal);
  const types = new Map(
    layers.flatMap((layer) => layer.types.map((type): [string, ResourceType<object, object, unknown>] => [type.name, type])),
  );
  try {
    return await use({
      provider,
      design,
      async plan() {
        seen.clear();
        await observe(connected, seen, signal, emit);
        return makePlan({
          tool: 'test',
          cluster: cluster.name,
          specDigest: '',
          desired: design,
          observed: seen,
          types,
          policy: { command, allowDataLoss: true },
        });
      },
      async carryOut(plan) {
        const result = await run({
          steps: plan.steps,
          desired: design,
          connected,
          seen,
          secrets: { reveal: async () => new Uint8Array() },
          emit,
          signal,
          beforeStep: async () => undefined,
          lanes: { infrastructure: 16 },
          runId: `${place.cluster.name} ${performance.now()}`,
          since: Date.now(),
          command: plan.command,
        });
        signal.throwIfAborted();
        const failures = result.failed.map(({ step, error }) => `${step.id}: ${messageOf(error)}`);
        if (failures.length > 0) throw new Error(failures.join('\n'), { cause: result.failed[0]?.error });
      },
    });
  } finally {
    await closeAll(connected);
  }
}

/** Every resource of another layer that the design refers to, as if it were there. */
function below(design: readonly Resource[], given: NonNullable<Subject['given']>): Layer {
  const own = new Set(design.map(({ address }) => address));
  const wanted = new Map<Address, Set<string>>();
  const collect = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if (isRef(value)) {
      if (!own.has(value.ref)) wanted.set(value.ref, (wanted.get(value.ref) ?? new Set()).add(value.field));
    } else for (const inner of Object.values(value)) collect(inner);
  };
  for (const { props } of design) collect(props);
  const outputsOf = (address: Address, fields: ReadonlySet<string>) =>
    Object.fromEntries([...fields].map((field) => [field, given[address]?.[field] ?? `${field}-of-${address}`]));
  return {
    name: 'below',
    connect: async () => undefined,
    types: [...new Set([...wanted.keys()].map(typeOf))].map((name) => ({
      name,
      observe: async () =>
        new Map(
          [...wanted]
            .filter(([address]) => typeOf(address) === name)
            .map(([address, fields]) => [address, { state: 'present', props: {}, outputs: outputsOf(address, fields) }] as const),
        ),
      diff: () => [],
    })),
  };
}

const isOfProvider = ({ address }: { address: Address }, { types }: Provider, more: Provider['leftovers'] = []): boolean =>
  [...types, ...more].some((type) => type.name === typeOf(address));
const wordsOf = (plan: Plan, provider: Provider): string[] =>
  plan.changes
    .filter((change) => isOfProvider(change, provider, provider.leftovers))
    .map(({ action, address }) => `${action} ${address}`)
    .sort();

/** What a plan says: `create aws.vpc/main`, sorted. */
const planned = (subject: Subject, place: Place, command: Command): Promise<string[]> =>
  opened(subject, place, command, new AbortController().signal, async ({ plan, provider }) => wordsOf(await plan(), provider));

/** The command, as a user gives it: again when it fails, so often. Returns why it was begun again. */
async function converge(subject: Subject, place: Place, command: Command, attempts: number): Promise<readonly string[]> {
  const failures: string[] = [];
  for (;;) {
    try {
      await once(subject, place, command, new AbortController().signal);
      return failures;
    } catch (error) {
      failures.push(messageOf(error));
      if (failures.length === attempts) throw error;
    }
  }
}

/** Observe, plan, run, until nothing is left. */
const rounds = 4;
const once = (subject: Subject, place: Place, command: Command, signal: AbortSignal): Promise<void> =>
  opened(subject, place, command, signal, async ({ plan, carryOut, provider }) => {
    for (let round = 1; round <= rounds; round++) {
      const next = await plan();
      const steps = next.steps.filter(({ params }) => isOfProvider(params, provider, provider.leftovers));
      if (chosenOf(next).length === 0 || steps.length === 0) break;
      if (round === rounds) throw new Error(`not converging: ${wordsOf(next, provider).join(', ')}`);
      await carryOut({ ...next, steps });
    }
    if (command === 'down') await provider.removeStore(place.cluster, signal);
  });

/** One run that dies with its nth change; nothing of it lives on. Undefined: it died; else how many changes it came to its end with. */
async function killed(subject: Subject, place: Place, command: Command, changes: number): Promise<number | undefined> {
  const life = new AbortController();
  const before = place.changes();
  place.killAfter(changes, () => life.abort(new Error('killed')));
  const ended = await once(subject, place, command, life.signal).then(
    () => 'came to its end',
    (error: unknown) => messageOf(error),
  );
  if (place.revive()) return undefined;
  if (ended !== 'came to its end') throw new Error(`was to be killed after ${changes} changes: ${ended}`);
  return place.changes() - before;
}

/**
 * Some changes go together with others that happen to wait (intents that are dropped), so that no two runs have quite as many. A point beyond
 * the end of its run shows nothing; there may be few of them.
 */
function expectKilled(made: number | undefined, point: number, undisturbed: number): void {
  if (made === undefined) return;
  expect(made, `not killed, as there were only ${made} changes`).toBeLessThan(point);
  expect(made, `not killed after ${point} changes`).toBeGreaterThan(undisturbed * 0.8);
}
