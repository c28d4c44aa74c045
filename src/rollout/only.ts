import { nearest } from '../config/nearest.ts';
import { exitCodes, UserError } from '../errors.ts';
import type { Lane, Turn, Wave } from './rollout.ts';
import { turnsOfLane, turnsOfWave } from './turns.ts';

/** A part of a rollout: `--only pool=workers`, `--only role=masters`, `--only zone=a`. */
export interface Only {
  readonly what: 'pool' | 'role' | 'zone';
  readonly name: string;
}
const roles: Readonly<Record<string, Turn['role']>> = { bastion: 'bastion', etcd: 'etcd', masters: 'master', workers: 'worker' };

/** Throws a usage error that names what there is to choose from. */
export function parseOnly(text: string, known: { readonly pools: readonly string[]; readonly zones: readonly string[] }): Only {
  const names = { pool: known.pools, role: Object.keys(roles), zone: known.zones };
  const found = /^(pool|role|zone)=(.+)$/.exec(text);
  const what = found?.[1];
  const name = found?.[2];
  if (name === undefined || (what !== 'pool' && what !== 'role' && what !== 'zone')) {
    throw usage(`--only ${text}: it takes pool=NAME, role=NAME or zone=NAME`, 'for example --only role=masters');
  }
  if (names[what].includes(name)) return { what, name };
  const meant = nearest(name, names[what]);
  throw usage(
    `--only ${text}: there is no ${what} ${name}${meant === undefined ? '' : `; did you mean ${what}=${meant}?`}`,
    names[what].length === 0
      ? `the cluster has no ${what}s`
      : `one of ${names[what].map((each) => `${what}=${each}`).join(', ')}`,
  );
}

/**
 * What is left of the waves when only a part goes. `apiServers`: the version that each master's API server runs now. Throws a UserError where the part
 * may not go without what comes before it, by Kubernetes' version skew policy: no kubelet newer than an API server, API servers at most one minor version apart.
 */
export const only = (filter: Only, waves: readonly Wave[], apiServers: ReadonlyMap<string, string>): readonly Wave[] =>
  partFrom(filter, waves, new Map(apiServers));

/**
 * The same of hops that follow one another: a run ends with the first of them that something is left out of. Throws as `only` does, and where the part has its
 * turn on a later hop only, so that this run would do nothing.
 */
export function onlyOfHops(
  filter: Only,
  hops: readonly (readonly Wave[])[],
  apiServers: ReadonlyMap<string, string>,
): readonly (readonly Wave[])[] {
  const running = new Map(apiServers);
  const parts: (readonly Wave[])[] = [];
  for (const [index, waves] of hops.entries()) {
    const part = partFrom(filter, waves, running);
    parts.push(part);
    const goes = new Set(part.flatMap(turnsOfWave));
    const left = waves.flatMap(turnsOfWave).filter((turn) => !goes.has(turn));
    if (left.length === 0) continue;
    const idle = parts.every((each) => each.flatMap(turnsOfWave).length === 0);
    if (idle && hops.slice(index + 1).some((later) => chosenFrom(later, filter).length > 0))
      throw notYet(filter, left, waves.at(-1)?.kubernetes ?? '');
    break;
  }
  return parts;
}

/** `first`: who is to have had a turn before, in this order. */
function notYet(filter: Only, first: readonly Turn[], kubernetes: string): UserError {
  const before = [...new Set(first.map(({ role }) => role))].map((role) => wordOf(role));
  const commands = before.map((name) => `cluster upgrade --only role=${name}`);
  return new UserError({
    what: `--only ${textOf(filter)} cannot go yet: ${before.join(' and ')} go first, to ${kubernetes}`,
    where: first.map(({ machine }) => machine).join(', '),
    why: 'on the way to what cluster.yaml says nobody of that part has a turn before they have had theirs',
    next: `${commands.join(', then ')}, then this again; or cluster upgrade without --only`,
  });
}

