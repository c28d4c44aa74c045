import { setTimeout as sleep } from 'node:timers/promises';
import pLimit, { type LimitFunction } from 'p-limit';
import { z } from 'zod';
import type { PoolGroup } from '../cluster/topology.ts';
import { UserError } from '../errors.ts';
import type { KubeApi } from '../kube/client.ts';
import { deleteOwned } from '../kube/delete-owned.ts';
import { freeScaleDown, holdScaleDown } from '../kube/drain/autoscaler.ts';
import type { KubeObject } from '../kube/objects.ts';
import { notReady } from '../kube/readiness.ts';
import { patiently, type SharedPoll, sharedPoll } from '../kube/wait.ts';
import type { Group, GroupsPort } from '../provider.ts';
import { during } from '../run/during.ts';
import type { Emit } from '../run/events.ts';
import type { Turn, Wave } from './rollout.ts';

/** What turns of groups' members need of the world. */
export interface GroupRollPorts {
  readonly port: GroupsPort;
  readonly groups: readonly PoolGroup[];
  api(signal: AbortSignal): Promise<KubeApi>;
  /** One LIST for all who wait for a node. */
  readonly nodes: SharedPoll<ReadonlyMap<string, KubeObject>>;
  /** How long new nodes must be Ready without a break. */
  readonly stableMs: number;
  /** Cordons it as ours, and evicts its pods. */
  drain(machine: string, signal: AbortSignal): Promise<void>;
  /** Says to balancers of Services that its machine goes. */
  leave(machine: string, signal: AbortSignal): Promise<void>;
  /** Waits until what runs on every node (DaemonSets) is ready on this one. */
  daemonsReady(machine: string, signal: AbortSignal): Promise<void>;
  /** Starts one on it, and takes it away again. Throws UserError when none starts. */
  podStarts(machine: string, signal: AbortSignal): Promise<void>;
  readonly emit: Emit;
  readonly signal: AbortSignal;
  readonly pollMs?: number;
}

/** Members of a cloud's groups, replaced one by one. What a run that was killed has left behind is found, and used. */
export interface GroupRoll {
  /** New machines of these pools are made as they should be: their turns begin, and the autoscaler takes none away. */
  begin(pools: readonly string[], signal: AbortSignal): Promise<void>;
  /** Another machine in its place, first or afterwards; then it is drained and ended. */
  turn(turn: Turn, wave: Wave, signal: AbortSignal): Promise<void>;
  /** The turns are over: Nodes of machines that are gone go, and groups have their sizes again. */
  end(signal: AbortSignal): Promise<void>;
  /** As `end`, as far as it goes: the run is over, however. */
  done(): Promise<void>;
}

/** A machine boots, fetches its programs, and waits for its certificates; after 15 minutes the agent gives it up. */
const readyWithinMs = 16 * 60_000;
/** The terminate hook waits for the agent, and AWS for the machine. */
const goneWithinMs = 10 * 60_000;

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

type Groups = SharedPoll<ReadonlyMap<string, Group>>;

