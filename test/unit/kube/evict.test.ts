import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type KubeApi, openKube } from '../../../src/kube/client.ts';
import { issueClient } from '../../../src/pki/admin.ts';
import { servingIdentity } from '../../support/serving.ts';

/** Enough of an API server: each eviction waits for its answer, and it is known whether its client went away. */
let server: Server;
let api: KubeApi;
const asked: { readonly name: string; readonly response: ServerResponse; left: boolean }[] = [];
beforeAll(async () => {
  const now = Date.now();
  const name = 'api.demo.internal';
  const { authority, key, cert } = await servingIdentity(name, now);
  server = createServer({ key, cert }, (request, response) => {
    if (request.method !== 'POST') {
      const resources = [{ name: 'pods', kind: 'Pod', namespaced: true }];
      return response.end(JSON.stringify({ kind: 'APIResourceList', groupVersion: 'v1', resources }));
    }
    const one = { name: request.url?.split('/').at(-2) ?? '', response, left: false };
    response.on('close', () => {
      one.left = !response.writableFinished;
    });
    asked.push(one);
    server.emit('asked');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = await issueClient({ authority, cn: 'slipway', o: [], hours: 1, now });
  api = openKube({ server: `https://127.0.0.1:${port}`, tlsServerName: name, caPem: authority.certPem, ...client });
});
afterAll(() => {
  api.close();
  server.close();
  server.closeAllConnections();
});

const pod = (name: string) => ({ namespace: 'default', name, uid: `uid-${name}` });

test('an eviction that was sent is brought to its end when the run is told to stop; one that waits for a connection is not sent', async () => {
  const stop = new AbortController();
  const names = Array.from({ length: 17 }, (_, i) => `web-${i}`);
  const ends = Promise.allSettled(names.map((name) => api.evict(pod(name), stop.signal)));
  while (asked.length < 16) await once(server, 'asked');
  stop.abort(new Error('Ctrl-C'));
  for (const { response } of asked) response.end('{}');
  const all = (await ends).map((end) => (end.status === 'fulfilled' ? end.value.state : end.reason.message));
  expect(all.toSorted()).toEqual(['Ctrl-C', ...Array.from({ length: 16 }, () => 'accepted')]);
  expect([asked.length, asked.filter(({ left }) => left)]).toEqual([16, []]);
});

test('none begins once the run was told to stop', async () => {
  const before = asked.length;
  await expect(api.evict(pod('late'), AbortSignal.abort(new Error('Ctrl-C')))).rejects.toThrow('Ctrl-C');
  expect(asked.length).toBe(before);
});
