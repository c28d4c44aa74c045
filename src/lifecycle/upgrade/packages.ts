import pLimit from 'p-limit';
import { exitCodes, messageOf, UserError } from '../../errors.ts';
import { lookAtPackages, type PackagesLook } from '../../host/packages.ts';
import { packagesAddress } from '../../host/types/packages.ts';
import { chosenOf } from '../../plan/make.ts';
import type { Lane, Obstacle, Turn, Wave } from '../../rollout/rollout.ts';
import type { Session } from '../session.ts';
import type { HopLook } from './look.ts';

/** Hosts that ask their mirrors at once. */
const atOnce = 16;

type Asked = { readonly look: PackagesLook } | { readonly obstacle: Obstacle };

/**
 * The waves of all hops, each machine whose packages are due with what would become of them by what its mirrors have now; and the mirrors that do not answer,
 * before anybody is drained.
 */
export async function describePackages(
  session: Session,
  looks: readonly HopLook[],
): Promise<{ readonly due: boolean; readonly waves: readonly Wave[]; readonly obstacles: readonly Obstacle[] }> {
  const waves = looks.flatMap(({ waves: own }) => own);
  const due = new Set<string>(
    looks
      .slice(0, 1)
      .flatMap(({ plan }) => chosenOf(plan).flatMap(({ address, action }) => (action === 'update' ? [address] : []))),
  );
  const turns = new Map<string, Turn>();
  for (const turn of waves.flatMap(({ lanes }) => lanes.flatMap((lane) => lane.turns)))
    if (due.has(packagesAddress(turn.machine)) && !turns.has(turn.machine)) turns.set(turn.machine, turn);
  if (turns.size === 0) return { due: false, waves, obstacles: [] };
  const limit = pLimit(atOnce);
  const asked = new Map(
    await Promise.all([...turns.values()].map(async (turn) => [turn, await limit(() => ask(session, turn.machine))] as const)),
  );
  const described = (turn: Turn): Turn => {
    const found = asked.get(turn);
    return found && 'look' in found && turn.how === 'in-place' ? { ...turn, packages: copy(found.look) } : turn;
  };
  const lane = (each: Lane): Lane => ({ ...each, turns: each.turns.map(described) });
  return {
    due: true,
    waves: waves.map((wave) => ({ ...wave, lanes: wave.lanes.map(lane) })),
    obstacles: [...asked.values()].flatMap((found) => ('obstacle' in found ? [found.obstacle] : [])),
  };
}

const copy = ({ moves, held, reboot }: PackagesLook): NonNullable<Turn['packages']> => ({
  moves: [...moves],
  held: [...held],
  reboot: [...reboot],
});

async function ask({ reach, signal }: Session, machine: string): Promise<Asked> {
  try {
    return { look: await lookAtPackages(await reach.hosts().hosts.get(machine, { signal }), signal) };
  } catch (error) {
    signal.throwIfAborted();
    const problem = error instanceof UserError ? error.problem : { what: messageOf(error) };
    // Packages that an upgrade before has left half done are the turn's to mend.
    const severity = error instanceof UserError && error.exitCode === exitCodes.unreachable ? 'error' : 'warning';
    return { obstacle: { severity, ...problem, where: machine } };
  }
}
