import { minorName, oldestFirst } from '../../assets/version-order.ts';
import { machinesOf } from '../../cluster/topology.ts';
import type { Wave } from '../../rollout/rollout.ts';
import { turnsOfWave } from '../../rollout/turns.ts';
import type { Session } from '../session.ts';
import { type Gated, openGates } from './gates.ts';
import type { Moves } from './moves.ts';
import { nodeWork } from './node-work.ts';

/**
 * Gates, Slipway's own and the user's, of what a run before this one has moved, where they failed or were not asked any more: without that each run would roll
 * one machine on beside one that is not well. Who has a turn in `waves` is gated there: what is mended may be mended by just that. Throws UserError.
 */
export async function askAgain(session: Session, moves: Moves, waves: readonly Wave[]): Promise<void> {
  const turning = new Set(waves.flatMap(turnsOfWave).map(({ machine }) => machine));
  const due = moves.ungated.filter(({ wave, machine }) =>
    machine === undefined ? !waves.some(({ name }) => name === wave) : !turning.has(machine),
  );
  if (due.length === 0) return;
  const { signal, design } = session;
  const work = nodeWork(session, undefined);
  const gates = openGates(session, work);
  const asked = due.map((place) => ({ place, ...(place.machine !== undefined && { turn: turnOf(place.machine, session) }) }));
  try {
    // All at once: how long they stay well is one time for all of them.
    for (const { turn } of asked) if (turn) gates.watch(turn, signal);
    for (const { place, turn } of asked) {
      const wave = { name: place.wave };
      if (turn) await gates.afterMachine(turn, wave, signal, place.unready);
      else await gates.afterWave(wave, place.wave === 'etcd' ? etcdMinor() : undefined, signal);
      moves.passed(place);
    }
  } finally {
    await work.done();
    gates.close();
  }

  /** The least of them: who has not moved yet holds up all. */
  function etcdMinor(): string | undefined {
    const versions = machinesOf(design.topology, 'etcd').map(({ name }) => moves.versionsOf(name).etcd);
    return oldestFirst(versions).map(minorName)[0];
  }
}

/** As after its turn. One that is not designed any more has gone in it. */
function turnOf(machine: string, { design: { topology } }: Session): Gated {
  const spec = topology.machines.find(({ name }) => name === machine);
  return spec ? { machine, role: spec.role, how: 'in-place' } : { machine, role: 'worker', how: 'remove' };
}
