import { createReadStream, existsSync } from 'node:fs';
import { Agent, createServer, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { assetCache } from '../../local-etcd.ts';

/**
 * What machines and the CLI talk to: the fault proxy, but for programs and images out of the store. Ten machines fetch gigabytes of them at
 * once, which an emulator that answers one request at a time would make everybody wait for. They come from the asset cache, where the CLI
 * has them from too; each machine checks their digest.
 */
export async function serveFront(host: string, proxy: string): Promise<{ readonly url: string; close(): void }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const to = new URL(proxy);
  const server = createServer((incoming, outgoing) => {
    const asset = /^\/[^/]+\/assets\/[0-9a-f]{64}\/([^?]+)$/.exec(decodeURIComponent(incoming.url ?? ''))?.[1];
    const file = asset === undefined || asset.includes('..') ? undefined : join(assetCache, asset);
    if (incoming.method === 'GET' && file !== undefined && existsSync(file)) {
      createReadStream(file).pipe(outgoing);
      return;
    }
    const { method, url: path, headers } = incoming;
    const up = httpRequest({ host: to.hostname, port: to.port, method, path, headers, agent }, (answer) => {
      // Who asked may have gone in the meantime.
      if (outgoing.destroyed) return void answer.destroy();
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      // A cut answer is cut for the client, too.
      pipeline(answer, outgoing, () => undefined);
    });
    // The connection itself: a request that has been read whole would only be left without an answer.
    up.on('error', () => incoming.socket.destroy());
    incoming.pipe(up);
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
