import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { messageOf } from '../../src/errors.ts';
import { type KubeApi, openKube } from '../../src/kube/client.ts';
import { openHttp } from '../../src/kube/http.ts';
import { apiName, type LocalApi, missingApi } from './local-api.ts';
import { assetCache } from './local-etcd.ts';

const binary = (name: string): string => join(assetCache, 'kubernetes/1.36.3', name);
const programs = ['kube-controller-manager', 'kube-scheduler'];
export const missingControllers =
  missingApi ??
  programs.filter((name) => !existsSync(binary(name))).map((name) => `no ${binary(name)} (cluster assets fetch)`)[0];

/** The real controller manager (those controllers alone) and the real scheduler of an API server of its own. */
export function startControllers(lab: LocalApi, controllers: readonly string[]): { close(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'slipway-controllers-'));
  const { caPem, certPem, keyPem } = lab.credentials;
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const kubeconfig = join(directory, 'kubeconfig');
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'lab',
    contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'lab' } }],
    clusters: [
      {
        name: 'lab',
        cluster: { server: lab.server, 'tls-server-name': apiName, 'certificate-authority-data': base64(caPem) },
      },
    ],
    users: [{ name: 'lab', user: { 'client-certificate-data': base64(certPem), 'client-key-data': base64(keyPem) } }],
  };
  writeFileSync(kubeconfig, JSON.stringify(content), { mode: 0o600 });
  const common = [`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--secure-port=0'];
  const start = (name: string, more: readonly string[]): ChildProcess => {
    const log = openSync(join(directory, `${name}.log`), 'w');
    return spawn('setpriv', ['--pdeathsig', 'KILL', binary(name), ...common, ...more], { stdio: ['ignore', log, log] });
  };
  const children = [start('kube-controller-manager', [`--controllers=${controllers.join(',')}`]), start('kube-scheduler', [])];
  return {
    close() {
      for (const child of children) child.kill('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const podSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    annotations: z.record(z.string(), z.string()).default({}),
    deletionTimestamp: z.string().optional(),
    deletionGracePeriodSeconds: z.number().default(0),
  }),
  spec: z.looseObject({
    nodeName: z.string().default(''),
    containers: z.array(z.looseObject({ name: z.string(), image: z.string() })),
  }),
  status: z.looseObject({ phase: z.string().default('') }),
});
type LabPod = z.infer<typeof podSchema>;

/**
 * Plays the kubelets of all nodes: what is on a node runs and is ready; what is told to stop ends after 0.2 s, or, annotated `test/sigterm: ignored`, when its
 * grace period is over, and is then let go of. Annotated `test/ready: never`, it is not ready; `test/kubelet: gone`, nothing happens to it at all.
 */
export function playKubelets(lab: LocalApi): { close(): Promise<void> } {
  const server = { server: lab.server, tlsServerName: apiName, ...lab.credentials };
  const [api, http, stop] = [openKube(server), openHttp(server), new AbortController()];
  const since = new Map<string, number>();
  const setStatus = async ({ metadata, spec }: LabPod, phase: string, ready: boolean, state: object): Promise<void> => {
    const status = {
      phase,
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
      containerStatuses: spec.containers.map(({ name, image }) => ({ name, image, imageID: '', ready, restartCount: 0, state })),
    };
    await http.json(`/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}/status`, {
      method: 'PATCH',
      contentType: 'application/strategic-merge-patch+json',
      body: { metadata: { uid: metadata.uid }, status },
    });
  };
  const care = async (pod: LabPod): Promise<void> => {
    const { metadata, spec, status } = pod;
    const { annotations, uid } = metadata;
    if (spec.nodeName === '' || annotations['test/kubelet'] === 'gone') return;
    if (metadata.deletionTimestamp === undefined) {
      const startedAt = new Date().toISOString();
      if (status.phase === 'Pending')
        await setStatus(pod, 'Running', annotations['test/ready'] !== 'never', { running: { startedAt } });
      return;
    }
    since.set(uid, since.get(uid) ?? performance.now());
    const takesMs = annotations['test/sigterm'] === 'ignored' ? metadata.deletionGracePeriodSeconds * 1000 : 200;
    if (performance.now() - (since.get(uid) ?? 0) < takesMs) return;
    if (status.phase !== 'Succeeded') await setStatus(pod, 'Succeeded', false, { terminated: { exitCode: 0 } });
    if (metadata.deletionGracePeriodSeconds === 0 && status.phase === 'Succeeded') return;
    await api.delete({ apiVersion: 'v1', kind: 'Pod', ...metadata }, undefined, { uid, gracePeriodSeconds: 0 });
  };
  const running = (async () => {
    while (!stop.signal.aborted) {
      const pods = await api.list('v1', 'Pod').catch(() => []);
      // Whatever it meets, another look is due in a moment.
      await Promise.all(pods.map((pod) => care(podSchema.parse(pod)).catch((error) => messageOf(error))));
      await sleep(100);
    }
  })();
  return {
    async close() {
      stop.abort();
      await running;
      api.close();
      http.close();
    },
  };
}

/** A node that takes pods. */
export async function labNode(
  lab: LocalApi,
  api: KubeApi,
  name: string,
  labels: Readonly<Record<string, string>>,
): Promise<void> {
  const http = openHttp({ server: lab.server, tlsServerName: apiName, ...lab.credentials });
  await api.apply(
    { apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } } },
    { manager: 'kubelet' },
  );
  const room = { cpu: '64', memory: '64Gi', pods: '110' };
  await http.json(`/api/v1/nodes/${name}/status`, {
    method: 'PATCH',
    contentType: 'application/strategic-merge-patch+json',
    body: { status: { allocatable: room, capacity: room, conditions: [{ type: 'Ready', status: 'True' }] } },
  });
  http.close();
}
