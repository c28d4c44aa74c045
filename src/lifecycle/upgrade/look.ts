import { type MachineSpec, machinesOf } from '../../cluster/topology.ts';
import { exitCodes, UserError } from '../../errors.ts';
import { etcdStatus } from '../../etcd/status.ts';
import { readFacts } from '../../host/facts.ts';
import { packagesAddress } from '../../host/types/packages.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import { chosenOf, unseenOf } from '../../plan/make.ts';
import { partOf } from '../../plan/part.ts';
import type { Change, Plan } from '../../plan/plan.ts';
import { type Address, addressOf, typeOf } from '../../plan/resource.ts';
import { resolveAmounts } from '../../rollout/amounts.ts';
import { describeHop, describeHosts, type TurnContent } from '../../rollout/describe.ts';
import type { HostChange } from '../../rollout/diffs.ts';
import { planRemovals, removalWaves } from '../../rollout/removals.ts';
import type { Turn, Wave } from '../../rollout/rollout.ts';
import { machineOf, planWaves, type Strategy, type Waves } from '../../rollout/waves.ts';
import type { ClusterDesign } from '../design.ts';
import { type Look, lookSession, planFrom, type Session } from '../session.ts';
import { indexesOf, indexOfKey, poolKey, type Variants, withSurge } from '../variants.ts';
import { type Course, type Hop, variantsAt } from './course.ts';
import { groupLanes } from './group-look.ts';
import { policy } from './policy.ts';

/** What one look finds for one hop. */
export interface HopLook extends Waves {
  readonly look: Look;
  /** With everyone of this hop where it goes. */
  readonly plan: Plan;
  /** What `up` does first, at the versions in force: heal, and grow. */
  readonly heal: Plan;
  /** With everyone of this hop where it goes. */
  readonly target: ClusterDesign;
}

/** What a run needs of that: not what every host said, which for 1,000 of them is 100 MB. */
export type Ahead = Pick<HopLook, 'waves' | 'heal'>;
export const aheadOf = ({ waves, heal }: HopLook): Ahead => ({ waves, heal });

/**
 * Looks at everything, and finds who has to go on this hop. `ahead`: hops that are still to be made before, by which this one is described.
 * Leaves the session designed as things stand.
 */
export async function lookHop(session: Session, course: Course, hop: Hop, ahead: readonly HopLook[] = []): Promise<HopLook> {
  const previous = ahead.at(-1)?.target;
  session.redesign(course.variants);
  const now = session.design;
  const look = await lookSession(session, { command: 'up', allowDataLoss: false });
  session.redesign(variantsAt(course, hop, now.topology));
  const target = session.design;
  const plan = planFrom(session, policy);
  const before = previous ?? now;
  const contents = previous ? describeAhead(plan, previous, target) : await contentsOf(session, look, plan, before, target);
  const facts = (await look.answers.of(readFacts)) ?? new Map();
  const members = etcdStatus(facts).flatMap((cluster) => cluster.members);
  const leaders = new Set(members.filter(({ leader }) => leader).map(({ host }) => host));
  const ailing = new Set(members.filter(({ state }) => state !== 'healthy').map(({ host }) => host));
  const goes = (pool: string): boolean => hop.moves.includes('pools') && indexOfKey(course.variants, poolKey(pool)) <= hop.index;
  const groups = await groupLanes(session, plan, before, target, goes);
  let found: ReturnType<typeof sparesOf> | undefined;
  const spares = (): ReturnType<typeof sparesOf> => {
    found ??= sparesOf(session, target, variantsAt(course, hop, now.topology));
    return found;
  };
  const last = course.hops.at(-1) === hop;
  const waves = planWaves({
    plan: withoutPackages(last ? plan : withoutPassed(plan, course, hop, target), ahead),
    groups,
    leads: (machine) => leaders.has(machine),
    ails: (machine) => ailing.has(machine),
    topology: target.topology,
    kubernetes: hop.versions.kubernetes,
    versionsOf: ({ name }) => contents.get(name)?.versions ?? [],
    filesOf: (name) => contents.get(name)?.files ?? [],
    restartsOf: (name) => contents.get(name)?.restarts ?? [],
    strategyOf: (kind) => strategyOf(session, kind),
    machineAddress: (name) => session.opened.provider.machineAddress(name),
    surgeOf: (pool) => spares().get(pool) ?? [],
    moves: hop.moves,
  });
  const removals = planRemovals({
    plan,
    seen: session.seen,
    topology: target.topology,
    facts,
    machineAddress: (name) => session.opened.provider.machineAddress(name),
  });
  // A spare that a killed run has left goes with the others, after the turns.
  const spare = new Set(waves.waves.flatMap(({ lanes }) => lanes.flatMap(({ first }) => first.map(({ machine }) => machine))));
  const leaving = removals.turns.filter(({ machine }) => !spare.has(machine));
  const shrinking = (turns: readonly Turn[]): readonly Wave[] =>
    removalWaves(turns, hop.versions.kubernetes, (pool) => strategyOf(session, { role: 'worker', pool }).maxUnavailable);
  const masters = mastersLeaveOn(course) === hop ? shrinking(leaving.filter(({ role }) => role === 'master')) : [];
  session.redesign(course.variants);
  return {
    ...waves,
    waves: [...beforeKubelets(waves.waves, masters), ...(last ? shrinking(leaving.filter(({ role }) => role !== 'master')) : [])],
    refused: [...waves.refused, ...groups.refused, ...(last ? removals.obstacles : [])],
    look,
    plan,
    target,
    heal: healing(session, look.plan, waves, down(look.plan, now, target)),
  };
}

