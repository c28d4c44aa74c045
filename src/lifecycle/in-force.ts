import { type Versions, versionsAsked } from '../assets/catalogue.ts';
import { designTopology } from '../cluster/design.ts';
import type { Bundle } from '../components/bundle.ts';
import { designBundles } from '../components/bundles.ts';
import type { Cluster } from '../config/schema.ts';
import { UserError } from '../errors.ts';
import { canonicalJson, digestOf } from '../plan/canonical.ts';
import { toJson } from '../plan/fields.ts';
import type { Change } from '../plan/plan.ts';
import type { FieldChange } from '../plan/resource.ts';
import { type Standing, upgradePath } from '../rollout/path.ts';
import { type ClusterRecord, identityFrom, versionsFrom } from './identity.ts';
import { isForVersion, settings, withSettings } from './settings.ts';
import { standingOf } from './standing.ts';
import { type Variants, variantsOf } from './variants.ts';

export interface InForce {
  /** cluster.yaml, but for what only `upgrade` may move; while an upgrade is under way, also what machines have moved to. */
  readonly variants: Variants;
  /** What the file asks for beyond that. */
  readonly left: readonly Change[];
}

/**
 * Hard part 2: an edit that would restart what serves (a flag of the API server, a feature gate, etcd's quota) is `upgrade`'s to carry out. Until then
 * such a setting stays as it was for everyone: a healed or added master must not serve with other admission plugins than its peers, and a gate must not
 * reach kubelets before API servers. So the design takes it from the record, and the plan lists it as left. All other settings follow the file at once.
 * Which are which is not a table that could miss one: it is asked of the bundles, setting by setting.
 */
export function inForce(cluster: Cluster, record: ClusterRecord | undefined): InForce {
  const versions = versionsFrom(record, cluster);
  const { cluster: base, left } = keptOf(cluster, record);
  return { variants: variantsOf({ cluster: base, versions }, cluster, record), left };
}

function keptOf(
  cluster: Cluster,
  record: ClusterRecord | undefined,
): { readonly cluster: Cluster; readonly left: readonly Change[] } {
  const left = [...versionsLeft(cluster, record), ...underWay(record)];
  const recorded = record?.settings;
  if (!recorded) return { cluster, left };
  const kept = withSettings(cluster, recorded);
  const differing = settings.filter((setting) => canonicalJson(setting.of(cluster)) !== canonicalJson(setting.of(kept)));
  if (differing.length === 0) return { cluster, left };
  const standing = servingDigest(kept, record);
  const interrupting = differing.filter(
    (setting) => servingDigest(setting.copy(cluster, kept), record) !== standing || (left.length > 0 && isForVersion(setting)),
  );
  const fields = interrupting.map(
    (setting): FieldChange => ({
      path: setting.path,
      before: toJson(setting.of(kept)),
      after: toJson(setting.of(cluster)),
      impact: 'restart',
    }),
  );
  return {
    cluster: interrupting.reduce((made, setting) => setting.copy(kept, made), cluster),
    left: fields.length === 0 ? left : [...left, settingsChange(fields)],
  };
}

const settingsChange = (fields: FieldChange[]): Change => ({
  address: 'rollout/settings',
  action: 'update',
  fields,
  impact: 'restart',
  reason: 'cluster.yaml asks for other settings than those in force',
  when: {
    left: 'upgrade',
    because:
      'it would restart API servers or etcd members, or belongs to another version; until then new machines get the settings in force',
  },
});

/** An upgrade that was stopped: `up` heals each machine at what it has reached, and leaves the rest. */
function underWay(record: ClusterRecord | undefined): readonly Change[] {
  const rollout = record?.rollout;
  if (!rollout) return [];
  const done = Object.values(rollout.at).filter((hops) => hops === rollout.hops.length).length;
  return [
    {
      address: 'rollout/machines',
      action: 'update',
      fields: [{ path: 'moved', before: done, after: Object.keys(rollout.at).length, impact: 'drain' }],
      impact: 'drain',
      reason: 'an upgrade is under way',
      when: { left: 'upgrade', because: 'machines move one by one, gated' },
    },
  ];
}

function versionsLeft(cluster: Cluster, record: ClusterRecord | undefined): readonly Change[] {
  if (!record) return [];
  const [before, after] = [versionsFrom(record, cluster), versionsAsked(cluster)];
  const fields = [...fieldsOf(before, after), ...fieldsOf(before.aws, after.aws)];
  if (fields.length === 0) return [];
  return [
    {
      address: 'rollout/kubernetes',
      action: 'update',
      fields,
      impact: 'drain',
      reason: 'cluster.yaml asks for other versions than those in force',
      when: {
        left: 'upgrade',
        because: refusalOf(standingOf(record.rollout, before, after), after) ?? 'a version moves machine by machine, gated',
      },
    },
  ];
}
/** Where `upgrade` would refuse the way: said here already. */
function refusalOf(from: Versions | Standing, after: Versions): string | undefined {
  try {
    upgradePath(from, after);
    return undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return [error.problem.what, error.problem.next].filter(Boolean).join('; ');
  }
}
const fieldsOf = (before: object = {}, after: object = {}): readonly FieldChange[] => {
  const of = new Map<string, unknown>(Object.entries(before));
  return Object.entries(after).flatMap(([path, version]): readonly FieldChange[] =>
    typeof version !== 'string' || version === of.get(path)
      ? []
      : [{ path: path === 'kubernetes' ? 'version' : path, before: toJson(of.get(path)), after: version, impact: 'drain' }],
  );
};

/** What a serving unit reads at its start: another digest means a restart. */
function servingDigest(cluster: Cluster, record: ClusterRecord): string {
  const bundles = designBundles(designTopology(cluster, identityFrom(record), versionsFrom(record, cluster)));
  return digestOf([...bundles].map(([name, bundle]) => [name, servingInputs(bundle)]));
}
const servingInputs = ({ units, files }: Bundle) =>
  units
    .filter(({ serving }) => serving)
    .map(({ name, text, inputs }) => ({ name, text, inputs: files.filter(({ path }) => inputs.includes(path)) }));
