import { type MachineSpec, machinesOf, type Topology } from '../cluster/topology.ts';
import { poolOf } from '../components/host-env.ts';
import { controlPlaneTaint } from '../components/kubelet.ts';
import type { Finding } from '../config/finding.ts';
import { type ExitCode, exitCodes, messageOf } from '../errors.ts';
import { apiFindings, apiStatus } from '../health/api.ts';
import { capacityFindings } from '../health/capacity.ts';
import { certificateFindings, certificateStatuses } from '../health/certificates.ts';
import { clockFindings } from '../health/clocks.ts';
import { componentFacts } from '../health/components.ts';
import { driftFindings, driftStatus } from '../health/drift.ts';
import { etcdFindings, etcdStatuses } from '../health/etcd.ts';
import { type MachineFacts, machineFindings, machineStatus } from '../health/machines.ts';
import { type DesignedNode, type DesignedPool, type NodesSeen, nodeFindings, nodeStatuses } from '../health/nodes.ts';
import type { MachineStatus, NodeStatus, Status, ZoneStatus } from '../health/status.ts';
import { versionFindings, versionStatus } from '../health/versions.ts';
import { readFacts, type Seen } from '../host/facts.ts';
import { KubeRefusal } from '../kube/http.ts';
import { readNodes } from '../kube/types/node.ts';
import { readServerVersions } from '../kube/versions.ts';
import type { Opened } from './opened.ts';
import { type Look, lookSession, type Session, withSession } from './session.ts';

/** How the cluster is, by one observation of everything. Takes no lock and changes nothing; what cannot be reached is said to be unknown, and why. */
export const readStatus = (opened: Opened): Promise<Status> =>
  withSession(opened, async (session) => {
    return statusIn(session, await lookSession(session, { command: 'up', allowDataLoss: false }));
  });

/** 0: healthy. 69: something could not be seen. 1: what was seen is not as it should be. */
export function exitCodeOf({ findings }: Status): ExitCode {
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.some(({ check }) => check.endsWith('.unreachable'))) return exitCodes.unreachable;
  return errors.length > 0 ? exitCodes.failed : exitCodes.done;
}

/** What `up` must have verified before it says that it is done: of the observation that found nothing left to do. Worst first. */
export async function lastLook(session: Session, look: Look): Promise<readonly Finding[]> {
  const { hosts, etcd, nodes, certificates } = await seenOf(session, look);
  return worstFirst([
    ...etcdFindings(etcd),
    ...nodeFindings(nodes, session.opened.cluster.network.plugin, designedPools(session.design.topology)),
    ...certificateFindings(certificates),
    ...clockFindings(hosts),
    ...capacityFindings(nodes, etcd),
  ]).filter(({ severity }) => severity !== 'ok');
}

/** As `status` shows it, of a look that was taken for another reason. */
export async function statusIn(session: Session, look: Look): Promise<Status> {
  const api = session.opened.provider.access(session.design.topology, session.seen).api;
  return statusOf(session, look, api?.server);
}

async function statusOf(session: Session, look: Look, server: string | undefined): Promise<Status> {
  const { opened, design, record, seen } = session;
  const { topology, resources } = design;
  const { hosts, nodesSeen, refused, etcd, nodes, certificates } = await seenOf(session, look);
  const servers = nodesSeen.state === 'absent' ? noServers : await serversOf(session, hosts);
  const machines = topology.machines.map(
    (spec): MachineFacts => ({ spec, thing: seen.get(opened.provider.machineAddress(spec.name)), host: hosts.get(spec.name) }),
  );
  const machineStatuses = machines.map(machineStatus);
  const exists = machineStatuses.some(({ state }) => state !== 'absent');
  const api = apiStatus({ server, nodes: nodesSeen, refused });
  const drift = driftStatus(look.plan);
  const versions = versionStatus({
    wanted: opened.cluster.kubernetes.version,
    inForce: record?.versions.kubernetes,
    servers,
    nodes,
    components: componentFacts(hosts),
    etcd,
  });
  const base = {
    formatVersion: 1,
    cluster: opened.cluster.name,
    provider: Object.keys(opened.cluster.provider)[0] ?? '',
    at: opened.now(),
    versions,
  } as const;
  if (!exists) return { ...base, ...nothing, findings: [absentFinding] };
  return {
    ...base,
    exists,
    api,
    zones: zonesOf(topology, machineStatuses, nodes),
    machines: machineStatuses,
    nodes,
    etcd,
    certificates,
    drift,
    findings: worstFirst([
      ...recordFindings(session),
      ...machineFindings(machines),
      ...etcdFindings(etcd),
      // Without the records nothing can be asked of these: that is one finding, not fifty.
      ...(record
        ? [
            ...apiFindings(api, resources, seen),
            ...(nodesSeen.state === 'unknown' ? [] : nodeFindings(nodes, opened.cluster.network.plugin, designedPools(topology))),
            ...certificateFindings(certificates),
          ]
        : []),
      ...clockFindings(hosts),
      ...versionFindings(versions),
      ...capacityFindings(nodes, etcd),
      ...driftFindings(drift),
    ]),
  };
}

