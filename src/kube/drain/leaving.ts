import type { KubeApi } from '../client.ts';
import { changeTaints, NodeGone, sameTaint, type Taint } from '../taints.ts';
import { patiently } from '../wait.ts';

/**
 * What the world has agreed on for a node whose machine is about to go (KEP-3836): its kube-proxy answers 503 on /healthz from then on, and cloud
 * controllers leave it out of balancers, while its node ports work to the end. The value says that it is ours.
 */
const leaving: Taint = { key: 'ToBeDeletedByClusterAutoscaler', value: 'slipway', effect: 'NoSchedule' };

/** Tells balancers of Services that this node goes. They need the provider's `leaveMs` to have noticed. A Node that is gone has nothing to say. */
export async function announceLeaving(api: Pick<KubeApi, 'get' | 'patch'>, node: string, signal?: AbortSignal): Promise<void> {
  try {
    await patiently(() => changeTaints(api, node, (all) => [...staying(all), leaving], signal ? { signal } : {}), signal);
  } catch (error) {
    if (!(error instanceof NodeGone)) throw error;
  }
}

/** The taints of a node that stays: without ours that says that it goes. */
export const staying = (all: readonly Taint[]): readonly Taint[] => all.filter((taint) => !sameTaint(taint, leaving));
