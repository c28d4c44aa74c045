import { messageOf, UserError } from '../errors.ts';
import { sha256 } from '../plan/canonical.ts';
import type { ObservedMap } from '../plan/observed.ts';
import type { Plan, Step } from '../plan/plan.ts';
import { resolve } from '../plan/resolve.ts';
import { type Address, type Context, type Resource, type ResourceType, type Secrets, typeOf } from '../plan/resource.ts';
import { endsWith } from './ends.ts';
import type { Emit } from './events.ts';
import type { Connected } from './observe.ts';

export interface RunInput {
  readonly steps: readonly Step[];
  /** With those of all steps. */
  readonly desired: readonly Resource[];
  readonly connected: readonly Connected[];
  /** Live: outputs of a step appear here as soon as it is done. */
  readonly seen: ObservedMap;
  readonly secrets: Secrets;
  readonly emit: Emit;
  /** Ctrl-C and a lost lock. */
  readonly signal: AbortSignal;
  /** Called before each step: renews a lock that is close to stale, and throws when it is lost. */
  readonly beforeStep: () => Promise<void>;
  /** How many steps of one lane run at once. A lane not named here is unlimited. */
  readonly lanes: Readonly<Record<string, number>>;
  readonly runId: string;
  /** When the run began, in milliseconds since the epoch. */
  readonly since: number;
  /** Whose plan it is. */
  readonly command?: Plan['command'];
  /** How long a step that is told to stop may take to bring a write and its restart to their end; then it is left where it is. Default 15 s. */
  readonly stopWithinMs?: number;
}
export interface Failure {
  readonly step: Step;
  readonly error: unknown;
}
export interface RunResult {
  readonly done: readonly string[];
  readonly failed: readonly Failure[];
  /** Never started: a predecessor failed, or the run was interrupted. */
  readonly notStarted: readonly string[];
}

/** Executes steps as a graph: each starts when its predecessors are done. A failed step stops its successors; others go on. Never throws for a failed step. */
export async function run(input: RunInput): Promise<RunResult> {
  const { steps, signal, lanes } = input;
  const typeByName = new Map(
    input.connected.flatMap(({ layer, clients }) =>
      layer.types.map((type) => [type.name, { type, clients, lane: type.lane ?? layer.name }]),
    ),
  );
  const own = new Set(steps.map(({ params }) => params.address));
  const resources = new Map(
    input.desired.filter(({ address }) => own.has(address)).map((resource) => [resource.address, resource]),
  );
  const waiting = new Map(steps.map((step) => [step.id, new Set(step.after)]));
  const successors = new Map<string, string[]>();
  for (const step of steps) for (const before of step.after) successors.set(before, [...(successors.get(before) ?? []), step.id]);
  const byId = new Map(steps.map((step) => [step.id, step]));

  const done: string[] = [];
  const failed: Failure[] = [];
  const ready = new Map<string, Step[]>();
  const running = new Map<string, number>();
  const laneOf = (step: Step): string => typeByName.get(typeOf(step.params.address))?.lane ?? '';
  const enqueue = (step: Step): void => {
    const lane = laneOf(step);
    ready.set(lane, [...(ready.get(lane) ?? []), step]);
  };
  for (const step of steps) if (step.after.length === 0) enqueue(step);

  let active = 0;
  await new Promise<void>((finished) => {
    const pump = (): void => {
      for (const [lane, queue] of ready) {
        while (queue.length > 0 && !signal.aborted && (running.get(lane) ?? 0) < (lanes[lane] ?? Number.POSITIVE_INFINITY)) {
          const step = queue.shift();
          if (step) start(step, lane);
        }
      }
      if (active === 0) finished();
    };
    const start = (step: Step, lane: string): void => {
      active++;
      running.set(lane, (running.get(lane) ?? 0) + 1);
      void execute(step, input, typeByName.get(typeOf(step.params.address)), resources.get(step.params.address)).then((error) => {
        active--;
        running.set(lane, (running.get(lane) ?? 1) - 1);
        if (error === undefined) {
          done.push(step.id);
          for (const id of successors.get(step.id) ?? []) {
            const left = waiting.get(id);
            left?.delete(step.id);
            const next = byId.get(id);
            if (left?.size === 0 && next) enqueue(next);
          }
        } else failed.push({ step, error });
        pump();
      });
    };
    pump();
  });
  const settled = new Set([...done, ...failed.map(({ step }) => step.id)]);
  return { done, failed, notStarted: steps.map((step) => step.id).filter((id) => !settled.has(id)) };
}

