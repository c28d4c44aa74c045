import { messageOf } from '../errors.ts';
import type { Policy } from '../plan/choose.ts';
import { makePlan } from '../plan/make.ts';
import { ObservedMap } from '../plan/observed.ts';
import type { Plan } from '../plan/plan.ts';
import { type Layer, type Observed, type Resource, type Secrets, typeOf } from '../plan/resource.ts';
import type { Provider } from '../provider.ts';
import { machineOf } from '../rollout/waves.ts';
import type { Emit } from '../run/events.ts';
import { type Journal, newRunId, openJournal, type RunResultRecord } from '../run/journal.ts';
import { acquireLock, type Lock } from '../run/lock.ts';
import { type Answers, type Connected, closeAll, connectAll, observe } from '../run/observe.ts';
import type { RunResult } from '../run/runner.ts';
import type { SealStream } from '../store/sealing.ts';
import type { Store } from '../store/store.ts';
import { type ClusterDesign, designer } from './design.ts';
import { refuseMoved } from './foundation.ts';
import { type ClusterRecord, ensureRecord, readRecord } from './identity.ts';
import { type InForce, inForce } from './in-force.ts';
import type { Opened, Reach } from './opened.ts';
import { refusePackagesDate } from './packages-date.ts';
import { settleReplaced } from './replaced.ts';
import type { Variants } from './variants.ts';

/** One command's look at one cluster: its design, its connections, and what has been seen. */
export interface Session {
  readonly opened: Opened;
  readonly store: Store | undefined;
  readonly record: ClusterRecord | undefined;
  /** This command gave the cluster its identity: there was no record. */
  readonly isNew: boolean;
  /** What the first design was made of. */
  readonly inForce: InForce;
  /** Live: an upgrade designs anew as it goes on. */
  readonly design: ClusterDesign;
  redesign(variants: Variants): void;
  readonly connected: readonly Connected[];
  readonly seen: ObservedMap;
  readonly secrets: Secrets;
  readonly seal: SealStream;
  readonly lock: Lock | undefined;
  /** Ctrl-C, and a lost lock. */
  readonly signal: AbortSignal;
  /** The way to hosts and to the API, for commands that talk to them directly. */
  readonly reach: Reach;
  readonly runId: string;
  readonly emit: Emit;
  /** Opens the run's journal: from here on events are kept. */
  begin(plan: Plan): void;
  /** What became of a plan's steps: for the journal's last page. */
  report(result: RunResult): void;
}

/** For commands that only look: takes no lock, makes no store. */
export async function withSession<T>(opened: Opened, use: (session: Session) => Promise<T>): Promise<T> {
  const store = await opened.provider.store(opened.cluster, { create: false }, opened.signal);
  return useSession({ opened, store, record: await readRecord(store), isNew: false, lock: undefined }, use);
}

export interface LockOptions {
  readonly command: Plan['command'] | 'backup';
  readonly waitMs: number;
  /** Look at one layer and nothing above it: deletion asks no host and no API. */
  readonly only?: string;
}

/** For commands that change things: makes the store, takes the lock, gives the cluster its identity. */
export async function withLockedSession<T>(
  opened: Opened,
  { command, waitMs, only }: LockOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const store = await opened.provider.store(opened.cluster, { create: true }, opened.signal);
  if (!store) throw new Error(`provider ${opened.provider.name} made no store`);
  const { holder, host, commandLine, emit, signal } = opened;
  const lock = await acquireLock(store, {
    holder,
    host,
    purpose: `cluster ${command}`,
    command: commandLine,
    wait: waitMs,
    emit,
    signal,
  });
  try {
    const isNew = (await readRecord(store)) === undefined;
    const record = await ensureRecord(store, opened.cluster, opened.newUid);
    return await useSession({ opened, store, record, isNew, lock, ...(only !== undefined && { only }) }, use);
  } finally {
    // What the command did, or why it failed, is not lost over this.
    await lock.release().catch((error: unknown) => {
      const then = 'the next command on this host takes it over at once, others after 60 s';
      emit({ type: 'progress', task: 'lock', message: `the lock could not be released (${messageOf(error)}): ${then}` });
    });
  }
}

interface SessionInput extends Pick<Session, 'opened' | 'store' | 'record' | 'isNew' | 'lock'> {
  readonly only?: string;
}

async function useSession<T>(
  { opened, store, record: found, isNew, lock, only }: SessionInput,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  let force = inForce(opened.cluster, found);
  const designed = designer(found, opened.provider, opened.manifests);
  let design = designed(force.variants);
  const { layers, secrets, seal, reach } = await opened.layers({
    opened,
    store,
    record: found,
    design: () => design,
    generation: lock?.generation ?? 0,
  });
  const seen = new ObservedMap();
  const signal = lock ? AbortSignal.any([opened.signal, lock.signal]) : opened.signal;
  const connected = await connectAll(only ? deletable(layers, only, opened.provider) : layers, seen, signal);
  const record = only ? found : await settleReplaced({ opened, record: found, store, lock, signal }, connected);
  if (record !== found) {
    force = inForce(opened.cluster, record);
    design = designed(force.variants);
  }
  const journal = new RunJournal(store, opened, lock?.generation ?? 0);
  const session: Session = {
    opened,
    store,
    record,
    isNew,
    inForce: force,
    get design() {
      return design;
    },
    redesign(variants) {
      design = designed(variants);
    },
    connected,
    seen,
    secrets,
    seal,
    reach,
    lock,
    signal,
    runId: journal.runId,
    emit: journal.emit,
    begin: (plan) => journal.begin(plan),
    report: (result) => journal.report(result),
  };
  try {
    const result = await use(session);
    await journal.close('done');
    return result;
  } catch (error) {
    await journal.close(opened.signal.aborted ? 'interrupted' : 'failed');
    // Whatever failed after that failed because of it, and does not say who has the lock.
    if (!opened.signal.aborted) lock?.signal.throwIfAborted();
    throw error;
  } finally {
    await closeAll(connected);
  }
}

