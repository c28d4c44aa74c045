import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { exitCodes, messageOf, UnreachableError, UserError } from '../errors.ts';
import { hostAndPort } from '../host/access.ts';
import type { Credentials } from './clients.ts';
import { tellTime } from './tell-time.ts';
import { TunnelAgent } from './tunnel-agent.ts';

export interface ApiServer extends Credentials {
  /** https://127.0.0.1:40123 */
  readonly server: string;
  /** Undefined: directly. */
  readonly way?: Way | undefined;
  /** The name that the server's certificate must carry. */
  readonly tlsServerName: string;
}
/** How else connections to the server are made than from here. */
export interface Way {
  /** For errors: `through bastion 203.0.113.7`. */
  readonly name: string;
  connect(host: string, port: number): Duplex;
}
export interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal | undefined;
  /** Default 15 s. */
  readonly timeoutMs?: number;
  /** Told once the answer begins: how long it took on the connection, in milliseconds. Without what we have taken ourselves: until it had one, and being busy with other things. */
  readonly took?: ((ms: number) => void) | undefined;
  /** A refusal that may pass and a cut connection are told at once: for who tries again at a pace of its own. */
  readonly atOnce?: boolean;
  /**
   * From when it has a connection, `signal` does not cut it off any more. An API server lets go of what it does for a client that goes away: of an eviction,
   * between the budget's word and the pod's deletion.
   */
  readonly whole?: boolean;
}

/** The API answered and refused: with its own reason (`Forbidden`, `Conflict`, `Invalid`, ...). */
export class KubeRefusal extends UserError {
  override readonly name = 'KubeRefusal';
  readonly status: number;
  readonly reason: string;
  /** What the API names as causes: a disruption budget with its numbers, the fields that are invalid. */
  readonly causes: readonly string[];
  /** 0: it did not say. */
  readonly retryAfterMs: number;
  constructor(path: string, status: number, said: Said, retryAfterMs = 0) {
    super({ what: `the Kubernetes API refused: ${said.message}`, where: path, why: `${status} ${said.reason}` });
    this.status = status;
    this.reason = said.reason;
    this.causes = said.details.causes.map(({ message }) => message);
    this.retryAfterMs = retryAfterMs;
  }
}
const statusSchema = z.object({
  message: z.string().default(''),
  reason: z.string().default(''),
  details: z.object({ causes: z.array(z.object({ message: z.string().default('') })).default([]) }).catch({ causes: [] }),
});
type Said = z.infer<typeof statusSchema>;

export interface Http {
  text(path: string, call?: Call): Promise<string>;
  json(path: string, call?: Call): Promise<unknown>;
  /** An answer that goes on: line by line as they come. Ends when the server ends it; throws UnreachableError when it was cut. */
  lines(path: string, call?: Call): AsyncIterable<string>;
  close(): void;
}

/**
 * HTTPS to one API server with kept-alive connections. Why not @kubernetes/client-node: importing it costs 310-580 ms and 90 MB
 * (measured, Node 24), more than all of `cluster plan` may; what is needed of it is these files. `current`: asked before each call, where the client's
 * certificate ends before the client does.
 */
