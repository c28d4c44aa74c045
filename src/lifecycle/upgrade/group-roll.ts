import type { PoolGroup } from '../../cluster/topology.ts';
import { durationMs } from '../../config/duration.ts';
import { freeScaleDown } from '../../kube/drain/autoscaler.ts';
import { readNodes } from '../../kube/types/node.ts';
import { chosenOf } from '../../plan/make.ts';
import { ObservedMap } from '../../plan/observed.ts';
import { partOf } from '../../plan/part.ts';
import type { Address } from '../../plan/resource.ts';
import type { GroupsPort } from '../../provider.ts';
import { groupRoll } from '../../rollout/group-roll.ts';
import { isOfPool, isPublished } from '../../rollout/groups.ts';
import type { Turn, Wave } from '../../rollout/rollout.ts';
import { observe } from '../../run/observe.ts';
import { runPlan } from '../round.ts';
import { planFrom, type Session } from '../session.ts';
import { groupsPort } from './group-look.ts';
import type { NodeWork } from './node-work.ts';
import { policy } from './policy.ts';

/** What an upgrade does with pools that are groups of a cloud; where none are, nothing. */
export interface GroupPools {
  /** Pools of this wave whose machines a group makes. */
  pools(wave: Wave): readonly string[];
  /** Publishes what new machines of these pools are made by, once the session's design has it where it is to be. */
  begin(wave: Wave, signal: AbortSignal): Promise<void>;
  /** Whether this is the turn of a group's member. */
  owns(turn: Turn): boolean;
  turn(turn: Turn, wave: Wave, signal: AbortSignal): Promise<void>;
  end(signal: AbortSignal): Promise<void>;
  done(): Promise<void>;
}

/** Bundle, template, group: each names what the one before it has come out as. */
const maxRounds = 4;
const patienceMs = 30_000;

export function openGroupPools(
  session: Session,
  { drain, leave, daemonsReady, podStarts }: Pick<NodeWork, 'drain' | 'leave' | 'daemonsReady' | 'podStarts'>,
  image: string,
): GroupPools {
  const { groups, machines } = session.design.topology;
  const port = groups.length > 0 ? groupsPort(session) : undefined;
  if (!port) return { ...none };
  const kube = session.reach.kube();
  const roll = groupRoll({
    port,
    groups,
    api: (signal) => kube.api({ waitMs: patienceMs, signal }),
    nodes: kube.nodes,
    stableMs: durationMs(session.opened.cluster.upgrade.stableFor),
    drain,
    leave,
    daemonsReady,
    podStarts: (machine, signal) => podStarts(machine, image, signal),
    emit: session.emit,
    signal: session.signal,
  });
  const named = new Set(machines.map(({ name }) => name));
  const pools = [...new Set(groups.map(({ pool }) => pool))];
  const poolsOf = ({ name, lanes, changes }: Wave): readonly string[] =>
    pools.filter(
      (pool) =>
        name === 'pools' &&
        (lanes.some(({ turns }) => turns.some((turn) => turn.pool === pool)) ||
          changes.some((address) => isOfPool(address, pool, groups, port.types))),
    );
  return {
    pools: poolsOf,
    async begin(wave, signal) {
      const own = poolsOf(wave);
      await publish(own, groups, port, session, signal);
      if (wave.lanes.length > 0) await roll.begin(own, signal);
    },
    owns: ({ machine, pool }) => !named.has(machine) && pools.some((name) => name === pool),
    turn: roll.turn,
    end: roll.end,
    done: roll.done,
  };
}
const nothing = async (): Promise<void> => undefined;
const none: GroupPools = { pools: () => [], begin: nothing, owns: () => false, turn: nothing, end: nothing, done: nothing };

/** Gives up what an upgrade that was stopped has raised or held. Returns the groups. */
export async function releaseGroups(session: Session): Promise<readonly string[]> {
  const port = session.design.topology.groups.length > 0 ? groupsPort(session) : undefined;
  if (!port) return [];
  const { signal } = session;
  const raised = [...(await port.read(signal))].flatMap(([name, { before }]) => (before === undefined ? [] : [{ name, before }]));
  for (const { name, before } of raised) await port.settle(name, before, signal);
  const kube = session.reach.kube();
  await freeScaleDown(await kube.api({ waitMs: patienceMs, signal }), (await readNodes(kube, signal)) ?? [], signal);
  return raised.map(({ name }) => name);
}

async function publish(
  pools: readonly string[],
  groups: readonly PoolGroup[],
  { types }: GroupsPort,
  session: Session,
  signal: AbortSignal,
): Promise<void> {
  if (pools.length === 0) return;
  const own = (address: Address): boolean => pools.some((pool) => isOfPool(address, pool, groups, types));
  for (let round = 1; round <= maxRounds; round++) {
    const plan = partOf(planFrom(session, policy), own, (_, path) => isPublished(path));
    if (chosenOf(plan).length === 0) return;
    await runPlan(plan, session, signal);
    const found = new ObservedMap();
    await observe(session.connected, found, signal, () => undefined);
    for (const [address] of [...session.seen.entries()]) if (own(address)) session.seen.delete(address);
    for (const [address, observation] of found.entries()) if (own(address)) session.seen.set(address, observation);
  }
}
