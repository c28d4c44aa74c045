import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ensureBucket, openStore } from '../../providers/aws/bucket.ts';
import { openSdk } from '../../providers/aws/clients.ts';
import { s3Store } from '../../providers/aws/s3-store.ts';
import { recordKey } from '../../src/store/store.ts';
import { storeContract } from '../contract/store.ts';
import { type Moto, newAccount, startMoto } from '../support/aws/moto.ts';
import { type AwsProxy, startProxy } from '../support/aws/proxy.ts';

let moto: Moto;
let proxy: AwsProxy;
beforeAll(async () => {
  moto = await startMoto();
  proxy = await startProxy(moto);
});
afterEach(() => {
  expect(proxy.violations).toEqual([]);
  expect(proxy.accidents).toEqual([]);
  proxy.clear();
});
afterAll(async () => {
  await proxy.close();
  await moto.stop();
});

async function aStore() {
  const { id, credentials } = newAccount();
  const { s3 } = openSdk({ region: 'eu-west-1', endpoint: proxy.url, credentials });
  const bucket = `slipway-${id}-eu-west-1-demo`;
  await ensureBucket(s3, { bucket, region: 'eu-west-1', account: id, cluster: 'demo', tags: {}, kmsKey: undefined });
  return { store: s3Store(s3, bucket, id), again: () => s3Store(s3, bucket, id), account: id, s3, bucket };
}

storeContract('S3', aStore);

describe('a store in S3', () => {
  it('an object whose body is cut is read again', async () => {
    const { store } = await aStore();
    await store.put('some/key', new TextEncoder().encode('all of it'));
    proxy.once('GetObject', 'truncate', 2);
    const found = await store.get('some/key');
    expect(new TextDecoder().decode(await found!.bytes())).toBe('all of it');
  });
  it('an object whose body is cut while nobody reads it ends no process, and is read again when somebody does', async () => {
    const { store } = await aStore();
    await store.put('some/key', new TextEncoder().encode('all of it'));
    proxy.once('GetObject', 'truncate');
    const found = await store.get('some/key');
    await sleep(300);
    expect(new TextDecoder().decode(await found!.bytes())).toBe('all of it');
  });
  it('a record that is cut while the store is opened is asked for again', async () => {
    const { store, account, s3, bucket } = await aStore();
    await store.put(recordKey, new TextEncoder().encode('{}'));
    proxy.once('GetObject', 'truncate');
    const opened = await openStore(s3, bucket, account);
    const found = await opened!.get(recordKey);
    expect(new TextDecoder().decode(await found!.bytes())).toBe('{}');
  });
});
