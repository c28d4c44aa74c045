import {
  addressOf,
  type Context,
  type FieldChange,
  nameOf,
  type Observation,
  type Resolved,
  type ResourceType,
} from '../../plan/resource.ts';
import { startUnits, stopUnits } from '../converge.ts';
import type { UnitProps, UnitsProps } from '../design.ts';
import { readFacts } from '../facts.ts';
import type { HostFacts, HostsClients } from '../host.ts';

export interface UnitsOutputs {
  /** Units that run older content than lies on the disk. */
  readonly stale: readonly string[];
  /** Units that run. */
  readonly running?: readonly string[];
}

/**
 * The units of a host's bundle run, with what lies there now. Starting waits for nothing: readiness is a step of its own. A unit that
 * does not run because its ConditionPathExists is not met is no difference here: an etcd member without its data is `etcd.member`'s.
 * On a machine that is no longer designed they are stopped before it goes: an API server ends what it has begun, says no to the balancer and takes itself
 * off the endpoints of the `kubernetes` Service; whoever leads hands over.
 */
export const hostUnits: ResourceType<UnitsProps, UnitsOutputs, HostsClients> = {
  name: 'host.units',
  dependsOn: ['host.bundle'],
  shrink: 'upgrade',
  async observe(world) {
    const found = new Map<ReturnType<typeof addressOf>, Observation<UnitsProps, UnitsOutputs>>();
    for (const [name, seen] of await world.read(readFacts)) {
      const address = addressOf('host.units', name);
      if (seen.state === 'unknown') found.set(address, seen);
      else if (seen.state === 'present' && seen.facts.bundle !== undefined)
        found.set(address, { state: 'present', ...observedUnits(seen.facts) });
    }
    return found;
  },
  diff: diffUnits,
  create: (_desired, ctx) => start([], ctx),
  update: (_desired, { stale }, ctx) => start(stale, ctx),
  async delete({ running = [] }, { address, clients, signal }) {
    const host = await clients.hosts.get(nameOf(address), { signal });
    await stopUnits(host, { generation: clients.generation, units: running }, signal);
  },
};

/** A unit that crashes and is restarted is `activating`, and as good as active here: whether it gets ready is asked elsewhere. */
const runs = (active: string): boolean => active !== 'inactive' && active !== 'failed' && active !== 'deactivating';

function observedUnits(facts: HostFacts): { readonly props: UnitsProps; readonly outputs: UnitsOutputs } {
  const props = (unit: HostFacts['units'] extends ReadonlyMap<string, infer U> ? U : never): UnitProps => ({
    active: runs(unit.active),
    current: !unit.stale,
    serving: unit.serving,
    ...(unit.waitsFor !== undefined && { waitsFor: unit.waitsFor }),
  });
  return {
    props: { units: Object.fromEntries([...facts.units].map(([name, unit]) => [name, props(unit)])) },
    outputs: {
      stale: [...facts.units].filter(([, unit]) => unit.stale).map(([name]) => name),
      running: [...facts.units].filter(([, unit]) => runs(unit.active)).map(([name]) => name),
    },
  };
}

export function diffUnits(desired: Resolved<UnitsProps>, observed: Resolved<UnitsProps>): readonly FieldChange[] {
  const changes: FieldChange[] = [];
  for (const name of Object.keys(desired.units)) {
    const unit = observed.units[name];
    if (!unit?.active) {
      if (unit?.waitsFor === undefined)
        changes.push({ path: `units.${name}.active`, before: false, after: true, impact: 'none' });
    } else if (!unit.current) {
      const note = `restarts ${name.replace(/\.service$/, '')}: it runs older content than lies there`;
      changes.push({
        path: `units.${name}.current`,
        before: false,
        after: true,
        impact: unit.serving ? 'restart' : 'none',
        note,
      });
    }
  }
  return changes;
}

async function start(
  stale: readonly string[],
  { address, clients, hold, signal, progress }: Context<HostsClients>,
): Promise<UnitsOutputs> {
  const host = await clients.hosts.get(nameOf(address), { signal });
  const held = new Set(hold.map((path) => /^units\.(.+)\.current$/.exec(path)?.[1]));
  const due = stale.filter((name) => !held.has(name));
  const { waiting } = await startUnits(host, { generation: clients.generation, stale: due }, signal);
  for (const unit of waiting) progress(`not started: ${unit}`);
  return { stale: stale.filter((name) => held.has(name)) };
}
