import type { MachineSpec, Topology } from '../cluster/topology.ts';
import type { Bundle } from '../components/bundle.ts';
import { identityOf } from '../components/bundles.ts';
import type { Access, DesignedHost, HostsClients } from '../host/host.ts';
import { ObservedMap } from '../plan/observed.ts';
import type { Observed } from '../plan/resource.ts';
import type { Provider } from '../provider.ts';
import type { ClusterDesign } from './design.ts';

/** What follows from all machines, for those who ask at every turn of one of them: derived again only when it may have changed. */

export interface AccessBy {
  access(): Access;
  /** From here on by what is seen here. */
  above(seen: Observed): void;
}
/** How machines are reached now. */
export function accessBy(provider: Pick<Provider, 'access'>, topology: () => Topology): AccessBy {
  let seen: Observed = new ObservedMap();
  let known: { readonly of: Topology; readonly revision: number; readonly access: Access } | undefined;
  return {
    access() {
      const of = topology();
      if (!(seen instanceof ObservedMap)) return provider.access(of, seen);
      const { revision } = seen;
      if (known?.of !== of || known.revision !== revision) known = { of, revision, access: provider.access(of, seen) };
      return known.access;
    },
    above(below) {
      [seen, known] = [below, undefined];
    },
  };
}

/** What each machine should hold, by the design as it is now. */
export function machinesBy(design: () => Pick<ClusterDesign, 'topology' | 'bundles'>): () => HostsClients['machines'] {
  let of: ReturnType<typeof design> | undefined;
  let machines = new Map<string, DesignedHost>();
  let othersKnown: Others = new Map();
  // The design keeps the specification of a machine for as long as nothing of it changes.
  const known = new WeakMap<MachineSpec, DesignedHost>();
  return () => {
    const now = design();
    if (of === now) return machines;
    const { bundles, topology } = now;
    const othersBefore = othersKnown;
    const others = of?.bundles === bundles ? othersKnown : othersIn(bundles);
    othersKnown = others;
    const heldBy = (machine: MachineSpec): DesignedHost => {
      const bundle = bundles.get(machine.bundle);
      if (!bundle) throw new Error(`no bundle ${machine.bundle}`);
      const own = others.get(bundle) ?? [];
      const found = known.get(machine);
      const held = found?.others === own ? found : { bundle, identity: identityOf(machine, topology), others: own };
      known.set(machine, held);
      return held;
    };
    const before = of?.topology.machines;
    // At each turn the same machines, and one of them has moved.
    if (before?.length === topology.machines.length && topology.machines.every(({ name }, i) => before[i]?.name === name)) {
      for (const [i, machine] of topology.machines.entries())
        if (machine !== before[i] || others !== othersBefore) machines.set(machine.name, heldBy(machine));
    } else machines = new Map(topology.machines.map((machine) => [machine.name, heldBy(machine)]));
    of = now;
    return machines;
  };
}

type Others = ReadonlyMap<Bundle, readonly Bundle[]>;
/** The same kind of machine at the other states of an upgrade, by its bundle at each. */
function othersIn(bundles: ClusterDesign['bundles']): Others {
  const states = Map.groupBy(bundles.values(), ({ name }) => name);
  return new Map(
    [...bundles.values()].map((bundle) => [bundle, (states.get(bundle.name) ?? []).filter((each) => each !== bundle)]),
  );
}
