import { randomUUID } from 'node:crypto';
import { Agent, createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { accountFacts, type Permissions } from './account-facts.ts';
import { type Answer, answerOf, failed, invalid, type Refusal, throttled } from './answers.ts';
import { bucketPolicies } from './bucket-policies.ts';
import { classicBalancers } from './classic.ts';
import { consistency } from './consistency.ts';
import { dependencies } from './dependencies.ts';
import { dnsNames } from './dns-names.ts';
import { type Behaviour, type Call, type Exchange, isMutating } from './exchange.ts';
import { bucket, drawn, type Fault, type FaultRates, nameOfFault, random, type Throttle } from './faults.ts';
import type { Service } from './model.ts';
import { accountOf, type Moto } from './moto.ts';
import { pages } from './pages.ts';
import { placement } from './placement.ts';
import { type Quotas, quotas } from './quotas.ts';
import { settling } from './settling.ts';
import { tokens } from './tokens.ts';
import { callerReferences, uniqueNames } from './unique-names.ts';
import { type Violation, violationsOf } from './validate.ts';
import { type Decoded, decode, type WireRequest } from './wire.ts';

/** What AWS is like at the moment. Everything may be changed while requests run. */
export interface Weather {
  /** Undefined: none. */
  faults?: FaultRates | undefined;
  /** Per service and account, or per account. */
  throttle?: Throttle | undefined;
  quotas: Quotas;
  /** Of the caller, as IAM simulates them. */
  permissions: Permissions;
  /** How long what was just made may stay invisible. */
  hiddenMs: number;
  /** How long instances stay pending, balancers provisioning, targets initial. */
  settleMs: number;
  /** The longest page, whatever a call asks for. */
  pageItems: number;
  /** Whether a target passes its health check, once it has settled. */
  healthy: (target: string) => boolean;
}

/** Where moto itself broke down: a test that sees one has shown nothing. */
export interface Accident {
  readonly call: Call;
  readonly status: number;
  /** The end of its traceback. */
  readonly why: string;
}

export interface AwsProxy {
  readonly url: string;
  readonly calls: readonly Call[];
  /** Requests that AWS would have refused by their form. A test that leaves any has failed. */
  readonly violations: readonly Violation[];
  readonly accidents: readonly Accident[];
  readonly weather: Weather;
  /** How often each action was asked for; `service.Action`. */
  counts(): Readonly<Record<string, number>>;
  /** The next call of this action (and `times - 1` more) meets this fault. */
  once(action: string, fault: Fault, times?: number): void;
  /** Calls that fulfil the condition meet this fault, until it is taken back. */
  when(condition: (call: Call) => boolean, fault: Fault): { stop(): void };
  /**
   * The client dies with its nth change from now: that is carried out, its answer is lost, and nothing that it sends afterwards
   * arrives. Resolves with the call, after `died` has run.
   */
  killAfter(changes: number, died?: (call: Call) => void): void;
  /** Whether it was reached; a new client begins. */
  revive(): boolean;
  /** Called with each call once its fate is known, before its answer leaves or its connection is cut. */
  onCall: (call: Call) => void | Promise<void>;
  /** Asks moto itself as that account, past all faults and records. */
  ask(
    account: string,
    service: Service,
    action: string,
    params?: Readonly<Record<string, string>>,
    region?: string,
  ): Promise<string>;
  /** The same for services with paths: S3 and Route 53. */
  get(account: string, region: string, service: Service, path: string): Promise<string>;
  /** Forgets calls, violations and accidents, and clears the sky. */
  clear(): void;
  close(): Promise<void>;
}

const fairWeather = (): Weather => ({
  quotas: {},
  permissions: {},
  hiddenMs: 0,
  settleMs: 0,
  pageItems: 1000,
  healthy: () => true,
});
/** Which process a request comes from, where a test has several one after the other. */
export const lifeHeader = 'x-slipway-life';
const motosOwnAccount = '123456789012';

/** AWS between the SDK and moto: everything that AWS does and moto does not, and every fault on order. */
export async function startProxy(
  moto: Pick<Moto, 'url' | 'said'>,
  { seed = 1, host = '127.0.0.1', port = 0 } = {},
): Promise<AwsProxy> {
  const started = performance.now();
  const now = (): number => performance.now() - started;
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const calls: Call[] = [];
  const violations: Violation[] = [];
  const accidents: Accident[] = [];
  const weather = fairWeather();
  const buckets = new Map<string, (now: number) => boolean>();
  let rates: FaultRates | undefined;
  let draw: (call: Call) => Fault | undefined = () => undefined;
  const orders: { condition: (call: Call) => boolean; fault: Fault; left: number }[] = [];
  let dying: { left: number; died: (call: Call) => void } | undefined;
  let dead = false;
  // A client that has died sends nothing more, also after the next has begun: whatever its SDK still holds to send again.
  const gone = new Set<string>();
  const lifeOf = ({ headers }: WireRequest): string => String(headers[lifeHeader] ?? '');
  const isDead = (request: WireRequest): boolean => dead || gone.has(lifeOf(request));

  const known = tokens();
  const hiding = consistency({ hiddenMs: () => weather.hiddenMs, random: random(seed) });
  const paging = pages(() => weather.pageItems);
  const lasting = settling(
    () => weather.settleMs,
    (target) => weather.healthy(target),
  );
  const holding = dependencies(() => weather.settleMs);
  const unique = uniqueNames();
  const references = callerReferences();
  const guards: readonly Behaviour[] = [
    // A repeated token is answered before all others look: what it asks for was allowed once.
    known,
    hiding,
    quotas(() => weather.quotas),
    placement(),
    holding,
    lasting,
    unique,
    references,
    bucketPolicies(),
    accountFacts(
      () => weather.permissions,
      () => weather.quotas,
    ),
    paging,
  ];
  const watchers: readonly Behaviour[] = [classicBalancers(), dnsNames(), hiding, known, unique, references, holding, lasting];

  const forward = (account: string, request: WireRequest): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const { host: _host, 'content-length': _length, connection: _connection, expect: _expect, ...headers } = request.headers;
      const up = httpRequest(
        `${moto.url}${request.url}`,
        {
          method: request.method,
          agent,
          headers: { ...headers, 'x-moto-account-id': account, 'content-length': request.body.length },
        },
        (answer) => {
          const { 'transfer-encoding': _encoding, connection: _kept, 'keep-alive': _long, ...kept } = answer.headers;
          bodyOf(answer).then((body) => resolve({ status: answer.statusCode ?? 500, headers: kept, body }), reject);
        },
      );
      up.once('error', reject);
      up.end(request.body);
    });
  const signed = (service: Service, region: string) => ({
    authorization: `AWS4-HMAC-SHA256 Credential=proxy/20260101/${region}/${service === 'elb' ? 'elasticloadbalancing' : service}/aws4_request, SignedHeaders=host, Signature=none`,
  });
  const get: AwsProxy['get'] = async (account, region, service, url) => {
    const answer = await forward(account, { method: 'GET', url, headers: signed(service, region), body: Buffer.alloc(0) });
    return answer.body.toString();
  };
  const ask: AwsProxy['ask'] = async (account, service, action, params = {}, region = 'eu-west-1') => {
    const answer = await forward(account, {
      method: 'POST',
      url: '/',
      headers: {
        'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
        ...signed(service, region),
      },
      body: Buffer.from(new URLSearchParams({ Action: action, Version: versions[service] ?? '', ...params }).toString()),
    });
    return answer.body.toString();
  };

  // One at a time, from the checks to the answer: what a check has seen still holds when the request is carried out, and moto is not
  // made for two requests at once.
  let turn: Promise<unknown> = Promise.resolve();
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  };

  /** The answer of AWS; undefined: the client was dead before its request was carried out, or died with it. */
  const carryOut = (exchange: Exchange, request: WireRequest): Promise<Answer | undefined> =>
    alone(async () => {
      const { call } = exchange;
      if (isDead(request)) return undefined;
      const answer = (await guarded(exchange)) ?? (await byMoto(exchange, request));
      if (call.committed && dying && --dying.left <= 0) {
        dead = true;
        if (lifeOf(request) !== '') gone.add(lifeOf(request));
        call.fault = 'killed';
        dying.died(call);
      }
      return answer;
    });
  const no = (call: Call, refusal: Refusal): Answer => {
    call.code = refusal.code;
    return answerOf(call.service, refusal, randomUUID());
  };
  const guarded = async (exchange: Exchange): Promise<Answer | undefined> => {
    for (const guard of guards) {
      const found = await guard.before?.(exchange);
      if (found) return 'code' in found ? no(exchange.call, found) : found;
    }
    return undefined;
  };
  const byMoto = async (exchange: Exchange, request: WireRequest): Promise<Answer> => {
    const { call } = exchange;
    let answer = await forward(call.account, { ...request, body: paging.whole(exchange, request.body) });
    if (answer.status >= 500) {
      accidents.push({
        call,
        status: answer.status,
        why: moto.said().slice(-600).trim() || answer.body.toString().slice(0, 600),
      });
      return no(call, failed(call.service, answer.status === 501 ? 501 : 500));
    }
    call.committed = call.mutating && answer.status < 300;
    if (answer.status >= 400) call.code = /<Code>([^<]*)/.exec(answer.body.toString())?.[1] ?? String(answer.status);
    for (const watcher of watchers) answer = (await watcher.after?.(exchange, answer)) ?? answer;
    return call.service === 'ec2' ? paging.cut(exchange, answer, hiding.hides(call.account, now())) : answer;
  };

  const roomFor = (call: Call): boolean => {
    if (!weather.throttle) return true;
    const { perSecond, burst, shared = false } = weather.throttle;
    const key = `${call.account} ${shared ? 'all' : call.service} ${perSecond} ${burst}`;
    const room = buckets.get(key) ?? bucket(weather.throttle);
    buckets.set(key, room);
    return room(now());
  };
  const faultOf = (call: Call): Fault | undefined => {
    if (rates !== weather.faults) {
      rates = weather.faults;
      draw = rates ? drawn(rates) : () => undefined;
    }
    const ordered = orders.find(({ condition, left }) => left > 0 && condition(call));
    if (ordered) ordered.left--;
    const drew = draw(call);
    return ordered?.fault ?? (roomFor(call) ? drew : 'throttle');
  };

  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const cut = (): void => void incoming.socket.destroy();
    const body = await bodyOf(incoming);
    const request: WireRequest = { method: incoming.method ?? 'GET', url: incoming.url ?? '/', headers: incoming.headers, body };
    if (isDead(request)) return cut();
    const decoded = decode(request);
    if (!decoded) {
      violations.push({
        service: '',
        action: '',
        at: `${request.method} ${request.url}`,
        why: 'is no request of a known service',
      });
      return send(outgoing, { status: 400, headers: {}, body: Buffer.from('no such service') }, request.method);
    }
    const call = callOf(decoded, request, calls.length + 1, now());
    calls.push(call);
    const exchange: Exchange = {
      call,
      decoded,
      body,
      now,
      ask: (service, action, params) => ask(call.account, service, action, params, decoded.region),
    };
    const reply = async (answer: Answer): Promise<void> => {
      call.status = answer.status;
      await onCall(call);
      send(outgoing, answer, request.method);
    };
    const refused = (refusal: Refusal): Promise<void> => reply(no(call, refusal));

    const fault = faultOf(call);
    if (fault) call.fault = nameOfFault(fault);
    const lost = async (): Promise<void> => {
      await onCall(call);
      cut();
    };
    if (fault === 'drop-before') return lost();
    if (fault === 'throttle') return refused(throttled(call.service));
    if (fault === 'error') return refused(failed(call.service, 500));
    if (fault === 'unavailable') return refused(failed(call.service, 503));
    if (typeof fault === 'object' && 'refuse' in fault) return refused(fault.refuse);
    if (typeof fault === 'object') await sleep(fault.delayMs);

    const wrong = violationsOf(decoded);
    violations.push(...wrong);
    const [first] = wrong;
    if (first) return refused(invalid(call.service, first.at, first.why));

    const answer = await carryOut(exchange, request);
    if (!answer || isDead(request) || fault === 'drop-after') return lost();
    if (fault === 'truncate' && answer.body.length > 1) {
      call.status = answer.status;
      await onCall(call);
      outgoing.writeHead(answer.status, { ...plain(answer.headers), 'content-length': answer.body.length });
      outgoing.write(answer.body.subarray(0, answer.body.length >> 1), cut);
      return;
    }
    await reply(answer);
  };

  let onCall: AwsProxy['onCall'] = () => undefined;
  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch((error: unknown) => {
      // The proxy's own mistake: told to the client as text, so that the test fails with it.
      if (!outgoing.headersSent) outgoing.writeHead(500, { 'content-type': 'text/plain' });
      outgoing.end(`proxy: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    });
  });
  // The SDK's connections live as long as it likes.
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  const listening = server.address() as AddressInfo;

  return {
    url: `http://${host}:${listening.port}`,
    calls,
    violations,
    accidents,
    weather,
    get onCall() {
      return onCall;
    },
    set onCall(called) {
      onCall = called;
    },
    counts: () => {
      const counted: Record<string, number> = {};
      for (const { service, action } of calls) counted[`${service}.${action}`] = (counted[`${service}.${action}`] ?? 0) + 1;
      return counted;
    },
    once(action, fault, times = 1) {
      orders.push({ condition: (call) => call.action === action, fault, left: times });
    },
    when(condition, fault) {
      const order = { condition, fault, left: Number.POSITIVE_INFINITY };
      orders.push(order);
      return {
        stop: () => {
          order.left = 0;
        },
      };
    },
    killAfter(changes, died = () => undefined) {
      dying = { left: changes, died };
    },
    revive() {
      const was = dead;
      dead = false;
      dying = undefined;
      return was;
    },
    ask,
    get,
    clear() {
      calls.length = 0;
      violations.length = 0;
      accidents.length = 0;
      orders.length = 0;
      dead = false;
      dying = undefined;
      Object.assign(weather, { faults: undefined, throttle: undefined, ...fairWeather() });
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      agent.destroy();
    },
  };
}

const versions: Readonly<Partial<Record<Service, string>>> = {
  ec2: '2016-11-15',
  elasticloadbalancing: '2015-12-01',
  elb: '2012-06-01',
  autoscaling: '2011-01-01',
  iam: '2010-05-08',
  sts: '2011-06-15',
};

function callOf(decoded: Decoded, request: WireRequest, n: number, at: number): Call {
  const attempt = request.headers['amz-sdk-request'];
  return {
    n,
    service: decoded.service,
    action: decoded.action,
    account: accountOf(decoded.accessKeyId) ?? motosOwnAccount,
    params: decoded.params,
    mutating: isMutating(decoded),
    attempt: typeof attempt === 'string' ? attempt : undefined,
    at,
    bytes: request.body.length,
    committed: false,
  };
}

async function bodyOf(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
/** Lengths are told anew: a body may have been changed on its way. */
function plain(headers: Answer['headers']): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined && name !== 'content-length') kept[name] = value;
  return kept;
}
function send(outgoing: ServerResponse, { status, headers, body }: Answer, method: string): void {
  const told = method === 'HEAD' ? headers['content-length'] : String(body.length);
  const empty = status === 204 || status === 304;
  outgoing.writeHead(status, { ...plain(headers), ...(typeof told === 'string' && !empty && { 'content-length': told }) });
  outgoing.end(method === 'HEAD' || empty ? undefined : body);
}
