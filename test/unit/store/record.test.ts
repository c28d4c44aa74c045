import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { directoryStore } from '../../../src/store/directory.ts';
import { changeRecord, lastRecordText, parseRecord, recordText } from '../../../src/store/record.ts';
import { recordKey, type Store } from '../../../src/store/store.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'record-'));
});
afterEach(() => rm(directory, { recursive: true }));

/** Each is a process of its own, over the same objects: with conditions, as S3. */
const opened = (): Store => {
  const { dearConditions: _, ...store } = directoryStore(directory);
  return store;
};
const add = (store: Store, word: string, fresh: boolean): Promise<void> =>
  changeRecord(store, (before) => JSON.stringify({ ...JSON.parse(before ?? '{}'), [word]: true }), { fresh });
const words = async (store: Store): Promise<readonly string[]> =>
  Object.keys(JSON.parse((await recordText(store)) ?? '{}')).sort();

test('what several processes and steps write at once is all there in the end', async () => {
  const [one, two, three] = [opened(), opened(), opened()];
  await Promise.all([
    add(one, 'a', false),
    add(one, 'b', true),
    add(two, 'c', false),
    add(two, 'd', false),
    add(three, 'e', true),
  ]);
  expect(await words(opened())).toEqual(['a', 'b', 'c', 'd', 'e']);
});

test('who has seen an older one begins again with what lies there', async () => {
  const [one, two] = [opened(), opened()];
  await add(one, 'a', false);
  await add(two, 'b', true);
  await add(one, 'c', false);
  expect(await words(two)).toEqual(['a', 'b', 'c']);
});

test('what was read or written last is told without asking', async () => {
  const store = opened();
  await add(store, 'a', true);
  await store.put(recordKey, Buffer.from('{}'));
  expect(await lastRecordText(store)).toBe('{"a":true}');
  expect(await recordText(store)).toBe('{}');
  expect(await lastRecordText(store)).toBe('{}');
});

test.each(['', '{"uid":', '[]', '"text"'])('a record that is %j says what, where and what next', (text) => {
  expect(() => parseRecord(opened(), text)).toThrow(
    expect.objectContaining({
      problem: expect.objectContaining({ where: expect.stringContaining(recordKey), next: expect.stringContaining('restore') }),
    }),
  );
});