/** One layer, with what else is to be found there when a cluster goes. */
const deletable = (layers: readonly Layer[], only: string, { leftovers = [] }: Provider): readonly Layer[] =>
  layers.filter((layer) => layer.name === only).map((layer) => ({ ...layer, types: [...layer.types, ...leftovers] }));

/** Events go to whoever listens, and, once the run has begun, to the journal. */
class RunJournal {
  readonly runId: string;
  readonly emit: Emit;
  readonly #store: Store | undefined;
  readonly #opened: Opened;
  readonly #generation: number;
  readonly #result: { done: string[]; failed: { step: string; what: string }[]; notStarted: string[] } = {
    done: [],
    failed: [],
    notStarted: [],
  };
  #journal: Journal | undefined;

  constructor(store: Store | undefined, opened: Opened, generation: number) {
    this.#store = store;
    this.#opened = opened;
    this.#generation = generation;
    this.runId = newRunId(opened.now(), opened.randomBytes(4));
    this.emit = (event) => {
      opened.emit(event);
      this.#journal?.record({ ...event, at: opened.now() });
    };
  }
  begin(plan: Plan): void {
    if (!this.#store) return;
    this.#journal = openJournal(this.#store, {
      runId: this.runId,
      plan,
      command: this.#opened.commandLine,
      generation: this.#generation,
    });
  }
  report({ done, failed, notStarted }: RunResult): void {
    this.#result.done.push(...done);
    this.#result.failed.push(...failed.map(({ step, error }) => ({ step: step.id, what: messageOf(error) })));
    this.#result.notStarted.push(...notStarted);
  }
  async close(outcome: RunResultRecord['outcome']): Promise<void> {
    const closed = await this.#journal?.close({ outcome, finishedAt: this.#opened.now(), ...this.#result });
    if (closed?.problem) this.#opened.emit({ type: 'progress', task: 'journal', message: closed.problem });
  }
}

/** A plan, and what was asked for it: hosts' facts, nodes. */
export interface Look {
  readonly plan: Plan;
  readonly answers: Answers;
}
/** Observes everything afresh and plans. Throws UserError (config) when the file moves what the cluster stands on. */
export const planSession = async (session: Session, policy: Policy, desired?: readonly Resource[]): Promise<Plan> =>
  (await lookSession(session, policy, desired)).plan;

/** As planSession, for those who have more to say of what was seen than the plan does. */
export async function lookSession(
  session: Session,
  policy: Policy,
  desired: readonly Resource[] = session.design.resources,
): Promise<Look> {
  const { connected, seen, emit } = session;
  seen.clear();
  const answers = await observe(connected, seen, session.signal, emit);
  if (policy.command !== 'down') {
    refuseMovedUnder(session);
    refusePackagesDate(session);
  }
  const plan = planFrom(session, policy, desired);
  return { plan, answers };
}

/** What differs by what was seen last; observes nothing. */
export function planFrom(
  { opened, connected, seen, design, inForce }: Session,
  policy: Policy,
  desired: readonly Resource[] = design.resources,
  observed: Observed = seen,
  compared: readonly Resource[] = desired,
): Plan {
  return makePlan({
    tool: opened.tool,
    cluster: opened.cluster.name,
    specDigest: opened.specDigest,
    desired,
    compared,
    observed,
    types: new Map(connected.flatMap(({ layer }) => layer.types.map((type) => [type.name, type]))),
    policy,
    left: policy.command === 'up' ? inForce.left : [],
  });
}

/** planFrom for one machine alone: neither what lies on the others nor what all share is compared, however much there is. Order leads through what is shared. */
export const planOne = (session: Session, policy: Policy, machine: string): Plan =>
  planFrom(session, policy, designedBeside(session, machine), seenOf(session, machine), session.design.of(machine));

/** planFrom for one machine and what all machines share: a balancer that lets go of it. */
export const planBeside = (session: Session, policy: Policy, machine: string): Plan =>
  planFrom(session, policy, designedBeside(session, machine), seenOf(session, machine));

function seenOf({ seen }: Session, machine: string): Observed {
  const names = new Set([machine]);
  return {
    get: (address) => seen.get(address),
    entries: () => [...seen.named(machine)].filter(([address]) => machineOf(address, names) !== undefined),
  };
}
/** Resources of one machine, and those that all share. */
export const designedBeside = ({ design }: Pick<Session, 'design'>, machine: string): readonly Resource[] => [
  ...design.shared,
  ...design.of(machine),
];

/** With what a month costs, before and after, where the provider knows: for whoever reads the plan. */
export async function withCost({ opened, seen, design, signal }: Session, plan: Plan): Promise<Plan> {
  // An estimate is never a reason to fail.
  const cost = await opened.provider.cost?.(seen, design.resources, signal).catch(() => undefined);
  return cost ? { ...plan, cost } : plan;
}

/** Only what stands can be moved: before the first machine, and after the last volume, the file may say what it likes. */
export function refuseMovedUnder({ opened, record, connected, seen }: Session): void {
  const infrastructure = connected.find(({ layer }) => layer.name === 'infrastructure');
  // What nothing deletes is not this cluster's own: an image that others share.
  const types = new Set(infrastructure?.layer.types.filter((type) => type.delete).map((type) => type.name));
  const stands = [...seen.entries()].some(([address, { state }]) => state === 'present' && types.has(typeOf(address)));
  if (stands) refuseMoved(record?.foundation, opened.cluster, opened.file);
}
