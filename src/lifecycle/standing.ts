import type { Versions } from '../assets/catalogue.ts';
import { minorOf } from '../assets/version-order.ts';
import type { Standing } from '../rollout/path.ts';
import type { RolloutRecord } from './identity.ts';
import { addonsKey } from './variants.ts';

/** Hops that somebody is at, or has passed. */
export const usedHops = (rollout: RolloutRecord | undefined): RolloutRecord['hops'] =>
  rollout ? rollout.hops.slice(0, Math.max(0, ...Object.values(rollout.at))) : [];

/**
 * Where a way to `to` begins: at the furthest that anybody has come. One that leads back by a minor version, before any master has made the hop there, begins
 * where each part stands: Kubernetes does not forbid it as long as no newer API server has served. `before`: what those are at who have made no hop.
 */
export function standingOf(rollout: RolloutRecord | undefined, before: Versions, to: Versions): Versions | Standing {
  const used = usedHops(rollout);
  const furthest = used.at(-1)?.versions ?? before;
  if (!rollout || minorOf(to.kubernetes) >= minorOf(furthest.kubernetes)) return furthest;
  const of = (isOf: (key: string) => boolean): readonly Versions[] => {
    const reached = Object.entries(rollout.at).flatMap(([key, index]) => (isOf(key) ? [index] : []));
    return [...new Set(reached)].map((index) => used[index - 1]?.versions ?? before);
  };
  const masters = of((key) => key.startsWith('master-'));
  const served = masters.some(({ kubernetes }) => minorOf(kubernetes) > minorOf(to.kubernetes));
  if (served || masters.length === 0) return furthest;
  return {
    masters,
    etcd: of((key) => key.startsWith('etcd-')),
    pools: of((key) => key !== addonsKey && !/^(bastion|etcd|master)/.test(key)),
  };
}

/**
 * Whether some master may have yet to come to the minor version of `to`: until then no kubelet may, also where others have gone past it by a patch. The record
 * does not name all: one that was to go, and stays after all, is where it was.
 */
export const mastersBehind = (rollout: RolloutRecord | undefined, before: Versions, to: Versions): boolean =>
  rollout !== undefined && minorOf(before.kubernetes) < minorOf(to.kubernetes);
