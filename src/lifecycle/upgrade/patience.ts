import { machinesOf } from '../../cluster/topology.ts';
import { chosenOf } from '../../plan/make.ts';
import { addressOf } from '../../plan/resource.ts';
import { onlyApiUnseen, untilApiSeen } from '../api-unseen.ts';
import type { Session } from '../session.ts';
import type { Course, Hop } from './course.ts';
import { type HopLook, healing, lookHop } from './look.ts';

/** As lookHop, once the API answers; or at once, when healing is what it waits for. */
export async function lookPatiently(
  session: Session,
  course: Course,
  hop: Hop,
  ahead: readonly HopLook[] = [],
): Promise<HopLook> {
  const found = await untilApiSeen(
    session,
    () => lookHop(session, course, hop, ahead),
    ({ look }) => look.plan,
    (each) => bringsApiBack(session, each),
  );
  if (!onlyApiUnseen(found.look.plan) || bringsApiBack(session, found)) return found;
  // It does not come: what a turn before has brought there may be why. What is in force, which was well, comes back first.
  const masters = machinesOf(session.design.topology, 'master').map(({ name }) => name);
  return { ...found, heal: healing(session, found.look.plan, found, new Set(masters)) };
}

/**
 * Killed while the only etcd member was made anew, a run leaves an API that cannot answer before that machine is there again. Healing comes first anyway;
 * what only the API knows is looked at after it, before anybody's turn.
 */
export function bringsApiBack({ opened, design }: Session, { look, heal }: HopLook): boolean {
  if (!onlyApiUnseen(look.plan)) return false;
  const machines = design.topology.machines.filter(({ role }) => role === 'etcd' || role === 'master');
  const serving = new Set(
    machines.flatMap(({ name }) => [
      opened.provider.machineAddress(name),
      addressOf('host.units', name),
      addressOf('host.bundle', name),
    ]),
  );
  return chosenOf(heal).some(({ address }) => serving.has(address));
}
