import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { UserError } from '../errors.ts';

export interface ProxyOptions {
  /** `host:port`, as clients ask for it: the only place that it leads to. */
  readonly target: string;
  /** A new connection there, as `net.connect` makes it. */
  readonly connect: () => Duplex;
  /** On 127.0.0.1; 0: any free one. */
  readonly port: number;
  /** Told of a connection that could not be opened (its client is told too), or that was `cut`. */
  readonly failed: (error: Error, cut: boolean) => void;
}
export interface OpenProxy {
  /** `http://127.0.0.1:40123`, for `proxy-url` and HTTPS_PROXY. */
  readonly url: string;
  /** Cuts what is open. */
  close(): Promise<void>;
}

/**
 * An HTTP proxy (CONNECT) on 127.0.0.1 that leads to one place. What passes is TLS between the two ends. Not SOCKS: every client of
 * Kubernetes knows this one, and a web page that is open in a browser cannot make it connect.
 */
export async function openProxy({ target, connect, port, failed }: ProxyOptions): Promise<OpenProxy> {
  const clients = new Set<Duplex>();
  const server = createServer((_request, response) => {
    response.writeHead(405, { allow: 'CONNECT', 'content-type': 'text/plain', connection: 'close' });
    response.end(`This is a proxy. It takes CONNECT ${target} and nothing else.\n`);
  });
  server.on('connect', (request, client, head) => {
    clients.add(client);
    client.once('close', () => clients.delete(client));
    // It may leave at any time: then it is closed, and that is told.
    client.on('error', () => undefined);
    if (request.url?.toLowerCase() !== target.toLowerCase()) {
      refuse(client, 403, `this proxy leads to ${target} only`);
      return;
    }
    join(client, connect(), head, failed);
  });

  await new Promise<void>((listening, fail) => {
    server.on('error', (error) => fail(cannotListen(error, port)));
    server.listen(port, '127.0.0.1', listening);
  });
  // With an address and port, as it listens on TCP.
  const { port: chosen } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${chosen}`,
    close() {
      for (const client of clients) client.destroy();
      server.closeAllConnections();
      return new Promise((closed) => server.close(() => closed()));
    },
  };
}

/** Both ways until both have ended. Not `pipeline`: it would drop what a slow client has yet to read when the other side closes. */
function join(client: Duplex, there: Duplex, head: Buffer, failed: ProxyOptions['failed']): void {
  let open = false;
  there.once('connect', () => {
    open = true;
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    if (head.length > 0) there.write(head);
    client.pipe(there).pipe(client);
  });
  there.once('error', (error) => {
    failed(error, open);
    if (open) client.destroy();
    else refuse(client, 502, error.message);
  });
  there.once('close', () => client.end());
  client.once('close', () => there.destroy());
}

/** The reason is in the status line: that is all that kubectl shows. */
function refuse(client: Duplex, status: number, why: string): void {
  const line = why.replaceAll(/[^\x20-\x7e]+/g, ' ');
  client.end(`HTTP/1.1 ${status} ${line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
}

const cannotListen = (error: Error, port: number): Error =>
  'code' in error && (error.code === 'EADDRINUSE' || error.code === 'EACCES')
    ? new UserError({
        what: `port ${port} of 127.0.0.1 cannot be used`,
        why: error.message,
        next: 'name another one: --port',
      })
    : error;
