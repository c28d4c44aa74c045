import { type Options, optionFindings } from '../../config/kubernetes-options.ts';
import { pathText } from '../../config/path.ts';
import type { Hop } from '../path.ts';
import type { Obstacle } from '../rollout.ts';

/**
 * Flags and feature gates of cluster.yaml that Kubernetes does not take where they come into force, each once: with one of them a program would not start.
 * Those under `kubernetes` come with the last hop; those of a pool are with its workers on all of theirs.
 */
export function optionObstacles(file: Options, hops: readonly Hop[]): readonly Obstacle[] {
  const found = hops.flatMap(({ versions, moves }, i) =>
    optionFindings(file, versions.kubernetes)
      .filter(({ path }) => i === hops.length - 1 || (path[0] === 'pools' && moves.includes('pools')))
      .map(({ severity, path, what, why, next }): Obstacle => {
        const where = pathText(path);
        return { severity, where, what, ...(why !== undefined && { why }), ...(next !== undefined && { next }) };
      }),
  );
  // What is gone in 1.35 is gone in 1.36 too: it is said of the first version that it stops.
  return [...Map.groupBy(found, ({ where }) => where).values()].flatMap(([first]) => first ?? []);
}
