import { z } from 'zod';
import { messageOf, UserError } from '../../errors.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import { fields } from '../../plan/fields.ts';
import {
  type Address,
  addressOf,
  type Context,
  nameOf,
  type Observation,
  type Resolved,
  type ResourceType,
} from '../../plan/resource.ts';
import type { KubeApi } from '../client.ts';
import type { KubeClients } from '../clients.ts';
import { patienceMs } from '../connect.ts';
import { KubeRefusal } from '../http.ts';
import { fieldManager, type KubeObject, marks } from '../objects.ts';
import { type SharedPoll, waitFor } from '../wait.ts';

const taintSchema = z.looseObject({ key: z.string(), value: z.string().default(''), effect: z.string() });
export interface Taint {
  readonly key: string;
  readonly value: string;
  readonly effect: string;
}
export interface KubeNodeProps {
  /** Those that we own; others are others'. */
  readonly labels: Readonly<Record<string, string>>;
  /** In the order of `byTaint`. */
  readonly taints: readonly Taint[];
  /** `but for a pod network`: not Ready, and that is all that it lacks; designed, that this is enough. */
  readonly ready: Readiness;
}
type Readiness = boolean | 'but for a pod network';
type Outputs = Record<never, never>;
type Seen = Observation<KubeNodeProps, Outputs>;

const readyWithinMs = 120_000;

/**
 * Labels, taints and readiness of a node (hard part 13: kubelet flags serve registration only). The Node object itself is the
 * kubelet's: creating this is waiting for it, then owning what is ours by server-side apply.
 */
export const kubeNode: ResourceType<KubeNodeProps, Outputs, KubeClients> = {
  name: 'kube.node',
  lane: 'kube.node',
  timeoutMs: readyWithinMs + patienceMs + 10_000,
  async observe({ read }) {
    const nodes = await read(readNodes);
    return new Map((nodes ?? []).map((node): [Address, Seen] => [addressOf('kube.node', node.metadata.name), observed(node)]));
  },
  diff: (desired, observed) => {
    const enough = isEnough(observed.ready, desired.ready);
    return differences(enough ? { ...desired, ready: observed.ready } : desired, observed);
  },
  create: (desired, ctx) => ensure(desired, ctx),
  update: (desired, _outputs, ctx) => ensure(desired, ctx),
  verify: (desired, ctx) => alive(desired, ctx),
};
const differences = fields<KubeNodeProps>({ labels: 'none', taints: 'none', ready: 'none' });

/** One LIST for all who ask. Undefined: there is no API yet that could have any. */
export const readNodes = async (clients: KubeClients, signal: AbortSignal): Promise<readonly KubeObject[] | undefined> =>
  (await clients.state()) === 'absent' ? undefined : (await clients.api({ signal })).list('v1', 'Node', { signal });

const observed = (node: KubeObject): Seen => ({
  state: 'present',
  props: { labels: ownLabels(node), taints: ownTaints(node), ready: readiness(node) },
  outputs: {},
});

async function ensure(desired: Resolved<KubeNodeProps>, ctx: Context<KubeClients>): Promise<Outputs> {
  const { clients, signal, progress } = ctx;
  const name = nameOf(ctx.address);
  const api = await clients.api({ waitMs: patienceMs, signal });
  const until = (missing: (node: KubeObject | undefined) => string | undefined, what: string): Promise<void> =>
    waitFor({
      poll: clients.nodes,
      timeoutMs: readyWithinMs,
      signal,
      missing: (nodes) => missing(nodes.get(name)),
      failure: async (why) =>
        new UserError({
          what: `${what} within ${readyWithinMs / 1000} s`,
          where: `node ${name}`,
          why: [why, ...(await kubeletLines(clients, name, signal))].join('\n'),
          next: `cluster logs ${name}, then run the same command again`,
        }),
    });
  await until((node) => (node ? undefined : 'no kubelet has registered it'), 'the node was not registered');
  progress('registered');
  await own(api, name, desired, signal);
  await until((node) => notWell(node, desired), 'the node was not Ready');
  progress(desired.ready === true ? 'Ready' : 'Ready, or would be with a pod network');
  return {};
}

