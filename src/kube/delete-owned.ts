import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeApi } from './client.ts';
import { KubeRefusal } from './http.ts';
import type { KubeObject, ObjectName } from './objects.ts';

/**
 * Deletes an object if it is ours at that very moment: one that somebody else has made or taken over since it was observed stays. Returns the
 * UID of what is being deleted, undefined if there is nothing to delete.
 */
export async function deleteOwned(
  api: KubeApi,
  name: ObjectName,
  isOurs: (object: KubeObject) => boolean,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (let attempt = 1; ; attempt++) {
    const object = await api.get(name, signal);
    const { uid, resourceVersion, deletionTimestamp } = object?.metadata ?? {};
    if (!object || uid === undefined || resourceVersion === undefined || !isOurs(object)) return undefined;
    if (deletionTimestamp !== undefined) return uid;
    try {
      await api.delete(name, signal, { uid, resourceVersion });
      return uid;
    } catch (error) {
      // Its status was written in between, most often.
      if (!(error instanceof KubeRefusal && error.status === 409) || attempt >= 10) throw error;
      await sleep(50 * attempt, undefined, { signal });
    }
  }
}
