import type { Topology } from '../../src/cluster/topology.ts';
import type { Access, Endpoint, HostAccess } from '../../src/host/host.ts';
import { nameOf, type Observed, typeOf } from '../../src/plan/resource.ts';
import { balancerAddress, balancerOutputs } from './balancer.ts';
import { machineAddress } from './design.ts';
import { type MachineOutputs, machine, machineOutputs } from './machine.ts';

/** How the machines of a cluster are reached: the bastion by its port on 127.0.0.1, the others through it, by their addresses. */
export function access(topology: Topology, seen: Observed): Access {
  const bastion = bastionOf(seen);
  const hosts = new Map<string, HostAccess>();
  for (const [address, observation] of seen.entries()) {
    if (typeOf(address) !== machine.name) continue;
    const name = nameOf(address);
    if (observation.state === 'unknown') {
      hosts.set(name, { state: 'unreachable', why: observation.why });
      continue;
    }
    const outputs = outputsOf(observation.outputs);
    // Its run was killed before it was ever started: nothing lies on it, and it is made again.
    if (outputs.state !== 'created') hosts.set(name, hostAccess(name, outputs, bastion));
  }
  return { bastion: bastion.endpoint, hosts, api: apiOf(topology, seen) };
}

/** Asked for at every turn of a machine, of all machines. */
const known = new WeakMap<object, MachineOutputs>();
function outputsOf(outputs: object): MachineOutputs {
  const parsed = known.get(outputs) ?? machineOutputs.parse(outputs);
  known.set(outputs, parsed);
  return parsed;
}

type Bastion = { readonly endpoint: Endpoint } | { readonly endpoint: undefined; readonly why: string };

function bastionOf(seen: Observed): Bastion {
  const found = seen.get(machineAddress('bastion'));
  if (!found) return { endpoint: undefined, why: 'the bastion does not exist' };
  if (found.state === 'unknown') return { endpoint: undefined, why: `the bastion: ${found.why}` };
  const { state, sshPort, hostKey, container } = machineOutputs.parse(found.outputs);
  if (state !== 'running') return { endpoint: undefined, why: `the bastion is not running (container ${container}: ${state})` };
  if (sshPort === null) return { endpoint: undefined, why: `the bastion publishes no port (container ${container})` };
  return { endpoint: { address: '127.0.0.1', port: sshPort, user: 'root', hostKey } };
}

function hostAccess(name: string, { state, address, hostKey, container }: MachineOutputs, bastion: Bastion): HostAccess {
  if (state !== 'running') return { state: 'unreachable', why: `the machine is not running (container ${container}: ${state})` };
  if (!bastion.endpoint) return { state: 'unreachable', why: bastion.why };
  if (name === 'bastion') return { state: 'reachable', endpoint: bastion.endpoint };
  return { state: 'reachable', endpoint: { address, port: 22, user: 'root', hostKey } };
}

function apiOf(topology: Topology, seen: Observed): Access['api'] {
  const found = seen.get(balancerAddress);
  if (found?.state !== 'present') return undefined;
  const { publishedPort } = balancerOutputs.parse(found.outputs);
  return { server: `https://127.0.0.1:${publishedPort}`, tlsServerName: topology.api.name, via: 'direct' };
}