/**
 * Ready, and with a lease renewed since the run began: for 40 s after a machine is gone its Node still says Ready, so that condition
 * alone says nothing of a machine which this run has started or made anew. Kubelets renew every 10 s, and at once when they start.
 */
async function alive(desired: Resolved<KubeNodeProps>, { clients, signal, address, since }: Context<KubeClients>): Promise<void> {
  const name = nameOf(address);
  const wait = <T>(poll: SharedPoll<T>, missing: (answer: T) => string | undefined): Promise<void> =>
    waitFor({
      poll,
      timeoutMs: readyWithinMs,
      signal,
      missing,
      failure: async (why) =>
        new UserError({
          what: `the node gave no sign of life within ${readyWithinMs / 1000} s`,
          where: `node ${name}`,
          why: [why, ...(await kubeletLines(clients, name, signal))].join('\n'),
          next: `cluster logs ${name}, then run the same command again`,
        }),
    });
  await clients.api({ waitMs: patienceMs, signal });
  await wait(clients.leases, (leases) =>
    (leases.get(name) ?? 0) >= since ? undefined : 'its kubelet has not renewed its lease',
  );
  await wait(clients.nodes, (nodes) => notWell(nodes.get(name), desired));
}

/** Taints first, marks after: a kill in between is seen as a difference and done again. */
async function own(api: KubeApi, name: string, desired: Resolved<KubeNodeProps>, signal: AbortSignal): Promise<void> {
  const node = await setTaints(api, name, desired.taints, signal);
  const annotations = { [marks.taints]: JSON.stringify(desired.taints) };
  // The UID keeps a Node that was deleted just now from being made by us.
  const metadata = { name, uid: node.metadata.uid, labels: { ...desired.labels }, annotations };
  await api.apply({ apiVersion: 'v1', kind: 'Node', metadata }, { signal });
}

/** spec.taints is one atomic list that the node controllers write too: change ours in it, against the version that was read. */
async function setTaints(api: KubeApi, name: string, desired: readonly Taint[], signal: AbortSignal): Promise<KubeObject> {
  for (let attempt = 1; ; attempt++) {
    const node = await api.get({ apiVersion: 'v1', kind: 'Node', name }, signal);
    if (!node)
      throw new UserError({ what: 'its Node object is gone', where: `node ${name}`, next: 'run the same command again' });
    const all = taintsOf(node);
    const wanted = mergeTaints(all, markedTaints(node), desired);
    if (canonicalJson(wanted) === canonicalJson(all)) return node;
    try {
      const body = [
        { op: 'test', path: '/metadata/resourceVersion', value: node.metadata.resourceVersion },
        { op: 'add', path: '/spec/taints', value: wanted },
      ];
      return await api.patch({ apiVersion: 'v1', kind: 'Node', name }, 'application/json-patch+json', body, signal);
    } catch (error) {
      const raced = error instanceof KubeRefusal && (error.status === 409 || error.status === 422);
      if (!raced || attempt >= 10) throw error;
    }
  }
}

/** The list with ours as designed, and everybody else's as they are. Pure. `marked`: what we put there before. */
export function mergeTaints(all: readonly Taint[], marked: readonly Taint[], desired: readonly Taint[]): readonly Taint[] {
  const given = new Set([...marked, ...desired].map(taintKey));
  const others = all.filter((taint) => !given.has(taintKey(taint)));
  const kept = all.filter((taint) => desired.some((wanted) => sameTaint(wanted, taint)));
  const added = desired.filter((wanted) => !kept.some((taint) => sameTaint(wanted, taint)));
  const result = all.filter((taint) => others.includes(taint) || kept.includes(taint));
  return [...result, ...added];
}
const taintKey = ({ key, effect }: Taint): string => `${key}:${effect}`;
const sameTaint = (a: Taint, b: Taint): boolean => taintKey(a) === taintKey(b) && a.value === b.value;
export const byTaint = (a: Taint, b: Taint): number => (taintKey(a) < taintKey(b) ? -1 : 1);

