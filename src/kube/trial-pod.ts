import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { UnreachableError, UserError } from '../errors.ts';
import type { KubeApi } from './client.ts';
import type { PodsByNode } from './drain/feed.ts';
import { skipAnnotation } from './drain/pod.ts';
import { KubeRefusal } from './http.ts';
import { type KubeObject, marks, type ObjectName } from './objects.ts';
import { patiently, type SharedPoll } from './wait.ts';

interface Trial {
  readonly node: string;
  /** One that every node has: that of a pod's sandbox. */
  readonly image: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Is given the end of the pod, for which nobody has to wait: it fails never, and is over within seconds. */
  readonly later: (gone: Promise<void>) => void;
}
const namespace = 'kube-system';
const podOf = (node: string): ObjectName & { readonly namespace: string } => ({
  apiVersion: 'v1',
  kind: 'Pod',
  namespace,
  name: `slipway-trial-${node}`,
});
const cleanUpMs = 10_000;

/**
 * A node says Ready as soon as its pod network is configured; whether a pod starts there is seen by starting one: it does nothing, needs no image that is not
 * there, and is gone again. Also on a node that is cordoned. It is made and deleted, and seen among the pods of all nodes: two calls. Returns why it could
 * not be tried, which says nothing against the node. Throws UserError.
 */
export async function podStarts(api: KubeApi, pods: SharedPoll<PodsByNode>, trial: Trial): Promise<string | undefined> {
  const { node, timeoutMs, signal } = trial;
  const end = performance.now() + timeoutMs;
  const pod = podOf(node);
  let uid: string | undefined;
  try {
    const made = await patiently(() => api.apply(trialPod(trial), { signal }), signal).catch((error: unknown) => {
      if (error instanceof KubeRefusal && !signal.aborted) return error;
      throw error;
    });
    if (made instanceof KubeRefusal) return made.problem.what;
    uid = made.metadata.uid;
    for (let seen = false; performance.now() < end; ) {
      const nodes = await pods.next(signal).catch((error: unknown) => {
        if (error instanceof UnreachableError) return undefined;
        throw error;
      });
      const phase = nodes?.get(node)?.get(uid ?? '')?.phase;
      if (phase === 'Running' || phase === 'Succeeded') return undefined;
      if (phase === 'Failed' || (nodes && seen && phase === undefined)) break;
      seen ||= phase !== undefined;
      if (!nodes) await sleep(200, undefined, { signal });
    }
    const found = await patiently(() => api.get(pod, signal), signal);
    if (found?.metadata.uid !== uid) return 'somebody has deleted the pod';
    const { status } = podSchema.parse(found);
    if (status.phase === 'Running' || status.phase === 'Succeeded') return undefined;
    // Its kubelet had no room for it.
    if (status.phase === 'Failed' && /^OutOf/.test(status.reason)) return `${status.reason}: ${status.message}`;
    const words = [status.reason, status.message, ...status.containerStatuses.map(({ state }) => state.waiting?.reason ?? '')];
    const why = words.filter((text) => text !== '').join(': ') || 'its kubelet has said nothing of it';
    throw new UserError({
      what: `no pod starts on it: one that does nothing did not run within ${Math.round(timeoutMs / 1000)} s`,
      where: `node ${node}`,
      why: [why, await lastEvent(api, pod)].filter(Boolean).join('; '),
      next: `cluster logs ${node} -u containerd, cluster logs ${node} -u kubelet; then run the same command again: it goes on from there`,
    });
  } finally {
    const late = AbortSignal.timeout(cleanUpMs);
    // Where the answer was lost, it may be there all the same.
    const gone = uid === undefined ? remove(api, pod, late) : deleteNow(api, pod, uid, late);
    trial.later(
      gone.then(
        () => undefined,
        () => undefined,
      ),
    );
  }
}

/** Those that killed runs have left. */
export async function removeTrialPods(api: KubeApi, signal: AbortSignal): Promise<void> {
  const left = await api.list('v1', 'Pod', { namespace, labelSelector: marks.trial, metadataOnly: true, signal });
  for (const { metadata } of left) await remove(api, { apiVersion: 'v1', kind: 'Pod', namespace, name: metadata.name }, signal);
}

async function remove(api: KubeApi, pod: ObjectName, signal: AbortSignal): Promise<void> {
  const found = await patiently(() => api.get(pod, signal), signal);
  const uid = found?.metadata.uid;
  if (uid !== undefined) await deleteNow(api, pod, uid, signal);
}
/** And not when its kubelet says so: that one may be what is broken. */
const deleteNow = (api: KubeApi, pod: ObjectName, uid: string, signal: AbortSignal): Promise<unknown> =>
  patiently(() => api.delete(pod, signal, { uid, gracePeriodSeconds: 0 }), signal);

/** Nothing in it that admission might mind. */
const trialPod = ({ node, image }: Trial): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: podOf(node).name,
    namespace,
    labels: { [marks.trial]: 'true' },
    // If it is left by a run that is killed, it is in no drain's way.
    annotations: { [skipAnnotation]: 'skip' },
  },
  spec: {
    nodeName: node,
    tolerations: [{ operator: 'Exists' }],
    priorityClassName: 'system-node-critical',
    restartPolicy: 'Never',
    activeDeadlineSeconds: 600,
    terminationGracePeriodSeconds: 0,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: { runAsNonRoot: true, runAsUser: 65_535, runAsGroup: 65_535, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'trial',
        image,
        imagePullPolicy: 'IfNotPresent',
        securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
      },
    ],
  },
});

const podSchema = z.looseObject({
  status: z
    .looseObject({
      phase: z.string().default(''),
      reason: z.string().default(''),
      message: z.string().default(''),
      containerStatuses: z
        .array(
          z.looseObject({
            state: z.looseObject({ waiting: z.looseObject({ reason: z.string().default('') }).optional() }).default({}),
          }),
        )
        .default([]),
    })
    .default({ phase: '', reason: '', message: '', containerStatuses: [] }),
});
const eventsSchema = z.looseObject({
  items: z.array(z.looseObject({ type: z.string().default(''), message: z.string().default('') })).default([]),
});

/** Why its sandbox could not be made is in no status. */
async function lastEvent(api: KubeApi, { name }: ObjectName): Promise<string | undefined> {
  const query = new URLSearchParams({ fieldSelector: `involvedObject.name=${name},type=Warning`, limit: '50' });
  try {
    const text = await api.raw(`/api/v1/namespaces/${namespace}/events?${query}`, { signal: AbortSignal.timeout(cleanUpMs) });
    return eventsSchema.parse(JSON.parse(text)).items.at(-1)?.message;
  } catch {
    return undefined;
  }
}
