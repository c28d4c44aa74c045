import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeHostKey } from '../../../providers/local/host-key.ts';
import { UnreachableError, UserError } from '../../../src/errors.ts';
import type { Access, Hosts } from '../../../src/host/host.ts';
import { type OpenProxy, openProxy } from '../../../src/host/proxy.ts';
import { openHosts } from '../../../src/host/ssh.ts';
import { type LocalBastion, startBastion } from '../../support/bastion.ts';

const name = 'api.demo.internal';
let bastion: LocalBastion;
let access: Access;
let hosts: Hosts;
let server: Server;
let there: Socket[];

/** An echo: says back what it hears, and ends when the other side has. */
beforeEach(async () => {
  there = [];
  server = createServer({ allowHalfOpen: true }, (socket) => {
    there.push(socket);
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  bastion = await startBastion();
  bastion.names.set(name, (server.address() as AddressInfo).port);
  access = bastion.access();
  hosts = openHosts({ access: () => access, privateKey: async () => bastion.key.privateKey });
});
afterEach(async () => {
  await hosts.close();
  await bastion.close();
  for (const socket of there) socket.destroy();
  server.close();
});

/** Open. */
async function tunnelTo(host: string): Promise<Duplex> {
  const tunnel = hosts.tunnel(host, 6443);
  await once(tunnel, 'connect');
  return tunnel;
}
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it went well',
    (error: unknown) => error,
  );
const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('a tunnel through the bastion', () => {
  test('goes where only the bastion knows the name, and ends as a stream does', async () => {
    const tunnel = await tunnelTo(name);
    tunnel.end('hello');
    expect(await text(tunnel)).toBe('hello');
    if (!tunnel.closed) await once(tunnel, 'close');
    expect(bastion.forwarded).toEqual([`${name}:6443`]);
  });

  test('fifty at once share one SSH connection', async () => {
    const tunnels = await Promise.all(Array.from({ length: 50 }, () => tunnelTo(name)));
    const heard = tunnels.map((tunnel, i) => {
      tunnel.end(`number ${i}`);
      return text(tunnel);
    });
    expect(await Promise.all(heard)).toEqual(tunnels.map((_, i) => `number ${i}`));
    expect(bastion.connections).toHaveLength(1);
  });

  test('carries megabytes both ways, at the pace of who reads', async () => {
    const data = randomBytes(8 << 20);
    const tunnel = await tunnelTo(name);
    tunnel.end(data);
    const parts: Buffer[] = [];
    for await (const part of tunnel) parts.push(part);
    expect(digest(Buffer.concat(parts))).toBe(digest(data));
  });

  test('that is destroyed is closed at the other end', async () => {
    const tunnel = await tunnelTo(name);
    tunnel.write('x');
    await once(tunnel, 'data');
    const gone = once(there[0]!, 'close');
    tunnel.destroy();
    await gone;
  });

  test('says why when the bastion is lost in the middle, and the next one connects anew', async () => {
    const tunnel = await tunnelTo(name);
    bastion.cut();
    const [error] = await once(tunnel, 'error');
    expect(error).toBeInstanceOf(UnreachableError);
    expect(error.message).toBe(
      `bastion 127.0.0.1:${bastion.endpoint.port}: the SSH connection was lost\nthe connection was closed`,
    );
    const next = await tunnelTo(name);
    next.end('again');
    expect(await text(next)).toBe('again');
    expect(bastion.connections).toHaveLength(2);
  });

  test('to what the bastion cannot reach is unreachable, at once, and named', async () => {
    const error = await failure(tunnelTo('api.other.internal'));
    expect(error).toBeInstanceOf(UnreachableError);
    expect(error).toMatchObject({
      problem: { what: 'no way from the bastion to api.other.internal:6443', where: /^bastion 127\.0\.0\.1/ },
    });
  });

  test('takes what is written before it is open', async () => {
    const tunnel = hosts.tunnel(name, 6443);
    tunnel.write('early ');
    tunnel.end('bird');
    expect(await text(tunnel)).toBe('early bird');
  });

  test('that nobody answers is given up when it is destroyed; that which opens afterwards is closed', async () => {
    bastion.names.set('slow.internal', 0);
    const tunnel = hosts.tunnel('slow.internal', 6443);
    await expect.poll(() => bastion.forwarded).toEqual(['slow.internal:6443']);
    tunnel.destroy();
    await once(tunnel, 'close');
    hosts.tunnel(name, 6443).destroy();
    await tunnelTo(name);
    await expect.poll(() => there.filter((socket) => !socket.destroyed).length).toBe(1);
  });

  test('without a bastion, or to one that does not listen, is unreachable at once', async () => {
    access = { ...access, bastion: undefined };
    expect(await failure(tunnelTo(name))).toMatchObject({
      name: 'UnreachableError',
      problem: { why: 'there is no bastion yet' },
    });
    access = { ...access, hosts: new Map([['bastion', { state: 'unreachable', why: 'it is stopped' }]]) };
    expect(await failure(tunnelTo(name))).toMatchObject({ problem: { why: 'it is stopped' } });
    access = bastion.access();
    await bastion.close();
    expect(await failure(tunnelTo(name))).toMatchObject({
      name: 'UnreachableError',
      problem: { why: expect.stringContaining('ECONNREFUSED') },
    });
  });

  test('never opens where the host key is another', async () => {
    const { publicKey } = await makeHostKey('other');
    access = { ...access, bastion: { ...bastion.endpoint, hostKey: publicKey } };
    const error = await failure(tunnelTo(name));
    expect(error).toBeInstanceOf(UserError);
    expect(error).not.toBeInstanceOf(UnreachableError);
    expect(bastion.forwarded).toEqual([]);
  });
});

describe('the proxy', () => {
  const target = `${name}:6443`;
  let proxy: OpenProxy;
  let failed: string[];
  beforeEach(async () => {
    failed = [];
    proxy = await openProxy({
      target,
      connect: () => hosts.tunnel(name, 6443),
      port: 0,
      failed: ({ message }) => failed.push(message),
    });
  });
  afterEach(() => proxy.close());

  /** What it answers to `CONNECT to`, and the stream behind it. */
  const ask = (to: string): Promise<{ status: string; stream: Duplex }> =>
    new Promise((done, fail) => {
      const request = httpRequest(proxy.url, { method: 'CONNECT', path: to });
      request.on('connect', ({ statusCode, statusMessage }, stream, head) => {
        stream.unshift(head);
        done({ status: `${statusCode} ${statusMessage}`, stream });
      });
      request.on('error', fail);
      request.end();
    });

  test('leads to the API, and only there', async () => {
    const { status, stream } = await ask(target);
    expect(status).toBe('200 Connection established');
    stream.end('hello');
    expect(await text(stream)).toBe('hello');
    for (const other of ['api.demo.internal:22', '10.0.0.1:6443', 'etcd-a:2379', '127.0.0.1:22'])
      expect((await ask(other)).status).toBe(`403 this proxy leads to ${target} only`);
    expect(bastion.forwarded).toEqual([target]);
    expect(failed).toEqual([]);
  });

  test('listens on loopback only, and is no web server', async () => {
    expect(proxy.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const answer = await fetch(`${proxy.url}/version`);
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'CONNECT']);
    expect(bastion.connections).toHaveLength(0);
  });

  test('gives a slow client everything, also when the other side has long closed', async () => {
    const data = randomBytes(6 << 20);
    server.removeAllListeners('connection');
    server.on('connection', (socket) => socket.end(data));
    const { stream } = await ask(target);
    await expect.poll(() => stream.readableLength).toBeGreaterThan(0);
    await new Promise((wake) => setTimeout(wake, 300));
    const parts: Buffer[] = [];
    for await (const part of stream) parts.push(part);
    expect(digest(Buffer.concat(parts))).toBe(digest(data));
  });

  test('says in the status line why there is no way, and goes on when there is one again', async () => {
    access = { ...access, bastion: undefined };
    expect((await ask(target)).status).toBe('502 bastion: no SSH connection there is no bastion yet');
    expect(failed).toHaveLength(1);
    access = bastion.access();
    expect((await ask(target)).status).toMatch(/^200/);
  });

  test('cuts its clients and tells when the bastion is lost', async () => {
    const { stream } = await ask(target);
    stream.on('error', () => undefined);
    const closed = once(stream.resume(), 'close');
    bastion.cut();
    await closed;
    expect(failed).toEqual([expect.stringContaining('the SSH connection was lost')]);
  });

  test('a client that leaves takes its tunnel along', async () => {
    const { stream } = await ask(target);
    await expect.poll(() => there.length).toBe(1);
    const gone = once(there[0]!, 'close');
    stream.destroy();
    await gone;
    expect(failed).toEqual([]);
  });

  test('closed, it cuts what is open and lets the port go', async () => {
    const { stream } = await ask(target);
    stream.on('error', () => undefined);
    const closed = once(stream.resume(), 'close');
    await proxy.close();
    await closed;
    const again = await openProxy({
      target,
      connect: () => hosts.tunnel(name, 1),
      port: Number(new URL(proxy.url).port),
      failed: () => {},
    });
    await again.close();
  });

  test('a port that is taken is said as such', async () => {
    const { port } = new URL(proxy.url);
    const second = failure(
      openProxy({ target, connect: () => hosts.tunnel(name, 1), port: Number(port), failed: () => undefined }),
    );
    expect(await second).toMatchObject({ problem: { what: `port ${port} of 127.0.0.1 cannot be used` } });
  });
});
