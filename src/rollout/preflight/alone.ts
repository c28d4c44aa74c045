import type { Obstacle, Turn, Wave } from '../rollout.ts';
import { turnsOfWave } from '../turns.ts';

const serves: Readonly<Record<string, readonly string[]>> = {
  etcd: ['etcd'],
  master: ['kube-apiserver'],
};

/** Whoever is the only one of its role has nobody to stand in for it: said before it goes, for nobody else would notice an upgrade. Pure. */
export function aloneObstacles(waves: readonly Wave[], machines: readonly { readonly role: string }[]): readonly Obstacle[] {
  const all = waves.flatMap(turnsOfWave);
  // Those that go stay until the others have had their turn.
  const leaving = new Set(all.filter(({ how }) => how === 'remove').map(({ role }) => role));
  const alone = ({ role, how, restarts }: Turn): boolean =>
    machines.filter((machine) => machine.role === role).length === 1 &&
    !leaving.has(role) &&
    (how === 'replace' ||
      (how === 'in-place' && restarts.some((unit) => serves[role]?.includes(unit.replace(/\.service$/, '')))));
  return all
    .filter((turn) => turn.role in serves && alone(turn))
    .map(({ machine, role, how }) => ({
      severity: 'warning',
      where: machine,
      what: `the API does not answer ${how === 'replace' ? 'until it is made anew' : 'while it restarts'}: it is the only ${role === 'etcd' ? 'etcd member' : 'master'}`,
      why: 'pods run on, and nothing is scheduled or healed meanwhile',
    }));
}
