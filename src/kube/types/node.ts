import { z } from 'zod';
import { messageOf, UserError } from '../../errors.ts';
import { fields } from '../../plan/fields.ts';
import {
  type Address,
  addressOf,
  type Context,
  nameOf,
  type Observation,
  type Ref,
  type Resolved,
  type ResourceType,
} from '../../plan/resource.ts';
import type { KubeApi } from '../client.ts';
import type { KubeClients } from '../clients.ts';
import { patienceMs } from '../connect.ts';
import { deleteOwned } from '../delete-owned.ts';
import { KubeRefusal } from '../http.ts';
import { fieldManager, isOlderThan, type KubeObject, marks } from '../objects.ts';
import { isEnough, notReady, type Readiness, readiness } from '../readiness.ts';
import { forgetFormer, revived } from '../registration.ts';
import { changeTaints, NodeGone, sameTaint, type Taint, taintKey, taintSchema, taintsOf } from '../taints.ts';
import { patiently, type SharedPoll, waitFor } from '../wait.ts';

export interface KubeNodeProps {
  /** Those that we own; others are others'. */
  readonly labels: Readonly<Record<string, string>>;
  /** In the order of `byTaint`. */
  readonly taints: readonly Taint[];
  /** `but for a pod network`: not Ready, and that is all that it lacks; designed, that this is enough. */
  readonly ready: Readiness;
  /** Where a cloud knows nodes: what it calls the machine. Of a Node that a machine before it has left, what it called that one. */
  readonly machine?: string | Ref<string>;
  /** Observed only: it was made for a machine of a design. One that somebody joined by hand, or that a group launched, never was. */
  readonly ours?: boolean;
}
type Outputs = Record<never, never>;
type Seen = Observation<KubeNodeProps, Outputs>;

/** The longest that `upgrade.readyWithin` may be. */
const longestMs = 3_600_000;

/**
 * Labels, taints and readiness of a node (hard part 13: kubelet flags serve registration only). The Node object itself is the
 * kubelet's: creating this is waiting for it, then owning what is ours by server-side apply. That of a machine which is no longer designed is
 * deleted after the machine.
 */
export const kubeNode: ResourceType<KubeNodeProps, Outputs, KubeClients> = {
  name: 'kube.node',
  lane: 'kube.node',
  timeoutMs: longestMs + 2 * patienceMs,
  async observe({ read }) {
    const nodes = await read(readNodes);
    return new Map((nodes ?? []).map((node): [Address, Seen] => [addressOf('kube.node', node.metadata.name), observed(node)]));
  },
  diff: (desired, observed) => {
    const ready = isEnough(observed.ready, desired.ready) ? observed.ready : desired.ready;
    return differences({ ...desired, ready }, observed).filter(
      // Where the one or the other does not say it, nothing can differ.
      ({ path }) => path !== 'machine' || (desired.machine !== undefined && observed.machine !== undefined),
    );
  },
  create: (desired, ctx) => register(desired, ctx),
  update: (desired, _outputs, ctx) => ensure(desired, ctx),
  verify: (desired, ctx) => alive(desired, ctx),
  keeps: ({ ours }) => ours !== true,
  delete: (_outputs, ctx) => forget(ctx),
};
const differences = fields<KubeNodeProps>({ labels: 'none', taints: 'none', ready: 'none', machine: 'none', ours: 'ignore' });

/** One LIST for all who ask. Undefined: there is no API yet that could have any. */
export const readNodes = async (clients: KubeClients, signal: AbortSignal): Promise<readonly KubeObject[] | undefined> =>
  (await clients.state()) === 'absent' ? undefined : (await clients.api({ signal })).list('v1', 'Node', { signal });

const observed = (node: KubeObject): Seen => ({
  state: 'present',
  props: {
    labels: ownLabels(node),
    taints: ownTaints(node),
    ready: readiness(node),
    ...machineOf(node),
    ours: isOurs(node),
  },
  outputs: {},
});
const machineOf = (node: KubeObject): { readonly machine?: string } => {
  const { providerID } = nodeSchema.parse(node).spec;
  return providerID === undefined ? {} : { machine: providerID };
};
/** The Node of another machine than this one. */
function isForeign(node: KubeObject, { machine }: Resolved<KubeNodeProps>): boolean {
  const found = machineOf(node).machine;
  return machine !== undefined && found !== undefined && found !== machine;
}

/** Only own() leaves this annotation, by server-side apply: on nodes of the design, and on no others. */
const isOurs = (node: KubeObject): boolean => `f:${marks.taints}` in owned(node)['f:annotations'];

/**
 * Deletes the Node object of a machine that is gone. While the machine is there, or is not seen, its pods may run: without their Node they would be
 * started elsewhere too, a second time.
 */
async function forget({ address, clients, signal }: Context<KubeClients>): Promise<void> {
  const name = nameOf(address);
  if (clients.hosts?.access().hosts.has(name))
    throw new UserError({
      what: 'its Node object is not deleted while its machine is there',
      where: `node ${name}`,
      next: 'run the same command again: it goes on from what it finds',
    });
  const api = await clients.api({ waitMs: patienceMs, signal });
  await deleteOwned(api, { apiVersion: 'v1', kind: 'Node', name }, isOurs, signal);
}

