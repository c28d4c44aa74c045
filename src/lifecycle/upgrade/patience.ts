import { chosenOf } from '../../plan/make.ts';
import { addressOf } from '../../plan/resource.ts';
import { onlyApiUnseen, untilApiSeen } from '../api-unseen.ts';
import type { Session } from '../session.ts';
import type { Course, Hop } from './course.ts';
import { type HopLook, lookHop } from './look.ts';

/** As lookHop, once the API answers; or at once, when healing is what it waits for. */
export const lookPatiently = (session: Session, course: Course, hop: Hop, ahead: readonly HopLook[] = []): Promise<HopLook> =>
  untilApiSeen(
    session,
    () => lookHop(session, course, hop, ahead),
    ({ look }) => look.plan,
    (found) => bringsApiBack(session, found),
  );

/**
 * Killed while the only etcd member was made anew, a run leaves an API that cannot answer before that machine is there again. Healing comes first anyway;
 * what only the API knows is looked at after it, before anybody's turn.
 */
export function bringsApiBack({ opened, design }: Session, { look, heal }: HopLook): boolean {
  if (!onlyApiUnseen(look.plan)) return false;
  const machines = design.topology.machines.filter(({ role }) => role === 'etcd' || role === 'master');
  const serving = new Set(machines.flatMap(({ name }) => [opened.provider.machineAddress(name), addressOf('host.units', name)]));
  return chosenOf(heal).some(({ address }) => serving.has(address));
}
