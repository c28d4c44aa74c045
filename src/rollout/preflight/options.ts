import { type Options, optionFindings } from '../../config/kubernetes-options.ts';
import { pathText } from '../../config/path.ts';
import type { Obstacle } from '../rollout.ts';

/** Flags and feature gates of cluster.yaml that a version on the way does not take, each once: with one of them a program would not start. */
export function optionObstacles(options: Options, versions: readonly string[]): readonly Obstacle[] {
  const found = versions.flatMap((version) =>
    optionFindings(options, version).map(({ severity, path, what, why, next }): Obstacle => {
      const where = pathText(path);
      return { severity, where, what, ...(why !== undefined && { why }), ...(next !== undefined && { next }) };
    }),
  );
  // What is gone in 1.35 is gone in 1.36 too: it is said of the first version that it stops.
  return [...Map.groupBy(found, ({ where }) => where).values()].flatMap(([first]) => first ?? []);
}
