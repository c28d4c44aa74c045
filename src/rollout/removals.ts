import { z } from 'zod';
import { machinesOf, type Role, roles, type Topology } from '../cluster/topology.ts';
import { hostOfMember } from '../etcd/design.ts';
import { bestView, quorumMembers } from '../etcd/gateway.ts';
import { etcdClusterNames, viewOf } from '../etcd/probe.ts';
import { canRemove, counts, hasQuorum, type Member, simulate } from '../etcd/quorum.ts';
import type { Seen } from '../host/facts.ts';
import { partOf } from '../plan/part.ts';
import type { Change, Plan } from '../plan/plan.ts';
import { type Address, addressOf, nameOf, type Observed, typeOf } from '../plan/resource.ts';
import type { Lane, Obstacle, Turn, Wave } from './rollout.ts';
import { machineOf } from './waves.ts';

export interface RemovalsInput {
  /** What `upgrade` would change. */
  readonly plan: Plan;
  readonly seen: Observed;
  /** As designed: without the machines that go. */
  readonly topology: Topology;
  /** What the hosts say, also those that go. */
  readonly facts: ReadonlyMap<string, Seen>;
  machineAddress(name: string): Address;
}
export interface Removals {
  /** Workers, then masters, then etcd members: of each the ones first that are not well, and leaders last. */
  readonly turns: readonly Turn[];
  readonly obstacles: readonly Obstacle[];
}

/** Machines that are no longer designed, in an order that is safe, and what forbids it. Pure. */
export function planRemovals(input: RemovalsInput): Removals {
  const type = typeOf(input.machineAddress('any'));
  const deleted = input.plan.changes.filter(({ action }) => action === 'delete').map(({ address }) => address);
  const machines = new Set(deleted.filter((address) => typeOf(address) === type).map(nameOf));
  const leaving = [...machines, ...lostMembers(deleted, machines, input.topology)]
    .map((name) => leavingOf(name, input))
    .toSorted((a, b) => byRole(a) - byRole(b) || rank(a, input) - rank(b, input) || (a.name < b.name ? -1 : 1));
  return {
    turns: leaving.map(turnOf),
    obstacles: [...mastersLeft(leaving, input), ...membersLeft(leaving, input)],
  };
}

interface Leaving {
  readonly name: string;
  readonly role: Role;
  readonly zone: string;
  readonly pool?: string;
  readonly running: boolean;
  /** Pods know it by a Node. */
  readonly node: boolean;
}
/** What a provider's machine says of itself. */
const machineSchema = z.object({
  props: z.looseObject({ zone: z.string().default(''), running: z.boolean().default(true) }),
  outputs: z.looseObject({ role: z.enum(roles).optional().catch(undefined), address: z.string().optional() }),
});
const nodeSchema = z.object({ props: z.looseObject({ labels: z.record(z.string(), z.string()) }) });

/** Members of etcd whose machine is gone already: they leave in a turn, too, as the others may leave only without them. */
function lostMembers(deleted: readonly Address[], machines: ReadonlySet<string>, topology: Topology): ReadonlySet<string> {
  const designed = new Set(topology.machines.map(({ name }) => name));
  const members = deleted.filter((address) => typeOf(address) === 'etcd.member').map(hostOfMember);
  return new Set(members.filter((name) => !machines.has(name) && !designed.has(name)));
}

function leavingOf(name: string, { seen, machineAddress }: RemovalsInput): Leaving {
  const machine = seen.get(machineAddress(name));
  if (machine?.state !== 'present') return { name, role: 'etcd', zone: '', running: false, node: false };
  const { props, outputs } = machineSchema.parse(machine);
  const pool = poolOfNode(seen, name);
  const { zone, running } = props;
  const node = seen.get(addressOf('kube.node', name))?.state === 'present';
  return { name, role: outputs.role ?? 'worker', zone, running, node, ...(pool !== undefined && { pool }) };
}

/** Of a machine that is no longer designed, as its node says. */
export const poolOfNode = (seen: Observed, machine: string): string | undefined =>
  nodeSchema.safeParse(seen.get(addressOf('kube.node', machine))).data?.props.labels['slipway.dev/pool'];

const removalOrder: Readonly<Record<Role, number>> = { worker: 0, master: 1, etcd: 2, bastion: 3 };
const byRole = ({ role }: Leaving): number => removalOrder[role];
/** Below zero: not well, so that the others are stronger without it. Else how many etcd clusters it leads. */
function rank({ name, role, running }: Leaving, { facts }: RemovalsInput): number {
  if (!running) return -1;
  if (role !== 'etcd') return 0;
  const views = etcdClusterNames.map((cluster) => viewOf(facts.get(name), cluster));
  if (!views[0]) return -1;
  return views.filter((view) => view && view.status.leader === view.status.header.member_id).length;
}

const turnOf = ({ name, role, zone, pool, running, node }: Leaving): Turn => ({
  machine: name,
  role,
  zone,
  ...(pool !== undefined && { pool }),
  how: 'remove',
  // What runs nowhere any more cannot be moved: its pods are started elsewhere once its Node is gone. One that never joined, or that somebody deleted, has none.
  drain: running && node && (role === 'master' || role === 'worker'),
  because: ['no longer in cluster.yaml', ...(running ? [] : ['it does not run'])],
  versions: [],
  restarts: [],
  files: [],
});

