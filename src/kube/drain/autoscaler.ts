import pLimit from 'p-limit';
import type { KubeApi } from '../client.ts';
import { KubeRefusal } from '../http.ts';
import type { KubeObject } from '../objects.ts';
import { patiently } from '../wait.ts';

/** What cluster-autoscaler reads from a node: not to be taken away for want of pods. */
const disabled = 'cluster-autoscaler.kubernetes.io/scale-down-disabled';
/** That it was us who said so: what somebody else has written stays as it is. */
const mark = 'slipway.dev/scale-down-held';

/** While machines are replaced, the autoscaler takes none away for being empty: a spare one is, and one that was drained. */
export const holdScaleDown = (api: Pick<KubeApi, 'patch'>, nodes: readonly KubeObject[], signal: AbortSignal): Promise<void> =>
  annotate(
    api,
    nodes.filter(({ metadata }) => metadata.annotations?.[disabled] === undefined),
    { [disabled]: 'true', [mark]: 'upgrade' },
    signal,
  );

/** Takes that back, of whichever run. */
export const freeScaleDown = (api: Pick<KubeApi, 'patch'>, nodes: readonly KubeObject[], signal: AbortSignal): Promise<void> =>
  annotate(
    api,
    nodes.filter(({ metadata }) => metadata.annotations?.[mark] !== undefined),
    { [disabled]: null, [mark]: null },
    signal,
  );

async function annotate(
  api: Pick<KubeApi, 'patch'>,
  nodes: readonly KubeObject[],
  annotations: Readonly<Record<string, string | null>>,
  signal: AbortSignal,
): Promise<void> {
  const limit = pLimit(8);
  await Promise.all(
    nodes.map(({ metadata: { name } }) =>
      limit(async () => {
        try {
          const node = { apiVersion: 'v1', kind: 'Node', name };
          await patiently(() => api.patch(node, 'application/merge-patch+json', { metadata: { annotations } }, signal), signal);
        } catch (error) {
          // Gone in between, with its machine.
          if (!(error instanceof KubeRefusal && error.status === 404)) throw error;
        }
      }),
    ),
  );
}
