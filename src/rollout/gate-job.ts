import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { messageOf, UnreachableError } from '../errors.ts';
import type { KubeApi } from '../kube/client.ts';
import { type KubeObject, nameOfObject } from '../kube/objects.ts';
import { type Ended, tooLong } from './gate-command.ts';
import { type JobOfGate, jobOf } from './gate-job-manifest.ts';

export interface GateJob extends JobOfGate {
  readonly signal: AbortSignal;
}
const manager = 'slipway-gates';
const cleanUpMs = 10_000;

/**
 * Runs one Job and waits until it has ended, or its time is up; it is deleted then, and also when the signal aborts, which rejects with its reason.
 * Throws KubeRefusal when the API does not take it.
 */
export async function runJob(api: KubeApi, gate: GateJob): Promise<Ended & { readonly name: string }> {
  const object = jobOf(gate);
  const { signal, timeoutMs } = gate;
  const { name, namespace = 'default' } = object.metadata;
  const job = { apiVersion: 'batch/v1', kind: 'Job', name, namespace };
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const failure = await applied(api, object, AbortSignal.any([signal, timeout])).catch((error: unknown) => {
      signal.throwIfAborted();
      if (timeout.aborted) return tooLong;
      throw error;
    });
    return { name: `${namespace}/${name}`, failure, lastLines: failure === undefined ? [] : await lastWords(api, job) };
  } finally {
    await api.delete(job, AbortSignal.timeout(cleanUpMs)).catch(() => undefined);
  }
}

/** What its pod says, or why it has none that runs. */
async function lastWords(
  api: KubeApi,
  { name, namespace }: { readonly name: string; readonly namespace: string },
): Promise<readonly string[]> {
  const signal = AbortSignal.timeout(cleanUpMs);
  try {
    const pods = await api.list('v1', 'Pod', { namespace, labelSelector: `job-name=${name}`, signal });
    const [pod] = pods
      .map((one) => podSchema.parse(one))
      .toSorted((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? 1 : -1));
    if (!pod) return ['no pod of it was made'];
    const waits = whyItWaits(pod);
    if (waits !== undefined) return [waits];
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod.metadata.name)}/log`;
    const log = await api.raw(
      `${path}?${new URLSearchParams({ container: spokesman(pod), tailLines: '20', limitBytes: '8000' })}`,
      { signal },
    );
    return log.trimEnd().split('\n');
  } catch (error) {
    return [`its log cannot be read: ${messageOf(error)}`];
  }
}

const jobSchema = z.looseObject({
  status: z
    .looseObject({
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
    })
    .default({ conditions: [] }),
});
/** Undefined: it has completed. Else why it has failed. */
async function applied(api: KubeApi, object: KubeObject, signal: AbortSignal): Promise<string | undefined> {
  const job = nameOfObject(await api.apply(object, { manager, signal }));
  for (let pauseMs = 200; ; pauseMs = Math.min(pauseMs * 1.5, 1000)) {
    await sleep(pauseMs, undefined, { signal });
    const found = await api.get(job, signal).catch((error: unknown) => {
      // API servers restart in an upgrade: no answer is no failure of the gate.
      if (error instanceof UnreachableError) return 'unknown' as const;
      throw error;
    });
    if (found === 'unknown') continue;
    if (!found) return 'somebody has deleted it';
    const conditions = jobSchema.parse(found).status.conditions.filter(({ status }) => status === 'True');
    if (conditions.some(({ type }) => type === 'Complete')) return undefined;
    const failed = conditions.find(({ type }) => type === 'Failed');
    if (failed) return [failed.reason, failed.message].filter((text) => text !== '').join(': ');
  }
}

const state = z.looseObject({
  name: z.string(),
  state: z
    .looseObject({
      waiting: z.looseObject({ reason: z.string().default(''), message: z.string().default('') }).optional(),
      terminated: z.looseObject({ exitCode: z.number().default(0) }).optional(),
    })
    .default({}),
});
const podSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string(), creationTimestamp: z.string().default('') }),
  spec: z.looseObject({ containers: z.array(z.looseObject({ name: z.string() })) }),
  status: z
    .looseObject({
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string(), message: z.string().default('') })).default([]),
      initContainerStatuses: z.array(state).default([]),
      containerStatuses: z.array(state).default([]),
    })
    .default({ conditions: [], initContainerStatuses: [], containerStatuses: [] }),
});
type Pod = z.infer<typeof podSchema>;

const states = ({ status }: Pod) => [...status.initContainerStatuses, ...status.containerStatuses];
function whyItWaits(pod: Pod): string | undefined {
  const unscheduled = pod.status.conditions.find(({ type, status }) => type === 'PodScheduled' && status === 'False');
  if (unscheduled) return `pod ${pod.metadata.name} has no node: ${unscheduled.message}`;
  // An init container at work makes the others wait for it (PodInitializing).
  const waiting = states(pod).find(
    ({ state: { waiting: of } }) => of !== undefined && !/^(PodInitializing|CrashLoopBackOff)$/.test(of.reason),
  );
  const { reason, message } = waiting?.state.waiting ?? {};
  return (
    waiting &&
    `container ${waiting.name} of pod ${pod.metadata.name} does not start: ${[reason, message].filter(Boolean).join(': ')}`
  );
}
/** The container whose log says most: one that failed, or else the first. */
const spokesman = (pod: Pod): string =>
  states(pod).find(({ state: { terminated } }) => terminated !== undefined && terminated.exitCode !== 0)?.name ??
  pod.spec.containers[0]?.name ??
  '';
