import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DescribeVpcsCommand } from '@aws-sdk/client-ec2';
import { afterEach, expect, test } from 'vitest';
import { openSdk } from '../../../providers/aws/clients.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});
/** Asks once, of a server that does this with each request. */
async function ask(listener: RequestListener): Promise<unknown> {
  const listening = createServer(listener);
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const { port } = listening.address() as AddressInfo;
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' };
  const sdk = openSdk({ region: 'eu-central-1', endpoint: `http://127.0.0.1:${port}`, credentials, idleMs: 200 });
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
