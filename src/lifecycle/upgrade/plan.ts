import { machinesOf } from '../../cluster/topology.ts';
import type { Addon } from '../../components/addons.ts';
import { UnreachableError } from '../../errors.ts';
import { hostOfMember } from '../../etcd/design.ts';
import type { Status } from '../../health/status.ts';
import { cordonedByUs } from '../../kube/drain/cordon.ts';
import type { Pod } from '../../kube/drain/pod.ts';
import { drainPlan, readDrainWorld } from '../../kube/drain/pods.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { chosenOf } from '../../plan/make.ts';
import { partOf } from '../../plan/part.ts';
import type { Change, Plan } from '../../plan/plan.ts';
import { addressOf, nameOf, typeOf } from '../../plan/resource.ts';
import { estimateSeconds, turnHistory } from '../../rollout/estimate.ts';
import { type Only, onlyOfHops } from '../../rollout/only.ts';
import { aloneObstacles } from '../../rollout/preflight/alone.ts';
import { type UnreadyDaemon, unreadyDaemon } from '../../rollout/preflight/daemons.ts';
import { type PodDemand, podDemand } from '../../rollout/preflight/demand.ts';
import { eachOnce, preflightObstacles, readApiWorld } from '../../rollout/preflight/preflight.ts';
import { versionsBetween } from '../../rollout/reasons.ts';
import type { Obstacle, Rollout, Turn, Wave } from '../../rollout/rollout.ts';
import { turnsOfWave } from '../../rollout/turns.ts';
import type { UpgradePlan } from '../../rollout/upgrade-plan.ts';
import { machineOf } from '../../rollout/waves.ts';
import { inWindow } from '../../rollout/window.ts';
import { recoveryNeed } from '../recovery-point.ts';
import { planFrom, type Session } from '../session.ts';
import { statusIn } from '../status.ts';
import { type Course, lastHop, variantsAt } from './course.ts';
import { drainCap } from './group-look.ts';
import type { HopLook } from './look.ts';
import { Moves } from './moves.ts';
import { drainPolicy } from './node-work.ts';
import { describePackages } from './packages.ts';
import { policy } from './policy.ts';
import { turnedBack } from './turned-back.ts';

export interface DryRunOptions {
  /** Instead of what the pools say, in milliseconds. */
  readonly forceAfterMs?: number;
  /** For those who have backups of their own. */
  readonly skipRecoveryPoint?: boolean;
  readonly only?: Only;
  /** What holds data goes, too, once everyone has had their turn. */
  readonly allowDataLoss?: boolean;
}

/** The whole upgrade, as looked at now: for whoever reviews it, and for the run itself. */
export async function rolloutOf(
  session: Session,
  course: Course,
  all: readonly HopLook[],
  { forceAfterMs, skipRecoveryPoint = false, only, allowDataLoss = false }: DryRunOptions = {},
): Promise<UpgradePlan> {
  const looks = only ? partOfHops(session, course, all, only) : all;
  const [first] = looks;
  const last = looks.at(-1);
  if (!first || !last) throw new Error('an upgrade looks at least once');
  const heal = chosenOf(first.heal).map(({ address }) => address);
  const healing: readonly Wave[] =
    heal.length === 0 ? [] : [{ name: 'heal', kubernetes: course.from.kubernetes, lanes: [], changes: heal }];
  const described = await describePackages(session, looks);
  const waves = [...healing, ...described.waves];
  const status = await statusIn(session, first.look);
  const recoveryPoint = await recoveryNeed(session, course, waves, skipRecoveryPoint);
  const going = { heal: chosenOf(first.heal), leaving: leavingBy(last.plan, session, waves) };
  const { pods, obstacles } = await askApi(session, course, waves, status, forceAfterMs, going);
  const { upgrade } = session.opened.cluster;
  const history = session.store ? await turnHistory(session.store) : [];
  const rollout: Rollout = {
    versions: [...versionsBetween(course.from, course.to)],
    settings: [...course.settings, ...(described.due ? ['os.packages'] : [])],
    waves,
    ...(recoveryPoint && { recoveryPoint }),
    ...(only && { only: { part: `${only.what}=${only.name}`, leftOut: [...leftOut(all, looks)] } }),
    ...(forceAfterMs !== undefined && { forceAfterSeconds: forceAfterMs / 1000 }),
    pods,
    obstacles: [
      ...eachOnce([
        ...looks.flatMap(({ refused }) => refused),
        ...turnedBack(session, course),
        ...described.obstacles,
        ...obstacles,
        ...aloneObstacles(waves, session.design.topology.machines),
        ...outsideWindow(session, waves),
      ]),
    ],
    estimateSeconds: estimateSeconds(history, waves, {
      maxDrains: drainCap(session),
      canary: upgrade.canary,
    }),
  };
  const inPart = rollout.only && rollout.only.leftOut.length > 0;
  const plan = inPart ? changesOf(last.plan, waves) : allowDataLoss ? withLosses(session, course) : last.plan;
  return { ...plan, command: 'upgrade', rollout };
}

