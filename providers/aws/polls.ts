import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';

/** A question that several steps wait for: asked once an interval, however many they are, and not at all while nobody waits. */
export function polled<T>(
  ask: (clients: AwsClients) => Promise<T>,
  intervalMs: number,
): (ctx: Pick<Context<AwsClients>, 'clients' | 'signal'>) => Promise<T> {
  const states = new WeakMap<AwsClients, { asked: number; running: Promise<T> | undefined }>();
  const next = async (clients: AwsClients, state: { asked: number; running: Promise<T> | undefined }): Promise<T> => {
    await sleep(Math.max(0, state.asked + intervalMs - performance.now()));
    // Who comes from here on gets the next answer: this one may not know yet what they wait for.
    state.running = undefined;
    state.asked = performance.now();
    return ask(clients);
  };
  return async ({ clients, signal }) => {
    signal.throwIfAborted();
    const state = states.get(clients) ?? { asked: Number.NEGATIVE_INFINITY, running: undefined };
    states.set(clients, state);
    state.running ??= next(clients, state);
    const answer = await state.running;
    signal.throwIfAborted();
    return answer;
  };
}
