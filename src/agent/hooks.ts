import { messageOf } from '../errors.ts';
import type { AgentCloud, HeldMachine } from './cloud.ts';
import type { AgentConfig } from './config.ts';
import { drain } from './drain.ts';
import type { AgentKube } from './kube.ts';

export interface Hooks {
  readonly config: AgentConfig;
  readonly kube: Pick<AgentKube, 'nodes' | 'cordon' | 'pods' | 'evict'>;
  readonly cloud: Pick<AgentCloud, 'held' | 'release' | 'keepHolding' | 'instances'>;
  readonly log: (line: string) => void;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** A machine that is not a Ready node by then is ended, and the group makes another. */
const joinWithinMs = 15 * 60_000;
const defaultDrainMs = 300_000;
/** AWS takes a spot machine away two minutes after its notice. */
const noticeMs = 110_000;

/**
 * Machines that are coming and going. One round starts what is due and waits for nothing: drains run on, one a node, in `running`.
 */
export async function tendMachines(hooks: Hooks, running: Map<string, Promise<void>>): Promise<void> {
  const { kube, cloud, log, now, signal } = hooks;
  const [held, nodes] = await Promise.all([cloud.held(signal), kube.nodes(signal)]);
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const instances =
    held.length > 0
      ? await cloud.instances(
          held.map(({ instance }) => instance),
          signal,
        )
      : new Map();

  for (const machine of held.filter(({ why }) => why === 'launch')) {
    const launched = instances.get(machine.instance)?.launched;
    if (byName.get(machine.instance)?.ready) {
      await cloud.release(machine, 'continue', signal);
      log(`${machine.instance} is Ready: into service`);
    } else if (launched !== undefined && now() - launched > joinWithinMs) {
      await cloud.release(machine, 'abandon', signal);
      log(`${machine.instance} did not join within ${joinWithinMs / 60_000} minutes: ended`);
    }
  }
  const start = (node: string, work: () => Promise<void>): void => {
    if (running.has(node)) return;
    const task = work()
      .catch((error: unknown) => {
        if (!signal.aborted) log(`${node}: ${messageOf(error)}`);
      })
      .finally(() => running.delete(node));
    running.set(node, task);
  };
  for (const machine of held.filter(({ why }) => why === 'terminate')) {
    const pool = instances.get(machine.instance)?.pool;
    const withinMs = (hooks.config.pools[pool ?? '']?.drainSeconds ?? defaultDrainMs / 1000) * 1000;
    start(machine.instance, () => leave(hooks, machine, byName.has(machine.instance), withinMs));
  }
  for (const { name, notice } of nodes)
    if (notice !== undefined && !held.some(({ instance }) => instance === name)) start(name, () => noticed(hooks, name, notice));
}

async function leave(hooks: Hooks, machine: HeldMachine, isNode: boolean, withinMs: number): Promise<void> {
  const { kube, cloud, log, signal } = hooks;
  const node = machine.instance;
  if (isNode) {
    log(`${node} is to be terminated: drains`);
    await cloud.keepHolding(machine, signal);
    const left = await drain({ kube, node, because: 'termination', withinMs, signal, log });
    log(left === 0 ? `${node} is drained` : `${node} goes with ${left} pods, which did not leave in ${withinMs / 1000} s`);
  }
  await cloud.release(machine, 'continue', signal);
}

async function noticed({ kube, log, signal }: Hooks, node: string, notice: string): Promise<void> {
  const because = `notice: ${notice}`;
  // Told at each round until the machine is gone; of a node that is drained there is nothing more to say.
  const begun = (await kube.nodes(signal)).some((one) => one.name === node && one.cordoned);
  if (!begun) log(`${node} has a notice (${notice}): drains`);
  const left = await drain({ kube, node, because, withinMs: noticeMs, signal, log: begun ? () => undefined : log });
  if (!begun)
    log(left === 0 ? `${node} is drained` : `${node} goes with ${left} pods, which did not leave in ${noticeMs / 1000} s`);
}
