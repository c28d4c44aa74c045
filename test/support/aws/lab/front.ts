import { existsSync } from 'node:fs';
import { Agent, createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { assetCache } from '../../local-etcd.ts';
import type { Downloads } from './downloads.ts';

/**
 * What machines and the CLI talk to: the fault proxy, but for programs and images out of the store. Ten machines fetch gigabytes of them at
 * once, which an emulator that answers one request at a time would make everybody wait for. They come from the asset cache, where the CLI
 * has them from too, and meet faults of their own (downloads.ts); each machine checks their digest. And what the CLI uploads of them is a byte for the emulator, whole or a part: every request
 * is made, meets its faults, and leaves its object.
 */
export async function serveFront(
  host: string,
  proxy: string,
  downloads: Downloads,
): Promise<{ readonly url: string; close(): void }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const to = new URL(proxy);
  const server = createServer((incoming, outgoing) => {
    const asset = /^\/[^/]+\/assets\/[0-9a-f]{64}\/([^?]+)/.exec(decodeURIComponent(incoming.url ?? ''))?.[1];
    const file = asset === undefined || asset.includes('..') ? undefined : join(assetCache, asset);
    if (incoming.method === 'GET' && file !== undefined && existsSync(file)) {
      incoming.resume();
      void downloads.send(file, outgoing);
      return;
    }
    const { method, url: path } = incoming;
    const swallowed = method === 'PUT' && asset !== undefined;
    const headers = swallowed ? ofOneByte(incoming.headers) : incoming.headers;
    const up = httpRequest({ host: to.hostname, port: to.port, method, path, headers, agent }, (answer) => {
      // Who asked may have gone in the meantime.
      if (outgoing.destroyed) return void answer.destroy();
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      // A cut answer is cut for the client, too.
      pipeline(answer, outgoing, () => undefined);
    });
    // The connection itself: a request that has been read whole would only be left without an answer.
    up.on('error', () => incoming.socket.destroy());
    if (swallowed) incoming.on('end', () => up.end('.')).resume();
    else incoming.pipe(up);
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const at = server.address();
  return {
    url: `http://${host}:${typeof at === 'object' && at ? at.port : 0}`,
    close: () => {
      server.closeAllConnections();
      server.close();
      agent.destroy();
    },
  };
}

/** Without what is said of the body that came. */
function ofOneByte(all: IncomingHttpHeaders): IncomingHttpHeaders {
  const kept = Object.entries(all).filter(
    ([name]) =>
      !/^(content-(encoding|md5)|transfer-encoding|trailer|expect|x-amz-(checksum|trailer|decoded|sdk-checksum).*)$/.test(name),
  );
  return { ...Object.fromEntries(kept), 'content-length': '1' };
}
