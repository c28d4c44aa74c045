import { setTimeout as sleep } from 'node:timers/promises';
import { UnreachableError, type UserError } from '../errors.ts';
import type { KubeApi } from './client.ts';
import type { KubeClients } from './clients.ts';
import { KubeRefusal } from './http.ts';

const kind = 'APIService//';
/** Where API servers hand on what is asked of an APIService, by its key: `v1beta1.metrics.k8s.io` is `/apis/metrics.k8s.io/v1beta1`. Undefined: the key is of another kind. */
export function aggregatedPath(key: string): string | undefined {
  if (!key.startsWith(kind)) return undefined;
  const name = key.slice(kind.length);
  const dot = name.indexOf('.');
  return `/apis/${name.slice(dot + 1)}/${name.slice(0, dot)}`;
}

export interface AnswerWait {
  readonly paths: readonly string[];
  readonly withinMs: number;
  readonly signal: AbortSignal;
  readonly failure: (why: string) => Promise<UserError>;
}
/**
 * Waits until every API server that answers can hand on what is asked of extension servers. Their condition `Available` is what was seen last: after etcd came back
 * with older data, or all machines anew, it is of a pod that is no more, until an API server looks again (up to 30 s).
 */
export async function answersEverywhere(
  clients: Pick<KubeClients, 'servers'>,
  { paths, withinMs, signal, failure }: AnswerWait,
): Promise<void> {
  if (paths.length === 0) return;
  for (const end = performance.now() + withinMs; ; ) {
    const answers = await clients.servers((server) => refused(server, paths, signal));
    const known = [...answers].filter(([, why]) => why !== undefined);
    const open = known.filter(([, why]) => why !== '');
    if (known.length > 0 && open.length === 0) return;
    const why = open.map(([master, each]) => `the API server of ${master}: ${each}`);
    if (performance.now() > end) throw await failure(why.length > 0 ? why.join('\n') : 'no API server answers');
    await sleep(pollMs, undefined, { signal });
  }
}
const pollMs = 500;
const timeoutMs = 5000;

/** Empty: it has handed on all of them. */
async function refused(server: KubeApi, paths: readonly string[], signal: AbortSignal): Promise<string> {
  try {
    await Promise.all(paths.map((path) => server.raw(path, { signal, timeoutMs })));
    return '';
  } catch (error) {
    if (error instanceof KubeRefusal && (error.status === 404 || error.status >= 500)) return error.message;
    if (!(error instanceof UnreachableError)) throw error;
    // What leads nowhere hangs, and says nothing: the API server itself is well, or it is not there at all.
    await server.raw('/readyz', { signal, timeoutMs });
    return `no answer within ${timeoutMs / 1000} s, though it is ready itself: ${paths.join(', ')}`;
  }
}
