import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { accountOf } from '../../../providers/aws/account.ts';
import { accountMemory } from '../../../providers/aws/account-memory.ts';
import { openSdk } from '../../../providers/aws/clients.ts';

const mine = '111111111111';
const other = '222222222222';
const { signal } = new AbortController();
let directory: string;
let server: Server;
let asked = 0;
let valid = true;
beforeEach(async () => {
  [asked, valid] = [0, true];
  directory = await mkdtemp(join(tmpdir(), 'account-'));
  server = createServer((_request, response) => {
    asked++;
    const answer = valid
      ? `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>${mine}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`
      : '<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token is invalid</Message></Error></ErrorResponse>';
    response.writeHead(valid ? 200 : 403, { 'content-type': 'text/xml' }).end(answer);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true });
});
const open = ({ key = 'AKIA1', accountId, allowed = [] }: { key?: string; accountId?: string; allowed?: string[] } = {}) => {
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = { accessKeyId: key, secretAccessKey: 's', ...(accountId !== undefined && { accountId }) };
  return accountOf(openSdk({ region: 'eu-west-1', endpoint, credentials }), { allowed, memory: accountMemory(directory, 'e') });
};
const file = () => join(directory, 'aws-accounts.json');

test('credentials that name their account are believed for a look, and asked about before anything is changed', async () => {
  const account = open({ accountId: mine });
  expect([await account.told(signal), asked]).toEqual([mine, 0]);
  expect([await account.proven(signal), asked]).toEqual([mine, 1]);
});

test('credentials that claim another account are told apart, also where only the claim is allowed', async () => {
  const account = open({ accountId: other, allowed: [other] });
  expect(await account.told(signal)).toBe(other);
  await expect(account.proven(signal)).rejects.toThrow(`of account ${mine}, and say that they are of ${other}`);
});

test('an account that is not allowed is refused before anything is looked at, by what AWS says', async () => {
  await expect(open({ accountId: mine, allowed: [other] }).told(signal)).rejects.toThrow('accountIds');
  await expect(open({ allowed: [other] }).told(signal)).rejects.toThrow(
    `of account ${mine}, in which this cluster may not be made`,
  );
  // Nor later, when it is remembered.
  await expect(open({ allowed: [other] }).told(signal)).rejects.toThrow('accountIds');
});

test('the account of an access key is asked once, and remembered where only its owner reads, without the key', async () => {
  expect([await open().told(signal), asked]).toEqual([mine, 1]);
  expect([await open().told(signal), asked]).toEqual([mine, 1]);
  expect([await open({ key: 'AKIA2' }).told(signal), asked]).toEqual([mine, 2]);
  expect((await stat(file())).mode & 0o777).toBe(0o600);
  expect(await readFile(file(), 'utf8')).not.toContain('AKIA');
});

test('a memory that is damaged or cannot be written costs a call, and one that is full forgets the oldest', async () => {
  await writeFile(file(), '{"no":');
  expect([await open().told(signal), asked]).toEqual([mine, 1]);
  const memory = accountMemory(directory, 'e');
  for (let n = 0; n < 100; n++) await memory.learn(`ASIA${n}`, mine);
  expect(await memory.account('AKIA1')).toBeUndefined();
  expect(await memory.account('ASIA0')).toBe(mine);
  await accountMemory('/dev/null/nowhere').learn('AKIA1', mine);
});

test('credentials that are not valid', async () => {
  valid = false;
  await expect(open().told(signal)).rejects.toThrow(/no valid AWS credentials\nInvalidClientTokenId[\s\S]*aws sso login/);
});
