import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { messageOf } from '../../src/errors.ts';
import type { Credentials } from '../../src/kube/clients.ts';
import { type ApiServer, openHttp } from '../../src/kube/http.ts';
import { issueClient } from '../../src/pki/admin.ts';
import type { Authority } from '../../src/pki/authorities.ts';
import { generateP256, publicKeyOf } from '../../src/pki/keys.ts';
import { assetCache, LocalEtcd, missingEtcd } from './local-etcd.ts';
import { servingIdentity } from './serving.ts';

const binary = join(assetCache, 'kubernetes/1.36.3/kube-apiserver');
export const missingApi =
  missingEtcd ?? (existsSync(binary) ? undefined : `no kube-apiserver at ${binary} (cluster assets fetch)`);
export const apiName = 'api.demo.internal';

/** A real API server above one real etcd member, on loopback. No controllers, no nodes. */
export interface LocalApi {
  readonly server: string;
  readonly etcd: LocalEtcd;
  readonly authority: Authority & { readonly keyId: string };
  readonly credentials: Credentials;
  readonly pid: number | undefined;
  /** Sends the API server a signal: SIGSTOP, SIGCONT. */
  signal(name: NodeJS.Signals): void;
  close(): void;
}

export async function startLocalApi(subnet: number, more: Readonly<Record<string, string>> = {}): Promise<LocalApi> {
  const now = Date.now();
  const directory = mkdtempSync(join(tmpdir(), 'slipway-api-'));
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text, { mode: 0o600 });
    return join(directory, name);
  };
  const { authority, key: servingKey, cert: serving } = await servingIdentity(apiName, now);
  const ca = file('ca.pem', authority.certPem);
  const admin = await issueClient({ authority, cn: 'slipway', o: ['system:masters'], hours: 1, now });
  const etcd = new LocalEtcd(1, subnet);
  await startEtcd(etcd);
  const accounts = await generateP256();
  const port = await freePort();
  const pki = join(etcd.root, 'etcd-a/etc/slipway/pki');
  const flags = {
    'etcd-servers': `https://${etcd.address('etcd-a')}:2379`,
    'etcd-cafile': `${pki}/etcd.ca.pem`,
    'etcd-certfile': `${pki}/etcd-server.pem`,
    'etcd-keyfile': `${pki}/etcd-server-key.pem`,
    'bind-address': '127.0.0.1',
    'secure-port': String(port),
    'cert-dir': directory,
    'tls-cert-file': file('serving.pem', serving),
    'tls-private-key-file': file('serving-key.pem', servingKey),
    'client-ca-file': ca,
    'authorization-mode': 'RBAC',
    'service-cluster-ip-range': '10.96.0.0/16',
    'service-account-issuer': 'https://kubernetes.default.svc.cluster.local',
    'service-account-key-file': file('accounts.pub', publicKeyOf(accounts)),
    'service-account-signing-key-file': file('accounts.key', accounts),
    'disable-admission-plugins': 'ServiceAccount',
    ...more,
  };
  const log = join(directory, 'log');
  const child = spawn('sh', [
    '-c',
    `exec setpriv --pdeathsig KILL "$0" "$@" >'${log}' 2>&1`,
    binary,
    ...Object.entries(flags).map(([k, v]) => `--${k}=${v}`),
  ]);
  const close = (): void => {
    child.kill('SIGKILL');
    etcd.close();
    rmSync(directory, { recursive: true, force: true });
  };
  const credentials = { caPem: authority.certPem, ...admin };
  await waitForPort(port, child, log, close);
  const server = `https://127.0.0.1:${port}`;
  await untilReady({ server, tlsServerName: apiName, ...credentials });
  return { server, etcd, authority, credentials, pid: child.pid, signal: (name) => void child.kill(name), close };
}

async function startEtcd(etcd: LocalEtcd): Promise<void> {
  const { bootstrap } = await import('../../src/etcd/bootstrap.ts');
  await bootstrap(etcd.clients(), 'main', AbortSignal.timeout(30_000), () => {});
}

async function waitForPort(port: number, child: ChildProcess, log: string, close: () => void): Promise<void> {
  const end = performance.now() + 60_000;
  while (performance.now() < end && child.exitCode === null) {
    if (/Serving securely/.test(readFileSync(log, { encoding: 'utf8', flag: 'a+' }))) return;
    await sleep(100);
  }
  const text = readFileSync(log, 'utf8').slice(-2000);
  close();
  throw new Error(`kube-apiserver on port ${port} did not start:\n${text}`);
}

/** It listens before it has made its own roles and read anybody's. */
async function untilReady(server: ApiServer): Promise<void> {
  const http = openHttp(server);
  await until(() => http.text('/readyz').then(() => true), 'kube-apiserver is ready').finally(() => http.close());
}

interface Right {
  readonly verb: string;
  readonly resource: string;
  readonly group?: string;
  readonly namespace?: string;
  readonly name?: string;
}
const reviewSchema = z.looseObject({ status: z.looseObject({ allowed: z.boolean() }) });
/** Its authorizer reads roles and bindings from a watch: what was applied a moment ago it may not know yet. */
export async function untilAllowed(
  { server, credentials }: LocalApi,
  user: string,
  groups: readonly string[],
  rights: readonly Right[],
): Promise<void> {
  const http = openHttp({ server, tlsServerName: apiName, ...credentials });
  const allowed = async (resourceAttributes: Right): Promise<boolean> => {
    const review = await http.json('/apis/authorization.k8s.io/v1/subjectaccessreviews', {
      method: 'POST',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { user, groups, resourceAttributes },
      },
    });
    return reviewSchema.parse(review).status.allowed;
  };
  const asked = rights.map((right) => until(() => allowed(right), `${user} may ${right.verb} ${right.resource}`));
  await Promise.all(asked).finally(() => http.close());
}

async function until(done: () => Promise<boolean>, what: string): Promise<void> {
  let said = '';
  for (const end = performance.now() + 30_000; performance.now() < end; await sleep(50)) {
    const so = await done().catch((error: unknown) => {
      said = `: ${messageOf(error)}`;
      return false;
    });
    if (so) return;
  }
  throw new Error(`not within 30 s: ${what}${said}`);
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
