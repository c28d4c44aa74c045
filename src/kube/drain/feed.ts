import type { KubeApi } from '../client.ts';
import { type Kept, watchAll } from '../feed.ts';
import type { SharedPoll } from '../wait.ts';
import { type Pod, podOf } from './pod.ts';

/** By node, then by UID. */
export type PodsByNode = ReadonlyMap<string, ReadonlyMap<string, Pod>>;

/** The pods of all nodes for all drains, however many. */
export const watchPods = (api: Pick<KubeApi, 'pages' | 'watch'>, signal: AbortSignal): SharedPoll<PodsByNode> =>
  watchAll(api, { apiVersion: 'v1', kind: 'Pod', what: 'the pods of the nodes' }, new PodsKept(), signal);

class PodsKept implements Kept<Pod, PodsByNode> {
  readonly view = new Map<string, Map<string, Pod>>();
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
    if (pods) pods.set(pod.uid, pod);
    else this.view.set(pod.node, new Map([[pod.uid, pod]]));
  }
  remove({ node, uid }: Pod): void {
    const pods = this.view.get(node);
    pods?.delete(uid);
    if (pods?.size === 0) this.view.delete(node);
  }
}
