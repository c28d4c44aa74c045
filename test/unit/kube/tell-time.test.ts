import { ClientRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { tellTime } from '../../../src/kube/tell-time.ts';

/** One that was never sent: only its events count. */
function aRequest(): { request: ClientRequest; times: number[] } {
  const request = new ClientRequest({ host: '127.0.0.1', port: 1, createConnection: () => undefined });
  request.on('error', () => undefined);
  const times: number[] = [];
  tellTime(request, (ms) => times.push(ms));
  return { request, times };
}

test('time in which we are busy with other things is not the time of the answer', () => {
  const { request, times } = aRequest();
  request.emit('finish');
  for (const end = performance.now() + 60; performance.now() < end; );
  request.emit('response');
  expect(times).toEqual([0]);
});

test('time in which we only wait is', async () => {
  const { request, times } = aRequest();
  await sleep(20);
  request.emit('finish');
  await sleep(60);
  request.emit('response');
  expect(times[0]).toBeGreaterThan(10);
});
