import type { Finding } from '../../config/finding.ts';
import type { EtcdStatus } from '../../health/status.ts';
import type { Obstacle } from '../rollout.ts';

export interface HealthInput {
  /** Those of `status`. */
  readonly findings: readonly Finding[];
  readonly etcd: readonly EtcdStatus[];
  /** Machines whose turn a stopped upgrade had begun: what is not well there is what going on mends. */
  readonly underWay: ReadonlySet<string>;
  /** Machines that are brought back to what is in force before the first turn. */
  readonly healed?: ReadonlySet<string>;
  /** Machines that this upgrade takes away: what is not well there goes with them. */
  readonly leaving?: ReadonlySet<string>;
}
/** Why something is no obstacle. */
export const goesOn = 'its turn was begun and not brought to its end: the upgrade goes on there';
const nobody: ReadonlySet<string> = new Set();

/** What the upgrade itself brings about, or what is asked elsewhere by name. */
const notAsked = ['versions.wanted', 'versions.skew', 'drift'];
/** Warnings of a cluster that goes on as it is; while machines are taken away one by one they are more than that. */
const worseNow: Readonly<Record<string, string>> = {
  'etcd.quorum': 'a turn takes one more member away',
  'etcd.member': 'members are changed one at a time, while all others vote and answer',
};
/** What is healed before the first turn: told, and in nobody's way. */
const mendedFirst: Readonly<Record<string, string>> = {
  'certificates.due': 'it is renewed before the first turn, which restarts nothing',
};

/** May machines be taken away, one by one, from a cluster that is as `status` found it? Errors of status are; so are warnings that leave nothing to lose. */
export function healthObstacles({
  findings,
  etcd,
  underWay,
  healed = nobody,
  leaving = nobody,
}: HealthInput): readonly Obstacle[] {
  const unwell = new Map(
    etcd.map(({ cluster, members }) => [`etcd ${cluster}`, members.filter(({ state }) => state !== 'healthy')]),
  );
  return findings.flatMap((finding): readonly Obstacle[] => {
    const { severity, check, what, where = 'cluster', why, next } = finding;
    if (severity === 'ok' || notAsked.includes(check)) return [];
    const first = where.includes('authority ') ? undefined : mendedFirst[check];
    if (first !== undefined) return [{ severity: 'warning', where, what, why: first }];
    const because = worseNow[check];
    const machines = check === 'etcd.quorum' ? (unwell.get(where) ?? []).map(({ name }) => name) : machinesIn(where);
    if (machines.length > 0 && machines.every((name) => leaving.has(name)))
      return [{ severity: 'warning', where, what, why: 'it is not in cluster.yaml any more, and goes' }];
    const back = machines.length > 0 && machines.every((name) => healed.has(name));
    const mended = back || (machines.length > 0 && machines.every((name) => underWay.has(name) || healed.has(name)));
    const whys = [why, because].filter((text) => text !== undefined).join('; ');
    return [
      {
        severity: mended ? 'warning' : severity === 'error' || because !== undefined ? 'error' : 'warning',
        where,
        what,
        ...(mended
          ? {
              why: back ? 'it is brought back to what is in force before the first turn' : goesOn,
            }
          : whys && { why: whys }),
        ...(!mended && next !== undefined && { next }),
      },
    ];
  });
}

/** `node worker-a-1`, `etcd main on etcd-a`, `certificate master-a.apiserver`, `worker-a-1, worker-b-1`. */
const machinesIn = (where: string): readonly string[] =>
  where
    .replace(/^(node|certificate) /, '')
    .replace(/^etcd \w+ on /, '')
    .split(', ')
    .map((name) => name.split('.')[0] ?? name);
