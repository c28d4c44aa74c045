import { UserError } from '../errors.ts';
import { hostAndPort, nameOfBastion } from '../host/access.ts';
import type { ApiAccess } from '../host/host.ts';
import { openProxy, type ProxyOptions } from '../host/proxy.ts';
import { apiOf } from './kubeconfig.ts';
import { lookAgain, withReach } from './look.ts';
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
  const { host, port: target } = hostAndPort(server);
  const { hosts } = session.reach.hosts();
  const proxy = await openProxy({
    target: `${new URL(server).hostname}:${target}`,
    connect: () => hosts.tunnel(host, target),
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
    const again = oneAtATime(() => lookAgain(session));
    const through = nameOfBastion(session.reach.hosts().hosts.access());
    await withProxy(
      session,
      api,
      {
        port,
        failed: (error) => {
          failed(error);
          // The bastion may be another one by now: for the next connection.
          again();
        },
      },
      (url) => use({ url, server: api.server, through }),
    );
  });

/** One at a time; what cannot be seen now is looked for when it is asked next. */
function oneAtATime(work: () => Promise<void>): () => void {
  let busy = false;
  return () => {
    if (busy) return;
    busy = true;
    work()
      .catch(() => undefined)
      .finally(() => {
        busy = false;
      });
  };
}
