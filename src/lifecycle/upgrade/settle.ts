import { settleUnits } from '../../host/settle.ts';
import { during } from '../../run/during.ts';
import type { Session } from '../session.ts';

const settleWithinMs = 90_000;

/** Waits until these units run as they lie there. Returns since when, in milliseconds since the epoch. Throws UserError with the unit's last words. */
export async function settle(machine: string, units: readonly string[], session: Session, signal: AbortSignal): Promise<number> {
  const host = await session.reach.hosts().hosts.get(machine, { signal });
  const title = units.length === 1 ? `restart ${units[0]} on ${machine}` : `restart units of ${machine}`;
  return during(title, session.emit, () => settleUnits(host, units, { timeoutMs: settleWithinMs, signal }));
}
