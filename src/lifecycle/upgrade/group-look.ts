import type { Plan } from '../../plan/plan.ts';
import { nameOf, typeOf } from '../../plan/resource.ts';
import type { GroupsPort } from '../../provider.ts';
import { resolveCap } from '../../rollout/amounts.ts';
import { describeDesigns } from '../../rollout/describe.ts';
import { type GroupLanes, planGroupLanes } from '../../rollout/groups.ts';
import type { ClusterDesign } from '../design.ts';
import type { Session } from '../session.ts';

/** Undefined: this provider's pools are machines of the design. */
export function groupsPort({ opened: { provider }, connected }: Pick<Session, 'opened' | 'connected'>): GroupsPort | undefined {
  const own = connected.find(({ layer }) => layer === provider || layer.name === provider.name);
  return own && provider.groups?.(own.clients);
}

const nothing: GroupLanes = { lanes: [], changes: [], refused: [] };

/** Lanes of pools that are groups, by what stands now. `before`, `target`: the design before this hop, and after it. */
export async function groupLanes(
  session: Session,
  plan: Plan,
  before: ClusterDesign,
  target: ClusterDesign,
  goes: (pool: string) => boolean,
): Promise<GroupLanes> {
  const port = target.topology.groups.length > 0 ? groupsPort(session) : undefined;
  if (!port) return nothing;
  const bundleOf = ({ topology, bundles }: ClusterDesign, pool: string) =>
    bundles.get(topology.groups.find((group) => group.pool === pool)?.bundle ?? '');
  return planGroupLanes({
    plan,
    topology: target.topology,
    groups: await port.read(session.signal),
    port,
    goes,
    nodes: new Set(
      [...session.seen.entries()].flatMap(([address]) => (typeOf(address) === 'kube.node' ? [nameOf(address)] : [])),
    ),
    contentOf(pool) {
      const [from, to] = [bundleOf(before, pool), bundleOf(target, pool)];
      return from && to ? describeDesigns(from, to) : { versions: [], restarts: [], files: [] };
    },
  });
}

/** How many nodes may drain at once in all: `upgrade.maxDrains`. */
export const drainCap = (session: Pick<Session, 'opened' | 'design' | 'seen'>): number =>
  resolveCap(workerCount(session), session.opened.cluster.upgrade.maxDrains);

/** Workers of the design, and those that groups have made: what shares of all workers are counted of. */
function workerCount({ design: { topology }, seen }: Pick<Session, 'design' | 'seen'>): number {
  const named = topology.machines.filter(({ role }) => role === 'worker').length;
  if (topology.groups.length === 0) return named;
  const designed = new Set(topology.machines.map(({ name }) => name));
  const made = [...seen.entries()].filter(([address]) => typeOf(address) === 'kube.node' && !designed.has(nameOf(address)));
  return named + made.length;
}
