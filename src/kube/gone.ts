import type { KubeApi } from './client.ts';
import { KubeRefusal } from './http.ts';
import { patiently } from './wait.ts';

/**
 * Says of a Node whose machine was deleted that nothing is known of it, as the node controller would after 40 s. The machine that comes in its place gets Ready
 * within a second or two then: a kubelet that finds its Node Ready reports only every 10 s. Labels, cordons and whatever others wrote stay.
 */
export async function markGone(api: Pick<KubeApi, 'patchStatus'>, node: string, signal: AbortSignal): Promise<void> {
  const condition = {
    type: 'Ready',
    status: 'Unknown',
    reason: 'MachineReplaced',
    message: 'Slipway has deleted its machine and makes it anew',
  };
  const name = { apiVersion: 'v1', kind: 'Node', name: node };
  const body = { status: { conditions: [condition] } };
  try {
    await patiently(() => api.patchStatus(name, 'application/strategic-merge-patch+json', body, signal), signal);
  } catch (error) {
    if (!(error instanceof KubeRefusal && error.status === 404)) throw error;
  }
}
