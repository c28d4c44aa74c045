import type { KubeApi } from '../client.ts';
import { type Kept, watchAll } from '../feed.ts';
import type { SharedPoll } from '../wait.ts';
import { type Pod, podOf } from './pod.ts';

/** By node, then by UID. */
export interface PodsByNode extends ReadonlyMap<string, ReadonlyMap<string, Pod>> {
  /** How many pods of a namespace have come to be ready so far: after one more, a disruption budget may allow what it refused. */
  readied(namespace: string): number;
}

/** The pods of all nodes for all drains, however many. */
export const watchPods = (api: Pick<KubeApi, 'pages' | 'watch'>, signal: AbortSignal): SharedPoll<PodsByNode> =>
  watchAll(api, { apiVersion: 'v1', kind: 'Pod', what: 'the pods of the nodes' }, new PodsKept(), signal);

class NodesPods extends Map<string, Map<string, Pod>> implements PodsByNode {
  readonly #readied = new Map<string, number>();
  readied(namespace: string): number {
    return this.#readied.get(namespace) ?? 0;
  }
  countReadied(namespace: string): void {
    this.#readied.set(namespace, this.readied(namespace) + 1);
  }
}

class PodsKept implements Kept<Pod, PodsByNode> {
  readonly view = new NodesPods();
  read = podOf;
  replace(pods: readonly Pod[]): void {
    this.view.clear();
    for (const pod of pods) this.put(pod);
  }
  /** A pod goes to one node in its life, from none: nothing of it is left elsewhere. */
  put(pod: Pod): void {
    // Without a node there is nothing to drain it from.
    if (pod.node === '') return;
    const pods = this.view.get(pod.node);
    if (pod.ready && pods?.get(pod.uid)?.ready !== true) this.view.countReadied(pod.namespace);
    if (pods) pods.set(pod.uid, pod);
    else this.view.set(pod.node, new Map([[pod.uid, pod]]));
  }
  remove({ node, uid }: Pod): void {
    const pods = this.view.get(node);
    pods?.delete(uid);
    if (pods?.size === 0) this.view.delete(node);
  }
}