const nodeSchema = z.looseObject({
  spec: z.looseObject({ taints: z.array(taintSchema).default([]) }).prefault({}),
  status: z
    .looseObject({
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string(), message: z.string().default('') })).default([]),
    })
    .prefault({}),
});
const taintsOf = (node: KubeObject): readonly Taint[] => nodeSchema.parse(node).spec.taints;

/** What the annotation says that we put there. */
function markedTaints(node: KubeObject): readonly Taint[] {
  try {
    return z.array(taintSchema).parse(JSON.parse(node.metadata.annotations?.[marks.taints] ?? '[]'));
  } catch {
    return [];
  }
}
const ownTaints = (node: KubeObject): readonly Taint[] => {
  const marked = markedTaints(node);
  return taintsOf(node)
    .filter((taint) => marked.some((own) => sameTaint(own, taint)))
    .map(({ key, value, effect }) => ({ key, value, effect }))
    .toSorted(byTaint);
};

const ownedLabelsSchema = z.object({ 'f:metadata': z.object({ 'f:labels': z.record(z.string(), z.unknown()).default({}) }) });
/** Labels that are ours by managedFields: a kubelet sets some of the same when it registers, and they are its own until we apply them. */
function ownLabels({ metadata }: KubeObject): Readonly<Record<string, string>> {
  const entry = metadata.managedFields?.find(({ manager, operation }) => manager === fieldManager && operation === 'Apply');
  const owned = ownedLabelsSchema.safeParse(entry?.fieldsV1);
  if (!owned.success) return {};
  return Object.fromEntries(
    Object.entries(metadata.labels ?? {}).filter(([key]) => `f:${key}` in owned.data['f:metadata']['f:labels']),
  );
}

/** Why it is not Ready; undefined: it is. */
export function notReady(node: KubeObject): string | undefined {
  const { conditions } = nodeSchema.parse(node).status;
  const ready = conditions.find(({ type }) => type === 'Ready');
  if (ready?.status === 'True') return undefined;
  return ready ? `Ready is ${ready.status}: ${ready.message}` : 'its kubelet has not reported yet';
}

/** The kubelet joins several reasons with commas, in brackets: this is the only one. */
const lacksNetwork = /^container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady/;
/** Not Ready, for no other reason than that no pod network has been installed. */
export function lacksPodNetwork(node: KubeObject): boolean {
  const ready = nodeSchema.parse(node).status.conditions.find(({ type }) => type === 'Ready');
  return ready?.status === 'False' && lacksNetwork.test(ready.message);
}
const readiness = (node: KubeObject): Readiness =>
  notReady(node) === undefined || (lacksPodNetwork(node) && 'but for a pod network');
const isEnough = (found: Readiness, designed: Readiness): boolean => found === true || (found !== false && found === designed);

/** Undefined: as ready as designed. Else why not. */
function notWell(node: KubeObject | undefined, { ready }: Resolved<KubeNodeProps>): string | undefined {
  if (!node) return 'its Node object is gone';
  return isEnough(readiness(node), ready) ? undefined : notReady(node);
}

async function kubeletLines({ hosts }: KubeClients, name: string, signal: AbortSignal): Promise<readonly string[]> {
  if (!hosts?.access().hosts.has(name)) return [];
  try {
    const host = await hosts.get(name, { signal, waitMs: 3_000 });
    const { stdout } = await host.exec('journalctl -u kubelet -n 10 --no-pager -o cat', { signal, timeoutMs: 5_000 });
    return [
      'kubelet:',
      ...stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => line.slice(0, 400)),
    ];
  } catch (error) {
    return [`the kubelet's log cannot be read: ${messageOf(error)}`];
  }
}