/** A Node that was there before, as where etcd came back with its data, may be Ready of a machine that is no more. */
async function register(desired: Resolved<KubeNodeProps>, ctx: Context<KubeClients>): Promise<Outputs> {
  const outputs = await ensure(desired, ctx);
  const nodes = await patiently(() => ctx.clients.nodes.next(ctx.signal), ctx.signal);
  if (isOlderThan(nodes.get(nameOf(ctx.address)), ctx.since)) await alive(desired, ctx);
  return outputs;
}

async function ensure(desired: Resolved<KubeNodeProps>, ctx: Context<KubeClients>): Promise<Outputs> {
  const { clients, signal, progress } = ctx;
  const { readyWithinMs } = clients;
  const name = nameOf(ctx.address);
  const api = await clients.api({ waitMs: patienceMs, signal });
  const poll = revived(name, ctx);
  const until = (missing: (node: KubeObject | undefined) => string | undefined, what: string): Promise<void> =>
    waitFor({
      poll,
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
  const inherit = await forgetFormer(api, name, (node) => isForeign(node, desired), ctx);
  // Again where it was deleted and registered anew in between: what is ours went with it.
  for (let owned: string | undefined, now: string | undefined; owned === undefined || owned !== now; ) {
    await until(
      (node) => (node && !isForeign(node, desired) ? undefined : 'no kubelet has registered it'),
      'the node was not registered',
    );
    progress('registered');
    await inherit();
    owned = await own(api, name, desired, signal);
    await until((node) => {
      now = node?.metadata.uid;
      return notWell(node, desired);
    }, 'the node was not Ready');
  }
  progress(desired.ready === true ? 'Ready' : 'Ready, or would be with a pod network');
  return {};
}

/**
 * Ready, and with a lease renewed since the run began: for 40 s after a machine is gone its Node still says Ready, so that condition
 * alone says nothing of a machine which this run has started or made anew. Kubelets renew every 10 s, and at once when they start.
 */
async function alive(desired: Resolved<KubeNodeProps>, ctx: Context<KubeClients>): Promise<void> {
  const { clients, signal, address, since } = ctx;
  const { readyWithinMs } = clients;
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
  // By the clock of its machine, which need not agree with ours: what is renewed while we look is alive, too.
  let first: number | undefined;
  await wait(clients.leases, (leases) => {
    const renewed = leases.get(name) ?? 0;
    first ??= renewed;
    return renewed >= since || renewed > first ? undefined : 'its kubelet has not renewed its lease';
  });
  await wait(revived(name, ctx), (nodes) => notWell(nodes.get(name), desired));
}

/** Taints first, marks after: a kill in between is seen as a difference and done again. Returns whose they are; undefined: it is gone. */
async function own(
  api: KubeApi,
  name: string,
  desired: Resolved<KubeNodeProps>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const annotations = { [marks.taints]: JSON.stringify(desired.taints) };
  try {
    const { uid } = (await setTaints(api, name, desired.taints, signal)).metadata;
    // The UID keeps a Node that was deleted just now from being made by us.
    const metadata = { name, uid, labels: { ...desired.labels }, annotations };
    return (await api.apply({ apiVersion: 'v1', kind: 'Node', metadata }, { signal })).metadata.uid;
  } catch (error) {
    if (error instanceof NodeGone || (error instanceof KubeRefusal && error.status === 409)) return undefined;
    throw error;
  }
}

const setTaints = (api: KubeApi, name: string, desired: readonly Taint[], signal: AbortSignal): Promise<KubeObject> =>
  changeTaints(api, name, (all, node) => mergeTaints(all, markedTaints(node), desired), { signal });

/** The list with ours as designed, and everybody else's as they are. Pure. `marked`: what we put there before. */
export function mergeTaints(all: readonly Taint[], marked: readonly Taint[], desired: readonly Taint[]): readonly Taint[] {
  const given = new Set([...marked, ...desired].map(taintKey));
  const others = all.filter((taint) => !given.has(taintKey(taint)));
  const kept = all.filter((taint) => desired.some((wanted) => sameTaint(wanted, taint)));
  const added = desired.filter((wanted) => !kept.some((taint) => sameTaint(wanted, taint)));
  const result = all.filter((taint) => others.includes(taint) || kept.includes(taint));
  return [...result, ...added];
}
export const byTaint = (a: Taint, b: Taint): number => (taintKey(a) < taintKey(b) ? -1 : 1);

const nodeSchema = z.looseObject({
  spec: z.looseObject({ taints: z.array(taintSchema).default([]), providerID: z.string().optional() }).prefault({}),
});
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

const ownedSchema = z.object({
  'f:metadata': z.object({
    'f:labels': z.record(z.string(), z.unknown()).default({}),
    'f:annotations': z.record(z.string(), z.unknown()).default({}),
  }),
});
/** The metadata that is ours by server-side apply. */
function owned({ metadata }: KubeObject) {
  const entry = metadata.managedFields?.find(({ manager, operation }) => manager === fieldManager && operation === 'Apply');
  const parsed = ownedSchema.safeParse(entry?.fieldsV1);
  return parsed.success ? parsed.data['f:metadata'] : { 'f:labels': {}, 'f:annotations': {} };
}
/** Labels that are ours by managedFields: a kubelet sets some of the same when it registers, and they are its own until we apply them. */
function ownLabels(node: KubeObject): Readonly<Record<string, string>> {
  const ours = owned(node)['f:labels'];
  return Object.fromEntries(Object.entries(node.metadata.labels ?? {}).filter(([key]) => `f:${key}` in ours));
}

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