/** Carries out one step. Returns the error instead of throwing it. */
async function execute(
  step: Step,
  input: RunInput,
  found: { type: ResourceType<object, object, unknown>; clients: unknown } | undefined,
  resource: Resource | undefined,
): Promise<unknown> {
  const { seen, emit, secrets, stopWithinMs = 15_000 } = input;
  const { address, action, hold } = step.params;
  const timeout = new AbortController();
  const timer = setTimeout(
    () => timeout.abort(new UserError({ what: `${action} was not done within ${step.timeoutMs / 1000} s`, where: address })),
    step.timeoutMs,
  );
  const signal = AbortSignal.any([input.signal, timeout.signal]);
  emit({ type: 'started', task: step.id, title: `${action} ${address}` });
  try {
    await endsWith(input.beforeStep(), signal);
    signal.throwIfAborted();
    if (!found) throw new Error(`no resource type for ${address}`);
    const { type, clients } = found;
    const context = (token: string): Context<unknown> => ({
      address,
      clients,
      signal,
      since: input.since,
      ...(input.command && { command: input.command }),
      token,
      hold,
      secrets,
      progress: (message, amount) => emit({ type: 'progress', task: step.id, message, ...(amount && { amount }) }),
    });
    const carryOut = (): Promise<void> => {
      if (action === 'delete') return remove(type, address, seen, context(''));
      if (action === 'verify') return verify(type, resource, seen, context(''));
      return converge(type, address, resource, seen, context(sha256(`${input.runId} ${step.id}`)));
    };
    await endsWith(carryOut(), signal, stopWithinMs);
    emit({ type: 'done', task: step.id });
    return undefined;
  } catch (error) {
    const cause = timeout.signal.aborted && !(error instanceof UserError) ? timeout.signal.reason : error;
    if (input.signal.aborted) emit({ type: 'cut', task: step.id, because: messageOf(input.signal.reason) });
    else emit({ type: 'failed', task: step.id, what: messageOf(cause), log: [] });
    return cause ?? new Error('failed without a reason');
  } finally {
    clearTimeout(timer);
  }
}

async function remove(
  type: ResourceType<object, object, unknown>,
  address: Address,
  seen: ObservedMap,
  context: Context<unknown>,
): Promise<void> {
  const before = seen.get(address);
  if (!type.delete) throw new Error(`${type.name} cannot delete`);
  if (before?.state === 'present') await type.delete(before.outputs, context);
  seen.delete(address);
}

async function verify(
  type: ResourceType<object, object, unknown>,
  resource: Resource | undefined,
  seen: ObservedMap,
  context: Context<unknown>,
): Promise<void> {
  if (!resource || !type.verify) throw new Error(`${context.address} cannot be verified`);
  await type.verify(resolve(resource.props, seen).props, context);
}

/** Refs are resolved again here: what was pending in the plan is known by now. */
async function converge(
  type: ResourceType<object, object, unknown>,
  address: Address,
  resource: Resource | undefined,
  seen: ObservedMap,
  context: Context<unknown>,
): Promise<void> {
  if (!resource) throw new Error(`${address} is not in the design`);
  const { props, pending } = resolve(resource.props, seen);
  if (pending.size > 0) throw new Error(`${address} refers to ${[...pending.values()].join(', ')}, which gave no such output`);
  const before = seen.get(address);
  const outputs = await (before?.state === 'present'
    ? update(type, props, before.outputs, context)
    : create(type, props, context));
  // What was held back still differs: a later plan of the same run must find it.
  const held = context.hold.length > 0 && before?.state === 'present';
  seen.set(address, { state: 'present', props: held ? before.props : props, outputs });
}
function create(type: ResourceType<object, object, unknown>, props: object, context: Context<unknown>): Promise<object> {
  if (!type.create) throw new Error(`${type.name} cannot create`);
  return type.create(props, context);
}
function update(
  type: ResourceType<object, object, unknown>,
  props: object,
  outputs: object,
  context: Context<unknown>,
): Promise<object> {
  if (!type.update) throw new Error(`${type.name} cannot update`);
  return type.update(props, outputs, context);
}
