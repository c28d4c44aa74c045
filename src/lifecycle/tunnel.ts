import { UserError } from '../errors.ts';
import { nameOfBastion } from '../host/access.ts';
import type { ApiAccess } from '../host/host.ts';
import { openProxy, type ProxyOptions } from '../host/proxy.ts';
import { apiOf } from './kubeconfig.ts';
import { lookAround, withReach } from './look.ts';
import type { Opened } from './opened.ts';
import type { Session } from './session.ts';

export interface ProxyWishes {
  /** On 127.0.0.1; 0: any free one. */
  readonly port: number;
  readonly failed: ProxyOptions['failed'];
}

/** Keeps a proxy open on 127.0.0.1 that leads through the bastion to the API, and nowhere else, while `use` runs. */
export async function withProxy<T>(
  session: Session,
  { server }: ApiAccess,
  { port, failed }: ProxyWishes,
  use: (url: string) => Promise<T>,
): Promise<T> {
  const { hostname, port: target, host } = new URL(server);
  const { hosts } = session.reach.hosts();
  const proxy = await openProxy({
    target: target === '' ? `${host}:443` : host,
    connect: () => hosts.tunnel(hostname, Number(target || 443)),
    port,
    failed,
  });
  try {
    return await use(proxy.url);
  } finally {
    await proxy.close();
  }
}

export interface OpenTunnel {
  /** For `proxy-url`: `http://127.0.0.1:6480`. */
  readonly url: string;
  readonly server: string;
  /** `bastion 203.0.113.7` */
  readonly through: string;
}

/** A way to the API from here for as long as `use` runs: for all programs that take an HTTP proxy. */
export const tunnel = (
  opened: Opened,
  { port, failed }: { readonly port: number; readonly failed: (error: Error) => void },
  use: (open: OpenTunnel) => Promise<void>,
): Promise<void> =>
  withReach(opened, async (session) => {
    const api = apiOf(session);
    if (api.via === 'direct')
      throw new UserError({
        what: `the API of cluster ${opened.cluster.name} is reached without a tunnel`,
        where: api.server,
        next: 'cluster kubeconfig',
      });
    const again = lookAgain(session);
    const through = nameOfBastion(session.reach.hosts().hosts.access());
    await withProxy(
      session,
      api,
      {
        port,
        failed: (error) => {
          failed(error);
          again();
        },
      },
      (url) => use({ url, server: api.server, through }),
    );
  });

/** The bastion may be another one by now: after a failure it is looked for again, for the next connection. */
function lookAgain(session: Session): () => void {
  let looking = false;
  return () => {
    if (looking) return;
    looking = true;
    // What cannot be seen now is looked for after the next failure.
    lookAround(session)
      .catch(() => undefined)
      .finally(() => {
        looking = false;
      });
  };
}
