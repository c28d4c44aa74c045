import { expect, test } from 'vitest';
import { lostOf } from '../../../src/rollout/room.ts';

const noNetwork = 'container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin';
const node = (name: string, status: string, message = '') => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name },
  status: { conditions: [{ type: 'Ready', status, message }] },
});

test('lost is a worker of the design whose Node is gone or not Ready; not one that lacks only the pod network, which all do then', () => {
  const nodes = [node('x-1', 'True'), node('x-2', 'Unknown'), node('x-3', 'False', noNetwork), node('other', 'False')];
  const workers = ['x-1', 'x-2', 'x-3', 'x-4'].map((name) => ({ name, pool: 'x' }));
  const lost = lostOf(workers, new Map(nodes.map((each) => [each.metadata.name, each])));
  expect([...lost]).toEqual([
    ['x-2', 'x'],
    ['x-4', 'x'],
  ]);
});
