import http from 'node:http';
import https from 'node:https';
import type { Environment } from './process.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** To be read to its end or destroyed. */
  readonly body: http.IncomingMessage;
}

/** One request, redirects followed. Rejects when no answer comes. */
export type Http = (
  url: string,
  options: {
    readonly method?: 'GET' | 'HEAD';
    readonly headers?: Readonly<Record<string, string>>;
    readonly signal: AbortSignal;
  },
) => Promise<Answer>;

const redirects = 5;
const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);
const one = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value.join(', ') : value);

/**
 * HTTP by node:http, honouring HTTP_PROXY, HTTPS_PROXY and NO_PROXY of `env`. Not by `fetch`: in the Node 24 line a server that closes the connection
 * while its answer is still being read ends the whole process, by an assertion that nobody can catch (nodejs/undici#5360).
 */
export function openHttp(env: Environment): Http {
  const proxyEnv = { ...env };
  const agents = { 'http:': new http.Agent({ proxyEnv }), 'https:': new https.Agent({ proxyEnv }) };

  const once = (url: URL, options: Parameters<Http>[1]): Promise<http.IncomingMessage> =>
    new Promise((resolve, reject) => {
      const settings = { method: options.method ?? 'GET', headers: { ...options.headers }, signal: options.signal };
      const request =
        url.protocol === 'https:'
          ? https.request(url, { ...settings, agent: agents['https:'] })
          : http.request(url, { ...settings, agent: agents['http:'] });
      request.once('response', resolve);
      request.once('error', reject);
      request.end();
    });

  return async (address, options) => {
    let url = new URL(address);
    let headers = options.headers ?? {};
    for (let hops = 0; hops <= redirects; hops++) {
      const response = await once(url, { ...options, headers });
      const status = response.statusCode ?? 0;
      const { location } = response.headers;
      if (!isRedirect(status) || location === undefined || options.method === 'HEAD') {
        const entries = Object.entries(response.headers).map(([name, value]) => [name, one(value)] as const);
        return { status, headers: Object.fromEntries(entries), body: response };
      }
      response.resume();
      const next = new URL(location, url);
      if (url.protocol === 'https:' && next.protocol !== 'https:') throw new Error(`redirected from HTTPS to ${next.origin}`);
      // What was meant for one server is not for another; a range is.
      if (next.origin !== url.origin)
        headers = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'));
      url = next;
    }
    throw new Error(`more than ${redirects} redirects`);
  };
}
