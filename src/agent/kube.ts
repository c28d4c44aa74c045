import { z } from 'zod';
import { noticeAnnotation } from '../components/joining.ts';
import { type Http, KubeRefusal } from '../kube/http.ts';

/** The few calls of the agent, as its own user. */
export interface AgentKube {
  requests(signal: AbortSignal): Promise<readonly unknown[]>;
  /** Idempotent: what is decided stays so. */
  decideRequest(name: string, decision: 'Approved' | 'Denied', message: string, signal: AbortSignal): Promise<void>;
  nodes(signal: AbortSignal): Promise<readonly AgentNode[]>;
  cordon(node: string, because: string, signal: AbortSignal): Promise<void>;
  /** Pods on a node. */
  pods(node: string, signal: AbortSignal): Promise<readonly AgentPod[]>;
  /** False: a disruption budget does not allow it now. */
  evict(pod: AgentPod, signal: AbortSignal): Promise<boolean>;
  secret(name: string, signal: AbortSignal): Promise<Readonly<Record<string, string>> | undefined>;
  applySecret(name: string, type: string, data: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void>;
  lease(signal: AbortSignal): Promise<Lease | undefined>;
  /** False: somebody else was faster. */
  putLease(lease: Lease, before: Lease | undefined, signal: AbortSignal): Promise<boolean>;
}
export interface AgentNode {
  readonly name: string;
  readonly ready: boolean;
  readonly cordoned: boolean;
  /** Its machine says that it is about to be taken away. */
  readonly notice: string | undefined;
}
export interface AgentPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** It goes with its node, or has ended: nothing to evict. */
  readonly stays: boolean;
}
export interface Lease {
  readonly holder: string;
  /** RFC 3339. */
  readonly renewed: string;
  readonly seconds: number;
  readonly version: string;
}

const manager = 'slipway-agent';
const leasePath = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
const leaseName = 'slipway-agent';
const requestsPath = '/apis/certificates.k8s.io/v1/certificatesigningrequests';

const listSchema = z.object({
  metadata: z.looseObject({ continue: z.string().optional() }).default({}),
  items: z
    .array(z.unknown())
    .nullable()
    .transform((items) => items ?? []),
});
const nodeSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string(), annotations: z.record(z.string(), z.string()).default({}) }),
  spec: z.looseObject({ unschedulable: z.boolean().default(false) }).prefault({}),
  status: z
    .looseObject({ conditions: z.array(z.looseObject({ type: z.string(), status: z.string() })).default([]) })
    .prefault({}),
});
const podSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    annotations: z.record(z.string(), z.string()).default({}),
    ownerReferences: z.array(z.looseObject({ kind: z.string(), controller: z.boolean().default(false) })).default([]),
  }),
  status: z.looseObject({ phase: z.string().default('') }).prefault({}),
});
const leaseSchema = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  spec: z.looseObject({
    holderIdentity: z.string().nullish(),
    renewTime: z.string().nullish(),
    leaseDurationSeconds: z.number().nullish(),
  }),
});
const secretSchema = z.looseObject({ data: z.record(z.string(), z.string()).default({}) });
const requestSchema = z.looseObject({
  status: z.looseObject({ conditions: z.array(z.looseObject({ type: z.string() })).default([]) }).prefault({}),
});