/** An API server that is ready must be among those that stay. */
function mastersLeft(leaving: readonly Leaving[], { seen, topology }: RemovalsInput): readonly Obstacle[] {
  const going = leaving.filter(({ role }) => role === 'master');
  if (going.length === 0) return [];
  const staying = machinesOf(topology, 'master').map(({ name }) => name);
  const ready = staying.filter((name) => {
    const api = seen.get(addressOf('kube.api', name));
    return api?.state === 'present' && 'ready' in api.props && api.props.ready === true;
  });
  if (ready.length > 0) return [];
  return [
    {
      severity: 'error',
      where: going.map(({ name }) => name).join(', '),
      what: 'these masters may not go: none of those that stay is ready',
      why: staying.length === 0 ? 'no master stays' : `${staying.join(', ')}: not ready, or not seen`,
      next: 'cluster up brings up the masters that stay',
    },
  ];
}

/** Quorum after each departure, one by one, and at the end of them. */
function membersLeft(leaving: readonly Leaving[], { facts, topology }: RemovalsInput): readonly Obstacle[] {
  const going = leaving.filter(({ role }) => role === 'etcd').map(({ name }) => name);
  if (going.length === 0) return [];
  const clusters = etcdClusterNames.filter((cluster) => cluster === 'main' || topology.cluster.etcd.events);
  return clusters.flatMap((cluster): Obstacle[] => {
    const views = [...facts.keys()].map((name) => viewOf(facts.get(name), cluster));
    const best = bestView(views);
    const why = best
      ? whyNotAll(quorumMembers(best, views), going)
      : 'no member knows a leader: whether quorum holds is not known';
    if (why === undefined) return [];
    return [
      {
        severity: 'error',
        where: `etcd ${cluster}`,
        what: `${going.join(', ')} may not leave`,
        why,
        next: 'bring the members that stay to health first (cluster status)',
      },
    ];
  });
}

/** Why these members cannot leave one after the other; undefined: they can. Pure. */
export function whyNotAll(members: readonly Member[], going: readonly string[]): string | undefined {
  if (!hasQuorum(members)) return `quorum is lost: ${counts(members)}`;
  const stay = members.filter(({ name }) => !going.includes(name));
  const sick = stay.filter(({ healthy, learner }) => !healthy || learner);
  if (stay.length === 0) return 'no member would stay';
  if (sick.length > 0) return sick.map(({ name, id }) => `${name || id} is to stay, and is not healthy`).join('\n');
  let left = members;
  for (const name of going) {
    const member = left.find((candidate) => candidate.name === name);
    if (!member) continue;
    const verdict = canRemove(left, member.id);
    if (!verdict.ok) return `${name}: ${verdict.why}`;
    left = simulate(left, { kind: 'remove', id: member.id });
  }
  return undefined;
}

/**
 * Waves for these turns, after all others: workers of all pools, then masters, then etcd members, whom by then no API server asks any more.
 * `maxUnavailable`: how many of a pool go at once.
 */
export function removalWaves(
  turns: readonly Turn[],
  kubernetes: string,
  maxUnavailable: (pool: string) => number,
): readonly Wave[] {
  const lane = (name: string, last: readonly Turn[], cap: number): Lane => ({
    name,
    strategy: 'in-place',
    maxUnavailable: Math.max(1, cap),
    maxSurge: 0,
    first: [],
    turns: [],
    last: [...last],
  });
  const of = (role: Role): Turn[] => turns.filter((turn) => turn.role === role);
  const pools = [...Map.groupBy(of('worker'), ({ pool }) => pool ?? '')];
  const waves: readonly (readonly [string, Lane[]])[] = [
    ['shrink', pools.map(([pool, own]) => lane(`pool ${pool}`, own, maxUnavailable(pool)))],
    ['shrink masters', of('master').length > 0 ? [lane('masters', of('master'), 1)] : []],
    ['shrink etcd', of('etcd').length > 0 ? [lane('etcd', of('etcd'), 1)] : []],
  ];
  return waves.filter(([, lanes]) => lanes.length > 0).map(([name, lanes]) => ({ name, kubernetes, lanes, changes: [] }));
}

/**
 * The part of the plan that removes this machine: its own changes, and of a balancer the field that lets go of it. In it: out of the balancer → out of
 * etcd → its units stop → the machine goes → its Node object.
 */
export function removalPart(
  plan: Plan,
  machine: string,
  { seen, machineAddress }: Pick<RemovalsInput, 'seen' | 'machineAddress'>,
): Plan {
  const names = new Set([machine]);
  const address = machineAddress(machine);
  const ends = [`.${machine}`];
  const found = machineSchema.safeParse(seen.get(address));
  if (found.data?.outputs.address) ends.push(`.${found.data.outputs.address}`);
  const provider = `${address.slice(0, address.indexOf('.'))}.`;
  const releases = ({ path, after }: Change['fields'][number]): boolean =>
    after === null && ends.some((end) => path.endsWith(end));
  const balancers = new Map(
    plan.changes
      .filter(({ action, address: of }) => action === 'update' && of.startsWith(provider) && machineOf(of, names) === undefined)
      .map((change) => [change.address, new Set(change.fields.filter(releases).map(({ path }) => path))] as const)
      .filter(([, paths]) => paths.size > 0),
  );
  return partOf(
    plan,
    (of) => machineOf(of, names) !== undefined || balancers.has(of),
    (of, path) => balancers.get(of)?.has(path) ?? true,
  );
}