export function groupRoll(ports: GroupRollPorts): GroupRoll {
  const { port, groups, api, emit } = ports;
  const poll: Groups = sharedPoll(
    () => port.read(ports.signal),
    () => ports.pollMs ?? 2_000,
  );
  const sizes = new Map<string, Promise<Size>>();
  /** Turns of a pool that have a spare machine, or make one. */
  const surging = new Map<string, number>();
  /** Machines that were ended, and their pools. */
  const leaving = new Map<string, string>();
  const proofs = new Map<string, Promise<void>>();
  const autoscaled = new Set(groups.filter((group) => group.autoscaled).map(({ pool }) => pool));
  let held = false;

  const sizeOf = (name: string, signal: AbortSignal): Promise<Size> => {
    const known = sizes.get(name) ?? sizeNow(name, port, signal);
    sizes.set(name, known);
    return known;
  };
  const settle = async (group: PoolGroup, signal: AbortSignal): Promise<void> => {
    const size = await sizes.get(group.name);
    if (!size || size.spares > 0) return;
    // What an autoscaler wants by now is what it is to have.
    const wanted = group.autoscaled && size.left === 0 ? undefined : size.before;
    await size.one(() => port.settle(group.name, wanted, signal));
    sizes.delete(group.name);
  };
  /** Whoever has come anew bears pods: asked once of each. */
  const proved = (machine: string, signal: AbortSignal): Promise<void> => {
    const known = proofs.get(machine);
    if (known) return known;
    const proof = Promise.all([ports.daemonsReady(machine, signal), ports.podStarts(machine, signal)]).then(() => undefined);
    proofs.set(machine, proof);
    return proof;
  };
  const ofPools = async (pools: ReadonlySet<string>, signal: AbortSignal): Promise<readonly KubeObject[]> =>
    [...(await seen(ports, signal)).values()].filter(({ metadata }) => pools.has(metadata.labels?.['slipway.dev/pool'] ?? ''));
  const hold = async (pools: readonly string[], signal: AbortSignal): Promise<void> => {
    const own = new Set(pools.filter((pool) => autoscaled.has(pool)));
    if (own.size === 0) return;
    held = true;
    await holdScaleDown(await api(signal), await ofPools(own, signal), signal);
  };
  const free = async (signal: AbortSignal): Promise<void> => {
    if (held) await freeScaleDown(await api(signal), await ofPools(autoscaled, signal), signal);
    held = false;
  };
  const raise = async (group: PoolGroup, size: Size, signal: AbortSignal): Promise<void> => {
    size.spares++;
    await size.one(async () => {
      if (size.left > 0) size.left--;
      else {
        const now = group.autoscaled ? (await port.read(signal)).get(group.name)?.desired : undefined;
        size.desired = Math.max(now ?? 0, size.desired) + 1;
      }
      await port.raise(group.name, size.desired, signal);
    });
  };

  return {
    begin: hold,
    async turn(turn, wave, signal) {
      const { machine } = turn;
      const group = groups.find(({ pool, zone }) => pool === turn.pool && zone === turn.zone);
      if (!group) throw new Error(`${machine} is of no group`);
      const maxSurge = wave.lanes.find(({ turns }) => turns.includes(turn))?.maxSurge ?? 0;
      const size = await sizeOf(group.name, signal);
      const ready = () =>
        during(`machines of ${group.name}`, emit, async () => {
          const fresh = await readyGroup(group, wave, size, poll, ports, signal);
          await Promise.all(fresh.map((one) => proved(one, signal)));
        });
      const { members = [] } = (await port.read(signal)).get(group.name) ?? {};
      // Gone by itself, or by a run that was killed: what comes in its place is waited for all the same.
      if (!members.some((one) => one.machine === machine && !one.going)) return ready();
      const others = surging.get(group.pool) ?? 0;
      const surge = others < maxSurge;
      if (surge) {
        surging.set(group.pool, others + 1);
        await raise(group, size, signal);
        await ready();
        await hold([group.pool], signal);
      }
      if ((await seen(ports, signal)).has(machine)) {
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
      await gone(leaving, poll, ports, signal);
      for (const group of groups) await settle(group, signal);
      await free(signal);
    },
    async done() {
      const { signal } = ports;
      if (signal.aborted) return;
      // What stays raised is seen by the next run, and told by `plan`; and so is what stays held.
      for (const group of groups) await settle(group, signal).catch(() => undefined);
      await free(signal).catch(() => undefined);
    },
  };
}

/** The nodes by now. In minutes of looking one look may get no answer. */
const seen = ({ nodes }: GroupRollPorts, signal: AbortSignal) => patiently(() => nodes.next(signal), signal);

async function sizeNow(name: string, port: GroupsPort, signal: AbortSignal): Promise<Size> {
  const { desired = 0, before = desired } = (await port.read(signal)).get(name) ?? {};
  return { before, desired, left: Math.max(0, desired - before), spares: 0, one: pLimit(1) };
}

const nodeSchema = z.looseObject({
  status: z.looseObject({ nodeInfo: z.looseObject({ kubeletVersion: z.string().default('') }).prefault({}) }).prefault({}),
});

/** Waits until the group has as many members as it wants, and those that are not old are Ready nodes of the wanted version, for as long as `stableFor` says. Returns these. */
async function readyGroup(
  { name }: PoolGroup,
  { kubernetes }: Wave,
  size: Size,
  poll: Groups,
  ports: GroupRollPorts,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { stableMs, pollMs = 2_000 } = ports;
  const end = performance.now() + readyWithinMs;
  let [since, why] = [0, 'nothing was seen yet'];
  while (performance.now() < end) {
    const [groups, nodes] = await Promise.all([poll.next(signal), seen(ports, signal)]);
    const lacks = lackOf(groups.get(name), size.desired, nodes, kubernetes);
    if (lacks !== undefined) [since, why] = [0, lacks];
    else if (since === 0) since = performance.now();
    if (since > 0 && performance.now() - since >= stableMs)
      return living(groups.get(name)).flatMap(({ machine, old }) => (old ? [] : [machine]));
    await sleep(pollMs / 10, undefined, { signal });
  }
  throw new UserError({
    what: `its new machines did not become nodes within ${readyWithinMs / 60_000} minutes`,
    where: `group ${name}`,
    why,
    next: 'cluster logs MASTER -u slipway-agent says who was let in and who was not; a machine itself logs to slipway-boot. Then run the same command again',
  });
}

const living = (group: Group | undefined) => group?.members.filter(({ going }) => !going) ?? [];

function lackOf(
  group: Group | undefined,
  desired: number,
  nodes: ReadonlyMap<string, KubeObject>,
  kubernetes: string,
): string | undefined {
  const members = living(group);
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
async function gone(leaving: Map<string, string>, poll: Groups, { api }: GroupRollPorts, signal: AbortSignal): Promise<void> {
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
  const connected = await api(signal);
  for (const [name, pool] of leaving)
    await patiently(() => {
      const node = { apiVersion: 'v1', kind: 'Node', name };
      return deleteOwned(connected, node, ({ metadata }) => metadata.labels?.['slipway.dev/pool'] === pool, signal);
    }, signal);
  leaving.clear();
}
