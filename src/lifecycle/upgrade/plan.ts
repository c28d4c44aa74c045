import { UnreachableError } from '../../errors.ts';
import type { Status } from '../../health/status.ts';
import { cordonedByUs } from '../../kube/drain/cordon.ts';
import { drainPlan, readDrainWorld } from '../../kube/drain/pods.ts';
import { chosenOf } from '../../plan/make.ts';
import { estimateSeconds, turnHistory } from '../../rollout/estimate.ts';
import { aloneObstacles } from '../../rollout/preflight/alone.ts';
import { type PodDemand, podDemand } from '../../rollout/preflight/demand.ts';
import { preflightObstacles, readApiWorld } from '../../rollout/preflight/preflight.ts';
import { versionsBetween } from '../../rollout/reasons.ts';
import type { Obstacle, Rollout, Turn, Wave } from '../../rollout/rollout.ts';
import { turnsOfWave } from '../../rollout/turns.ts';
import type { UpgradePlan } from '../../rollout/upgrade-plan.ts';
import { recoveryNeed } from '../recovery-point.ts';
import type { Session } from '../session.ts';
import { statusIn } from '../status.ts';
import type { Course } from './course.ts';
import { drainCap } from './group-look.ts';
import type { HopLook } from './look.ts';
import { drainPolicy } from './node-work.ts';
import { describePackages } from './packages.ts';

export interface DryRunOptions {
  /** Instead of what the pools say, in milliseconds. */
  readonly forceAfterMs?: number;
  /** For those who have backups of their own. */
  readonly skipRecoveryPoint?: boolean;
}

/** The whole upgrade, as looked at now: for whoever reviews it, and for the run itself. */
export async function rolloutOf(
  session: Session,
  course: Course,
  looks: readonly HopLook[],
  { forceAfterMs, skipRecoveryPoint = false }: DryRunOptions = {},
): Promise<UpgradePlan> {
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
  const { pods, obstacles } = await askApi(session, course, waves, status, forceAfterMs, heal.length > 0);
  const { upgrade } = session.opened.cluster;
  const history = session.store ? await turnHistory(session.store) : [];
  const rollout: Rollout = {
    versions: [...versionsBetween(course.from, course.to)],
    settings: [...course.settings, ...(described.due ? ['os.packages'] : [])],
    waves,
    ...(recoveryPoint && { recoveryPoint }),
    pods,
    obstacles: [
      ...looks.flatMap(({ refused }) => refused),
      ...described.obstacles,
      ...obstacles,
      ...aloneObstacles(waves, session.design.topology.machines),
    ],
    estimateSeconds: estimateSeconds(history, waves, {
      maxDrains: drainCap(session),
      canary: upgrade.canary,
    }),
  };
  return { ...last.plan, command: 'upgrade', rollout };
}

const drainsOf = (waves: readonly Wave[]): readonly Turn[] => waves.flatMap(turnsOfWave).filter(({ drain }) => drain);

/** What the API and everything else say against beginning: one reading of it, for all questions. */
async function askApi(
  session: Session,
  course: Course,
  waves: readonly Wave[],
  { findings, etcd, nodes }: Status,
  forceAfterMs: number | undefined,
  heals: boolean,
): Promise<{ readonly pods: number; readonly obstacles: readonly Obstacle[] }> {
  const turns = drainsOf(waves);
  if (waves.every(({ lanes }) => lanes.length === 0)) return { pods: 0, obstacles: [] };
  const { signal, opened, reach } = session;
  try {
    const kube = await reach.kube().api({ signal });
    const demands: PodDemand[] = [];
    const [world, api, marked] = await Promise.all([
      readDrainWorld(kube, signal, (object, pod) => demands.push(podDemand(object, pod))),
      readApiWorld(kube, { from: course.from.kubernetes, to: course.to.kubernetes, signal }),
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
      underWay: new Set([
        ...marked.filter(cordonedByUs).map(({ metadata }) => metadata.name),
        ...(session.record?.rollout?.turning ?? []),
      ]),
      api,
      pods: demands,
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
    const severity = heals ? 'warning' : 'error';
    const what = 'which pods would move could not be seen';
    return { pods: 0, obstacles: [{ severity, where: 'API', what, why: error.message, next: 'cluster up' }] };
  }
}
