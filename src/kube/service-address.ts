import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { KubeApi } from './client.ts';
import { KubeRefusal } from './http.ts';
import type { KubeObject } from './objects.ts';

/** An API server repairs what a Service's cut creation has left 60 s after it (upstream: ipallocator/controller/repairip.go). */
const [patienceMs, pollMs] = [90_000, 500];

interface Options {
  readonly manager?: string;
  readonly signal: AbortSignal;
  progress(message: string): void;
}

/**
 * api.apply, and where it is a Service whose creation was cut half way, by an API server that had to wait too long for its etcd: its address is
 * taken already, by itself. It waits until that is repaired; an address that is another Service's is refused at once.
 */
export async function applyWithAddress(
  api: Pick<KubeApi, 'apply' | 'get'>,
  object: KubeObject,
  { progress, ...options }: Options,
): Promise<KubeObject> {
  const started = performance.now();
  for (let told = false; ; ) {
    try {
      return await api.apply(object, options);
    } catch (error) {
      const late = performance.now() - started > patienceMs;
      if (late || !(await isHeldForItself(api, object, error, options.signal))) throw error;
    }
    if (!told) progress(`Service ${object.metadata.name}: its creation was cut, and its address is free again within a minute`);
    told = true;
    await sleep(pollMs, undefined, { signal: options.signal });
  }
}

const addressSchema = z.looseObject({
  spec: z.object({ parentRef: z.object({ resource: z.string(), namespace: z.string(), name: z.string() }) }),
});

async function isHeldForItself(
  api: Pick<KubeApi, 'get'>,
  { kind, metadata: { namespace = 'default', name } }: KubeObject,
  error: unknown,
  signal: AbortSignal,
): Promise<boolean> {
  if (!(error instanceof KubeRefusal) || kind !== 'Service' || error.status !== 422) return false;
  const address = /failed to allocate IP (\S+): provided IP is already allocated/.exec(error.problem.what)?.[1];
  if (address === undefined) return false;
  const found = await api.get({ apiVersion: 'networking.k8s.io/v1', kind: 'IPAddress', name: address }, signal);
  // Repaired in this moment.
  if (!found) return true;
  const parsed = addressSchema.safeParse(found);
  if (!parsed.success) return false;
  const { parentRef } = parsed.data.spec;
  return parentRef.resource === 'services' && parentRef.namespace === namespace && parentRef.name === name;
}
