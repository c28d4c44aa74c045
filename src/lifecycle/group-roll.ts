import { setTimeout as sleep } from 'node:timers/promises';
import pLimit, { type LimitFunction } from 'p-limit';
import { z } from 'zod';
import type { PoolGroup } from '../cluster/topology.ts';
import { durationMs } from '../config/duration.ts';
import { UserError } from '../errors.ts';
import { deleteOwned } from '../kube/delete-owned.ts';
import { freeScaleDown, holdScaleDown } from '../kube/drain/autoscaler.ts';
import type { KubeObject } from '../kube/objects.ts';
import { notReady, readNodes } from '../kube/types/node.ts';
import { type SharedPoll, sharedPoll } from '../kube/wait.ts';
import { chosenOf } from '../plan/make.ts';
import { ObservedMap } from '../plan/observed.ts';
import { partOf } from '../plan/part.ts';
import type { Address } from '../plan/resource.ts';
import type { Group, GroupsPort } from '../provider.ts';
import { isOfPool, isPublished } from '../rollout/groups.ts';
import type { Turn, Wave } from '../rollout/rollout.ts';
import { during } from '../run/during.ts';
import { observe } from '../run/observe.ts';
import { groupsPort } from './group-look.ts';
import { runPlan } from './round.ts';
import { planFrom, type Session } from './session.ts';
import type { TurnPorts } from './turn.ts';

/** What an upgrade does with pools that are groups of a cloud. */
export interface GroupRoll {
  /** Pools of this wave whose machines a group makes. */
  pools(wave: Wave): readonly string[];
  /** What new machines of these pools are made by, once the session's design has it where it is to be. */
  publish(wave: Wave, signal: AbortSignal): Promise<void>;
  /** Whether this is the turn of a group's member. */
  owns(turn: Turn): boolean;
  /** Another machine in its place, first or afterwards; then it is drained and ended. */
  turn(turn: Turn, wave: Wave, ports: TurnPorts, signal: AbortSignal): Promise<void>;
  /** The turns of a wave are over: Nodes of machines that are gone go, and groups have their sizes again. */
  end(signal: AbortSignal): Promise<void>;
  /** As `end`, as far as it goes: the run is over, however. */
  done(): Promise<void>;
}

const policy = { command: 'upgrade', allowDataLoss: false } as const;
/** Bundle, template, group: each names what the one before it has come out as. */
const maxRounds = 4;
/** A machine boots, fetches its programs, and waits for its certificates; after 15 minutes the agent gives it up. */
const readyWithinMs = 16 * 60_000;
/** The terminate hook waits for the agent, and AWS for the machine. */
const goneWithinMs = 10 * 60_000;
const pollMs = 2_000;

/** What this run knows of one group's size. */
interface Size {
  /** What it is to want in the end. */
  readonly before: number;
  /** By the last that was asked for. */
  desired: number;
  /** Spare machines that a killed run has left. */
  left: number;
  /** Turns that have a spare machine now. */
  spares: number;
  readonly one: LimitFunction;
}

