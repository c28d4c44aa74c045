import {
  type Address,
  addressOf,
  type Context,
  type FieldChange,
  nameOf,
  type Observation,
  type Resolved,
  type Resource,
  type ResourceType,
} from '../../plan/resource.ts';
import { readFacts } from '../facts.ts';
import type { HostsClients } from '../host.ts';
import { rebootHost, upgradePackages } from '../packages.ts';

export interface PackagesProps {
  /** Desired: upgraded then or later, as 2026-11-21T00:00:00Z. Observed: when they were upgraded last; empty: never by Slipway. */
  readonly since: string;
  /** It runs pods: they leave before. */
  readonly node: boolean;
  /** Observed only: why a reboot is due that an upgrade has left. */
  readonly reboot?: string;
}
export interface PackagesOutputs {
  /** The machine was restarted just now: everything on it has started anew. */
  readonly rebooted: boolean;
  /** Since when an upgrade was asked for when it was done. */
  readonly asked?: string;
}

export const packagesAddress = (machine: string): Address => addressOf('host.packages', machine);

/** The packages and the kernel of one machine's operating system, before anything of ours lies on it. */
export const packagesResource = (
  machine: { readonly name: string; readonly role: string },
  since: string,
  after: readonly Address[],
): Resource<PackagesProps> => ({
  address: packagesAddress(machine.name),
  type: 'host.packages',
  props: { since, node: machine.role === 'master' || machine.role === 'worker' },
  after,
});

/**
 * The operating system's packages of a machine are of a date. On a new machine they are upgraded before anything of ours comes there, so nobody leaves it; one that
 * serves is drained, upgraded in its turn, and restarted where needed. Which packages those are is between the machine and its mirrors.
 */
export const hostPackages: ResourceType<PackagesProps, PackagesOutputs, HostsClients> = {
  name: 'host.packages',
  shrink: 'never',
  // Somebody else's lock, a slow mirror, and the restart.
  timeoutMs: 1_900_000,
  async observe(world) {
    const found = new Map<Address, Observation<PackagesProps, PackagesOutputs>>();
    for (const [name, seen] of await world.read(readFacts)) {
      const address = packagesAddress(name);
      if (seen.state === 'unknown') found.set(address, seen);
      if (seen.state !== 'present') continue;
      const { packages, reboot, bundle } = seen.facts;
      // New: nothing of ours is there yet.
      if (bundle === undefined && packages === undefined) continue;
      found.set(address, {
        state: 'present',
        props: { since: packages?.since ?? '', node: false, ...(reboot !== undefined && { reboot }) },
        outputs: { rebooted: false, ...(packages && { asked: packages.asked }) },
      });
    }
    return found;
  },
  diff: diffPackages,
  create: (desired, ctx) => bring(desired, ctx),
  update: (desired, _outputs, ctx) => bring(desired, ctx),
};

/** Later than asked for is as good. Pure. */
export function diffPackages(desired: Resolved<PackagesProps>, observed: Resolved<PackagesProps>): readonly FieldChange[] {
  const impact = desired.node ? 'drain' : 'restart';
  const changes: FieldChange[] = [];
  if (observed.since < desired.since)
    changes.push({ path: 'since', before: observed.since === '' ? null : observed.since, after: desired.since, impact });
  if (observed.reboot !== undefined)
    changes.push({ path: 'reboot', before: observed.reboot, after: null, impact, note: 'the machine restarts' });
  return changes;
}

async function bring(desired: Resolved<PackagesProps>, ctx: Context<HostsClients>): Promise<PackagesOutputs> {
  const { address, clients, signal, progress } = ctx;
  const name = nameOf(address);
  const host = await clients.hosts.get(name, { signal });
  progress('upgrades its packages');
  const { reboot, boot } = await upgradePackages(host, { since: desired.since, generation: clients.generation }, signal);
  const outputs = { rebooted: reboot !== undefined, asked: desired.since };
  if (reboot === undefined) return outputs;
  progress(`restarts: ${reboot}`);
  await rebootHost(clients.hosts, name, boot, { now: clients.now, signal });
  return outputs;
}
