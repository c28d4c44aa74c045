import { testapp } from '../testapp.ts';
import { eventually, type Kubectl } from '../workloads.ts';
import type { Failure } from './outcome.ts';

const labels = { app: 'store' };
const names = ['store-0', 'store-1', 'store-2'] as const;
/** Each replica is reached by a port of its own: clients of such stores tell them apart. */
export const storePorts: readonly number[] = names.map((_, ordinal) => 30_090 + ordinal);

/**
 * A store of three replicas with names of their own and local data, as its owner should run it: one may be away by intent, and each serves on until news of its
 * end has reached every node.
 */
export const store = (namespace: string): readonly object[] => [
  {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'store', namespace },
    spec: {
      serviceName: 'store',
      replicas: names.length,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 20,
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: 'kubernetes.io/hostname',
              // A node that is drained has no place.
              whenUnsatisfiable: 'ScheduleAnyway',
              nodeTaintsPolicy: 'Honor',
              labelSelector: { matchLabels: labels },
            },
          ],
          containers: [
            {
              name: 'store',
              image: testapp.image,
              args: ['serve', '--data', '/data'],
              ports: [{ name: 'http', containerPort: 8080 }],
              resources: { requests: { cpu: '10m', memory: '16Mi' } },
              readinessProbe: { httpGet: { path: '/readyz', port: 'http' }, periodSeconds: 1 },
              lifecycle: { preStop: { sleep: { seconds: 3 } } },
              volumeMounts: [{ name: 'data', mountPath: '/data' }],
            },
          ],
          securityContext: { fsGroup: 65_532 },
          volumes: [{ name: 'data', emptyDir: {} }],
        },
      },
    },
  },
  {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'store', namespace },
    spec: { maxUnavailable: 1, selector: { matchLabels: labels } },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'store', namespace },
    spec: { clusterIP: 'None', selector: labels, ports: [{ name: 'http', port: 8080 }] },
  },
  ...names.map((name, ordinal) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: {
      type: 'NodePort',
      selector: { 'statefulset.kubernetes.io/pod-name': name },
      ports: [{ name: 'http', port: 8080, targetPort: 'http', nodePort: storePorts[ordinal] }],
    },
  })),
];

/** When all is over: every name is a pod's that is ready, and by the headless Service leads to it from another one. */
export async function identities(kubectl: Kubectl): Promise<readonly Failure[]> {
  const at = Date.now();
  const path =
    'range .items[*]}{.metadata.name}.store {.status.podIP} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end';
  const wanted = async (): Promise<void> => {
    const pods = (await kubectl('get', 'pods', '-l', 'app=store', '-o', `jsonpath={${path}}`)).trim().split('\n').sort();
    const told = (await kubectl.inPod(names[0], 'lookup', ...names.map((name) => `${name}.store`))).trim().split('\n').sort();
    const lines = told.map((line) => `${line} True`);
    if (pods.join('; ') !== lines.join('; ') || told.length !== names.length)
      throw new Error(`pods: ${pods.join('; ')}; by their names: ${told.join('; ')}`);
  };
  try {
    await eventually(wanted, 30_000);
    return [];
  } catch (error) {
    return [{ at, ms: Date.now() - at, kind: 'store identity', text: `${error}` }];
  }
}
