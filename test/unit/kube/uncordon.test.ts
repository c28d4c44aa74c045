import { expect, test } from 'vitest';
import { uncordon } from '../../../src/kube/drain/cordon.ts';
import { KubeRefusal } from '../../../src/kube/http.ts';
import { type KubeObject, marks } from '../../../src/kube/objects.ts';

const node = (resourceVersion: string, over: { readonly uid?: string; readonly cordoned?: boolean } = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: {
    name: 'worker-a',
    uid: over.uid ?? 'one',
    resourceVersion,
    annotations: over.cordoned === false ? {} : { [marks.cordon]: 'run' },
  },
  spec: { taints: [{ key: 'slipway.dev/upgrade', value: 'due', effect: 'PreferNoSchedule' }] },
});
const refusal = (status: number): KubeRefusal =>
  new KubeRefusal('/api/v1/nodes/worker-a', status, { message: 'no', reason: '', details: { causes: [] } });

/** As an API server that holds this Node: another version or UID is refused. */
function apiWith(held: KubeObject) {
  const calls: string[] = [];
  return {
    calls,
    get: async () => {
      calls.push('get');
      return held;
    },
    patch: async (_name: unknown, _type: string, body: unknown) => {
      calls.push('patch');
      if (!JSON.stringify(body).includes(`"value":"${held.metadata.resourceVersion}"`)) throw refusal(422);
      return held;
    },
    apply: async ({ metadata }: KubeObject) => {
      calls.push('apply');
      if (metadata.uid !== held.metadata.uid) throw refusal(409);
      return held;
    },
  };
}

test.each([
  { what: 'not seen', seen: undefined, calls: ['get', 'patch', 'apply'] },
  { what: 'as it was seen', seen: node('5'), calls: ['patch', 'apply'] },
  { what: 'changed since it was seen', seen: node('4'), calls: ['patch', 'get', 'patch', 'apply'] },
  { what: 'seen before it was cordoned', seen: node('3', { cordoned: false }), calls: ['get', 'patch', 'apply'] },
  { what: 'another of its name', seen: node('5', { uid: 'former' }), calls: ['patch', 'apply', 'get', 'patch', 'apply'] },
])('a node $what is uncordoned, with as few calls as that takes', async ({ seen, calls }) => {
  const api = apiWith(node('5'));
  await uncordon(api, 'worker-a', undefined, seen);
  expect(api.calls).toEqual(calls);
});
