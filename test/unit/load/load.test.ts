import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { startAppLoad } from '../../support/load/app.ts';
import { explained } from '../../support/load/load.ts';
import { steadily, Tally } from '../../support/load/outcome.ts';
import { outcomeOf } from '../../support/load/request.ts';
import { startStoreLoad } from '../../support/load/store.ts';
import { watchSteadily } from '../../support/load/watch.ts';

/** What measures that nobody is interrupted must itself miss nothing. */
const closing: (() => void)[] = [];
const closeAll = (): void => {
  for (const close of closing.splice(0)) close();
};
afterEach(closeAll);
async function serve(listener: RequestListener): Promise<{ url: URL; connections(): number }> {
  let connections = 0;
  const server = createServer(listener).on('connection', () => connections++);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`), connections: () => connections };
}
const ask = (url: URL, ms = 2000): Promise<string | undefined> => outcomeOf({ url, signal: AbortSignal.timeout(ms) });

describe('a request', () => {
  test('2xx is well; every other status is told with its body', async () => {
    const { url } = await serve((request, answer) => {
      answer.statusCode = request.url === '/' ? 201 : 503;
      answer.end('all gone\n');
    });
    expect(await ask(url)).toBeUndefined();
    expect(await ask(new URL('/else', url))).toBe('503 all gone');
  });
  test('one that is refused, cut before or in the middle of the answer, or never answered, says how far it came', async () => {
    const { url } = await serve((request, answer) => {
      if (request.url === '/cut') request.socket.destroy();
      if (request.url === '/half') {
        answer.writeHead(200, { 'content-length': '100' }).write('half');
        setTimeout(() => request.socket.destroy(), 50);
      }
    });
    expect(await ask(new URL('/cut', url))).toMatch(/^waiting for the answer: ECONNRESET/);
    expect(await ask(new URL('/half', url))).toMatch(/^reading the answer: ECONNRESET/);
    expect(await ask(new URL('/never', url), 200)).toBe('waiting for the answer: no end in time');
    closeAll();
    expect(await ask(url)).toMatch(/^connecting: ECONNREFUSED/);
  });
});

describe('the load', () => {
  test('comes at its pace on a new connection each, also when answers are slow, and counts what failed', async () => {
    let count = 0;
    const { url, connections } = await serve((request, answer) => {
      count++;
      if (count % 5 === 0) request.socket.destroy();
      else setTimeout(() => answer.end('ok'), 150);
    });
    const began = performance.now();
    const load = startAppLoad(url, 50);
    await sleep(1000);
    const { requests, failures, latency } = await load.stop();
    expect(requests).toBeGreaterThan(20);
    expect(requests).toBeLessThan((performance.now() - began) / 20 + 5);
    expect(requests).toBe(count);
    expect(connections()).toBe(count);
    expect(failures).toHaveLength(Math.floor(count / 5));
    expect(latency.p50).toBeGreaterThanOrEqual(140);
  });
  test('stopping waits for what is under way', async () => {
    let [begun, ended] = [0, 0];
    const some = Promise.withResolvers<void>();
    const pace = steadily(10, async () => {
      if (++begun === 3) some.resolve();
      await sleep(100);
      ended++;
    });
    await some.promise;
    expect(ended).toBeLessThan(begun);
    await pace.stop();
    expect(ended).toBe(begun);
  });
});

test('a stream that ends is opened again from where it was; an opening that fails is a failure, a place too old a new list', async () => {
  const asked: string[] = [];
  const event = (version: number): string =>
    `${JSON.stringify({ type: 'ADDED', object: { metadata: { resourceVersion: String(version) } } })}\n`;
  const { url } = await serve((request, answer) => {
    const { searchParams } = new URL(request.url ?? '', url);
    if (!searchParams.has('watch')) return answer.end(JSON.stringify({ metadata: { resourceVersion: '7' } }));
    asked.push(searchParams.get('resourceVersion') ?? '');
    switch (asked.length) {
      case 1:
        return answer.end(event(8) + event(9));
      case 2:
        answer.statusCode = 503;
        return answer.end('starting');
      case 3:
        return answer.end(`${JSON.stringify({ type: 'ERROR', object: { code: 410 } })}\n`);
      default:
        return answer.write(event(10));
    }
  });
  const [tally, stop] = [new Tally(), new AbortController()];
  const watching = watchSteadily({ server: url.href, tls: {} }, '/things', tally, stop.signal);
  while (asked.length < 4) await sleep(20);
  await sleep(50);
  stop.abort();
  expect(await watching).toEqual({ reconnects: 2, relists: 1, events: 3 });
  expect(asked).toEqual(['7', '9', '9', '7']);
  expect(tally.traffic.failures.map(({ kind, text }) => `${kind}: ${text}`)).toEqual(['api watch: 503 starting']);
});

test('a failure is told with what the run was at just then', () => {
  const events = [
    { at: 1000, task: 'masters/master-a', type: 'started' },
    { at: 2000, task: 'drain worker-a', type: 'started' },
    { at: 4000, task: 'masters/master-a', type: 'done' },
    { at: 9000, task: 'drain worker-b', type: 'started' },
  ];
  expect(explained([{ at: 6000, ms: 30, kind: 'app', text: 'connecting: ECONNREFUSED' }], events)).toEqual([
    '00:00:06.000 +30 ms app: connecting: ECONNREFUSED [drain worker-a]',
  ]);
});

describe('the store', () => {
  /** Three replicas; what one does otherwise is said by its ordinal. */
  async function replicas(does: (ordinal: number, answer: ServerResponse) => boolean = () => false): Promise<readonly URL[]> {
    const ordinals = [0, 1, 2];
    const kept = [0, 0, 0];
    const served = ordinals.map((ordinal) =>
      serve(({ url = '', method }, answer) => {
        if (does(ordinal, answer)) return;
        if (method === 'PUT') kept[ordinal] = Number(url.split('/').at(-1));
        answer.end(`store-${ordinal} first ${kept[ordinal]}\n`);
      }),
    );
    return (await Promise.all(served)).map(({ url }) => url);
  }
  async function during(urls: readonly URL[], ms = 300) {
    const load = startStoreLoad(urls, { perSecond: 50, timeoutMs: 1000 });
    await sleep(ms);
    return load.stop();
  }

  test('one of three may be away, and is counted; two may not', async () => {
    const one = await during(await replicas((ordinal, answer) => ordinal === 1 && !!answer.destroy()));
    expect(one.failures).toEqual([]);
    expect([one.requests > 10, one.without > 10, one.moves]).toEqual([true, true, [0, 0, 0]]);
    const two = await during(await replicas((ordinal, answer) => ordinal > 0 && !!answer.destroy()));
    expect(two.failures.length).toBe(two.requests);
    expect(two.failures[0]).toMatchObject({ kind: 'store write', text: expect.stringMatching(/store-1: .*; store-2: /) });
  });
  test('what was written and is not read, fails', async () => {
    let asked = 0;
    const forgets = await replicas((ordinal, answer) => asked++ > 60 && !!answer.end(`store-${ordinal} first 5\n`));
    expect((await during(forgets)).failures[0]?.text).toMatch(/^\d+ was written, and 2 of them tell 5, 5$/);
  });
  test('an answer by another name fails, and so does a process that was followed by another; one after the other is a move', async () => {
    const stranger = await during(await replicas((ordinal, answer) => ordinal === 2 && !!answer.end('store-1 first 1\n')));
    expect(stranger.failures[0]).toMatchObject({ kind: 'store identity', text: 'store-2 answers as store-1' });
    const life = { is: 'first' };
    const urls = await replicas((ordinal, answer) => ordinal === 0 && !!answer.end(`store-0 ${life.is} 9e15\n`));
    setTimeout(() => {
      life.is = 'second';
    }, 100);
    const moved = await during(urls);
    expect([moved.failures, moved.moves]).toEqual([[], [1, 0, 0]]);
    let turn = 0;
    const twice = await replicas((ordinal, answer) => ordinal === 0 && !!answer.end(`store-0 life-${turn++ % 2} 9e15\n`));
    expect((await during(twice)).failures[0]?.text).toBe('store-0 is two processes at once');
  });
});
