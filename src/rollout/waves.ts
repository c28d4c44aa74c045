import type { MachineSpec, Topology } from '../cluster/topology.ts';
import type { Change, Plan } from '../plan/plan.ts';
import { type Address, nameOf, typeOf } from '../plan/resource.ts';
import type { Part } from './path.ts';
import type { FileDiff, Lane, Obstacle, Turn, VersionChange, Wave } from './rollout.ts';

/** How machines of one kind change, out of cluster.yaml. */
export interface Strategy {
  readonly strategy: 'in-place' | 'replace';
  /** Resolved to numbers. */
  readonly maxUnavailable: number;
  readonly maxSurge: number;
  /** Where the strategy is said: `pools.workers.upgrade.strategy`. */
  readonly path: string;
}
export interface WavesInput {
  /** What `upgrade` would change, with every machine at this hop's target. */
  readonly plan: Plan;
  /** At this hop's target. */
  readonly topology: Topology;
  readonly kubernetes: string;
  /** Programs of a machine that change their version. */
  versionsOf(machine: MachineSpec): readonly VersionChange[];
  strategyOf(kind: Pick<MachineSpec, 'role' | 'pool'>): Strategy;
  filesOf(machine: string): readonly FileDiff[];
  restartsOf(machine: string): readonly string[];
  /** An etcd member on it leads: it has its turn last. */
  leads(machine: string): boolean;
  /** An etcd member on it is not healthy: its turn comes first, and until it is well nobody else's may. */
  ails(machine: string): boolean;
  /** The machine made anew keeps what it stands on: an etcd member its volume. */
  machineAddress(name: string): Address;
  /** Machines that a pool of the strategy `replace` has besides while it is its turn, in this order. */
  surgeOf(pool: string): readonly MachineSpec[];
  /** Of pools that are groups: their lanes, and what their new machines are made by. */
  readonly groups?: { readonly lanes: readonly Lane[]; readonly changes: readonly Change[] };
  /** Who goes on this hop, in this order. */
  readonly moves: readonly Part[];
}
export interface Waves {
  readonly waves: readonly Wave[];
  /** What a strategy cannot do. */
  readonly refused: readonly Obstacle[];
}

/** Who takes a turn, in which order, and how; etcd, masters, addons, pools. Pure. */
export function planWaves(input: WavesInput): Waves {
  const { plan, topology } = input;
  const names = new Set(topology.machines.map(({ name }) => name));
  const byMachine = Map.groupBy(plan.changes, ({ address }) => machineOf(address, names) ?? '');
  const refused: Obstacle[] = [];
  const lane = (name: string, machines: readonly MachineSpec[], kind: Pick<MachineSpec, 'role' | 'pool'>): Lane | undefined => {
    const strategy = input.strategyOf(kind);
    const turns = machines.flatMap((machine) => {
      const turn = turnOf(machine, byMachine.get(machine.name) ?? [], strategy, input);
      if (turn && 'refused' in turn) refused.push(turn.refused);
      return turn && 'turn' in turn ? [turn.turn] : [];
    });
    if (turns.length === 0) return undefined;
    // They stand in for machines that are made anew: for turns that leave theirs where it is, one would come and go for nothing.
    const surges = kind.pool !== undefined && turns.some(({ how }) => how === 'replace') ? input.surgeOf(kind.pool) : [];
    const spare = (machine: MachineSpec, how: 'add' | 'remove'): Turn => ({
      ...blank(machine),
      how,
      drain: how === 'remove',
      because: [how === 'add' ? 'one more while the others are replaced' : 'no longer needed'],
    });
    return {
      name,
      strategy: strategy.strategy,
      maxUnavailable: Math.max(strategy.maxUnavailable, surges.length > 0 ? 0 : 1),
      maxSurge: surges.length,
      first: surges.map((machine) => spare(machine, 'add')),
      turns,
      last: surges.map((machine) => spare(machine, 'remove')),
    };
  };
  const of = (role: MachineSpec['role']) => topology.machines.filter((machine) => machine.role === role);
  const rank = ({ name }: MachineSpec): number => (input.ails(name) ? 0 : input.leads(name) ? 2 : 1);
  const leadersLast = (machines: readonly MachineSpec[]) => machines.toSorted((a, b) => rank(a) - rank(b));
  const { kubernetes } = input;
  const wave = (name: string, lanes: readonly (Lane | undefined)[], changes: readonly Change[] = []): readonly Wave[] => {
    const found = lanes.filter((each) => each !== undefined);
    if (found.length === 0 && changes.length === 0) return [];
    return [{ name, kubernetes, lanes: found, changes: changes.map(({ address }) => address) }];
  };
  const shared = byMachine.get('') ?? [];
  const addons = shared.filter(isAddon);
  const pools = (): readonly Wave[] =>
    wave(
      'pools',
      [
        ...topology.cluster.pools.map(({ name }) =>
          lane(
            `pool ${name}`,
            of('worker').filter(({ pool }) => pool === name),
            { role: 'worker', pool: name },
          ),
        ),
        ...(input.groups?.lanes ?? []),
      ],
      input.groups?.changes,
    );
  const parts: Readonly<Record<Part, () => readonly Wave[]>> = {
    etcd: () => wave('etcd', [lane('etcd', leadersLast(of('etcd')), { role: 'etcd' })]),
    masters: () => wave('masters', [lane('masters', of('master'), { role: 'master' })]),
    addons: () => wave('addons', [], addons),
    pools,
  };
  // Last: a bastion that would not come back from its restart takes the way to all others with it.
  const waves = [
    ...input.moves.flatMap((part) => parts[part]()),
    ...(input.moves.includes('pools') ? wave('bastion', [lane('bastion', of('bastion'), { role: 'bastion' })]) : []),
  ];
  return { waves, refused };
}

