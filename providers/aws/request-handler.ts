import { NodeHttpHandler } from '@smithy/node-http-handler';

/** Connections of the SDK's clients, which give up what AWS does not answer: of itself the SDK waits for ever. `idleMs`: how long AWS may be silent. */
export const requestHandler = (idleMs: number): NodeHttpHandler =>
  new NodeHttpHandler({
    connectionTimeout: 5_000,
    // Without the second, the first is only a warning; the third is for an answer that stops half-way.
    requestTimeout: 2 * idleMs,
    throwOnRequestTimeout: true,
    socketTimeout: idleMs,
    httpAgent: { maxSockets: 64, keepAlive: true },
    httpsAgent: { maxSockets: 64, keepAlive: true },
  });
