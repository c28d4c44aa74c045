import { toJson } from './fields.ts';
import { Pending, resolve } from './resolve.ts';
import type { Address, FieldChange, Impact, Json, Observed, Resource, ResourceType } from './resource.ts';
import { impacts } from './resource.ts';

export type Types = ReadonlyMap<string, ResourceType<object, object, unknown>>;

/** One thing that differs, before anybody chose what to do about it. */
export interface Difference {
  readonly address: Address;
  readonly action: 'create' | 'update' | 'delete' | 'unknown';
  readonly fields: readonly FieldChange[];
  readonly reason: string;
}

/** Desired against observed, by address. Pure. Resources observed in a type of `types` and not desired are deletions. */
export function diff(desired: readonly Resource[], observed: Observed, types: Types): readonly Difference[] {
  const differences: Difference[] = [];
  const designed = new Set<Address>();
  for (const resource of desired) {
    designed.add(resource.address);
    const difference = diffOne(resource, observed, types);
    if (difference) differences.push(difference);
  }
  for (const [address, observation] of observed.entries()) {
    const type = types.get(address.slice(0, address.indexOf('/')));
    if (designed.has(address) || observation.state === 'unknown' || !type?.delete || type.shrink === 'never') continue;
    if (type.keeps?.(observation.props)) continue;
    differences.push({ address, action: 'delete', fields: [], reason: 'not in cluster.yaml' });
  }
  return differences;
}

function diffOne(resource: Resource, observed: Observed, types: Types): Difference | undefined {
  const { address } = resource;
  const type = types.get(resource.type);
  if (!type) throw new Error(`no resource type ${resource.type} for ${address}`);
  const observation = observed.get(address);
  if (observation?.state === 'unknown') return { address, action: 'unknown', fields: [], reason: observation.why };
  const { props, pending } = resolve(resource.props, observed);
  if (!observation) return { address, action: 'create', fields: createFields(props, pending), reason: 'does not exist' };
  if (pending.size === 0) {
    const fields = type.diff(props, observation.props);
    return fields.length === 0 ? undefined : { address, action: 'update', fields, reason: reasonOf(fields) };
  }
  // What is not known yet cannot differ yet: those props are compared again just before the step applies them.
  const known = Object.fromEntries(
    Object.entries(props).map(([key, value]) => [key, pending.has(key) ? propOf(observation.props, key) : value]),
  );
  const waiting = [...pending].map(
    ([path, address]): FieldChange => ({
      path,
      before: summary(propOf(observation.props, path)),
      after: { pending: address },
      impact: 'none',
    }),
  );
  const fields = [...type.diff(known, observation.props), ...waiting];
  return { address, action: 'update', fields, reason: reasonOf(fields) };
}

const propOf = (props: object, key: string): unknown => Object.entries(props).find(([name]) => name === key)?.[1];

function createFields(props: object, pending: ReadonlyMap<string, Address>): readonly FieldChange[] {
  return Object.entries(props)
    .filter(([, value]) => value !== undefined)
    .map(([path, value]): FieldChange => {
      const waitsFor = pending.get(path);
      return { path, before: null, after: waitsFor === undefined ? summary(value) : { pending: waitsFor }, impact: 'none' };
    });
}

/** Small values as they are; a map of many (the files of a bundle) as its size: the plan names the thing, the design holds the rest. */
const summaries = new WeakMap<object, Json>();
function summary(value: unknown): Json {
  if (value instanceof Pending) return null;
  if (typeof value !== 'object' || value === null) return toJson(value);
  const known = summaries.get(value);
  if (known !== undefined) return known;
  const size = Array.isArray(value) ? value.length : Object.keys(value).length;
  const short = size <= 8 && JSON.stringify(value).length <= 300;
  const made = short ? toJson(value) : `${size} entries`;
  if (!short) summaries.set(value, made);
  return made;
}

const reasonOf = (fields: readonly FieldChange[]): string =>
  `${fields.length} ${fields.length === 1 ? 'field differs' : 'fields differ'}`;

export const worst = (of: Iterable<Impact>): Impact => {
  let index = 0;
  for (const impact of of) index = Math.max(index, impacts.indexOf(impact));
  return impacts[index] ?? 'none';
};
