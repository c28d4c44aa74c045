import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AllocateAddressCommand } from '@aws-sdk/client-ec2';
import { afterEach, expect, test } from 'vitest';
import { openSdk } from '../../../providers/aws/clients.ts';
import { explaining } from '../../../providers/aws/explain.ts';
import { s3Store } from '../../../providers/aws/s3-store.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});
/** AWS that answers everything with this error. */
async function refusing(code: string, message: string, status = 400) {
  const error = `<Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  server = createServer((request, response) => {
    request.resume();
    response.writeHead(status, { 'content-type': 'text/xml' });
    // S3 answers with the error itself, EC2 wraps it.
    response.end(request.url === '/' ? `<Response><Errors>${error}</Errors><RequestID>1</RequestID></Response>` : error);
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const { port } = server.address() as AddressInfo;
  return openSdk({
    region: 'eu-central-1',
    endpoint: `http://127.0.0.1:${port}`,
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  });
}
const allocate = async (code: string, message: string) => {
  const sdk = await refusing(code, message);
  const { signal } = new AbortController();
  return explaining('aws.elastic-ip/nat-a', signal, () => sdk.ec2Once.send(new AllocateAddressCommand({})));
};

test('a quota that is met on the way is named, with the request that raises it', async () => {
  await expect(allocate('AddressLimitExceeded', 'The maximum number of addresses has been reached.')).rejects.toThrow(
    /aws\.elastic-ip\/nat-a: a quota of the account is used up: EC2-VPC Elastic IPs[\s\S]*has been reached\. \(AddressLimitExceeded\)[\s\S]*request-service-quota-increase --service-code ec2 --quota-code L-0263D0A3 --desired-value/,
  );
});
test('one that is not known here is still a quota', async () => {
  await expect(allocate('TooManyOddities', 'Too many.')).rejects.toThrow('a quota of the account is used up');
});
test('a token that is known with another request says what the next run does', async () => {
  await expect(allocate('IdempotentParameterMismatch', 'non-identical')).rejects.toThrow(
    /an earlier run asked for this, otherwise[\s\S]*found by its tags/,
  );
});
test('credentials that expire while a command runs are no bug, whichever service says so', async () => {
  for (const code of ['ExpiredToken', 'RequestExpired', 'InvalidAccessKeyId', 'InvalidToken']) {
    const sdk = await refusing(code, 'The provided token has expired.');
    await expect(s3Store(sdk.s3, 'records', '123456789012').get('cluster.json'), code).rejects.toMatchObject({
      message: expect.stringContaining('s3://records/cluster.json: AWS does not accept the credentials'),
      exitCode: 77,
    });
    server?.close();
  }
});