export function openGroupRoll(session: Session): GroupRoll {
  const port = groupsPort(session);
  const { design, emit } = session;
  const groups = design.topology.groups;
  const sizes = new Map<string, Promise<Size>>();
  /** Turns of a pool that have made a spare machine, or have one. */
  const surging = new Map<string, number>();
  const leaving = new Map<string, string>();
  const poll: SharedPoll<ReadonlyMap<string, Group>> | undefined =
    port &&
    sharedPoll(
      () => port.read(session.signal),
      () => pollMs,
    );
  const api = (signal: AbortSignal) => session.reach.kube().api({ waitMs: 30_000, signal });
  const ofTurn = ({ pool, zone }: Pick<Turn, 'pool' | 'zone'>): PoolGroup | undefined =>
    groups.find((group) => group.pool === pool && group.zone === zone);
  const poolsOf = (wave: Wave): readonly string[] =>
    wave.name === 'pools' && port
      ? [...new Set(groups.map(({ pool }) => pool))].filter(
          (pool) =>
            wave.lanes.some(({ turns }) => turns.some((turn) => turn.pool === pool)) ||
            wave.changes.some((address) => isOfPool(address, pool, groups, port.types)),
        )
      : [];
  const sizeOf = (name: string, { read }: GroupsPort, signal: AbortSignal): Promise<Size> => {
    const known = sizes.get(name) ?? sizeNow(name, read, signal);
    sizes.set(name, known);
    return known;
  };
  const settle = async (group: PoolGroup, port: GroupsPort, signal: AbortSignal): Promise<void> => {
    const size = await sizes.get(group.name);
    if (!size || size.spares > 0) return;
    // What an autoscaler wants by now is what it is to have.
    const wanted = group.autoscaled && size.left === 0 ? undefined : size.before;
    await size.one(() => port.settle(group.name, wanted, signal));
    sizes.delete(group.name);
  };
  const nodesOf = async (pools: ReadonlySet<string>, signal: AbortSignal): Promise<readonly KubeObject[]> =>
    ((await readNodes(session.reach.kube(), signal)) ?? []).filter(({ metadata }) =>
      pools.has(metadata.labels?.['slipway.dev/pool'] ?? ''),
    );
  const autoscaled = new Set(groups.filter((group) => group.autoscaled).map(({ pool }) => pool));
  let held = false;

  return {
    pools: poolsOf,
    async publish(wave, signal) {
      const pools = poolsOf(wave);
      if (!port || pools.length === 0) return;
      await publish(pools, groups, port, session, signal);
      const own = new Set(pools.filter((pool) => autoscaled.has(pool)));
      if (own.size === 0 || wave.lanes.length === 0) return;
      held = true;
      await holdScaleDown(await api(signal), await nodesOf(own, signal), signal);
    },
    owns: (turn) =>
      port !== undefined && ofTurn(turn) !== undefined && !design.topology.machines.some(({ name }) => name === turn.machine),
    async turn(turn, wave, ports, signal) {
      const group = ofTurn(turn);
      if (!port || !poll || !group) throw new Error(`${turn.machine} is of no group`);
      const { machine } = turn;
      const lane = wave.lanes.find(({ turns }) => turns.includes(turn));
      const size = await sizeOf(group.name, port, signal);
      const ready = () =>
        during(`machines of ${group.name}`, emit, () => readyGroup(group, wave, size.desired, poll, session, signal));
      const counted = (await port.read(signal)).get(group.name)?.members.some((one) => one.machine === machine && !one.going);
      // Gone by itself, or by a run that was killed: what comes in its place is waited for all the same.
      if (!counted) return ready();
      const before = surging.get(group.pool) ?? 0;
      const surge = before < (lane?.maxSurge ?? 0);
      if (surge) {
        surging.set(group.pool, before + 1);
        size.spares++;
        await size.one(async () => {
          if (size.left > 0) size.left--;
          else {
            const now = (await port.read(signal)).get(group.name)?.desired ?? size.desired;
            size.desired = (group.autoscaled ? Math.max(now, size.desired) : size.desired) + 1;
          }
          await port.raise(group.name, size.desired, signal);
        });
        await ready();
        if (autoscaled.has(group.pool))
          await holdScaleDown(await api(signal), await nodesOf(new Set([group.pool]), signal), signal);
      }
      const nodes = await session.reach.kube().nodes.next(signal);
      if (nodes.has(machine)) {
        await ports.drain(machine, signal);
        await ports.leave(machine, signal);
      }
      await size.one(async () => {
        await port.end(group.name, machine, { shrink: surge }, signal);
        if (!surge) return;
        size.desired--;
        size.spares--;
      });
      leaving.set(machine, group.pool);
      if (surge) surging.set(group.pool, (surging.get(group.pool) ?? 1) - 1);
      else await ready();
    },
    async end(signal) {
      if (!port || !poll) return;
      await gone(leaving, poll, session, signal);
      for (const group of groups) await settle(group, port, signal);
      if (held) await freeScaleDown(await api(signal), await nodesOf(autoscaled, signal), signal);
      held = false;
    },
    async done() {
      const { signal } = session;
      if (!port || signal.aborted) return;
      // What stays raised is seen by the next run, and told by `plan`.
      for (const group of groups) await settle(group, port, signal).catch(() => undefined);
      if (!held) return;
      const free = async () => freeScaleDown(await api(signal), await nodesOf(autoscaled, signal), signal);
      await free().catch(() => undefined);
    },
  };
}

/** Gives up what an upgrade that was stopped has raised or held. Returns the groups. */
export async function releaseGroups(session: Session): Promise<readonly string[]> {
  const port = groupsPort(session);
  if (!port) return [];
  const { signal } = session;
  const raised = [...(await port.read(signal))].flatMap(([name, { before }]) => (before === undefined ? [] : [{ name, before }]));
  for (const { name, before } of raised) await port.settle(name, before, signal);
  const kube = session.reach.kube();
  await freeScaleDown(await kube.api({ waitMs: 30_000, signal }), (await readNodes(kube, signal)) ?? [], signal);
  return raised.map(({ name }) => name);
}