const absentFinding: Finding = {
  severity: 'error',
  check: 'cluster.absent',
  what: 'no machine of this cluster exists',
  next: 'cluster up',
};
const nothing = {
  exists: false,
  api: undefined,
  zones: [],
  machines: [],
  nodes: [],
  etcd: [],
  certificates: [],
  drift: { now: [], left: [], unknown: [] },
} as const;

/** The records hold the keys: without them nothing behind SSH or TLS can be asked. */
function recordFindings({ record, store, opened }: Session): readonly Finding[] {
  if (record) return [];
  return [
    {
      severity: 'error',
      check: 'store.absent',
      where: store?.url ?? opened.directories.state,
      what: 'machines of this cluster are there, and its records are not: its hosts and its API cannot be asked',
      next: 'bring the store back (XDG_STATE_HOME, or a backup of it)',
    },
  ];
}

/** Everything that more than one question is about. */
async function seenOf({ opened, design, seen }: Session, { answers }: Look) {
  const { topology, resources } = design;
  const facts = await answers.of(readFacts);
  const hosts: ReadonlyMap<string, Seen> = facts ?? new Map();
  const { nodesSeen, refused } = await nodesOf(answers.of(readNodes));
  const members = machinesOf(topology, 'etcd').map(({ name }) => name);
  const exists = [...hosts.values()].some(({ state }) => state !== 'absent');
  return {
    hosts,
    nodesSeen,
    refused,
    etcd: exists ? etcdStatuses(hosts, members, topology.cluster.etcd.quotaMb * 1024 * 1024) : [],
    nodes: nodeStatuses(designedNodes(topology), nodesSeen, designedPools(topology)),
    certificates: certificateStatuses(resources, seen, opened.now()),
  };
}

async function nodesOf(asked: ReturnType<typeof readNodes> | undefined): Promise<{ nodesSeen: NodesSeen; refused: boolean }> {
  try {
    const nodes = await asked;
    return { nodesSeen: nodes ? { state: 'present', nodes } : { state: 'absent' }, refused: false };
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    return { nodesSeen: { state: 'unknown', why: messageOf(error) }, refused: cause instanceof KubeRefusal };
  }
}

type Servers = ReadonlyMap<string, string | undefined>;
const noServers: Servers = new Map();
/** Of the masters that exist. Empty: there is no way to any of them, which others have said already. */
async function serversOf({ reach, signal }: Session, hosts: ReadonlyMap<string, Seen>): Promise<Servers> {
  try {
    const said = await readServerVersions(reach.kube(), signal);
    return new Map([...said].filter(([master]) => (hosts.get(master)?.state ?? 'absent') !== 'absent'));
  } catch (error) {
    if (signal.aborted) throw error;
    return noServers;
  }
}

const designedNodes = (topology: Topology): readonly DesignedNode[] =>
  topology.machines
    .filter(({ role }) => role === 'master' || role === 'worker')
    .map((machine) => {
      const { name, zone, role, pool } = machine;
      const taints = taintsOf(machine, topology).map(({ key, effect }) => `${key}:${effect}`);
      return { name, zone, role, ...(pool === undefined ? {} : { pool }), taints };
    });
const designedPools = ({ groups, cluster }: Topology): ReadonlyMap<string, DesignedPool> =>
  new Map(
    cluster.pools
      .filter(({ name }) => groups.some(({ pool }) => pool === name))
      .map(({ name, taints }) => [name, { taints: taints.map(({ key, effect }) => `${key}:${effect}`) }]),
  );
const taintsOf = (machine: MachineSpec, topology: Topology) =>
  machine.role === 'master' ? [controlPlaneTaint] : (poolOf(machine, topology)?.taints ?? []);

function zonesOf({ zones }: Topology, machines: readonly MachineStatus[], nodes: readonly NodeStatus[]): readonly ZoneStatus[] {
  return zones.map((name) => {
    const own = machines.filter(({ zone }) => zone === name);
    const ownNodes = nodes.filter(({ zone }) => zone === name);
    return {
      name,
      machines: { up: own.filter(({ state }) => state === 'running').length, of: own.length },
      nodes: { up: ownNodes.filter(({ ready }) => ready === true).length, of: ownNodes.length },
    };
  });
}

const rank = { error: 0, warning: 1, ok: 2 } as const;
const worstFirst = (findings: readonly Finding[]): readonly Finding[] =>
  findings.toSorted((a, b) => rank[a.severity] - rank[b.severity]);
