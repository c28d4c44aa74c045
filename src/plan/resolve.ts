import { type Address, isRef, type Observed, type Ref } from './resource.ts';

/** Stands where a Ref could not be resolved yet: the thing that it names is not there. */
export class Pending {
  readonly address: Address;
  constructor(address: Address) {
    this.address = address;
  }
}

export interface Resolution {
  readonly props: object;
  /** Top-level props in which something is pending, with the address it waits for. */
  readonly pending: ReadonlyMap<string, Address>;
}

/** Replaces each Ref by the output (or prop) of the observed resource. Objects without Refs are kept as they are, so shared bundles stay shared. */
export function resolve(props: object, observed: Observed): Resolution {
  const pending = new Map<string, Address>();
  let changed = false;
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(props)) {
    const resolved = resolveValue(value, observed, (address) => pending.set(key, address));
    if (resolved !== value) changed = true;
    result[key] = resolved;
  }
  return { props: changed ? result : props, pending };
}

/** Whether a value holds a Ref anywhere: remembered for large objects, as the maps of a bundle are shared by thousands of hosts. */
const refFree = new WeakMap<object, boolean>();
const worthRemembering = 8;
function isRefFree(value: object): boolean {
  if (isRef(value)) return false;
  const known = refFree.get(value);
  if (known !== undefined) return known;
  const inside = Object.values(value);
  const free = inside.every((inner) => typeof inner !== 'object' || inner === null || isRefFree(inner));
  if (inside.length > worthRemembering) refFree.set(value, free);
  return free;
}

function resolveValue(value: unknown, observed: Observed, missing: (address: Address) => void): unknown {
  if (typeof value !== 'object' || value === null || isRefFree(value)) return value;
  if (isRef(value)) {
    const found = lookUp(value, observed);
    if (found instanceof Pending) missing(value.ref);
    return found;
  }
  if (Array.isArray(value)) return value.map((v) => resolveValue(v, observed, missing));
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolveValue(v, observed, missing)]));
}

function lookUp(ref: Ref, observed: Observed): unknown {
  const target = observed.get(ref.ref);
  if (target?.state !== 'present') return new Pending(ref.ref);
  const found = field(target.outputs, ref.field) ?? field(target.props, ref.field);
  return found === undefined ? new Pending(ref.ref) : found;
}
const field = (of: object, name: string): unknown => Object.entries(of).find(([key]) => key === name)?.[1];

/** Every address that the props refer to. */
const refsMemo = new WeakMap<object, readonly Address[]>();
export function refsOf(value: unknown): readonly Address[] {
  if (typeof value !== 'object' || value === null || isRefFree(value)) return [];
  if (isRef(value)) return [value.ref];
  const known = refsMemo.get(value);
  if (known) return known;
  const found = [...new Set(Object.values(value).flatMap(refsOf))];
  refsMemo.set(value, found);
  return found;
}
