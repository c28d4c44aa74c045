import { UnreachableError } from '../errors.ts';
import { drainPlan, readDrainWorld } from '../kube/drain/pods.ts';
import { chosenOf } from '../plan/make.ts';
import { versionsBetween } from '../rollout/reasons.ts';
import type { Obstacle, Rollout, Turn, Wave } from '../rollout/rollout.ts';
import type { UpgradePlan } from '../rollout/upgrade-plan.ts';
import type { Course } from './course.ts';
import { drainPolicy } from './node-work.ts';
import type { Session } from './session.ts';
import type { HopLook } from './upgrade-look.ts';

/** The whole upgrade, as looked at now: for whoever reviews it, and for the run itself. */
export async function rolloutOf(session: Session, course: Course, looks: readonly HopLook[]): Promise<UpgradePlan> {
  const [first] = looks;
  const last = looks.at(-1);
  if (!first || !last) throw new Error('an upgrade looks at least once');
  const heal = chosenOf(first.heal).map(({ address }) => address);
  const healing: readonly Wave[] =
    heal.length === 0 ? [] : [{ name: 'heal', kubernetes: course.from.kubernetes, lanes: [], changes: heal }];
  const waves = [...healing, ...looks.flatMap(({ waves: own }) => own)];
  const drained = drainsOf(waves);
  const { pods, obstacles } = await obstaclesOfDrains(session, drained);
  const rollout: Rollout = {
    versions: [...versionsBetween(course.from, course.to)],
    settings: [...course.settings],
    waves,
    pods,
    obstacles: [...looks.flatMap(({ refused }) => refused), ...obstacles],
    estimateSeconds: null,
  };
  return { ...last.plan, command: 'upgrade', rollout };
}

const drainsOf = (waves: readonly Wave[]): readonly Turn[] =>
  waves.flatMap(({ lanes }) => lanes.flatMap(({ turns, last }) => [...turns, ...last])).filter(({ drain }) => drain);

async function obstaclesOfDrains(
  session: Session,
  turns: readonly Turn[],
): Promise<{ readonly pods: number; readonly obstacles: readonly Obstacle[] }> {
  if (turns.length === 0) return { pods: 0, obstacles: [] };
  try {
    const api = await session.reach.kube().api({ signal: session.signal });
    const world = await readDrainWorld(api, session.signal);
    return drainPlan(
      world,
      turns.map((turn) => ({
        name: turn.machine,
        how: turn.how === 'add' ? 'in-place' : turn.how,
        policy: drainPolicy(session, turn.machine, undefined),
      })),
    );
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    const why = error.message;
    return {
      pods: 0,
      obstacles: [{ severity: 'error', where: 'API', what: 'which pods would move could not be seen', why, next: 'cluster up' }],
    };
  }
}
