import { compareVersions, minorName, minorOf, oldestFirst } from '../assets/version-order.ts';
import { exitCodes, UserError } from '../errors.ts';

/**
 * The least patch from which upstream's guides let one go to the next minor version. Of 3.5: earlier ones lose what became of learners, or bring back
 * removed members (https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/, 3.5.20 first, then 3.5.26, and 3.5.32 since August 2026). Of 3.6:
 * https://etcd.io/docs/v3.7/upgrades/upgrade_3_7/.
 */
const leastToLeave: Readonly<Record<string, string>> = { '3.5': '3.5.32', '3.6': '3.6.11' };

/**
 * Versions at which all members of an etcd cluster must have arrived before `to`, in order: one minor version at a time, and none is left from too early
 * a patch. Throws UserError where there is no way, as back to an older minor version.
 */
export function etcdStopovers(members: readonly string[], to: string, known: readonly string[]): readonly string[] {
  const [oldest, newest] = [oldestFirst(members)[0] ?? to, oldestFirst(members).at(-1) ?? to];
  if (minorOf(newest) > minorOf(to)) {
    throw new UserError(
      {
        what: `etcd cannot go back from ${newest} to ${to}`,
        why: 'the newer minor version has written data that the older one does not read',
        next: `restore a recovery point from before the upgrade, or keep the newer version: kubernetes.components.etcd: ${newest}`,
      },
      exitCodes.config,
    );
  }
  const stops: string[] = [];
  for (let at = oldest; minorOf(at) < minorOf(to); ) {
    const least = leastToLeave[minorName(at)];
    const early = least !== undefined && compareVersions(at, least) < 0;
    const minor = early ? minorOf(at) : minorOf(at) + 1;
    if (minor === minorOf(to)) break;
    const next = oldestFirst(known.filter((version) => minorOf(version) === minor)).at(-1);
    if (next === undefined || (early && compareVersions(next, least) < 0)) throw noStop(at, to, early ? least : `a 3.${minor}`);
    stops.push(next);
    at = next;
  }
  return stops;
}

const noStop = (from: string, to: string, needed: string): UserError =>
  new UserError(
    {
      what: `there is no way from etcd ${from} to ${to}: ${needed} has to come between, and this version of Slipway has none`,
      why: 'etcd goes one minor version at a time, and leaves each from a late patch',
      next: 'upgrade with an older version of Slipway first, one that has it',
    },
    exitCodes.config,
  );
