import { identities } from '../components/pki.ts';
import { exitCodes, UserError } from '../errors.ts';
import type { ApiAccess } from '../host/host.ts';
import { renderKubeconfig } from '../kube/kubeconfig.ts';
import { issueClient } from '../pki/admin.ts';
import { withReach } from './look.ts';
import type { Opened } from './opened.ts';
import type { Session } from './session.ts';

export interface KubeconfigOptions {
  readonly user: string;
  /** How long the client certificate is valid. */
  readonly hours: number;
  /** What kubectl is to connect through. */
  readonly proxyUrl?: string | undefined;
}
export interface Kubeconfig {
  readonly text: string;
  /** Where it works, and what to do now. */
  readonly next: string;
}

/** A kubeconfig with a client certificate of its own, in the group that the rbac addon makes administrators: it can be taken away without a new authority. */
export async function makeKubeconfig(opened: Opened, options: KubeconfigOptions): Promise<Kubeconfig> {
  if (options.proxyUrl !== undefined) assertProxyUrl(options.proxyUrl);
  return withReach(opened, (session) => kubeconfigOf(session, options));
}

/** Where the API is. Throws UserError while there is none. */
export function apiOf({ opened, design, seen }: Session): ApiAccess {
  const { api } = opened.provider.access(design.topology, seen);
  if (!api) throw noApi(opened);
  return api;
}
const noApi = (opened: Opened): UserError =>
  new UserError(
    { what: `cluster ${opened.cluster.name} has no API yet`, where: opened.file, next: 'cluster up' },
    exitCodes.unreachable,
  );

/** As makeKubeconfig, in a session that has looked around. */
export async function kubeconfigOf(session: Session, { user, hours, proxyUrl }: KubeconfigOptions): Promise<Kubeconfig> {
  const { opened, seen, secrets } = session;
  const api = apiOf(session);
  const authority = seen.get('pki.authority/kubernetes');
  if (authority?.state !== 'present' || !('certificate' in authority.outputs)) throw noApi(opened);
  const caPem = String(authority.outputs.certificate);
  const keyPem = new TextDecoder().decode(await secrets.reveal({ secret: 'authority.kubernetes' }));
  const client = await issueClient({
    authority: { certPem: caPem, keyPem },
    cn: user,
    o: [identities.adminGroup],
    hours,
    now: opened.now(),
  });
  const { server, tlsServerName } = api;
  return {
    next: nextOf(api, proxyUrl),
    text: renderKubeconfig({ name: opened.cluster.name, server, tlsServerName, proxyUrl, caPem, ...client }),
  };
}

function nextOf({ server, via }: ApiAccess, proxyUrl: string | undefined): string {
  if (proxyUrl !== undefined)
    return `It works while ${proxyUrl} leads to ${server}.\nNext: cluster tunnel, and then kubectl get nodes`;
  if (via === 'direct') return 'Next: kubectl get nodes';
  return `${server} is behind the bastion: it works where that name can be reached (in the cluster's network, or by a VPN into it).
Next, from here: cluster kubectl -- get nodes; for other programs: cluster tunnel`;
}

/** Throws UserError for what kubectl would not take. */
function assertProxyUrl(text: string): void {
  const protocol = URL.canParse(text) ? new URL(text).protocol : '';
  if (['http:', 'https:', 'socks5:'].includes(protocol)) return;
  throw new UserError(
    { what: `--proxy-url takes an http://, https:// or socks5:// URL, not ${text}`, next: 'cluster tunnel prints one' },
    exitCodes.usage,
  );
}