/**
 * Who has made this hop before may have come further in a turn that was cut before its record: another turn would take it back, an API server or a member of
 * etcd by a minor version. What differs there for other reasons is for the last hop.
 */
function withoutPassed(plan: Plan, { variants }: Course, { index }: Hop, { topology: { machines } }: ClusterDesign): Plan {
  const indexOf = indexesOf(variants, machines);
  const passed = new Set(machines.filter((machine) => indexOf(machine) >= index).map(({ name }) => name));
  return { ...plan, changes: plan.changes.filter(({ address }) => machineOf(address, passed) === undefined) };
}

/** Packages are upgraded once: with the first turn of their machine. */
function withoutPackages(plan: Plan, ahead: readonly HopLook[]): Plan {
  const had = new Set<Address>(
    ahead.flatMap(({ waves }) =>
      waves.flatMap(({ lanes }) => lanes.flatMap(({ turns }) => turns)).map((turn) => packagesAddress(turn.machine)),
    ),
  );
  return had.size === 0 ? plan : { ...plan, changes: plan.changes.filter(({ address }) => !had.has(address)) };
}

/** A master that goes keeps its version until then. No other API server may come more than one minor version ahead of it, and no kubelet ahead at all. */
const mastersLeaveOn = ({ hops }: Course): Hop | undefined => hops.find(({ moves }) => moves.includes('masters')) ?? hops.at(-1);
function beforeKubelets(waves: readonly Wave[], leaving: readonly Wave[]): readonly Wave[] {
  const first = waves.findIndex(({ name }) => name === 'addons' || name === 'pools');
  return first < 0 ? [...waves, ...leaving] : waves.toSpliced(first, 0, ...leaving);
}

/** Machines that pools get besides while they are replaced. */
function sparesOf(session: Session, target: ClusterDesign, variants: Variants): ReadonlyMap<string, readonly MachineSpec[]> {
  const surge = new Map(
    session.opened.cluster.pools.flatMap(({ name }): [string, number][] => {
      const { strategy, maxSurge } = strategyOf(session, { role: 'worker', pool: name });
      return strategy === 'replace' ? [[name, maxSurge]] : [];
    }),
  );
  const standing = new Set(target.topology.machines.map(({ name }) => name));
  session.redesign(withSurge(variants, surge));
  const { machines } = session.design.topology;
  session.redesign(variants);
  return Map.groupBy(
    machines.filter(({ name }) => !standing.has(name)),
    ({ pool }) => pool ?? '',
  );
}

/** Of machines that a hop before this one brings to another design: what lies on them now is not what this hop finds. */
function describeAhead(plan: Plan, previous: ClusterDesign, target: ClusterDesign): ReadonlyMap<string, TurnContent> {
  const changed = new Set(chosenOf(plan).map(({ address }) => address));
  return new Map(
    target.topology.machines.flatMap((machine): [string, TurnContent][] => {
      const [before, after] = [bundleOf(previous, machine.name), bundleOf(target, machine.name)];
      if (!before || !after || !changed.has(addressOf('host.bundle', machine.name))) return [];
      return [[machine.name, describeHop(before, after)]];
    }),
  );
}
const bundleOf = (design: ClusterDesign, machine: string) =>
  design.bundles.get(design.topology.machines.find(({ name }) => name === machine)?.bundle ?? '');

/**
 * What `up` would do, but for machines that take a turn: those would only be brought back to what they are about to leave. A machine that is not there is
 * healed first, what does not run on one that others need is started, and a certificate near its end is renewed: its machine's turn may be hours away.
 * `broken`: machines that serve nobody as they are, and that what is in force brings back.
 */
