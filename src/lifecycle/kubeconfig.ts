import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asset } from '../assets/catalogue.ts';
import { identities } from '../components/pki.ts';
import { exitCodes, UserError } from '../errors.ts';
import { renderKubeconfig } from '../kube/kubeconfig.ts';
import { issueClient } from '../pki/admin.ts';
import { withReach } from './look.ts';
import type { Opened } from './opened.ts';
import type { Session } from './session.ts';

export interface KubeconfigOptions {
  readonly user: string;
  /** How long the client certificate is valid. */
  readonly hours: number;
}

/** A kubeconfig with a client certificate of its own, in the group that the rbac addon makes administrators: it can be taken away without a new authority. */
export const makeKubeconfig = (opened: Opened, options: KubeconfigOptions): Promise<string> =>
  withReach(opened, (session) => kubeconfigOf(session, options));

async function kubeconfigOf(session: Session, { user, hours }: KubeconfigOptions): Promise<string> {
  const { opened, design, seen, secrets } = session;
  const { api } = opened.provider.access(design.topology, seen);
  const authority = seen.get('pki.authority/kubernetes');
  if (!api || authority?.state !== 'present' || !('certificate' in authority.outputs)) {
    throw new UserError(
      { what: `cluster ${opened.cluster.name} has no API yet`, where: opened.file, next: 'cluster up' },
      exitCodes.unreachable,
    );
  }
  const caPem = String(authority.outputs.certificate);
  const keyPem = new TextDecoder().decode(await secrets.reveal({ secret: 'authority.kubernetes' }));
  const client = await issueClient({
    authority: { certPem: caPem, keyPem },
    cn: user,
    o: [identities.adminGroup],
    hours,
    now: opened.now(),
  });
  return renderKubeconfig({
    name: opened.cluster.name,
    server: api.server,
    tlsServerName: api.tlsServerName,
    caPem,
    certPem: client.certPem,
    keyPem: client.keyPem,
  });
}

/** Runs the kubectl of the cluster's own version with credentials for this one command. Returns its exit code. */
export async function kubectl(
  opened: Opened,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return withReach(opened, async (session) => {
    const tool = asset('kubectl', session.design.topology.versions);
    await opened.assets.ensure([tool], session.signal);
    const directory = await mkdtemp(join(tmpdir(), 'slipway-kubectl-'));
    try {
      const file = join(directory, 'kubeconfig');
      await writeFile(file, await kubeconfigOf(session, { user: opened.holder, hours: 12 }), { mode: 0o600 });
      const child = spawn(opened.assets.file(tool.path), [...args], { stdio: 'inherit', env: { ...env, KUBECONFIG: file } });
      return await new Promise<number>((done, fail) => {
        child.on('error', fail);
        child.on('close', (code) => done(code ?? exitCodes.interrupted));
      });
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
}
