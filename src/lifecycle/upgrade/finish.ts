import { setTimeout as sleep } from 'node:timers/promises';
import { imageName } from '../../assets/catalogue.ts';
import type { Finding } from '../../config/finding.ts';
import { UserError } from '../../errors.ts';
import { chosenOf } from '../../plan/make.ts';
import type { Plan } from '../../plan/plan.ts';
import { machineOf } from '../../rollout/waves.ts';
import { foundationOf } from '../foundation.ts';
import { amendRecord } from '../identity.ts';
import { runPlan } from '../round.ts';
import { maxRounds, notConverging } from '../rounds.ts';
import { secretResources } from '../secrets.ts';
import { lookSession, type Session } from '../session.ts';
import { lastLook } from '../status.ts';
import { type Course, lastHop, settingsAt, variantsAt } from './course.ts';
import { releaseGroups } from './group-roll.ts';
import { refuseUnseen } from './look.ts';
import { nodeWork } from './node-work.ts';

const healthLooks = 4;

/** Everyone is there: what is left is carried out, nothing differs any more, the record says so, and what was seen last is well. Throws UserError. */
export async function finishUpgrade(session: Session, course: Course, allowDataLoss: boolean): Promise<readonly Finding[]> {
  const { opened } = session;
  session.redesign(variantsAt(course, lastHop(course), session.design.topology));
  // A run that was killed after its last turn has left these as they were.
  await releaseGroups(session);
  const look = () => lookSession(session, { command: 'upgrade', allowDataLoss });
  let last = await look();
  for (let round = 1; ; round++) {
    const { plan } = last;
    refuseUnseen(plan);
    if (chosenOf(plan).length === 0) break;
    if (round > maxRounds) throw notConverging(plan, session);
    refuseTurns(plan, session);
    await runPlan(plan, session);
    last = await look();
  }
  const image = imageName('pause', course.to);
  await nodeWork(session, undefined).release(session.signal, undefined, image);
  await amendRecord(session, {
    foundation: foundationOf(opened.cluster),
    versions: course.to,
    settings: settingsAt(course),
    rollout: undefined,
    keys: secretResources(opened.cluster).map(({ address }) => address),
  });
  let findings = await lastLook(session, last);
  // Who has just started may need a moment to say so; what is wrong after these looks is wrong.
  for (let looks = 1; looks < healthLooks && findings.some(({ severity }) => severity === 'error'); looks++) {
    await sleep(1000, undefined, { signal: session.signal });
    findings = await lastLook(session, await look());
  }
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length > 0)
    throw new UserError({
      what: 'every machine is upgraded, and not everything is healthy',
      why: errors.map(({ where, what, why }) => [where, what, why].filter(Boolean).join(': ')).join('\n'),
      next: 'cluster status shows it all',
    });
  return findings;
}

/** What restarts, drains or replaces a machine goes by a turn: something has changed since the turns were found. */
function refuseTurns(plan: Plan, session: Session): void {
  const machines = new Set(session.design.topology.machines.map(({ name }) => name));
  const late = chosenOf(plan).filter(
    ({ action, impact, address }) => action === 'update' && impact !== 'none' && machineOf(address, machines) !== undefined,
  );
  if (late.length === 0) return;
  throw new UserError({
    what: `${late.length === 1 ? 'one thing differs' : `${late.length} things differ`} again since the turns`,
    why: late.map(({ address, fields }) => `${address}: ${fields.map(({ path }) => path).join(', ')}`).join('\n'),
    next: 'run the same command again: these machines take another turn',
  });
}