/** `running` goes along with the masters of the part. */
function partFrom(filter: Only, waves: readonly Wave[], running: Map<string, string>): readonly Wave[] {
  const part = chosenFrom(waves, filter);
  for (const { kubernetes, lanes } of part) {
    const turns = lanes.flatMap((lane) => [...lane.first, ...lane.turns]);
    const worker = turns.find(isWorker);
    const older = [...running].find(([, version]) => compare(version, kubernetes) < 0);
    if (worker && older) {
      throw new UserError({
        what: `--only ${textOf(filter)} would bring kubelets to ${kubernetes} while the API server of ${older[0]} runs ${older[1]}`,
        where: worker.machine,
        why: 'a kubelet may never be newer than an API server: masters go before pools',
        next: 'cluster upgrade --only role=masters, then this again; or cluster upgrade without --only',
      });
    }
    // One that goes stays behind, until then: no API server of the next hop is beside it.
    for (const { role, machine, how } of turns) if (role === 'master' && how !== 'remove') running.set(machine, kubernetes);
    const apart = [...running].find(([, version]) => Math.abs(minor(version) - minor(kubernetes)) > 1);
    if (turns.some(({ role }) => role === 'master') && apart) {
      throw new UserError({
        what: `--only ${textOf(filter)} would bring masters to ${kubernetes} while the API server of ${apart[0]} stays at ${apart[1]}`,
        where: apart[0],
        why: 'API servers may be one minor version apart, and no more',
        next: 'cluster upgrade --only role=masters, or cluster upgrade without --only',
      });
    }
  }
  return part;
}

/** Workers find the addons of their version: what the hop changes of them before pools goes before a pool that goes alone, too. */
function chosenFrom(waves: readonly Wave[], filter: Only): readonly Wave[] {
  const parts = waves.map((wave) => partOf(wave, filter));
  const lastPool = parts.findLastIndex((part) => part?.lanes.some((lane) => turnsOfLane(lane).some(isWorker)));
  return waves.flatMap((wave, index) => parts[index] ?? (index < lastPool && wave.lanes.length === 0 ? wave : []));
}
const isWorker = ({ role }: Turn): boolean => role === 'worker';

/** Changes besides machines belong to the whole of a wave: they go when nothing of it is left out. */
function partOf(wave: Wave, filter: Only): Wave | undefined {
  const lanes = wave.lanes.flatMap((lane) => laneOf(lane, filter) ?? []);
  if (lanes.length === 0) return undefined;
  const count = (all: readonly Lane[]): number => all.reduce((sum, { turns, last }) => sum + turns.length + last.length, 0);
  return { ...wave, lanes, changes: count(lanes) === count(wave.lanes) ? wave.changes : [] };
}

/** Surge machines come and go with the turns that they stand in for, whatever their zone. */
function laneOf(lane: Lane, { what, name }: Only): Lane | undefined {
  const chosen = (turn: Turn): boolean =>
    what === 'pool' ? turn.pool === name : what === 'zone' ? turn.zone === name : turn.role === roles[name];
  const turns = lane.turns.filter(chosen);
  const surges = new Set(lane.first.map(({ machine }) => machine));
  const stays = turns.length > 0;
  const last = lane.last.filter((turn) => (surges.has(turn.machine) ? stays : chosen(turn)));
  return turns.length + last.length === 0 ? undefined : { ...lane, first: stays ? lane.first : [], turns, last };
}

const textOf = ({ what, name }: Only): string => `${what}=${name}`;
const wordOf = (role: Turn['role']): string => Object.keys(roles).find((word) => roles[word] === role) ?? role;
const usage = (what: string, next: string): UserError => new UserError({ what, next }, exitCodes.usage);
const numbers = (version: string): readonly number[] => version.split('.').map(Number);
const minor = (version: string): number => numbers(version)[1] ?? Number.NaN;
/** Below 0: `a` is the older. */
function compare(a: string, b: string): number {
  const [left, right] = [numbers(a), numbers(b)];
  for (let i = 0; i < 3; i++) {
    const by = (left[i] ?? 0) - (right[i] ?? 0);
    if (by !== 0) return by;
  }
  return 0;
}
