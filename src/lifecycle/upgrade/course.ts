import { forProvider, type Versions, versionsAsked } from '../../assets/catalogue.ts';
import { minorOf } from '../../assets/version-order.ts';
import type { MachineSpec, Topology } from '../../cluster/topology.ts';
import { withoutRefused } from '../../config/kubernetes-options.ts';
import type { Cluster } from '../../config/schema.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import { type Part, upgradePath } from '../../rollout/path.ts';
import type { ClusterRecord, RolloutRecord } from '../identity.ts';
import { type Settings, settings, settingsOf, withSettings } from '../settings.ts';
import { mastersBehind, standingOf, usedHops } from '../standing.ts';
import { addonsKey, poolKey, type Variant, type Variants } from '../variants.ts';

/** One step of the way: to which variant, and who goes, in this order. */
export interface Hop {
  /** In `Course.variants.all`. */
  readonly index: number;
  readonly versions: Versions;
  readonly moves: readonly Part[];
}
/** Where an upgrade stands, and the way before it. */
export interface Course {
  readonly variants: Variants;
  readonly hops: readonly Hop[];
  readonly from: Versions;
  readonly to: Versions;
  /** Settings of cluster.yaml that come into force. */
  readonly settings: readonly string[];
}

const everyone: readonly Part[] = ['etcd', 'masters', 'addons', 'pools'];

/**
 * The way from what the record says to what the file asks for. Hops that an upgrade before this one has made, and was stopped on, stay: machines are at them.
 * A last hop of the same versions carries out settings, and what else was left to `upgrade`. Throws UserError for a way that Kubernetes or etcd do not allow.
 */
export function courseOf(file: Cluster, base: Variant, record: ClusterRecord | undefined): Course {
  const to = versionsAsked(file);
  const at = { ...record?.rollout?.at };
  const used = usedHops(record?.rollout);
  const last = used.at(-1) ?? { versions: base.versions, settings: settingsOf(base.cluster) };
  const target = { versions: recorded(to), settings: settingsOf(file) };
  const reached = { versions: recorded(last.versions), settings: settingsOf(withSettings(file, last.settings)) };
  const there = canonicalJson(reached) === canonicalJson(target);
  const from = standingOf(record?.rollout, base.versions, to);
  const path = there ? [] : upgradePath(from, to);
  const forwards = mastersBehind(record?.rollout, base.versions, to);
  // In between: other versions with the settings in force; what the file asks for may be unknown to them.
  const more = path.map(({ versions, moves }, index) => ({
    versions: recorded(versions),
    settings: index === path.length - 1 ? target.settings : passing(last.settings, versions.kubernetes),
    // Back by a patch for those who have been there, and forwards for others: masters first.
    moves: forwards && index === path.length - 1 ? [...everyone] : [...moves],
  }));
  // Given up: nobody else goes where somebody has been.
  const passed = 'masters' in from ? used.map((hop) => ({ ...hop, moves: [] })) : passingBy(used, path);
  const hops = [...passed, ...more];
  const variants = hops.map(
    ({ versions, settings: own }): Variant => ({
      cluster: withSettings(file, own),
      versions: forProvider(versions, file.provider),
    }),
  );
  // Those made before are gone through again: who was not reached then goes now, everyone else has nothing left to do there.
  const ahead = hops
    .map(({ versions, moves }, index): Hop => ({ index: index + 1, versions, moves }))
    .filter(({ moves }) => moves.length > 0);
  return {
    variants: { all: [base, ...variants], at },
    hops: ahead.length > 0 ? ahead : [{ index: 0, versions: to, moves: everyone }],
    from: base.versions,
    to,
    settings: settings
      .filter((setting) => canonicalJson(setting.of(base.cluster)) !== canonicalJson(setting.of(file)))
      .map(({ path: name }) => name),
  };
}

/**
 * Where the file has changed since an upgrade was stopped, whoever has not reached the hop that it was on goes to the next one instead, if no minor version
 * lies between: what was mended in the file may be what stopped it there.
 */
function passingBy(
  used: RolloutRecord['hops'],
  [next, further]: readonly { readonly versions: Versions }[],
): RolloutRecord['hops'] {
  const last = used.at(-1);
  if (!last) return [];
  const before = used.slice(0, -1);
  // The file stays where a longer way has passed through: from there nobody goes any further, so all come there.
  if (!next)
    return [...before, { ...last, moves: everyone.every((part) => last.moves.includes(part)) ? last.moves : [...everyone] }];
  const near = (['kubernetes', 'etcd'] as const).every((part) => minorOf(next.versions[part]) === minorOf(last.versions[part]));
  return [...before, near && !further ? { ...last, moves: [] } : last];
}

/** On the way: without what this version does not take any more. */
const passing = (settings: Settings, kubernetes: string): Settings => ({
  ...settings,
  kubernetes: withoutRefused(settings.kubernetes, kubernetes),
});

const recorded = (versions: Versions): RolloutRecord['hops'][number]['versions'] => {
  const { aws, ...rest } = versions;
  return { ...rest, ...(aws && { aws }) };
};

/** Everyone who goes on this hop is there. */
export function variantsAt({ variants }: Course, { index, moves }: Hop, { machines, cluster }: Topology): Variants {
  const goes = ({ role }: MachineSpec): boolean =>
    role === 'etcd' ? moves.includes('etcd') : role === 'master' ? moves.includes('masters') : moves.includes('pools');
  const at = { ...variants.at };
  const move = (key: string): void => {
    at[key] = Math.max(index, at[key] ?? 0);
  };
  for (const machine of machines) if (goes(machine)) move(machine.name);
  if (moves.includes('addons')) move(addonsKey);
  if (moves.includes('pools')) for (const pool of cluster.pools) move(poolKey(pool.name));
  return { ...variants, at };
}

/** For the record: with everyone who has not moved yet, so that machines that are made meanwhile know their kin. */
export const rolloutRecord = (
  { variants, hops }: Course,
  { machines }: Topology,
  {
    at,
    turning,
    replacing,
    ungated = [],
  }: {
    readonly at: Variants['at'];
    readonly turning: ReadonlySet<string>;
    readonly replacing: ReadonlyMap<string, number>;
    readonly ungated?: RolloutRecord['ungated'];
  },
): RolloutRecord => ({
  hops: variants.all.slice(1).map(({ cluster, versions }, index) => ({
    versions: recorded(versions),
    settings: settingsOf(cluster),
    moves: [...(hops.find((hop) => hop.index === index + 1)?.moves ?? [])],
  })),
  at: { ...Object.fromEntries(machines.map(({ name }) => [name, 0])), ...at },
  ...(turning.size > 0 && { turning: [...turning] }),
  ...(replacing.size > 0 && { replacing: Object.fromEntries(replacing) }),
  ...(ungated.length > 0 && { ungated: [...ungated] }),
});
export const settingsAt = (course: Course): Settings =>
  settingsOf((course.variants.all.at(-1) ?? course.variants.all[0]).cluster);
export const lastHop = ({ hops }: Course): Hop => {
  const last = hops.at(-1);
  if (!last) throw new Error('a course has at least one hop');
  return last;
};
