import type { Access, Hosts, HostsClients } from '../../host/host.ts';
import { ObservedMap } from '../../plan/observed.ts';
import { type Address, typeOf } from '../../plan/resource.ts';
import { machineOf } from '../../rollout/waves.ts';
import { coalesced } from '../../run/coalesced.ts';
import { type Connected, observe } from '../../run/observe.ts';
import type { Session } from '../session.ts';

/**
 * Looks at machines in their turns: what is seen of one becomes what is so; of others nothing is learnt, for they may be in the middle of their own. One
 * observation is for all that ask meanwhile, and asks no other worker's host: the cloud and the API are asked as often for a thousand machines as for one.
 */
export function machineLooks(session: Session): (machine: string) => Promise<void> {
  const { seen, signal } = session;
  let asking = new Set<string>();
  const together = coalesced(async () => {
    const machines = asking;
    asking = new Set();
    const found = new ObservedMap();
    await observe(narrowed(session, machines), found, signal, () => undefined);
    for (const machine of machines) {
      const names = new Set([machine]);
      const own = ([address]: readonly [Address, unknown]): boolean => machineOf(address, names) !== undefined;
      for (const [address] of [...seen.named(machine)].filter(own)) seen.delete(address);
      for (const [address, observation] of [...found.named(machine)].filter(own)) seen.set(address, observation);
    }
  });
  return (machine) => {
    asking.add(machine);
    return together();
  };
}

/** Only types that these machines have or are to have; and of hosts theirs, and those by which etcd and API servers are judged. */
function narrowed({ connected, design, seen, reach }: Session, machines: ReadonlySet<string>): readonly Connected[] {
  const own = [...machines].flatMap((machine) => [
    ...design.of(machine).map(({ type }) => type),
    ...[...seen.named(machine)].map(([address]) => typeOf(address)),
  ]);
  const types = new Set(own);
  const others = new Set(
    design.topology.machines.filter(({ role, name }) => role === 'worker' && !machines.has(name)).map(({ name }) => name),
  );
  return connected.map(({ layer, clients }) => ({
    layer: { ...layer, types: layer.types.filter(({ name }) => types.has(name)) },
    clients: layer.name === 'hosts' ? without(others, reach.hosts()) : clients,
  }));
}

function without(others: ReadonlySet<string>, clients: HostsClients): HostsClients {
  const { hosts } = clients;
  const rest = <T>(all: ReadonlyMap<string, T>): ReadonlyMap<string, T> =>
    new Map([...all].filter(([name]) => !others.has(name)));
  const few: Hosts = {
    access: (): Access => ({ ...hosts.access(), hosts: rest(hosts.access().hosts) }),
    get: (...asked) => hosts.get(...asked),
    tunnel: (...asked) => hosts.tunnel(...asked),
    close: () => hosts.close(),
  };
  return { ...clients, hosts: few, machines: rest(clients.machines) };
}
