import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { UserError } from '../../errors.ts';
import {
  type Address,
  addressOf,
  type Context,
  type FieldChange,
  nameOf,
  type Observation,
  type Resolved,
  type ResourceType,
} from '../../plan/resource.ts';
import { aggregatedPath, answersEverywhere } from '../aggregated.ts';
import type { KubeClients } from '../clients.ts';
import { listWorkloads, patienceMs } from '../connect.ts';
import { isOlderThan, type KubeObject, marks } from '../objects.ts';
import { patiently, waitFor } from '../wait.ts';

export interface KubeReadyProps {
  /** By `kind/namespace/name`: Deployments, DaemonSets, StatefulSets and APIServices that must be available. */
  readonly available: Readonly<Record<string, boolean>>;
}
type Outputs = Record<never, never>;
const readyWithinMs = 120_000;
const pollMs = 400;

/** That what an addon runs serves: apart from applying it, because it needs nodes. Creating it is waiting for it. */
export const kubeReady: ResourceType<KubeReadyProps, Outputs, KubeClients> = {
  name: 'kube.ready',
  timeoutMs: 3 * readyWithinMs + patienceMs + 10_000,
  async observe({ clients, signal }) {
    if ((await clients.state()) === 'absent') return new Map();
    const workloads = await listWorkloads(await clients.api({ signal }), signal);
    const byAddon = Map.groupBy(workloads, ([, object]) => object.metadata.labels?.[marks.addon] ?? '');
    return new Map(
      [...byAddon].map(([name, items]): [Address, Observation<KubeReadyProps, Outputs>] => [
        addressOf('kube.ready', name),
        {
          state: 'present',
          props: { available: Object.fromEntries(items.map(([key, object]) => [key, unavailable(object) === undefined])) },
          outputs: {},
        },
      ]),
    );
  },
  diff: ({ available }, observed) =>
    Object.keys(available)
      .filter((key) => observed.available[key] !== true)
      .map(
        (key): FieldChange => ({
          path: `available.${key}`,
          before: observed.available[key] ?? null,
          after: true,
          impact: 'none',
        }),
      ),
  create: (desired, ctx) => becomesAvailable(desired, ctx),
  update: (desired, _outputs, ctx) => becomesAvailable(desired, ctx),
  verify: (desired, ctx) => staysAvailable(desired, ctx),
};

/** What this run has applied has no status but its own. What was there before, as where etcd came back with its data, may have one of pods that are no more. */
async function becomesAvailable(desired: Resolved<KubeReadyProps>, ctx: Context<KubeClients>): Promise<Outputs> {
  await wait(desired, ctx);
  const workloads = await patiently(() => ctx.clients.workloads.next(ctx.signal), ctx.signal);
  const isOlder = (key: string): boolean => isOlderThan(workloads.get(key), ctx.since);
  if (Object.keys(desired.available).some(isOlder)) await staysAvailable(desired, ctx);
  return {};
}

/** A kubelet that has just come back reports its pods a moment after itself: what is available must stay so for a while. */
const settleMs = 2000;
async function staysAvailable(desired: Resolved<KubeReadyProps>, ctx: Context<KubeClients>): Promise<void> {
  await wait(desired, ctx);
  for (let calm = 0; calm < settleMs; ) {
    const started = performance.now();
    await saysAvailable(Object.keys(desired.available), ctx);
    calm = performance.now() - started < pollMs * 2 ? calm + pollMs : 0;
    await sleep(pollMs, undefined, { signal: ctx.signal });
  }
}

/** Its status, then what it does, then its status again: what is asked may have changed what is known of it. */
async function wait({ available }: Resolved<KubeReadyProps>, ctx: Context<KubeClients>): Promise<void> {
  const { clients, signal } = ctx;
  const keys = Object.keys(available);
  await clients.api({ waitMs: patienceMs, signal });
  await saysAvailable(keys, ctx);
  const paths = keys.flatMap((key) => aggregatedPath(key) ?? []);
  if (paths.length === 0) return;
  await answersEverywhere(clients, { paths, withinMs: readyWithinMs, signal, failure: (why) => notAvailable(keys, ctx, why) });
  await saysAvailable(keys, ctx);
}

