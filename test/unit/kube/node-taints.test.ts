import { expect, test } from 'vitest';
import { UnreachableError } from '../../../src/errors.ts';
import { announceLeaving } from '../../../src/kube/drain/leaving.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { mergeTaints } from '../../../src/kube/types/node.ts';

const control = { key: 'node-role.kubernetes.io/control-plane', value: '', effect: 'NoSchedule' };
const uninitialized = { key: 'node.cloudprovider.kubernetes.io/uninitialized', value: 'true', effect: 'NoSchedule' };
const mine = { key: 'dedicated', value: 'gpu', effect: 'NoExecute' };

test("the taint of a node that the cloud controller has not seen yet is the kubelet's: it stays when ours are set, and is never set by us", () => {
  expect(mergeTaints([uninitialized, control], [], [control])).toEqual([uninitialized, control]);
  expect(mergeTaints([uninitialized], [], [control])).toEqual([uninitialized, control]);
  // The cloud controller took it between two looks of ours.
  expect(mergeTaints([control], [control], [control])).toEqual([control]);
});

test('a taint of ours that is no longer designed goes, and one with another value is replaced', () => {
  expect(mergeTaints([uninitialized, mine], [mine], [])).toEqual([uninitialized]);
  expect(mergeTaints([mine], [mine], [{ ...mine, value: 'cpu' }])).toEqual([{ ...mine, value: 'cpu' }]);
});

test('that a node leaves is said again where the API gave no answer', async () => {
  const node = (taints: readonly object[], resourceVersion: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'a', resourceVersion },
    spec: { taints },
  });
  const answers = [undefined, node([control], '1')];
  const sent: unknown[] = [];
  await announceLeaving(
    {
      get: async () => {
        const answer = answers.shift();
        if (!answer) throw new UnreachableError({ what: 'the Kubernetes API gives no answer' });
        return answer;
      },
      patch: async (_name, _type, body) => {
        sent.push(body);
        return node([], '2');
      },
    },
    'a',
  );
  expect(sent).toEqual([
    [
      { op: 'test', path: '/metadata/resourceVersion', value: '1' },
      { op: 'add', path: '/spec/taints', value: [control, expect.objectContaining({ key: 'ToBeDeletedByClusterAutoscaler' })] },
    ],
  ]);
});
