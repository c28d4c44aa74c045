import { forProvider, knownKubernetes, type Versions, versionsFor } from '../assets/catalogue.ts';
import { compareVersions, minorOf } from '../assets/version-order.ts';
import { componentVersions } from '../config/versions.ts';
import { exitCodes, UserError } from '../errors.ts';
import { etcdStopovers } from './etcd-path.ts';

/** What moves together. */
export type Part = 'etcd' | 'masters' | 'addons' | 'pools';

/** One stretch of the way: these parts, one after another, come to these versions. */
export interface Hop {
  readonly versions: Versions;
  readonly moves: readonly Part[];
}

/** What stands, never empty: a cluster at rest has one version of each part, one whose upgrade was stopped has several. */
export interface Standing {
  readonly etcd: readonly Versions[];
  readonly masters: readonly Versions[];
  readonly pools: readonly Versions[];
}

/** Kubernetes' version skew policy: a kubelet may be this many minor versions older than an API server. */
const kubeletsBehind = 3;

/**
 * The way from what stands to `to`. Masters go through every minor version, etcd too, workers only where a kubelet would otherwise be left too far
 * behind. The last hop names all four parts, whether or not their versions differ: settings come into force with it. Back within a minor version it
 * goes the other way round: pools first. Everything else than Kubernetes and etcd moves with the last hop. Throws UserError where there is no way.
 * `known`: what can be installed, if not the catalogue.
 */
export function upgradePath(from: Versions | Standing, to: Versions, known?: readonly Versions[]): readonly Hop[] {
  const standing: Standing = 'masters' in from ? from : { etcd: [from], masters: [from], pools: [from] };
  return pathWithin(
    { releases: known ?? catalogue(), etcd: known?.map(({ etcd }) => etcd) ?? componentVersions.etcd },
    standing,
    to,
  );
}
/** What can be installed. */
interface Known {
  readonly releases: readonly Versions[];
  readonly etcd: readonly string[];
}

function pathWithin(known: Known, standing: Standing, to: Versions): readonly Hop[] {
  if (!known.releases.some(({ kubernetes }) => kubernetes === to.kubernetes)) throw unknown(to.kubernetes, known.releases);
  const masters = standing.masters.toSorted(byKubernetes);
  const [oldest = to, newest = to] = [masters[0], masters.at(-1)];
  if (minorOf(newest.kubernetes) > minorOf(to.kubernetes)) throw noWayBack(newest.kubernetes, to.kubernetes);
  if (compareVersions(newest.kubernetes, to.kubernetes) > 0) {
    const stops = etcdStopovers(etcdOf(standing), to.etcd, known.etcd);
    return [
      ...stops.map((etcd): Hop => ({ versions: { ...oldest, etcd }, moves: ['etcd'] })),
      { versions: to, moves: ['pools', 'masters', 'addons', 'etcd'] },
    ];
  }
  return forwards(standing, oldest, masterSteps(oldest, newest, to, known.releases), known.etcd);
}

const catalogue = (): readonly Versions[] => knownKubernetes.map((version) => versionsFor(version));
const byKubernetes = (a: Versions, b: Versions): number => compareVersions(a.kubernetes, b.kubernetes);
const etcdOf = (standing: Standing): readonly string[] => [...new Set(standing.etcd.map(({ etcd }) => etcd))];

/** Where masters stop on their way: one minor version after another. Those that an upgrade left ahead wait for the others. */
function masterSteps(oldest: Versions, newest: Versions, to: Versions, known: readonly Versions[]): readonly Versions[] {
  const target = minorOf(to.kubernetes);
  const mixed = minorOf(newest.kubernetes) > minorOf(oldest.kubernetes);
  const steps: Versions[] = [];
  for (let minor = minorOf(oldest.kubernetes) + 1; minor < target; minor++) {
    const reached = mixed && minor === minorOf(newest.kubernetes) ? newest : undefined;
    const step =
      reached ??
      known
        .filter(({ kubernetes }) => minorOf(kubernetes) === minor)
        .toSorted(byKubernetes)
        .at(-1);
    if (!step) throw noStep(oldest.kubernetes, to.kubernetes, minor);
    steps.push(reached ?? passing(step, oldest, to));
  }
  return [...steps, to];
}

/** On the way only what must move does: a version that the file chooses would else be passed by and come back to. */
const passing = (step: Versions, from: Versions, to: Versions): Versions =>
  forProvider(
    {
      ...from,
      kubernetes: step.kubernetes,
      pause: step.pause,
      etcd: compareVersions(step.etcd, to.etcd) > 0 ? to.etcd : step.etcd,
      aws: undefined,
    },
    { aws: to.aws },
  );

function forwards(standing: Standing, oldest: Versions, steps: readonly Versions[], known: readonly string[]): readonly Hop[] {
  const hops: Hop[] = [];
  let etcd = etcdOf(standing);
  let masters = oldest;
  let pools = Math.min(...standing.pools.map(({ kubernetes }) => minorOf(kubernetes)));
  for (const [i, step] of steps.entries()) {
    const next = steps[i + 1];
    // Workers that were left far behind come first: these masters would leave them too far.
    if (tooFarBehind(pools, step)) {
      hops.push({ versions: masters, moves: ['pools'] });
      pools = minorOf(masters.kubernetes);
    }
    const wanted =
      next === undefined
        ? step.etcd
        : (etcd.toSorted(compareVersions).findLast((at) => compareVersions(at, step.etcd) > 0) ?? step.etcd);
    for (const stop of etcdStopovers(etcd, wanted, known)) {
      masters = { ...masters, etcd: stop };
      hops.push({ versions: masters, moves: ['etcd'] });
      etcd = [stop];
    }
    const movesEtcd = next === undefined || etcd.some((at) => at !== wanted);
    const movesPools = next === undefined || tooFarBehind(pools, next);
    masters = { ...step, etcd: wanted };
    const moves: readonly Part[] = [
      ...(movesEtcd ? ['etcd' as const] : []),
      'masters',
      'addons',
      ...(movesPools ? ['pools' as const] : []),
    ];
    hops.push({ versions: masters, moves });
    etcd = [wanted];
    if (movesPools) pools = minorOf(step.kubernetes);
  }
  return hops;
}
const tooFarBehind = (kubelets: number, { kubernetes }: Versions): boolean => minorOf(kubernetes) - kubelets > kubeletsBehind;

const unknown = (version: string, known: readonly Versions[]): UserError =>
  new UserError(
    {
      what: `Kubernetes ${version} is not among the versions that Slipway installs`,
      why: `Known versions: ${known.map(({ kubernetes }) => kubernetes).join(', ')}`,
      next: 'Set kubernetes.version in cluster.yaml to one of them',
    },
    exitCodes.config,
  );

const noWayBack = (from: string, to: string): UserError =>
  new UserError(
    {
      what: `Kubernetes cannot go back from ${from} to ${to}`,
      why: 'a newer minor version has written objects that an older one does not read; only patches can be taken back',
      next: `restore a recovery point from before the upgrade, or leave kubernetes.version at ${from}`,
    },
    exitCodes.config,
  );

const noStep = (from: string, to: string, minor: number): UserError =>
  new UserError(
    {
      what: `there is no way from Kubernetes ${from} to ${to}: this version of Slipway does not have 1.${minor}`,
      why: 'API servers go one minor version at a time (version skew policy)',
      next: `upgrade to 1.${minor} first, with an older version of Slipway that has it`,
    },
    exitCodes.config,
  );
