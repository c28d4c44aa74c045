import { z } from 'zod';
import type { Topology } from '../../src/cluster/topology.ts';
import type { Access, Endpoint, HostAccess } from '../../src/host/host.ts';
import { nameOf, type Observed, typeOf } from '../../src/plan/resource.ts';

/** What aws.machine says of itself (providers/aws/machine.ts). */
const machineSchema = z.looseObject({
  id: z.string(),
  state: z.string(),
  address: z.string(),
  publicAddress: z.string().nullish(),
  hostKey: z.string(),
});
const elasticIpSchema = z.looseObject({ address: z.string() });
const user = 'root';

/** How the machines of a cluster are reached: the bastion by its Elastic IP, the others and the API through it. */
export function access(topology: Topology, seen: Observed): Access {
  const bastion = bastionOf(seen);
  const hosts = new Map<string, HostAccess>();
  for (const [address, observation] of seen.entries()) {
    if (typeOf(address) !== 'aws.machine') continue;
    const name = nameOf(address);
    if (observation.state === 'unknown') hosts.set(name, { state: 'unreachable', why: observation.why });
    else hosts.set(name, hostAccess(name, machineOf(observation.outputs), bastion));
  }
  const balancer = seen.get('aws.balancer/api');
  return {
    bastion: bastion.endpoint,
    hosts,
    api:
      balancer?.state === 'present'
        ? { server: `https://${topology.api.name}:${topology.api.port}`, tlsServerName: topology.api.name, via: 'bastion' }
        : undefined,
  };
}

type Bastion = { readonly endpoint: Endpoint } | { readonly endpoint: undefined; readonly why: string };
type Machine = z.infer<typeof machineSchema>;
/** Asked for at every turn of a machine, of all machines. */
const known = new WeakMap<object, Machine>();
function machineOf(outputs: object): Machine {
  const parsed = known.get(outputs) ?? machineSchema.parse(outputs);
  known.set(outputs, parsed);
  return parsed;
}

function bastionOf(seen: Observed): Bastion {
  const found = seen.get('aws.machine/bastion');
  if (!found) return { endpoint: undefined, why: 'the bastion does not exist' };
  if (found.state === 'unknown') return { endpoint: undefined, why: `the bastion: ${found.why}` };
  const machine = machineSchema.parse(found.outputs);
  const why = notReachable(machine);
  if (why !== undefined) return { endpoint: undefined, why: `the bastion: ${why}` };
  const elasticIp = seen.get('aws.elastic-ip/bastion');
  const address = elasticIp?.state === 'present' ? elasticIpSchema.parse(elasticIp.outputs).address : machine.publicAddress;
  if (!address) return { endpoint: undefined, why: `the bastion has no public address (instance ${machine.id})` };
  return { endpoint: { address, port: 22, user, hostKey: machine.hostKey } };
}

function hostAccess(name: string, machine: Machine, bastion: Bastion): HostAccess {
  const why = notReachable(machine);
  if (why !== undefined) return { state: 'unreachable', why };
  if (!bastion.endpoint) return { state: 'unreachable', why: bastion.why };
  if (name === 'bastion') return { state: 'reachable', endpoint: bastion.endpoint };
  return { state: 'reachable', endpoint: { address: machine.address, port: 22, user, hostKey: machine.hostKey } };
}

/** A key that nobody has published is no reason to trust the first that answers. */
function notReachable({ id, state, hostKey }: Machine): string | undefined {
  if (state !== 'running') return `the machine is not running (instance ${id}: ${state})`;
  if (hostKey === '') return `instance ${id} has not published its SSH host key yet: it boots, or its first boot failed`;
  return undefined;
}
