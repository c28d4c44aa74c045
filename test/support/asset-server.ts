import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Fault {
  /** How often; default always. */
  times?: number;
  readonly status?: number;
  /** Sends so many bytes of the body and cuts the connection. */
  readonly cutAfter?: number;
  /** Sends so many bytes of the body and then nothing more. */
  readonly stallAfter?: number;
  readonly redirect?: string;
  /** Ends the connection with the answer, as HTTP/1.0 does. */
  readonly close?: boolean;
  /** Sends slowly: so many bytes each 10 ms. */
  readonly trickle?: number;
}

export interface AssetServer extends AsyncDisposable {
  readonly url: string;
  /** Path → content. */
  readonly files: Map<string, Buffer>;
  readonly faults: Map<string, Fault>;
  /** `GET /path` or `GET /path bytes=5-`, in order. */
  readonly requests: string[];
}

export const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex');

async function answer(
  server: Omit<AssetServer, 'url' | typeof Symbol.asyncDispose>,
  request: IncomingMessage,
  response: ServerResponse,
) {
  const { range } = request.headers;
  const path = request.url ?? '/';
  if (request.method === 'HEAD') return response.end();
  server.requests.push(`GET ${path}${range ? ` ${range}` : ''}`);
  const found = server.faults.get(path);
  const fault = found && (found.times ?? 1) > 0 ? found : undefined;
  if (fault?.times !== undefined) fault.times--;
  const content = server.files.get(path);
  if (fault?.redirect) return response.writeHead(302, { location: fault.redirect }).end();
  if (fault?.status || !content) return response.writeHead(fault?.status ?? 404).end();
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
  if (from >= content.length && range) return response.writeHead(416).end();
  const body = content.subarray(from);
  const ranged = { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` };
  response.writeHead(range ? 206 : 200, {
    'content-length': body.length,
    ...(range ? ranged : {}),
    ...(fault?.close ? { connection: 'close' } : {}),
  });
  if (fault?.stallAfter !== undefined) return response.write(body.subarray(0, fault.stallAfter));
  if (fault?.cutAfter !== undefined) {
    response.write(body.subarray(0, fault.cutAfter));
    await sleep(20);
    return response.destroy();
  }
  if (fault?.trickle) {
    for (let at = 0; at < body.length && !response.destroyed; at += fault.trickle) {
      response.write(body.subarray(at, at + fault.trickle));
      await sleep(10);
    }
    return response.end();
  }
  return response.end(body);
}

/** An HTTP server on localhost with ranges and faults, for upstream and mirrors. */
export async function startAssetServer(): Promise<AssetServer> {
  const state = { files: new Map<string, Buffer>(), faults: new Map<string, Fault>(), requests: [] as string[] };
  const server = createServer((request, response) => void answer(state, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    ...state,
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
