import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DescribeVpcsCommand } from '@aws-sdk/client-ec2';
import { afterEach, expect, test } from 'vitest';
import { openAgentCloud } from '../../../providers/aws/agent-cloud.ts';
import { openSdk } from '../../../providers/aws/clients.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});
/** A server that does this with each request. */
async function serve(listener: RequestListener) {
  const listening = createServer(listener);
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const { port } = listening.address() as AddressInfo;
  return {
    region: 'eu-central-1',
    endpoint: `http://127.0.0.1:${port}`,
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  };
}
/** Asks once. */
async function ask(listener: RequestListener): Promise<unknown> {
  const sdk = openSdk({ ...(await serve(listener)), idleMs: 200 });
  return sdk.ec2Once.send(new DescribeVpcsCommand({}));
}

test('a request that AWS never answers is given up, and its fate is open', async () => {
  await expect(ask(() => undefined)).rejects.toThrow(/tim(ed )?e?\s?out|socket/i);
});
test('so is an answer that stops half-way', async () => {
  await expect(
    ask((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/xml', 'content-length': 1000 });
      response.write('<DescribeVpcsResponse>');
    }),
  ).rejects.toThrow();
});

const cluster = { cluster: 'a', bucket: 'b', workerRoleId: 'c', certificates: [] };
test("the agent's questions are given up too, so that it goes on", async () => {
  let asked = 0;
  const answering: RequestListener = (_request, response) => {
    // As a connection that a NAT gateway has forgotten: the first is lost in silence.
    if (asked++ > 0) response.end('<r><DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse></r>');
  };
  const cloud = openAgentCloud({ ...cluster, ...(await serve(answering)), idleMs: 200 });
  expect((await cloud.instances(['i-1'], AbortSignal.timeout(10_000))).size).toBe(0);
  expect(asked).toBe(2);
});
test('an agent that leads no more waits for no answer', async () => {
  const cloud = openAgentCloud({ ...cluster, ...(await serve(() => undefined)) });
  await expect(cloud.held(AbortSignal.timeout(100))).rejects.toThrow(/abort/i);
  await expect(cloud.instances(['i-1'], AbortSignal.timeout(100))).rejects.toThrow(/abort/i);
});
