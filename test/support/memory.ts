import { digestOf } from '../../src/plan/canonical.ts';
import { fields, toJson } from '../../src/plan/fields.ts';
import { refsOf } from '../../src/plan/resolve.ts';
import {
  type Address,
  type Context,
  type FieldChange,
  isRef,
  type Layer,
  nameOf,
  type Observation,
  type Resource,
  type ResourceType,
  typeOf,
  type World,
} from '../../src/plan/resource.ts';

/**
 * A world in memory: what exists, by address. It refuses what a real one would mind: creating a thing twice, creating it before what it
 * stands on, deleting it while something stands on it.
 */
export class MemoryWorld {
  readonly things = new Map<Address, { props: object; outputs: object }>();
  readonly unreachable = new Map<Address, string>();
  readonly log: string[] = [];
  /** What each thing was made on. */
  readonly below = new Map<Address, readonly Address[]>();
  /** Called after each act has reached the world: a test throws or aborts here. */
  onAct: (act: string) => void | Promise<void> = () => undefined;
  /** How many acts run now, and the most that ever did. */
  active = 0;
  peak = 0;
}

/** One resource type over the memory world, for whatever type the design uses. Outputs are made for every field that some Ref asks for. */
function memoryType(
  name: string,
  world: MemoryWorld,
  desired: () => readonly Resource[],
  layer: LayerName,
): ResourceType<object, object, MemoryWorld> {
  const outputsOf = (address: Address): object =>
    Object.fromEntries([...(indexOf(desired()).fields.get(address) ?? [])].map((field) => [field, `${field} of ${address}`]));
  const act = async (what: string, change: () => void): Promise<void> => {
    world.active++;
    world.peak = Math.max(world.peak, world.active);
    await Promise.resolve();
    change();
    world.log.push(what);
    world.active--;
    await world.onAct(what);
  };
  return {
    name,
    dependsOn: dependencies[name] ?? [],
    ...(name === 'kube.node' && { deletedAfter: ['local.machine'] }),
    shrink: name.endsWith('volume') ? 'data-loss' : layer === 'infrastructure' || leaving.has(name) ? 'upgrade' : 'never',
    async observe(observing: World<MemoryWorld>) {
      const found = new Map<Address, Observation<object, object>>();
      for (const [address, thing] of observing.clients.things)
        if (typeOf(address) === name) found.set(address, { state: 'present', ...thing });
      for (const [address, why] of observing.clients.unreachable)
        if (typeOf(address) === name) found.set(address, { state: 'unknown', why });
      return found;
    },
    diff(desired, observed): readonly FieldChange[] {
      return fields<Record<string, unknown>>(Object.fromEntries(Object.keys(desired).map((key) => [key, 'none' as const])))(
        { ...desired },
        { ...observed },
      );
    },
    async create(props, { address }: Context<MemoryWorld>) {
      const outputs = outputsOf(address);
      await act(`create ${address}`, () => {
        if (world.things.has(address)) throw new Error(`${address} was created twice`);
        const resource = indexOf(desired()).resources.get(address);
        const standsOn = resource ? [...refsOf(resource.props), ...resource.after] : [];
        for (const below of standsOn) if (!world.things.has(below)) throw new Error(`${address} was created before ${below}`);
        world.below.set(address, standsOn);
        world.things.set(address, { props, outputs });
      });
      return outputs;
    },
    async update(props, outputs, { address }) {
      await act(`update ${address}`, () => world.things.set(address, { props, outputs }));
      return outputs;
    },
    async delete(_outputs, { address }) {
      await act(`delete ${address}`, () => {
        const standing = [...world.things.keys()].find(
          (other) => layerOf(typeOf(other)) === 'infrastructure' && world.below.get(other)?.includes(address),
        );
        if (standing) throw new Error(`${address} was deleted while ${standing} stands on it`);
        world.things.delete(address);
        // What lies on a machine goes with it. What others say of it (a member of etcd, a Node) stays until it is taken away.
        if (name !== 'local.machine') return;
        for (const other of world.things.keys())
          if (/^(host\.|pki\.certificate|kube\.api)/.test(other) && nameOf(other).split('.')[0] === nameOf(address))
            world.things.delete(other);
      });
    },
  };
}

const dependencies: Readonly<Record<string, readonly string[]>> = {
  'local.machine': ['local.image', 'local.network', 'local.volume'],
  'local.balancer': ['local.image', 'local.network'],
  'host.bundle': ['local.machine'],
  'host.units': ['host.bundle'],
  'etcd.member': ['host.units'],
};
/** Besides infrastructure: what `upgrade` takes away. */
const leaving: ReadonlySet<string> = new Set(['etcd.member', 'host.units', 'kube.node']);

type LayerName = 'secrets' | 'infrastructure' | 'hosts' | 'kube';
const layerOf = (type: string): LayerName => {
  if (type === 'secret' || type === 'pki.authority') return 'secrets';
  if (type.startsWith('local.')) return 'infrastructure';
  return type.startsWith('kube.') && type !== 'kube.api' ? 'kube' : 'hosts';
};

/** The four layers of a design over one memory world; `now`: as it is by now, of the same types. */
export function memoryLayers(
  world: MemoryWorld,
  resources: readonly Resource[],
  now: () => readonly Resource[] = () => resources,
): readonly Layer[] {
  const types = [...new Set(resources.map((resource) => resource.type))];
  return (['secrets', 'infrastructure', 'hosts', 'kube'] as const).map((name) => ({
    name,
    types: types.filter((type) => layerOf(type) === name).map((type) => memoryType(type, world, now, name)),
    connect: async () => world,
  }));
}

interface Index {
  readonly resources: ReadonlyMap<Address, Resource>;
  /** Outputs that some Ref asks for, by resource. */
  readonly fields: Map<Address, Set<string>>;
}
const indexes = new WeakMap<readonly Resource[], Index>();
/** Made once a design: one of 1,000 machines has 8,000 resources. */
function indexOf(desired: readonly Resource[]): Index {
  const known = indexes.get(desired);
  if (known) return known;
  const index: Index = { resources: new Map(desired.map((resource) => [resource.address, resource])), fields: new Map() };
  for (const resource of desired) collectFields(resource.props, index.fields);
  indexes.set(desired, index);
  return index;
}
function collectFields(value: unknown, into: Map<Address, Set<string>>): void {
  if (typeof value !== 'object' || value === null) return;
  if (isRef(value)) {
    into.set(value.ref, (into.get(value.ref) ?? new Set()).add(value.field));
    return;
  }
  for (const inner of Object.values(value)) collectFields(inner, into);
}

/** For comparing end states. */
export const worldDigest = (world: MemoryWorld): string =>
  digestOf(
    [...world.things]
      .map(([address, thing]) => [address, toJson(thing.props)])
      .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
  );
