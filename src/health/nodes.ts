import { z } from 'zod';
import { type Role, roles } from '../cluster/topology.ts';
import type { Finding } from '../config/finding.ts';
import { cordonedByUs } from '../kube/drain/cordon.ts';
import type { KubeObject } from '../kube/objects.ts';
import { lacksPodNetwork } from '../kube/readiness.ts';
import type { NodeStatus } from './status.ts';

/** The answer of one LIST; `absent`: there is no API yet that could have nodes. */
export type NodesSeen =
  | { readonly state: 'present'; readonly nodes: readonly KubeObject[] }
  | { readonly state: 'unknown'; readonly why: string }
  | { readonly state: 'absent' };

const byUpgrade = 'cordoned by an upgrade that is under way, or was stopped';

/** A node of the design. */
export interface DesignedNode {
  readonly name: string;
  readonly zone: string;
  readonly role: Role;
  readonly pool?: string;
  /** `key:effect` */
  readonly taints: readonly string[];
}

const conditionSchema = z.looseObject({ type: z.string(), status: z.string(), message: z.string().default('') });
const taintSchema = z.looseObject({ key: z.string(), effect: z.string() });
const nodeSchema = z.looseObject({
  spec: z.looseObject({ unschedulable: z.boolean().default(false), taints: z.array(taintSchema).default([]) }).prefault({}),
  status: z
    .looseObject({
      conditions: z.array(conditionSchema).default([]),
      nodeInfo: z.looseObject({ kubeletVersion: z.string().default('') }).prefault({}),
    })
    .prefault({}),
});

/** A pool whose machines an autoscaler makes: any number of nodes, of any name. */
export interface DesignedPool {
  readonly taints: readonly string[];
}

/** The nodes of the design, then those of its autoscaled pools, and those that nobody designed. */
export function nodeStatuses(
  designed: readonly DesignedNode[],
  seen: NodesSeen,
  pools: ReadonlyMap<string, DesignedPool> = new Map(),
): readonly NodeStatus[] {
  if (seen.state === 'absent') return [];
  const found = new Map(seen.state === 'present' ? seen.nodes.map((node) => [node.metadata.name, node]) : []);
  const names = new Set(designed.map(({ name }) => name));
  const others = [...found.values()].filter((node) => !names.has(node.metadata.name)).map((node) => designOf(node, pools));
  return [...designed, ...others].map((design) =>
    nodeStatus(design, found.get(design.name), seen, names.has(design.name) || design.pool !== undefined),
  );
}

/** What a node without a name in the design says of itself. */
function designOf({ metadata: { name, labels = {} } }: KubeObject, pools: ReadonlyMap<string, DesignedPool>): DesignedNode {
  const role = 'node-role.kubernetes.io/control-plane' in labels ? 'master' : 'worker';
  const pool = labels['slipway.dev/pool'];
  const own = pool === undefined ? undefined : pools.get(pool);
  return {
    name,
    zone: labels['topology.kubernetes.io/zone'] ?? '',
    role: roles.find((known) => known === role) ?? 'worker',
    ...(pool && own ? { pool, taints: own.taints } : { taints: [] }),
  };
}

function nodeStatus(design: DesignedNode, node: KubeObject | undefined, seen: NodesSeen, designed: boolean): NodeStatus {
  const { name, zone, role, pool, taints } = design;
  const base = { name, zone, role, ...(pool === undefined ? {} : { pool }) };
  if (!node) {
    const unknown = seen.state === 'unknown';
    const note = unknown ? seen.why : 'no kubelet has registered it';
    return { ...base, ready: unknown ? 'unknown' : false, lacksPodNetwork: false, cordoned: false, kubelet: '', notes: [note] };
  }
  const { spec, status } = nodeSchema.parse(node);
  const ready = status.conditions.find(({ type }) => type === 'Ready');
  // Taints of conditions and of a cordon repeat what conditions and the cordon say.
  const foreign = spec.taints
    .filter(({ key, effect }) => designed && !key.startsWith('node.kubernetes.io/') && !taints.includes(`${key}:${effect}`))
    .map(({ key, effect }) => `taint ${key}:${effect}`);
  const notes = [
    ...(ready?.status === 'True' ? [] : [ready ? ready.message : 'its kubelet has not reported yet']),
    ...status.conditions.filter(({ type, status: is }) => type !== 'Ready' && is === 'True').map(({ type }) => type),
    ...foreign,
    ...(spec.unschedulable && cordonedByUs(node) ? [byUpgrade] : []),
    ...(designed ? [] : ['not in cluster.yaml']),
  ];
  const kubelet = status.nodeInfo.kubeletVersion.replace(/^v/, '');
  return {
    ...base,
    ready: ready?.status === 'True',
    lacksPodNetwork: lacksPodNetwork(node),
    cordoned: spec.unschedulable,
    kubelet,
    notes,
  };
}

/** Is every node Ready? `plugin` none: they wait for a pod network that somebody else installs, which is no error. */
export function nodeFindings(
  nodes: readonly NodeStatus[],
  plugin: 'flannel' | 'none' = 'flannel',
  pools: ReadonlyMap<string, DesignedPool> = new Map(),
): readonly Finding[] {
  const waiting = plugin === 'none' ? nodes.filter((node) => node.lacksPodNetwork) : [];
  const findings = nodes
    .filter((node) => !waiting.includes(node))
    .flatMap((node) => nodeFinding(node, node.pool !== undefined && pools.has(node.pool)));
  if (waiting.length > 0) return [...findings, noPodNetwork(waiting.length, nodes.length)];
  const ready = nodes.filter((node) => node.ready === true).length;
  if (nodes.length > 0 && ready === nodes.length)
    return [...findings, { severity: 'ok', check: 'nodes.ready', what: `${ready} of ${nodes.length} nodes are Ready` }];
  return findings;
}

const noPodNetwork = (waiting: number, all: number): Finding => ({
  severity: 'warning',
  check: 'nodes.network',
  what: `no pod network yet: ${waiting} of ${all} nodes wait for one, and only pods with hostNetwork start there`,
  why: 'network.plugin is none',
  next: 'install your own: by addons.manifests, or by hand (cluster kubectl -- apply -f FILE)',
});

/** Of an autoscaled pool there is always one that comes or goes; whether enough are there is `kube.pool`'s to say. */
function nodeFinding({ name, ready, cordoned, notes }: NodeStatus, comesAndGoes: boolean): readonly Finding[] {
  const where = `node ${name}`;
  const why = notes.join('; ');
  if (ready === false) {
    const next = `cluster logs ${name} -u kubelet`;
    const severity = comesAndGoes ? 'warning' : 'error';
    return [{ severity, check: 'nodes.ready', where, what: 'the node is not Ready', ...(why ? { why } : {}), next }];
  }
  if (!cordoned || comesAndGoes) return [];
  const ours = notes.includes(byUpgrade);
  const next = ours
    ? 'cluster upgrade, which goes on with it; or cluster upgrade --abort'
    : `cluster kubectl -- uncordon ${name}, unless somebody works on it`;
  const what = ours ? 'the node takes no new pods: it is cordoned by an upgrade' : 'the node takes no new pods: it is cordoned';
  return [{ severity: 'warning', check: 'nodes.cordoned', where, what, next }];
}