/** With what the end of the upgrade destroys where that is allowed: it is shown and asked about before, like all else. */
function withLosses(session: Session, course: Course): Plan {
  session.redesign(variantsAt(course, lastHop(course), session.design.topology));
  const plan = planFrom(session, { ...policy, allowDataLoss: true });
  session.redesign(course.variants);
  return plan;
}

/** What `--only` names of the hops that one run of it comes to. Throws UserError where it may not go alone. */
function partOfHops(session: Session, course: Course, looks: readonly HopLook[], only: Only): readonly HopLook[] {
  const moves = new Moves(session, course);
  const masters = machinesOf(session.design.topology, 'master').map(
    ({ name }) => [name, moves.versionsOf(name).kubernetes] as const,
  );
  const hops = looks.map(({ waves }) => waves);
  return onlyOfHops(only, hops, new Map(masters)).flatMap((waves, index) => {
    const look = looks[index];
    return look ? [{ ...look, waves }] : [];
  });
}
const machinesIn = (looks: readonly { readonly waves: readonly Wave[] }[]): ReadonlySet<string> =>
  new Set(looks.flatMap(({ waves }) => waves.flatMap(turnsOfWave)).map(({ machine }) => machine));
function leftOut(all: readonly HopLook[], part: readonly HopLook[]): readonly string[] {
  const goes = machinesIn(part);
  return [...machinesIn(all)].filter((machine) => !goes.has(machine));
}

/** Changes of machines in these waves, and what the waves name besides; what is not done now is told of as ever. */
function changesOf(plan: Plan, waves: readonly Wave[]): Plan {
  const machines = machinesIn([{ waves }]);
  const named = new Set(waves.flatMap(({ changes }) => changes));
  const later = new Set(plan.changes.flatMap(({ address, when }) => ('now' in when ? [] : [address])));
  return partOf(plan, (address) => later.has(address) || named.has(address) || machineOf(address, machines) !== undefined);
}

/** Said by a dry run, too; that nothing begins then is seen to when it would. */
function outsideWindow({ opened }: Session, waves: readonly Wave[]): readonly Obstacle[] {
  const { windows, outside } = opened.cluster.upgrade;
  const now = inWindow(windows, new Date(opened.now()));
  if (now.open || waves.length === 0) return [];
  const what = `no maintenance window is open: the next one opens ${now.opens ? `at ${now.opens.toISOString()}` : 'never again'}`;
  const why = outside === 'wait' ? 'the upgrade waits for it' : 'outside of it the upgrade does not begin';
  return [{ severity: 'warning', where: 'upgrade.windows', what, why }];
}

/** Machines that go, or are gone and leave something. A member of etcd that is not well is one less for the turns of the others, whether it is to go or not. */
function leavingBy({ changes }: Plan, { opened }: Session, waves: readonly Wave[]): ReadonlySet<string> {
  const deleted = changes.filter(({ action }) => action === 'delete').map(({ address }) => address);
  const types = ['kube.node', typeOf(opened.provider.machineAddress('any'))];
  const gone = deleted.filter((address) => types.includes(typeOf(address))).map(nameOf);
  const members = new Set(deleted.filter((address) => typeOf(address) === 'etcd.member').map(hostOfMember));
  const others = waves.flatMap(turnsOfWave).some(({ role, how }) => role === 'etcd' && how !== 'remove');
  return new Set(others ? gone.filter((name) => !members.has(name)) : [...gone, ...members]);
}

