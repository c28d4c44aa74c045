import { setTimeout as sleep } from 'node:timers/promises';
import { chosenOf } from '../plan/make.ts';
import { addressOf } from '../plan/resource.ts';
import { onlyApiUnseen } from './api-unseen.ts';
import type { Course, Hop } from './course.ts';
import type { Session } from './session.ts';
import { type HopLook, lookHop } from './upgrade-look.ts';

const apiWithinMs = 60_000;

/** A run that was killed may have left an API server that is just starting: the hosts are seen, and what only the API knows is seen a moment later. */
export async function lookPatiently(session: Session, course: Course, hop: Hop, previous?: HopLook['target']): Promise<HopLook> {
  const end = session.opened.now() + apiWithinMs;
  for (;;) {
    const found = await lookHop(session, course, hop, previous);
    if (!onlyApiUnseen(found.look.plan) || bringsApiBack(session, found) || session.opened.now() > end) return found;
    await sleep(1000, undefined, { signal: session.signal });
  }
}

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
