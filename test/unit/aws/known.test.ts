import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { known, remember } from '../../../providers/aws/known.ts';
import { directoryStore } from '../../../src/store/directory.ts';
import { recordKey, type Store } from '../../../src/store/store.ts';

let directory: string;
let store: Store;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'known-'));
  store = directoryStore(directory);
});
afterEach(() => rm(directory, { recursive: true }));

const put = (key: string, value: unknown): Promise<string> =>
  store.put(key, Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
const record = async (): Promise<object> =>
  JSON.parse(Buffer.from((await (await store.get(recordKey))?.bytes()) ?? []).toString());
const image = { owner: 'o', name: 'n', id: 'ami-1', device: '/dev/sda1' };
const former = 'aws/known.json';

test('what steps find at once is all in the record, and the rest of that stays', async () => {
  await put(recordKey, { uid: 'u' });
  await Promise.all([
    remember({ store }, { image }),
    remember({ store }, { zone: 'Z1' }),
    remember({ store }, { facts: { 'nat-1': { subnet: 's' } } }),
    remember({ store }, { facts: { 'eipalloc-1': { address: 'a' } } }),
  ]);
  const facts = { 'nat-1': { subnet: 's' }, 'eipalloc-1': { address: 'a' } };
  expect(await record()).toEqual({ uid: 'u', provider: { image, zone: 'Z1', facts } });
  await remember({ store }, { zone: undefined, facts: { 'nat-1': {} } });
  expect(await record()).toEqual({ uid: 'u', provider: { image, facts: { 'eipalloc-1': { address: 'a' } } } });
});

test('what an older Slipway kept in an object of its own is read, and moves with the next write', async () => {
  await put(recordKey, { uid: 'u' });
  await put(former, { image, facts: { 'nat-1': { subnet: 's' } } });
  expect(await known({ store })).toEqual({ image, facts: { 'nat-1': { subnet: 's' } } });
  await remember({ store });
  expect(await record()).toEqual({ uid: 'u', provider: { image, facts: { 'nat-1': { subnet: 's' } } } });
  await put(former, '{');
  expect(await known({ store })).toMatchObject({ image });
});

test('facts and the zone are looked up anew where they are damaged', async () => {
  await put(recordKey, { uid: 'u', provider: { image, zone: 7, facts: { 'nat-1': 'x' } } });
  expect(await known({ store })).toEqual({ image });
});

test.each([
  ['the record', recordKey, '{"uid":', /cluster\.json: the record of this cluster cannot be read[\s\S]*Next: .*restore/],
  [
    'its part',
    recordKey,
    { provider: { image: 'ami-1' } },
    /provider in .*cluster\.json: what Slipway has found[\s\S]*Next: bring back/,
  ],
  ['the former object', former, '{"image":', /aws\/known\.json: what Slipway has found[\s\S]*Next: bring back .* or delete it/],
])('%s, damaged: what, where, what next', async (_, key, value, message) => {
  await put(recordKey, {});
  await put(key, value);
  await expect(known({ store })).rejects.toThrow(message);
});
