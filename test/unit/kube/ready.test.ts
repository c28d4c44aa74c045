import { expect, test } from 'vitest';
import { unavailable } from '../../../src/kube/types/ready.ts';

const deployment = (status: object) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'coredns', generation: 2 },
  spec: { replicas: 2 },
  status: { observedGeneration: 2, conditions: [{ type: 'Available', status: 'True' }], ...status },
});

test('a Deployment of which old pods remain is not ready, though enough of its pods serve', () => {
  expect(unavailable(deployment({ replicas: 3, updatedReplicas: 2 }))).toBe('1 of 3 pods are of the version before');
  expect(unavailable(deployment({ replicas: 2, updatedReplicas: 0 }))).toBe('2 of 2 pods are of the version before');
});
test('it is once they are gone, also while a new one waits for a zone that is down', () =>
  expect(unavailable(deployment({ replicas: 2, updatedReplicas: 2, availableReplicas: 1 }))).toBeUndefined());
test('what its controller has not seen is not ready', () =>
  expect(unavailable(deployment({ replicas: 2, updatedReplicas: 2, observedGeneration: 1 }))).toContain('has not seen'));