const drainsOf = (waves: readonly Wave[]): readonly Turn[] => waves.flatMap(turnsOfWave).filter(({ drain }) => drain);

/** What the API and everything else say against beginning: one reading of it, for all questions. */
async function askApi(
  session: Session,
  course: Course,
  waves: readonly Wave[],
  { findings, etcd, nodes, versions }: Status,
  forceAfterMs: number | undefined,
  { heal, leaving }: { readonly heal: readonly Change[]; readonly leaving: ReadonlySet<string> },
): Promise<{ readonly pods: number; readonly obstacles: readonly Obstacle[] }> {
  const turns = drainsOf(waves);
  if (waves.every(({ lanes }) => lanes.length === 0)) return { pods: 0, obstacles: [] };
  const { signal, opened, reach } = session;
  try {
    const kube = await reach.kube().api({ signal });
    const demands: PodDemand[] = [];
    const unready: UnreadyDaemon[] = [];
    const see = (object: KubeObject, pod: Pod): void => {
      demands.push(podDemand(object, pod));
      const daemon = unreadyDaemon(object, pod);
      if (daemon) unready.push(daemon);
    };
    const [world, api, marked] = await Promise.all([
      readDrainWorld(kube, signal, see),
      readApiWorld(kube, (ask) => reach.kube().servers(ask), { from: course.from.kubernetes, to: course.to.kubernetes, signal }),
      kube.list('v1', 'Node', { metadataOnly: true, signal }),
    ]);
    const before = preflightObstacles({
      file: opened.cluster,
      hops: course.hops,
      waves,
      maxDrains: drainCap(session),
      findings,
      etcd,
      nodes,
      versions,
      underWay: new Set([
        ...marked.filter(cordonedByUs).map(({ metadata }) => metadata.name),
        ...(session.record?.rollout?.turning ?? []),
      ]),
      healed: new Set(
        heal.flatMap(({ address, action }) =>
          action === 'update' && typeOf(address) === 'host.bundle' ? [nameOf(address)] : [],
        ),
      ),
      leaving,
      api,
      pods: demands,
      daemons: {
        unready,
        ungated: new Set((session.record?.rollout?.ungated ?? []).flatMap(({ machine }) => machine ?? [])),
        addons: daemonSetsOf(session.design.addons),
        nowMs: opened.now(),
      },
      made: workersMade(session, heal),
    });
    const drains = drainPlan(
      world,
      turns.map((turn) => ({
        name: turn.machine,
        how: turn.how === 'add' ? 'in-place' : turn.how,
        policy: drainPolicy(session, turn.machine, forceAfterMs),
      })),
    );
    return { pods: drains.pods, obstacles: [...before, ...drains.obstacles] };
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    // A killed run may have left the only master in the making: it is made first, and each drain asks for itself.
    const severity = heal.length > 0 ? 'warning' : 'error';
    const what = 'which pods would move could not be seen';
    return { pods: 0, obstacles: [{ severity, where: 'API', what, why: error.message, next: 'cluster up' }] };
  }
}

const daemonSetsOf = (addons: readonly Addon[]): ReadonlyMap<string, string> =>
  new Map(
    addons.flatMap(({ name, ready }) =>
      ready.flatMap((each): [string, string][] =>
        each.kind === 'DaemonSet' ? [[`${each.namespace}/${each.name}`, addressOf('kube.addon', name)]] : [],
      ),
    ),
  );

function workersMade({ opened, design }: Session, heal: readonly Change[]): number {
  const made = new Set<string>(heal.flatMap(({ address, action }) => (action === 'create' ? [address] : [])));
  return machinesOf(design.topology, 'worker').filter(({ name }) => made.has(opened.provider.machineAddress(name))).length;
}
