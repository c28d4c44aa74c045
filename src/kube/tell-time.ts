import type { ClientRequest } from 'node:http';

/**
 * From when all of the request was given to the connection. An answer that has come lies there while our event loop is busy, and with a thousand nodes it often
 * is: of the time that passes only that counts in which it has nothing to do but wait.
 */
export function tellTime(request: ClientRequest, took: (ms: number) => void): void {
  request.once('finish', () => {
    const before = performance.eventLoopUtilization();
    request.once('response', () => took(performance.eventLoopUtilization(before).idle));
  });
}
