import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Access } from '../../../src/host/host.ts';
import type { Credentials, KubeClients } from '../../../src/kube/clients.ts';
import { connectKube } from '../../../src/kube/connect.ts';
import { clientHours, renewing } from '../../../src/kube/credentials.ts';
import { issueClient } from '../../../src/pki/admin.ts';
import { servingIdentity } from '../../support/serving.ts';

const name = 'api.demo.internal';
const minute = 60_000;

/** Says to each call which certificate it came with. */
let server: Server;
let issueNext: () => Promise<Credentials>;
let issued: number;
let connections: number;
let clock: number;
let kube: KubeClients;
beforeAll(async () => {
  const now = Date.now();
  const { authority, key, cert } = await servingIdentity(name, now);
  issueNext = async () => ({
    caPem: authority.certPem,
    ...(await issueClient({ authority, cn: `admin-${++issued}`, o: [], hours: clientHours, now })),
  });
  server = createServer(
    { key, cert, ca: authority.certPem, requestCert: true, keepAliveTimeout: 60_000 },
    (request, response) => {
      response.end((request.socket as TLSSocket).getPeerCertificate().subject.CN);
    },
  );
  server.on('secureConnection', () => {
    connections++;
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});
beforeEach(() => {
  issued = 0;
  connections = 0;
  clock = 0;
  const { port } = server.address() as AddressInfo;
  const access: Access = {
    bastion: undefined,
    hosts: new Map(),
    api: { server: `https://127.0.0.1:${port}`, tlsServerName: name, via: 'direct' },
  };
  kube = connectKube({
    uid: 'uid-1',
    access: () => access,
    masters: [],
    credentials: () => issueNext(),
    initialised: async () => true,
    now: () => clock,
  });
});
afterEach(() => kube.close());

describe('the certificate that a command issues for itself', () => {
  test('is issued anew before it ends, for who has held the client since the beginning', async () => {
    const held = await kube.api();
    const seen: string[] = [];
    for (const at of [0, 59, 61, 119, 122, 480]) {
      clock = at * minute;
      seen.push(`${at} min: ${await held.raw('/')}`);
    }
    expect(seen).toEqual([
      '0 min: admin-1',
      '59 min: admin-1',
      '61 min: admin-2',
      '119 min: admin-2',
      '122 min: admin-3',
      '480 min: admin-4',
    ]);
    expect(connections).toBe(4);
  });

  test('is issued once, however many ask', async () => {
    const held = await kube.api();
    clock = 61 * minute;
    const seen = await Promise.all(Array.from({ length: 40 }, () => held.raw('/')));
    expect([new Set(seen), issued]).toEqual([new Set(['admin-2']), 2]);
  });

  test('asks on with the one before while none can be issued, and tries again', async () => {
    let mayIssue = true;
    const credentials = renewing(
      () => (mayIssue ? issueNext() : Promise.reject(new Error('the store does not answer'))),
      () => clock,
    );
    const first = await credentials();
    mayIssue = false;
    clock = 61 * minute;
    expect(await credentials()).toEqual(first);
    mayIssue = true;
    clock = 62 * minute;
    expect(await credentials()).not.toEqual(first);
  });

  test('that could not be issued at all is asked for again', async () => {
    let answers = 0;
    const credentials = renewing(
      () => (answers++ === 0 ? Promise.reject(new Error('no authority yet')) : issueNext()),
      () => clock,
    );
    await expect(credentials()).rejects.toThrow('no authority yet');
    await credentials();
    expect(issued).toBe(1);
  });
});
