import type { KubeApi } from '../client.ts';
import { changeTaints, NodeGone, sameTaint, type Taint } from '../taints.ts';

/**
 * What the world has agreed on for a node whose machine is about to go (KEP-3836): its kube-proxy answers 503 on /healthz from then on, and cloud
 * controllers leave it out of balancers, while its node ports work to the end. The value says that it is ours.
 */
const leaving: Taint = { key: 'ToBeDeletedByClusterAutoscaler', value: 'slipway', effect: 'NoSchedule' };

/** Tells balancers of Services that this node goes. They need the provider's `leaveMs` to have noticed. A Node that is gone has nothing to say. */
export const announceLeaving = (api: Pick<KubeApi, 'get' | 'patch'>, node: string, signal?: AbortSignal): Promise<void> =>
  change(api, node, (all) => [...withoutOurs(all), leaving], signal);

/** Takes that back: of a machine that was made anew under the same name, or whose turn was given up. */
export const announceStaying = (api: Pick<KubeApi, 'get' | 'patch'>, node: string, signal?: AbortSignal): Promise<void> =>
  change(api, node, withoutOurs, signal);

const withoutOurs = (all: readonly Taint[]): readonly Taint[] => all.filter((taint) => !sameTaint(taint, leaving));

async function change(
  api: Pick<KubeApi, 'get' | 'patch'>,
  node: string,
  to: (all: readonly Taint[]) => readonly Taint[],
  signal?: AbortSignal,
): Promise<void> {
  try {
    await changeTaints(api, node, to, signal ? { signal } : {});
  } catch (error) {
    if (!(error instanceof NodeGone)) throw error;
  }
}
