import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { makeHostKey } from '../../../providers/local/host-key.ts';
import { UnreachableError, UserError } from '../../../src/errors.ts';
import type { Access, ApiAccess, HostAccess, Hosts } from '../../../src/host/host.ts';
import { openHosts } from '../../../src/host/ssh.ts';
import type { Credentials, KubeClients } from '../../../src/kube/clients.ts';
import { connectKube } from '../../../src/kube/connect.ts';
import { issueClient } from '../../../src/pki/admin.ts';
import { type LocalBastion, startBastion } from '../../support/bastion.ts';
import { servingIdentity } from '../../support/serving.ts';

const name = 'api.demo.internal';

/** Enough of an API server: who asks is known by a client certificate. */
let server: Server;
let credentials: Credentials;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let asked: string[];
let connections: number;
beforeAll(async () => {
  const now = Date.now();
  const { authority, key, cert } = await servingIdentity(name, now);
  const admin = await issueClient({ authority, cn: 'slipway', o: [], hours: 1, now });
  credentials = { caPem: authority.certPem, ...admin };
  server = createServer({ key, cert, ca: authority.certPem, requestCert: true }, (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate();
    asked.push(`${subject?.CN} ${request.url}`);
    answer(request, response);
  });
  server.on('secureConnection', () => {
    connections++;
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

let bastion: LocalBastion;
let access: Access;
let hosts: Hosts;
let kube: KubeClients;
const behind: ApiAccess = { server: `https://${name}:6443`, tlsServerName: name, via: 'bastion' };
beforeEach(async () => {
  asked = [];
  connections = 0;
  answer = (_request, response) => response.end('ok');
  bastion = await startBastion();
  bastion.names.set(name, (server.address() as AddressInfo).port);
  access = {
    ...bastion.access(behind),
    hosts: new Map([['master-a', { state: 'reachable', endpoint: bastion.endpoint }]]),
  };
  hosts = openHosts({ access: () => access, privateKey: async () => bastion.key.privateKey });
  kube = connectKube({
    uid: 'uid-1',
    access: () => access,
    masters: ['master-a'],
    credentials: async () => credentials,
    initialised: async () => true,
    hosts,
    now: Date.now,
  });
});
afterEach(async () => {
  kube.close();
  await hosts.close();
  await bastion.close();
});
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it went well',
    (error: unknown) => error,
  );
const problem = async (promise: Promise<unknown>) => {
  const error = await failure(promise);
  if (!(error instanceof UserError)) throw error;
  return { unreachable: error instanceof UnreachableError, ...error.problem };
};

describe('the Kubernetes API through the bastion', () => {
  test('is asked as who we are, over one SSH connection, and TLS connections are used again', async () => {
    const api = await kube.api();
    for (let i = 0; i < 20; i++) await api.raw(`/healthz/${i}`);
    expect(asked.slice(0, 2)).toEqual(['slipway /readyz', 'slipway /healthz/0']);
    expect(asked).toHaveLength(21);
    expect([bastion.connections.length, bastion.forwarded, connections]).toEqual([1, [`${name}:6443`], 1]);
  });

  test('each API server is asked alone, by the address of its master; one that gives no answer is told of', async () => {
    const at = (address: string) => ({ state: 'reachable' as const, endpoint: { ...bastion.endpoint, address } });
    access = {
      ...access,
      hosts: new Map<string, HostAccess>([
        ['master-a', at('10.1.0.1')],
        ['master-b', at('10.1.0.2')],
        ['master-c', { state: 'unreachable', why: 'it does not run' }],
      ]),
    };
    bastion.names.set('10.1.0.1', (server.address() as AddressInfo).port);
    const options = { uid: 'uid-1', access: () => access, credentials: async () => credentials, initialised: async () => true };
    const all = connectKube({ ...options, masters: ['master-a', 'master-b', 'master-c'], hosts, now: Date.now });
    answer = (_request, response) => response.end('1');
    expect([...(await all.servers((one) => one.raw('/metrics')))]).toEqual([
      ['master-a', '1'],
      ['master-b', undefined],
      ['master-c', undefined],
    ]);
    expect([asked, bastion.forwarded]).toEqual([['slipway /metrics'], ['10.1.0.1:6443', '10.1.0.2:6443']]);
    all.close();
  });

  test('many calls at once share sixteen connections', async () => {
    const api = await kube.api();
    await Promise.all(Array.from({ length: 60 }, (_, i) => api.raw(`/healthz/${i}`)));
    expect(asked).toHaveLength(61);
    expect(bastion.connections).toHaveLength(1);
    expect(connections).toBeLessThanOrEqual(16);
  });

  test('gives large answers whole', async () => {
    const large = 'x'.repeat(5 << 20);
    answer = (_request, response) => response.end(large);
    expect((await (await kube.api()).raw('/large')).length).toBe(large.length);
  });

  test('a kept connection that was closed meanwhile is no error', async () => {
    const api = await kube.api();
    server.closeAllConnections();
    expect(await api.raw('/again')).toBe('ok');
  });

  test('the SSH connection is lost between two calls: the next one makes another', async () => {
    const api = await kube.api();
    bastion.cut();
    expect(await api.raw('/again')).toBe('ok');
    expect(bastion.connections).toHaveLength(2);
  });

  test('the bastion is gone in the middle of a call: unreachable, through whom, and why', async () => {
    const api = await kube.api();
    let hanging = (): void => {};
    const reached = new Promise<void>((done) => {
      hanging = done;
    });
    answer = () => hanging();
    const call = problem(api.raw('/hangs'));
    await reached;
    await bastion.close();
    expect(await call).toMatchObject({
      unreachable: true,
      what: 'the Kubernetes API gives no answer',
      where: `https://${name}:6443 through bastion 127.0.0.1:${bastion.endpoint.port}`,
      why: expect.stringContaining('ECONNREFUSED'),
    });
    expect(await problem(api.raw('/again'))).toMatchObject({
      unreachable: true,
      why: expect.stringContaining('no SSH connection'),
    });
    expect(await kube.state()).toBe('there');
  });

  test('an answer that is cut with the bastion says that the SSH connection was lost', async () => {
    const api = await kube.api();
    answer = (_request, response) => {
      response.writeHead(200, { 'content-length': 100 });
      response.write('half');
      setTimeout(() => void bastion.close(), 50);
    };
    const { where, why } = await problem(api.raw('/half'));
    expect(where).toContain('through bastion');
    expect(why).toMatch(/SSH connection was lost|ECONNREFUSED/);
  });

  test('a name that the bastion cannot reach is said with it', async () => {
    access = { ...access, api: { ...behind, server: 'https://api.other.internal:6443' } };
    expect(await problem(kube.api({ waitMs: 200 }))).toMatchObject({
      unreachable: true,
      why: expect.stringContaining('no way from the bastion to api.other.internal:6443'),
    });
  });

  test('a bastion that hangs ends with the time of the call', async () => {
    bastion.names.set(name, 0);
    const began = performance.now();
    expect(await problem(kube.api({ waitMs: 500 }))).toMatchObject({
      unreachable: true,
      why: expect.stringContaining('through bastion'),
    });
    expect(performance.now() - began).toBeLessThan(20_000);
  });

  test('ends with its signal while the way is opened', async () => {
    bastion.names.set(name, 0);
    const waiting = new AbortController();
    const call = failure(kube.api({ waitMs: 20_000, signal: waiting.signal }));
    await expect.poll(() => bastion.forwarded.length).toBe(1);
    waiting.abort(new Error('enough'));
    expect(await call).toEqual(new Error('enough'));
  });

  test('another host key than the pinned one stops it, at once', async () => {
    const { publicKey } = await makeHostKey('other');
    access = { ...access, bastion: { ...bastion.endpoint, hostKey: publicKey } };
    expect(await problem(kube.api({ waitMs: 20_000 }))).toMatchObject({
      unreachable: false,
      what: 'the SSH host key is not the one that is pinned',
    });
    expect(bastion.forwarded).toEqual([]);
  });

  test('another name in the certificate is not the API', async () => {
    access = { ...access, api: { ...behind, tlsServerName: 'api.other.internal' } };
    expect(await problem(kube.api({ waitMs: 200 }))).toMatchObject({ why: expect.stringContaining('altnames') });
  });

  test('another bastion is another way', async () => {
    await kube.api();
    const other = await startBastion();
    try {
      other.names.set(name, (server.address() as AddressInfo).port);
      const { hosts: seen } = access;
      await bastion.close();
      access = { ...other.access(behind), hosts: seen };
      expect((await problem(kube.api({ waitMs: 200 }))).what).toContain('refuses');
      expect(other.connections).toHaveLength(1);
    } finally {
      await other.close();
    }
  });

  test('closing it closes the connections', async () => {
    const closed = new Promise<void>((done) =>
      server.once('secureConnection', (socket) => void once(socket, 'close').then(() => done())),
    );
    await kube.api();
    kube.close();
    await closed;
  });

  test('reached directly it makes no SSH connection', async () => {
    const { port } = server.address() as AddressInfo;
    access = { ...access, api: { server: `https://127.0.0.1:${port}`, tlsServerName: name, via: 'direct' } };
    await kube.api();
    expect(asked).toEqual(['slipway /readyz']);
    expect(bastion.connections).toHaveLength(0);
  });
});