const isAddon = ({ address, action }: Change): boolean =>
  action !== 'delete' && ['kube.addon', 'kube.certificate', 'kube.ready'].includes(typeOf(address));

/**
 * The machine that an address belongs to: `host.bundle/master-a`, `pki.certificate/master-a.apiserver`, `etcd.member/main.etcd-a`, and what the provider makes
 * for one machine (`local.machine/master-a`, `local.volume/etcd-a.main`).
 */
export function machineOf(address: Address, machines: ReadonlySet<string>): string | undefined {
  const name = nameOf(address);
  const own = typeOf(address) === 'etcd.member' ? name.slice(name.indexOf('.') + 1) : (name.split('.')[0] ?? name);
  return machines.has(own) ? own : undefined;
}

const blank = ({ name, role, zone, pool }: MachineSpec) => ({
  machine: name,
  role,
  zone,
  ...(pool !== undefined && { pool }),
  versions: [],
  restarts: [],
  files: [],
});

/** Programs that pods stand on: another version of them is for a node without pods. */
const underPods = new Set(['kubelet', 'containerd', 'runc', 'cni', 'flanneld']);

type Found = { readonly turn: Turn } | { readonly refused: Obstacle };
function turnOf(
  machine: MachineSpec,
  changes: readonly Change[],
  { strategy, path }: Strategy,
  input: WavesInput,
): Found | undefined {
  const chosen = changes.filter(({ when }) => 'now' in when);
  if (chosen.length === 0) return undefined;
  const remade = chosen.filter(({ address }) => address === input.machineAddress(machine.name)).flatMap(({ fields }) => fields);
  const replaced = remade.filter(({ impact }) => impact === 'replace');
  if (replaced.length > 0 && strategy === 'in-place') {
    return {
      refused: {
        severity: 'error',
        where: machine.name,
        what: `${replaced.map((field) => field.path).join(', ')} cannot change in place: the machine would have to be made anew`,
        next: `set ${path}: replace in cluster.yaml, or put the change back`,
      },
    };
  }
  const versions = input.versionsOf(machine);
  const node = machine.role === 'master' || machine.role === 'worker';
  // Nothing lies on it: a run was killed when it had made it, and there is nothing to replace.
  const made = chosen.every(({ address, action }) => action !== 'create' || address !== input.machineAddress(machine.name));
  const bare = made && chosen.some(({ address, action }) => action === 'create' && typeOf(address) === 'host.bundle');
  const how = strategy === 'replace' && (replaced.length > 0 || (!bare && chosen.some(isContent))) ? 'replace' : 'in-place';
  const disturbing = versions.filter(({ what }) => underPods.has(what)).map(({ what }) => what);
  const packages = chosen.some(isPackages);
  if (packages) disturbing.push("the operating system's packages");
  // The only node for pods: evicted they would start nowhere, and disruption budgets would keep the last of them for ever.
  const alone = machine.role === 'worker' && input.topology.machines.filter(({ role }) => role === 'worker').length === 1;
  const drain = node && (how === 'replace' || (disturbing.length > 0 && !alone));
  return {
    turn: {
      ...blank(machine),
      how,
      drain,
      because: [
        ...(replaced.length > 0 ? [`${replaced.map((field) => field.path).join(', ')}: only a new machine can have that`] : []),
        ...(how === 'replace' && replaced.length === 0 ? [`${path} is replace`] : []),
        ...(alone && how === 'in-place' && disturbing.length > 0
          ? [`no other node could take its pods: they stay, and ${packages ? 'start again if it restarts' : 'go on'}`]
          : []),
        ...(packages && how === 'in-place' && !node ? ["the operating system's packages"] : []),
        ...(drain && how === 'in-place' ? [`${disturbing.join(', ')} under its pods`] : []),
      ],
      versions: [...versions],
      restarts: how === 'replace' ? [] : [...input.restartsOf(machine.name)],
      files: [...input.filesOf(machine.name)],
    },
  };
}
/** What a new machine gets in place of being changed. */
const isContent = (change: Change): boolean =>
  typeOf(change.address) === 'host.bundle' || typeOf(change.address).endsWith('.machine') || isPackages(change);
const isPackages = ({ address }: Change): boolean => typeOf(address) === 'host.packages';
