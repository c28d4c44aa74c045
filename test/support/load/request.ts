import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Tls } from './credentials.ts';

export interface Call {
  readonly url: URL;
  readonly method?: string | undefined;
  readonly body?: object | undefined;
  readonly tls?: Tls | undefined;
  readonly signal: AbortSignal;
}

/** An answer that has begun, or how far the request came and why no further. */
export type Begun = { readonly answer: IncomingMessage } | { readonly failed: string };

/** Sends a request once, on a connection of its own which nobody uses again. */
export function begin({ url, method = 'GET', body, tls, signal }: Call): Promise<Begun> {
  return new Promise((done) => {
    const encrypted = url.protocol === 'https:';
    const options = { agent: false, method, signal, ...(body && { headers: { 'content-type': 'application/json' } }) } as const;
    const call = encrypted ? httpsRequest(url, { ...options, ...tls }) : httpRequest(url, options);
    let stage = 'connecting';
    call.on('socket', (socket) => {
      socket.once('connect', () => {
        stage = encrypted ? 'TLS handshake' : 'waiting for the answer';
      });
      socket.once('secureConnect', () => {
        stage = 'waiting for the answer';
      });
    });
    // Also after the answer has begun: then its own error says so.
    call.on('error', (error) => done({ failed: `${stage}: ${reason(error)}` }));
    call.on('response', (answer) => done({ answer }));
    call.end(body && JSON.stringify(body));
  });
}

const reason = (error: Error & { code?: string }): string =>
  error.name === 'AbortError' ? 'no end in time' : `${error.code ?? error.name}: ${error.message}`;

/** Reads an answer to its end; undefined when all was well and the status is 2xx, else what was not. */
export async function outcomeOf(call: Call, read: (text: string) => void = () => undefined): Promise<string | undefined> {
  const begun = await begin(call);
  if ('failed' in begun) return begun.failed;
  let text = '';
  try {
    begun.answer.setEncoding('utf8');
    for await (const data of begun.answer) text += String(data);
  } catch (error) {
    return `reading the answer: ${error instanceof Error ? reason(error) : error}`;
  }
  const status = begun.answer.statusCode ?? 0;
  if (!isGood(status)) return `${status} ${text.slice(0, 500).replaceAll(/\s+/g, ' ').trim()}`;
  read(text);
  return undefined;
}

export const isGood = (status: number | undefined): boolean => status !== undefined && status >= 200 && status < 300;
