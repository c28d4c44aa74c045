import type { Address, FieldChange, Resolved } from '../../src/plan/resource.ts';

/** Ownership is a tag on the thing itself, given in the call that makes it: which cluster, and which resource of it. */
export const clusterTag = 'slipway.dev/cluster';
export const resourceTag = 'slipway.dev/resource';
/** Of machines: which role they have, and those of pools which pool they are of. */
export const roleTag = 'slipway.dev/role';
export const poolTag = 'slipway.dev/pool';

/** Tags as data: what plans compare. */
export type Tags = Readonly<Record<string, string>>;
export interface Tag {
  readonly Key: string;
  readonly Value: string;
}

export interface Owner {
  readonly cluster: string;
  /** `provider.aws.tags` of cluster.yaml. */
  readonly extra: Tags;
}

/** Everything that a thing of ours carries. `Name` is what people look for in the console. */
export const tagsOf = ({ cluster, extra }: Owner, address: Address): Tags => ({
  ...extra,
  Name: `${cluster}-${address.slice(address.indexOf('/') + 1)}`,
  [clusterTag]: cluster,
  [resourceTag]: address,
});

export const tagList = (tags: Tags): Tag[] => Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));

/** From what AWS answers; its own tags (`aws:…`) are not ours to compare. */
export const tagsFrom = (
  list: readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[] = [],
): Tags => Object.fromEntries(list.flatMap(({ Key, Value }) => (Key && !Key.startsWith('aws:') ? [[Key, Value ?? '']] : [])));

/** The resource of ours that these tags name; undefined for things of others. */
export function resourceIn(tags: Tags, cluster: string, type: string): Address | undefined {
  const address = tags[resourceTag];
  return tags[clusterTag] === cluster && address?.startsWith(`${type}/`)
    ? (`${type}/${address.slice(type.length + 1)}` as const)
    : undefined;
}

/** For `Filters` of EC2's Describe calls: everything of one cluster in one call. */
export const ofCluster = (cluster: string) => [{ Name: `tag:${clusterTag}`, Values: [cluster] }];

/**
 * A diff that also compares tags, key by key: what we design must be there; what others added (controllers, people) is theirs. P's `tags`
 * is for `fields` to ignore.
 */
export const withTags =
  <P extends { readonly tags: Tags }>(diff: (desired: Resolved<P>, observed: Resolved<P>) => readonly FieldChange[]) =>
  (desired: Resolved<P>, observed: Resolved<P>): readonly FieldChange[] => [
    ...diff(desired, observed),
    ...tagChanges(desired.tags, observed.tags),
  ];

export const tagChanges = (desired: Tags, observed: Tags, at = 'tags'): readonly FieldChange[] =>
  Object.entries(desired).flatMap(([key, value]): FieldChange[] =>
    observed[key] === value ? [] : [{ path: `${at}.${key}`, before: observed[key] ?? null, after: value, impact: 'none' }],
  );