export function agentKube(http: Http): AgentKube {
  const listed = async (path: string, signal: AbortSignal): Promise<readonly unknown[]> => {
    const items: unknown[] = [];
    let next = '';
    do {
      const query = `${path.includes('?') ? '&' : '?'}limit=500${next === '' ? '' : `&continue=${encodeURIComponent(next)}`}`;
      const page = listSchema.parse(await http.json(`${path}${query}`, { signal }));
      items.push(...page.items);
      next = page.metadata.continue ?? '';
    } while (next !== '');
    return items;
  };
  const unless = async <T>(status: number, ask: Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await ask;
    } catch (error) {
      if (error instanceof KubeRefusal && error.status === status) return otherwise;
      throw error;
    }
  };
  return {
    requests: (signal) => listed(requestsPath, signal),
    async decideRequest(name, decision, message, signal) {
      const object = await unless(404, http.json(`${requestsPath}/${name}`, { signal }), undefined);
      if (object === undefined) return;
      const { status, ...rest } = requestSchema.parse(object);
      if (status.conditions.length > 0) return;
      const conditions = [{ type: decision, status: 'True', reason: 'SlipwayAgent', message }];
      const body = { ...rest, status: { ...status, conditions } };
      await unless(409, http.json(`${requestsPath}/${name}/approval`, { method: 'PUT', body, signal }), undefined);
    },
    async nodes(signal) {
      return (await listed('/api/v1/nodes', signal)).map((item): AgentNode => {
        const { metadata, spec, status } = nodeSchema.parse(item);
        return {
          name: metadata.name,
          ready: status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
          cordoned: spec.unschedulable,
          notice: metadata.annotations[noticeAnnotation],
        };
      });
    },
    async cordon(node, because, signal) {
      const body = { metadata: { annotations: { 'slipway.dev/cordoned': because } }, spec: { unschedulable: true } };
      const call = { method: 'PATCH', contentType: 'application/merge-patch+json', body, signal } as const;
      await unless(404, http.json(`/api/v1/nodes/${node}?fieldManager=${manager}`, call), undefined);
    },
    async pods(node, signal) {
      const selector = encodeURIComponent(`spec.nodeName=${node}`);
      return (await listed(`/api/v1/pods?fieldSelector=${selector}`, signal)).map((item): AgentPod => {
        const { metadata, status } = podSchema.parse(item);
        const ownedByDaemon = metadata.ownerReferences.some(({ kind, controller }) => controller && kind === 'DaemonSet');
        const mirror = 'kubernetes.io/config.mirror' in metadata.annotations;
        const ended = status.phase === 'Succeeded' || status.phase === 'Failed';
        const { namespace, name, uid } = metadata;
        return { namespace, name, uid, stays: ownedByDaemon || mirror || ended };
      });
    },
    async evict({ namespace, name, uid }, signal) {
      const body = {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name, namespace },
        deleteOptions: { preconditions: { uid } },
      };
      try {
        const call = { method: 'POST', body, signal, whole: true } as const;
        await http.json(`/api/v1/namespaces/${namespace}/pods/${name}/eviction`, call);
        return true;
      } catch (error) {
        // Gone, or another of that name by now.
        if (error instanceof KubeRefusal && (error.status === 404 || error.status === 409)) return true;
        if (error instanceof KubeRefusal && error.status === 429) return false;
        throw error;
      }
    },
    async secret(name, signal) {
      const found = await unless(404, http.json(`/api/v1/namespaces/kube-system/secrets/${name}`, { signal }), undefined);
      if (found === undefined) return undefined;
      const text = (value: string): string => Buffer.from(value, 'base64').toString();
      return Object.fromEntries(Object.entries(secretSchema.parse(found).data).map(([key, value]) => [key, text(value)]));
    },
    async applySecret(name, type, data, signal) {
      const body = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'kube-system' }, type, stringData: data };
      const query = new URLSearchParams({ fieldManager: manager, force: 'true' });
      const call = { method: 'PATCH', contentType: 'application/apply-patch+yaml', body, signal } as const;
      await http.json(`/api/v1/namespaces/kube-system/secrets/${name}?${query}`, call);
    },
    async lease(signal) {
      const found = await unless(404, http.json(`${leasePath}/${leaseName}`, { signal }), undefined);
      if (found === undefined) return undefined;
      const { metadata, spec } = leaseSchema.parse(found);
      return {
        holder: spec.holderIdentity ?? '',
        renewed: spec.renewTime ?? '',
        seconds: spec.leaseDurationSeconds ?? 0,
        version: metadata.resourceVersion,
      };
    },
    async putLease({ holder, renewed, seconds }, before, signal) {
      const body = {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name: leaseName, namespace: 'kube-system', ...(before && { resourceVersion: before.version }) },
        spec: { holderIdentity: holder, renewTime: renewed, leaseDurationSeconds: seconds },
      };
      const call = before
        ? http.json(`${leasePath}/${leaseName}`, { method: 'PUT', body, signal })
        : http.json(leasePath, { method: 'POST', body, signal });
      return unless(
        409,
        call.then(() => true),
        false,
      );
    },
  };
}
