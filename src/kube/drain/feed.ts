import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, UnreachableError } from '../../errors.ts';
import type { KubeApi } from '../client.ts';
import { KubeRefusal } from '../http.ts';
import type { KubeObject } from '../objects.ts';
import { type SharedPoll, sharedPoll } from '../wait.ts';
import { type Pod, podOf } from './pod.ts';

/** By node, then by UID. */
export type PodsByNode = ReadonlyMap<string, ReadonlyMap<string, Pod>>;

/** A look is told of a change after this time, and without one after that: evictions that were refused are asked for again. */
const coalesceMs = 100;
const quietMs = 400;
/** A watch ends then and goes on: a server that is frozen is noticed within twice this time. */
const watchSeconds = 20;
const silentMs = 5_000;
const againMs = 300;

/**
 * The pods of all nodes for all drains, however many: one LIST, and then a watch that begins with the first question and ends with `signal`. Where
 * the API is away for a while nothing old is told: who asks gets an UnreachableError, and asks again.
 */
export function watchPods(api: Pick<KubeApi, 'pages' | 'watch'>, signal: AbortSignal): SharedPoll<PodsByNode> {
  const known = new KnownPods();
  let broken: unknown;
  let [started, current, changed] = [false, false, false];

  const follow = async (): Promise<void> => {
    for (let version = ''; ; ) {
      const began = performance.now();
      try {
        if (version === '') version = await listed(api, known, signal);
        [current, changed, broken] = [true, true, undefined];
        for await (const event of api.watch('v1', 'Pod', { resourceVersion: version, seconds: watchSeconds, signal })) {
          if (event.type === 'BOOKMARK') {
            version = event.resourceVersion;
            continue;
          }
          if (event.type === 'DELETED') known.remove(event.object);
          else known.put(event.object);
          version = event.object.metadata.resourceVersion ?? version;
          changed = true;
        }
        // Ended by the server, as agreed: what comes next goes on from there.
        if (performance.now() - began > againMs) continue;
      } catch (error) {
        signal.throwIfAborted();
        if (!isPassing(error)) throw error;
        // Cut, or too old (410): a list says when it is as of now again, a watch that goes on does not.
        [broken, current, version] = [error, false, ''];
      }
      await sleep(againMs, undefined, { signal });
    }
  };
  const settled = async (): Promise<PodsByNode> => {
    if (!started)
      follow().catch((error: unknown) => {
        [broken, current] = [error, false];
      });
    started = true;
    const [start, quiet] = [performance.now(), performance.now() + quietMs];
    while (!current || (!changed && performance.now() < quiet)) {
      signal.throwIfAborted();
      if (broken !== undefined && !isPassing(broken)) throw broken;
      if (performance.now() - start > silentMs)
        throw new UnreachableError({ what: 'the pods of the nodes are not seen', why: messageOf(broken ?? 'no answer') });
      await sleep(20, undefined, { signal });
    }
    changed = false;
    return known.byNode;
  };
  return sharedPoll(settled, () => coalesceMs);
}

async function listed(api: Pick<KubeApi, 'pages'>, known: KnownPods, signal: AbortSignal): Promise<string> {
  const pods: Pod[] = [];
  let version = '';
  for await (const page of api.pages('v1', 'Pod', { signal })) {
    for (const item of page.items) pods.push(podOf(item));
    version = page.resourceVersion;
  }
  known.replace(pods);
  return version;
}

const isPassing = (error: unknown): boolean =>
  error instanceof UnreachableError || (error instanceof KubeRefusal && error.status !== 401 && error.status !== 403);

class KnownPods {
  readonly byNode = new Map<string, Map<string, Pod>>();
  replace(pods: readonly Pod[]): void {
    this.byNode.clear();
    for (const pod of pods) this.#add(pod);
  }
  /** A pod goes to one node in its life, from none: nothing of it is left elsewhere. */
  put(object: KubeObject): void {
    this.#add(podOf(object));
  }
  remove(object: KubeObject): void {
    const { node, uid } = podOf(object);
    const pods = this.byNode.get(node);
    pods?.delete(uid);
    if (pods?.size === 0) this.byNode.delete(node);
  }
  #add(pod: Pod): void {
    // Without a node there is nothing to drain it from.
    if (pod.node === '') return;
    const pods = this.byNode.get(pod.node);
    if (pods) pods.set(pod.uid, pod);
    else this.byNode.set(pod.node, new Map([[pod.uid, pod]]));
  }
}