const saysAvailable = (keys: readonly string[], ctx: Context<KubeClients>): Promise<void> =>
  waitFor({
    poll: ctx.clients.workloads,
    timeoutMs: readyWithinMs,
    signal: ctx.signal,
    missing: (workloads) => {
      const open = keys.flatMap((key) => {
        const object = workloads.get(key);
        const why = object ? unavailable(object) : 'it does not exist';
        return why === undefined ? [] : [`${key}: ${why}`];
      });
      return open.length === 0 ? undefined : open.join('\n');
    },
    failure: (why) => notAvailable(keys, ctx, why),
  });

async function notAvailable(
  keys: readonly string[],
  { clients, address, signal }: Context<KubeClients>,
  why: string,
): Promise<UserError> {
  return new UserError({
    what: `not available within ${readyWithinMs / 1000} s`,
    where: `addon ${nameOf(address)}`,
    why: [why, ...(await waitingPods(clients, keys, signal))].join('\n'),
    next: 'cluster kubectl -- describe pods -n kube-system, then run the same command again',
  });
}

const workloadSchema = z.looseObject({
  status: z
    .looseObject({
      observedGeneration: z.number().default(0),
      conditions: z
        .array(
          z.looseObject({
            type: z.string(),
            status: z.string(),
            reason: z.string().default(''),
            message: z.string().default(''),
          }),
        )
        .default([]),
      numberAvailable: z.number().default(0),
      desiredNumberScheduled: z.number().default(0),
      availableReplicas: z.number().default(0),
      replicas: z.number().default(0),
      updatedReplicas: z.number().default(0),
    })
    .prefault({}),
  spec: z.looseObject({ replicas: z.number().default(1) }).prefault({}),
});

/** Why it does not serve; undefined: it does. */
export function unavailable(object: KubeObject): string | undefined {
  const { status, spec } = workloadSchema.parse(object);
  const { generation = 0 } = object.metadata;
  const stale = object.kind !== 'APIService' && status.observedGeneration < generation;
  if (stale) return 'its controller has not seen it yet';
  if (object.kind === 'DaemonSet')
    return status.numberAvailable >= status.desiredNumberScheduled
      ? undefined
      : `${status.numberAvailable} of ${status.desiredNumberScheduled} are available`;
  if (object.kind === 'StatefulSet')
    return status.availableReplicas >= spec.replicas
      ? undefined
      : `${status.availableReplicas} of ${spec.replicas} are available`;
  // While old pods remain, a drain of the node of one may wait for a new one that finds no place but there.
  const old = object.kind === 'Deployment' ? status.replicas - status.updatedReplicas : 0;
  if (old > 0) return `${old} of ${status.replicas} pods are of the version before`;
  const condition = status.conditions.find(({ type }) => type === 'Available');
  if (condition?.status === 'True') return undefined;
  return condition ? `${condition.reason}: ${condition.message}` : 'no condition Available yet';
}

const podsSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  status: z
    .looseObject({
      phase: z.string().default(''),
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string(), message: z.string().default('') })).default([]),
      containerStatuses: z
        .array(
          z.looseObject({
            name: z.string(),
            state: z
              .looseObject({
                waiting: z.looseObject({ reason: z.string().default(''), message: z.string().default('') }).optional(),
              })
              .prefault({}),
          }),
        )
        .default([]),
    })
    .prefault({}),
});

/** What keeps the pods of those namespaces from starting: the API's own words. */
async function waitingPods(clients: KubeClients, keys: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
  try {
    const api = await clients.api({ signal });
    const namespaces = new Set(keys.map((key) => key.split('/')[1] ?? '').filter(Boolean));
    const pods = await Promise.all([...namespaces].map((namespace) => api.list('v1', 'Pod', { namespace, signal })));
    return pods.flat().flatMap((pod) => {
      const { metadata, status } = podsSchema.parse(pod);
      const waiting = status.containerStatuses.flatMap(({ name, state }) =>
        state.waiting ? [`${name} waits: ${state.waiting.reason} ${state.waiting.message}`.trim()] : [],
      );
      const unscheduled = status.conditions.filter((c) => c.type === 'PodScheduled' && c.status !== 'True').map((c) => c.message);
      return [...waiting, ...unscheduled].map((why) => `pod ${metadata.name}: ${why}`);
    });
  } catch {
    return [];
  }
}
