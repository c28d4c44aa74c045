import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import { ensureRecord, readRecord, versionsFrom } from '../../../src/lifecycle/identity.ts';
import { directoryStore } from '../../../src/store/directory.ts';
import { aCluster } from '../../support/builders.ts';

const root = mkdtempSync(join(tmpdir(), 'slipway-versions-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const local = aCluster();
const aws = aCluster({ provider: { aws: { region: 'eu-central-1' } }, zones: ['eu-central-1a'] });
const storeOf = (name: string) => directoryStore(join(root, name));

test('the record of a cluster on AWS holds what runs only there; another cluster has no such key', async () => {
  expect((await ensureRecord(storeOf('local'), local, () => 'uid')).versions).toEqual(versionsFor('1.36.3'));
  const record = await ensureRecord(storeOf('aws'), aws, () => 'uid');
  expect(record.versions.aws).toMatchObject({ cloudController: '1.36.1', clusterAutoscaler: '1.36.1' });
  expect((await readRecord(storeOf('aws')))?.versions).toEqual(record.versions);
});

test('a record without those keys is read, and gets those that go with its own Kubernetes version', async () => {
  const store = storeOf('older');
  const record = { ...(await ensureRecord(storeOf('new'), aws, () => 'uid')), versions: versionsFor('1.35.4') };
  await store.put('cluster.json', new TextEncoder().encode(JSON.stringify(record)));
  const read = await readRecord(store);
  expect(read?.versions).toEqual(versionsFor('1.35.4'));
  expect(versionsFrom(read, aws)).toMatchObject({ kubernetes: '1.35.4', aws: { clusterAutoscaler: '1.35.2' } });
  expect(versionsFrom(read, local)).toEqual(versionsFor('1.35.4'));
});