export function healing(
  { opened, seen, design }: Session,
  up: Plan,
  { waves }: Pick<Waves, 'waves'>,
  broken: ReadonlySet<string>,
): Plan {
  const turning = waves.flatMap(({ lanes }) => lanes.flatMap(({ turns }) => turns.map(({ machine }) => machine)));
  const chosen = chosenOf(up);
  const changed = new Set(chosen.map(({ address }) => address));
  const all = new Set(design.topology.machines.map(({ name }) => name));
  const serving = new Set(
    design.topology.machines.filter(({ role }) => role === 'etcd' || role === 'master').map(({ name }) => name),
  );
  // Others hang on these: what a killed run has left half made is made, and what it has stopped runs, before anybody has a turn.
  const halfMade = new Set(chosen.flatMap(({ action, address }) => (action === 'create' && machineOf(address, serving)) || []));
  const stands = (machine: string): boolean => {
    const address = opened.provider.machineAddress(machine);
    return seen.get(address)?.state === 'present' && !changed.has(address) && !halfMade.has(machine);
  };
  const due = new Set(turning.filter((name) => stands(name) && !broken.has(name)));
  const addons = new Set(waves.flatMap(({ changes }) => changes));
  const starts = new Set([...due].filter((name) => serving.has(name)).map((name) => addressOf('host.units', name)));
  const renewed = new Set(chosen.filter(isRenewal).map(({ address }) => address));
  return partOf(
    up,
    (address) => starts.has(address) || renewed.has(address) || (!due.has(machineOf(address, all) ?? '') && !addons.has(address)),
    (address, path) => !starts.has(address) || path.endsWith('.active'),
  );
}

/**
 * Machines whose kubelet or API server does not serve, and that have other files than they are to have now and after this hop: a turn with a setting that
 * it could not bear, and that the file no longer has. No turn is needed for what `up` does, and none would begin beside a machine that is not well.
 */
function down(up: Plan, now: ClusterDesign, target: ClusterDesign): ReadonlySet<string> {
  const chosen = new Set(chosenOf(up).map(({ address }) => address));
  return new Set(
    now.topology.machines
      .filter(({ role }) => role === 'master' || role === 'worker')
      .map(({ name }) => name)
      .filter((name) => chosen.has(addressOf('host.bundle', name)))
      .filter((name) => isDown(up, name) && canonicalJson(bundleOf(now, name)) === canonicalJson(bundleOf(target, name))),
  );
}
const isDown = ({ changes }: Plan, machine: string): boolean =>
  changes.some(
    ({ address, action, fields }) =>
      action === 'update' &&
      ((address === addressOf('kube.node', machine) && fields.some(({ path }) => path === 'ready')) ||
        address === addressOf('kube.api', machine)),
  );

/** Of a certificate that is otherwise as it is to be: one that a turn is changing is its turn's. */
const isRenewal = ({ action, address, fields }: Change): boolean =>
  action === 'update' &&
  typeOf(address) === 'pki.certificate' &&
  fields.every(({ path, before }) => path === 'state' && before === 'due');

/** Versions, restarts and diffs of every host that changes. */
async function contentsOf(
  session: Session,
  { answers }: Look,
  plan: Plan,
  now: ClusterDesign,
  target: ClusterDesign,
): Promise<ReadonlyMap<string, TurnContent>> {
  const facts = (await answers.of(readFacts)) ?? new Map();
  const changes = new Map(chosenOf(plan).map((change) => [change.address, change]));
  const hosts = target.topology.machines.flatMap(({ name }): HostChange[] => {
    const change = changes.get(addressOf('host.bundle', name));
    const units = changes.get(addressOf('host.units', name));
    const seen = facts.get(name);
    const after = bundleOf(target, name);
    if ((!change && !units) || seen?.state !== 'present' || !after) return [];
    const before = bundleOf(now, name);
    return [
      {
        host: name,
        fields: change?.fields ?? [],
        ...(units && { units: units.fields }),
        facts: seen.facts,
        known: before ? [before] : [],
        after,
      },
    ];
  });
  return describeHosts(hosts, session.reach.hosts().hosts, session.signal);
}

export function strategyOf(
  { opened, design }: Session,
  { role, pool: name }: { readonly role: string; readonly pool?: string },
): Strategy {
  const { etcd, masters, pools } = opened.cluster;
  const alone = { maxUnavailable: 1, maxSurge: 0 };
  if (role === 'etcd') return { ...alone, strategy: etcd.upgrade.strategy, path: 'etcd.upgrade.strategy' };
  if (role === 'master') return { ...alone, strategy: masters.upgrade.strategy, path: 'masters.upgrade.strategy' };
  const pool = pools.find((each) => each.name === name);
  if (!pool) return { ...alone, strategy: 'in-place', path: '' };
  const size = machinesOf(design.topology, 'worker').filter((machine) => machine.pool === name).length;
  const path = `pools[${pools.indexOf(pool)}].upgrade.strategy`;
  return { strategy: pool.upgrade.strategy, path, ...resolveAmounts(size, pool.upgrade) };
}

/** Nothing is upgraded that cannot be seen. */
export function refuseUnseen(plan: Plan): void {
  const unseen = unseenOf(plan);
  if (unseen.length === 0) return;
  throw new UserError(
    {
      what: `${unseen.length} things could not be seen, so no upgrade begins`,
      why: unseen
        .slice(0, 10)
        .map((change) => `${change.address}: ${change.reason}`)
        .join('\n'),
      next: 'make them reachable (cluster status says what answers; cluster up heals), then run the same command again',
    },
    exitCodes.unreachable,
  );
}