export function openHttp(api: ApiServer, current: () => Promise<Credentials> = async () => api): Http {
  const { server, way, tlsServerName, caPem } = api;
  const base = new URL(server);
  const { host, port } = hostAndPort(server);
  const where = way ? `${server} ${way.name}` : server;
  const options = { keepAlive: true, ca: caPem, servername: tlsServerName };
  const agentOf = (maxSockets: number): Agent =>
    way ? new TunnelAgent({ ...options, maxSockets }, () => way.connect(host, port)) : new Agent({ ...options, maxSockets });
  // Of 50 nodes that have their turns at once, the end of a turn (uncordon, record) takes 0.7 s with 8 of them and 0.3 s with 16 (bench/rollout-1000.ts).
  const calls = agentOf(16);
  // An answer that goes on keeps its connection: no call waits for one of those.
  const streams = agentOf(Number.POSITIVE_INFINITY);
  /** Rejects until the answer begins; `failed` says what an error while it is read means. */
  const begin = async (path: string, call: Call, agent: Agent): Promise<Begun> => {
    // Of the request, not of the agent: connections are kept apart by them, and none that was made with another one is used again.
    const { certPem: cert, keyPem: key } = await current();
    return new Promise((resolve, reject) => {
      const body = call.body === undefined ? undefined : JSON.stringify(call.body);
      const { timeoutMs = 15_000 } = call;
      const late = new AbortController();
      const signal = AbortSignal.any([late.signal, ...(call.signal && !call.whole ? [call.signal] : [])]);
      const request = httpsRequest(new URL(path, base), {
        agent,
        cert,
        key,
        method: call.method ?? 'GET',
        signal,
        headers: {
          accept: call.accept ?? 'application/json',
          'user-agent': 'slipway',
          ...(body === undefined
            ? {}
            : { 'content-type': call.contentType ?? 'application/json', 'content-length': Buffer.byteLength(body) }),
        },
      });
      const failed = (error: unknown): unknown => {
        if (call.signal?.aborted) return call.signal.reason;
        // Of the way to it: a changed host key, a refused SSH key.
        if (error instanceof UserError && error.exitCode !== exitCodes.unreachable) return error;
        const why = signal.aborted ? `no answer within ${timeoutMs / 1000} s` : messageOf(error);
        const unreachable = new UnreachableError({ what: 'the Kubernetes API gives no answer', where, why }, { cause: error });
        // A change that got no answer may have been carried out, and can be sent again; who only looks is told at once.
        const again = signal.aborted ? (call.method ?? 'GET') !== 'GET' : request.reusedSocket || isCut(error);
        return again ? new WorthAnotherTry(unreachable, signal.aborted ? 1 : cutAttempts) : unreachable;
      };
      // From when it has a connection: behind others it waits for us, not for the server.
      request.once('socket', () => {
        const timeout = AbortSignal.timeout(timeoutMs);
        timeout.addEventListener('abort', () => late.abort(timeout.reason), { once: true });
      });
      if (call.whole) cutUnsent(request, call.signal);
      if (call.took) tellTime(request, call.took);
      request.on('error', (error) => reject(failed(error)));
      request.on('response', (response) => resolve({ response, failed }));
      request.end(body);
    });
  };
  const read = async ({ response, failed }: Begun): Promise<Answer> => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of response) chunks.push(chunk);
    } catch (error) {
      throw failed(error);
    }
    return {
      status: response.statusCode ?? 0,
      text: Buffer.concat(chunks).toString(),
      retryAfter: Number(response.headers['retry-after'] ?? 0),
    };
  };
  const once = async (path: string, call: Call): Promise<Answer> => read(await begin(path, call, calls));

  const text = async (path: string, call: Call = {}): Promise<string> => {
    for (let attempt = 1; ; attempt++) {
      const answer = await once(path, call).catch((error: unknown) => {
        if (!(error instanceof WorthAnotherTry)) throw error;
        // A kept-alive connection was closed just as it was used again; or the balancer let go of the API server behind it. All calls
        // here can be sent twice.
        if (call.atOnce || attempt > error.repeats) throw error.unreachable;
        return undefined;
      });
      if (!answer) {
        await sleep((attempt - 1) * cutWaitMs, undefined, { signal: call.signal });
        continue;
      }
      if (answer.status < 300) return answer.text;
      const refusal = toRefusal(path, answer);
      if (attempt > 3 || call.atOnce || !isPassing(answer)) throw refusal;
      await sleep(Math.min(Math.max(answer.retryAfter * 1000, attempt * 150), 1500), undefined, { signal: call.signal });
    }
  };
  async function* lines(path: string, call: Call = {}): AsyncGenerator<string> {
    const plain = (error: unknown): unknown => (error instanceof WorthAnotherTry ? error.unreachable : error);
    try {
      const begun = await begin(path, call, streams);
      if ((begun.response.statusCode ?? 0) >= 300) throw toRefusal(path, await read(begun));
      let rest = '';
      const chunks: AsyncIterator<string> = begun.response.setEncoding('utf8')[Symbol.asyncIterator]();
      for (;;) {
        const { done, value } = await chunks.next().catch((error: unknown) => {
          throw begun.failed(error);
        });
        if (done) return;
        const parts = `${rest}${value}`.split('\n');
        rest = parts.pop() ?? '';
        yield* parts;
      }
    } catch (error) {
      throw plain(error);
    }
  }
  return {
    text,
    lines,
    json: async (path, call) => JSON.parse(await text(path, call)),
    close: () => {
      calls.destroy();
      streams.destroy();
    },
  };
}

/** What still waits for a connection is not sent any more once the signal has aborted. */
function cutUnsent(request: ClientRequest, signal: AbortSignal | undefined): void {
  const cut = (): void => {
    if (!request.socket) request.destroy(new Error('it was told to end'));
  };
  if (signal?.aborted) cut();
  signal?.addEventListener('abort', cut, { once: true });
  request.once('close', () => signal?.removeEventListener('abort', cut));
}

interface Begun {
  readonly response: IncomingMessage;
  readonly failed: (error: unknown) => unknown;
}
interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: number;
}
/** The n-th wait is n - 1 times this, in milliseconds: 3 s in all, in which a balancer has found another API server. */
const cutWaitMs = 500;
const cutAttempts = 4;
/** It was there and is gone; nobody listening is another thing, which is said at once. */
const isCut = (error: unknown): boolean =>
  error instanceof Error &&
  (error.message === 'socket hang up' || ('code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE')));

class WorthAnotherTry extends Error {
  readonly unreachable: UnreachableError;
  /** How often it is worth to try again. */
  readonly repeats: number;
  constructor(unreachable: UnreachableError, repeats: number) {
    super(unreachable.message);
    this.unreachable = unreachable;
    this.repeats = repeats;
  }
}

function toRefusal(path: string, { status, text, retryAfter }: Answer): KubeRefusal {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = { message: text.slice(0, 300) };
  }
  const said = statusSchema.safeParse(parsed);
  const words = said.success ? said.data : statusSchema.parse({ message: text.slice(0, 300) });
  const [bare = path] = path.split('?');
  return new KubeRefusal(bare, status, { ...words, message: words.message || `status ${status}` }, (retryAfter || 0) * 1000);
}

/** Overload, and an API server whose etcd changes its leader: gone in a moment. /readyz answers 500 by design and is not among them. */
const isPassing = ({ status, text }: Answer): boolean =>
  status === 429 ||
  (status >= 500 && /leader changed|request timed out|etcdserver|TooManyRequests|"reason":"ServerTimeout"/.test(text));
