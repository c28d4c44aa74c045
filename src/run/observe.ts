import { messageOf, UnreachableError } from '../errors.ts';
import type { ObservedMap } from '../plan/observed.ts';
import type { Layer, Observed, ResourceType, World } from '../plan/resource.ts';
import { endsWith } from './ends.ts';
import type { Emit } from './events.ts';

/** A layer with its connection, for as long as a command runs. Clients are lazy: connecting reaches nothing yet. */
export interface Connected {
  readonly layer: Layer;
  readonly clients: unknown;
}

/** Connects the layers in order, each above a live view of what is seen below it. */
export async function connectAll(layers: readonly Layer[], seen: Observed, signal: AbortSignal): Promise<readonly Connected[]> {
  const connected: Connected[] = [];
  for (const layer of layers) connected.push({ layer, clients: await layer.connect(seen, signal) });
  return connected;
}
export async function closeAll(connected: readonly Connected[]): Promise<void> {
  for (const { layer, clients } of [...connected].reverse()) await layer.close?.(clients);
}

/** What the types of one observation asked through `world.read`: who has more to say of it than they do asks nothing twice. */
export interface Answers {
  /** Undefined: nobody asked this. Rejects as the query did. */
  of<T>(query: (clients: never, signal: AbortSignal) => Promise<T>): Promise<T> | undefined;
}

/**
 * Asks the world, layer by layer, all types of a layer at once. `seen` is filled as layers answer, because the next layer connects by it.
 * A type that cannot be reached is unknown as a whole; any other error is thrown.
 */
export async function observe(
  connected: readonly Connected[],
  seen: ObservedMap,
  signal: AbortSignal,
  emit: Emit,
): Promise<Answers> {
  const reads = new Map<unknown, Promise<unknown>>();
  for (const { layer, clients } of connected) {
    const task = `observe ${layer.name}`;
    emit({ type: 'started', task, title: `Observe ${layer.name}` });
    const world: World<unknown> = { clients, signal, read: (query) => shared(reads, query, () => query(clients, signal)) };
    try {
      for (const found of await Promise.all(layer.types.map((type) => observeType(type, world)))) seen.add(found);
    } catch (error) {
      emit({ type: 'failed', task, what: messageOf(error), log: [] });
      throw error;
    }
    emit({ type: 'done', task });
  }
  // The key is the query function itself, so what it once answered is a T.
  return { of: <T>(query: (clients: never, signal: AbortSignal) => Promise<T>) => reads.get(query) as Promise<T> | undefined };
}

/** Each question has bounds of its own; this is for those that take a call and never answer. */
const observeWithinMs = 120_000;

async function observeType(type: ResourceType<object, object, unknown>, world: World<unknown>) {
  const late = AbortSignal.timeout(observeWithinMs);
  try {
    return await endsWith(type.observe(world), AbortSignal.any([world.signal, late]));
  } catch (error) {
    const unanswered = late.aborted && !world.signal.aborted;
    if (!unanswered && !(error instanceof UnreachableError)) throw error;
    const why = unanswered ? `no answer within ${observeWithinMs / 1000} s` : messageOf(error);
    return new Map([[`${type.name}/*`, { state: 'unknown', why }]] as const);
  }
}

function shared<T>(
  reads: Map<unknown, Promise<unknown>>,
  key: (clients: unknown, signal: AbortSignal) => Promise<T>,
  run: () => Promise<T>,
): Promise<T> {
  const known = reads.get(key);
  // The key is the query function itself, so what it once answered is a T.
  if (known) return known as Promise<T>;
  const answer = run();
  reads.set(key, answer);
  return answer;
}
