import type { MachineSpec, Topology } from '../cluster/topology.ts';
import { identityOf } from '../components/bundles.ts';
import type { Access, HostsClients } from '../host/host.ts';
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

type Held = NonNullable<ReturnType<HostsClients['machines']['get']>>;
/** What each machine should hold, by the design as it is now. */
export function machinesBy(design: () => ClusterDesign): () => HostsClients['machines'] {
  let of: ClusterDesign | undefined;
  let machines: HostsClients['machines'] = new Map();
  // The design keeps the specification of a machine for as long as nothing of it changes.
  const known = new WeakMap<MachineSpec, Held>();
  const heldBy = (machine: MachineSpec, { bundles, topology }: ClusterDesign): Held => {
    const bundle = bundles.get(machine.bundle);
    if (!bundle) throw new Error(`no bundle ${machine.bundle}`);
    const held = known.get(machine) ?? { bundle, identity: identityOf(machine, topology) };
    known.set(machine, held);
    return held;
  };
  return () => {
    const now = design();
    if (of !== now) machines = new Map(now.topology.machines.map((machine) => [machine.name, heldBy(machine, now)]));
    of = now;
    return machines;
  };
}
