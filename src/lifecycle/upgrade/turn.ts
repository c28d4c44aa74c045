import { machinesOf } from '../../cluster/topology.ts';
import type { Bundle } from '../../components/bundle.ts';
import { etcdClustersOf } from '../../components/etcd.ts';
import { UnreachableError } from '../../errors.ts';
import { prepareMember } from '../../etcd/turn.ts';
import { stopUnits } from '../../host/converge.ts';
import { packagesAddress } from '../../host/types/packages.ts';
import { ledPrograms } from '../../kube/leaders.ts';
import { chosenOf } from '../../plan/make.ts';
import { partOf, stepsOf } from '../../plan/part.ts';
import type { Plan, Step } from '../../plan/plan.ts';
import { type Address, addressOf, typeOf } from '../../plan/resource.ts';
import { removalPart } from '../../rollout/removals.ts';
import type { Turn } from '../../rollout/rollout.ts';
import { machineOf } from '../../rollout/waves.ts';
import { during } from '../../run/during.ts';
import { runPlan } from '../round.ts';
import { maxRounds, notConverging } from '../rounds.ts';
import { designedBeside, planBeside, planOne, type Session } from '../session.ts';
import { policy } from './policy.ts';
import { settle } from './settle.ts';

/** What a turn needs besides the engine. */
export interface TurnPorts {
  /** Cordons it as ours, and evicts its pods. */
  drain(machine: string, signal: AbortSignal): Promise<void>;
  /** Says to balancers of Services that its machine goes, and waits until they have noticed. */
  leave(machine: string, signal: AbortSignal): Promise<void>;
  /** Its Node, if it has one, no longer says Ready of a machine that is no more. */
  unready(machine: string, signal: AbortSignal): Promise<void>;
  /** Which of these programs lead on a master. */
  leads(machine: string, programs: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** They have stopped: who comes next need not wait until their lead expires. */
  handOver(stopped: ReadonlySet<string>, signal: AbortSignal): Promise<void>;
  /** Takes our own cordon away; anybody else's stays. */
  uncordon(machine: string, signal: AbortSignal): Promise<void>;
}
export interface MachinePorts extends TurnPorts {
  /** What is seen of this machine becomes what is so. */
  look(machine: string): Promise<void>;
  /** The old machine is no more. Before that nobody may take the machine for moved: whoever heals would change it as it stands, its kubelet before its API server. */
  gone(): Promise<void>;
  /** Before pods come to it: one starts there. */
  proves(machine: string, signal: AbortSignal): Promise<void>;
}
const apiUnit = 'kube-apiserver.service';

/** One machine's turn, once the session's design has it where it is to be. Ends when the machine serves again. */
export async function takeTurn(turn: Turn, session: Session, ports: MachinePorts, signal: AbortSignal): Promise<void> {
  const { machine, how } = turn;
  // New packages may restart the machine: then everything on it stops, and its node ports with it.
  const upgradesPackages = how === 'in-place' && packagesSteps(mine(turn, session)).length > 0;
  if (turn.drain) await ports.drain(machine, signal);
  if (turn.drain && (how === 'remove' || how === 'replace' || upgradesPackages)) await ports.leave(machine, signal);
  if (turn.role === 'etcd' && (how === 'in-place' || how === 'replace')) await stepBack(machine, session, signal);
  // Programs that do not restart go on leading.
  const stopping = how === 'in-place' ? turn.restarts.filter((unit) => ledPrograms.includes(unit)) : ledPrograms;
  const leadsOf = async (programs: readonly string[]) =>
    turn.role === 'master' ? await ports.leads(machine, programs, signal) : new Set<string>();
  const leads = await leadsOf(stopping);
  const leadsOfAll = upgradesPackages ? await leadsOf(ledPrograms) : leads;
  let since = session.opened.now();
  if (how === 'in-place') since = await converge(turn, session, signal);
  else if (how === 'remove') await carryOut(turn, removal(turn, session).steps, session, signal);
  else {
    if (how === 'replace') {
      await retire(turn, session, signal);
      await carryOut(turn, deletion(turn, session), session, signal);
      await ports.gone();
      if (turn.role === 'worker' || (turn.role === 'master' && machinesOf(session.design.topology, 'master').length > 1))
        await ports.unready(machine, signal);
    }
    await make(turn, session, ports, signal);
  }
  await ports.handOver(upgradesPackages && rebooted(turn, session) ? leadsOfAll : leads, signal);
  if (how === 'remove') return;
  await carryOut(turn, verification(turn, session), session, signal, since);
  if (bearsPods(turn)) await ports.proves(machine, signal);
  if (turn.role === 'master' || turn.role === 'worker') await ports.uncordon(machine, signal);
}

const podUnits: readonly string[] = ['kubelet', 'containerd', 'flanneld'];
/** Whether it starts pods as before is to be seen: what they stand on is new or has restarted, also in a turn that a killed run has begun. */
const bearsPods = ({ role, how, drain, restarts }: Turn): boolean =>
  (role === 'master' || role === 'worker') &&
  (how !== 'in-place' || drain || restarts.length === 0 || restarts.some((unit) => podUnits.includes(unit)));

/** Its etcd members lead nobody any more, and the others can do without them. */
async function stepBack(machine: string, session: Session, signal: AbortSignal): Promise<void> {
  const { reach, design, emit } = session;
  const task = `etcd without ${machine}`;
  await during(task, emit, () =>
    prepareMember(machine, {
      clients: reach.hosts(),
      clusters: etcdClustersOf(design.topology),
      signal,
      progress: (message) => emit({ type: 'progress', task, message }),
    }),
  );
}

/** Steps of the operating system's packages: they come first. */
const packagesSteps = ({ steps }: Pick<Plan, 'steps'>): Step[] =>
  steps.filter(({ params: { address, action } }) => typeOf(address) === 'host.packages' && action !== 'verify');
/** By its packages, in this turn. */
function rebooted({ machine }: Turn, { seen }: Session): boolean {
  const found = seen.get(packagesAddress(machine));
  return found?.state === 'present' && 'rebooted' in found.outputs && found.outputs.rebooted === true;
}

/** Steps of this machine alone: what is theirs is looked for among its own resources, not the cluster's. */
async function carryOut(
  { machine }: Turn,
  steps: readonly Step[],
  session: Session,
  signal: AbortSignal,
  since?: number,
): Promise<void> {
  const desired = designedBeside(session, machine);
  await runPlan({ steps: [...steps], command: policy.command }, session, signal, {
    desired,
    ...(since !== undefined && { since }),
  });
}

/** What is to change of this machine, by what is seen by now. */
const mine = ({ machine }: Turn, session: Session): Plan => {
  const names = new Set([machine]);
  return partOf(planOne(session, policy, machine), (address) => machineOf(address, names) !== undefined);
};

const removal = ({ machine }: Turn, session: Session): Plan =>
  removalPart(planBeside(session, policy, machine), machine, {
    seen: session.seen,
    machineAddress: (name) => session.opened.provider.machineAddress(name),
  });

/**
 * As it stands. On a master the API server goes first: a kubelet, controller manager or scheduler must never be newer than the API server that it
 * talks to, which is its own machine's.
 */
async function converge(turn: Turn, session: Session, signal: AbortSignal): Promise<number> {
  const packages = packagesSteps(mine(turn, session));
  await carryOut(turn, packages, session, signal);
  // Planned after them: they were the first, so the rest has nothing of theirs to wait for any more.
  const steps = stepsOf(mine(turn, session).steps, ({ params }) => params.action !== 'verify');
  const bundle = bundleOf(turn.machine, session);
  const apiFirst = turn.role === 'master' ? held(bundle) : [];
  const own = steps.find(({ params }) => params.address === addressOf('host.bundle', turn.machine));
  if (own && apiFirst.length > 0) {
    const before = withPredecessors(own, steps);
    const api = before.map((step) =>
      step === own ? { ...step, params: { ...step.params, hold: [...step.params.hold, ...apiFirst] } } : step,
    );
    await carryOut(turn, api, session, signal);
    await settle(turn.machine, [apiUnit], session, signal);
    await carryOut(turn, [verify(addressOf('kube.api', turn.machine), session)], session, signal);
  }
  await carryOut(turn, steps, session, signal);
  const started = await settle(
    turn.machine,
    bundle.units.map(({ name }) => name),
    session,
    signal,
  );
  // A sign of life since then is of what runs now: on a node the kubelet's lease, renewed every 10 s and at once when it starts.
  return started;
}

/** A step, and all that it waits for. */
function withPredecessors(step: Step, steps: readonly Step[]): Step[] {
  const wanted = new Set([step.id]);
  const byId = new Map(steps.map((each) => [each.id, each]));
  for (const id of wanted) for (const before of byId.get(id)?.after ?? []) wanted.add(before);
  return steps.filter(({ id }) => wanted.has(id));
}

/** Everything that would restart another unit than the API server, as fields of `host.bundle`. */
function held({ units, files }: Bundle): readonly string[] {
  const own = units.find(({ name }) => name === apiUnit);
  const others = units.filter(({ name }) => name !== apiUnit);
  const read = new Set(others.flatMap(({ inputs }) => inputs));
  return [
    ...others.map(({ name }) => `units.${name}`),
    ...files
      .map(({ path }) => path)
      .filter((path) => read.has(path) && !own?.inputs.includes(path))
      .map((path) => `files.${path}`),
  ];
}

const bundleOf = (machine: string, { design: { topology, bundles } }: Session): Bundle => {
  const spec = topology.machines.find(({ name }) => name === machine);
  const bundle = bundles.get(spec?.bundle ?? '');
  if (!bundle) throw new Error(`no bundle of ${machine}`);
  return bundle;
};

/**
 * Before its machine is deleted, what serves on it ends what it has begun: a member of etcd that is cut off answers whoever was asking it with an error, and
 * the balancer goes on sending to an API server that is no more until it has noticed.
 */
async function retire({ machine, role }: Turn, session: Session, signal: AbortSignal): Promise<void> {
  const running = session.seen.get(addressOf('host.units', machine));
  if ((role !== 'etcd' && role !== 'master') || running?.state !== 'present') return;
  const { hosts, generation } = session.reach.hosts();
  const units = bundleOf(machine, session).units.map(({ name }) => name);
  const task = `stop units of ${machine}`;
  await during(task, session.emit, async () => {
    try {
      // etcd answers requests in milliseconds, and then waits seven seconds for watches, which never end by themselves.
      const bound = role === 'etcd' ? { seconds: 2 } : {};
      await stopUnits(await hosts.get(machine, { signal }), { generation, units, ...bound }, signal);
    } catch (error) {
      // One that does not answer any more serves nobody, and it goes.
      if (!(error instanceof UnreachableError)) throw error;
      session.emit({ type: 'progress', task, message: `${machine} does not answer: ${error.message}` });
    }
  });
}

function deletion({ machine }: Turn, session: Session): readonly Step[] {
  const address = session.opened.provider.machineAddress(machine);
  return session.seen.get(address)?.state === 'present' ? [step(address, 'delete', session)] : [];
}

/** A machine that is not there, or no longer: made, installed, joined. */
async function make(turn: Turn, session: Session, { look }: MachinePorts, signal: AbortSignal): Promise<void> {
  for (let round = 1; ; round++) {
    // Of a worker that was deleted just now nothing is left to be seen.
    if (round === 1 && turn.how === 'replace' && turn.role === 'worker') forget(turn.machine, session);
    else await look(turn.machine);
    const plan = mine(turn, session);
    if (chosenOf(plan).length === 0) break;
    if (round > maxRounds) throw notConverging(plan, session, turn.machine);
    await carryOut(turn, plan.steps, session, signal);
  }
}

/** What lay on a machine went with it; its Node stays for the next one. */
function forget(machine: string, { seen }: Session): void {
  const names = new Set([machine]);
  const lay = new Set(['host.packages', 'host.bundle', 'host.units', 'pki.certificate']);
  for (const [address] of [...seen.named(machine)])
    if (lay.has(typeOf(address)) && machineOf(address, names) !== undefined) seen.delete(address);
}

/** Everything of this machine that can say that it is well, asked for evidence that is younger than now. */
function verification({ machine, role }: Turn, session: Session): readonly Step[] {
  const { topology } = session.design;
  const addresses: Address[] = [
    ...(role === 'etcd' ? etcdClustersOf(topology).map((cluster) => addressOf('etcd.member', `${cluster}.${machine}`)) : []),
    ...(role === 'master' ? [addressOf('kube.api', machine)] : []),
    ...(role === 'master' || role === 'worker' ? [addressOf('kube.node', machine)] : []),
  ];
  const steps: Step[] = [];
  for (const address of addresses) steps.push({ ...verify(address, session), after: steps.slice(-1).map(({ id }) => id) });
  return steps;
}

const verify = (address: Address, session: Session): Step => step(address, 'verify', session);
function step(address: Address, action: Step['params']['action'], { connected }: Session): Step {
  const type = connected.flatMap(({ layer }) => layer.types).find(({ name }) => name === typeOf(address));
  return {
    id: `${action} ${address}`,
    kind: 'apply',
    params: { address, action, hold: [] },
    after: [],
    timeoutMs: type?.timeoutMs ?? 120_000,
  };
}