async function sizeNow(name: string, read: GroupsPort['read'], signal: AbortSignal): Promise<Size> {
  const group = (await read(signal)).get(name);
  const desired = group?.desired ?? 0;
  const before = group?.before ?? desired;
  return { before, desired, left: Math.max(0, desired - before), spares: 0, one: pLimit(1) };
}

async function publish(
  pools: readonly string[],
  groups: readonly PoolGroup[],
  { types }: GroupsPort,
  session: Session,
  signal: AbortSignal,
): Promise<void> {
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

const nodeSchema = z.looseObject({
  status: z.looseObject({ nodeInfo: z.looseObject({ kubeletVersion: z.string().default('') }).prefault({}) }).prefault({}),
});

/** Waits until the group has as many members as it wants, and those that are not old are Ready nodes of the wanted version, for as long as `stableFor` says. */
async function readyGroup(
  { name }: PoolGroup,
  { kubernetes }: Wave,
  desired: number,
  poll: SharedPoll<ReadonlyMap<string, Group>>,
  session: Session,
  signal: AbortSignal,
): Promise<void> {
  const stableMs = durationMs(session.opened.cluster.upgrade.stableFor);
  const end = performance.now() + readyWithinMs;
  let [since, why] = [0, 'nothing was seen yet'];
  while (performance.now() < end) {
    const [all, nodes] = await Promise.all([poll.next(signal), session.reach.kube().nodes.next(signal)]);
    const lacks = lackOf(all.get(name), desired, nodes, kubernetes);
    if (lacks !== undefined) [since, why] = [0, lacks];
    else if (since === 0) since = performance.now();
    if (since > 0 && performance.now() - since >= stableMs) return;
    await sleep(200, undefined, { signal });
  }
  throw new UserError({
    what: `its new machines did not become nodes within ${readyWithinMs / 60_000} minutes`,
    where: `group ${name}`,
    why,
    next: 'cluster logs MASTER -u slipway-agent says who was let in and who was not; a machine itself logs to slipway-boot. Then run the same command again',
  });
}

function lackOf(
  group: Group | undefined,
  desired: number,
  nodes: ReadonlyMap<string, KubeObject>,
  kubernetes: string,
): string | undefined {
  const members = group?.members.filter(({ going }) => !going) ?? [];
  if (members.length < desired) return `${members.length} of ${desired} machines are there`;
  const waiting = members
    .filter(({ old }) => !old)
    .flatMap(({ machine }) => {
      const node = nodes.get(machine);
      const lacks = node ? (notReady(node) ?? wrongVersion(node, kubernetes)) : 'it has not joined';
      return lacks === undefined ? [] : [`${machine}: ${lacks}`];
    });
  return waiting.length > 0 ? waiting.join('\n') : undefined;
}
function wrongVersion(node: KubeObject, kubernetes: string): string | undefined {
  const { kubeletVersion } = nodeSchema.parse(node).status.nodeInfo;
  return kubeletVersion === `v${kubernetes}` ? undefined : `its kubelet is ${kubeletVersion}, not v${kubernetes}`;
}

/** Waits until these have left their groups, and takes their Nodes away: a cloud's controller would, in its own time. */
async function gone(
  leaving: Map<string, string>,
  poll: SharedPoll<ReadonlyMap<string, Group>>,
  session: Session,
  signal: AbortSignal,
): Promise<void> {
  if (leaving.size === 0) return;
  const end = performance.now() + goneWithinMs;
  for (;;) {
    const all = [...(await poll.next(signal)).values()].flatMap(({ members }) => members.map(({ machine }) => machine));
    const there = [...leaving.keys()].filter((machine) => all.includes(machine));
    if (there.length === 0) break;
    if (performance.now() > end)
      throw new UserError({
        what: `machines did not end within ${goneWithinMs / 60_000} minutes`,
        where: there.join(', '),
        next: 'cluster logs MASTER -u slipway-agent says what they wait for; then run the same command again',
      });
  }
  const api = await session.reach.kube().api({ waitMs: 30_000, signal });
  for (const [name, pool] of leaving)
    await deleteOwned(
      api,
      { apiVersion: 'v1', kind: 'Node', name },
      ({ metadata }) => metadata.labels?.['slipway.dev/pool'] === pool,
      signal,
    );
  leaving.clear();
}
