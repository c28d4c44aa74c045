import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { storedAssets } from '../../../src/assets/stored.ts';
import { storedAssetsResource, storedAssetsType, type UploadClients } from '../../../src/assets/types/uploaded.ts';
import { sha256 } from '../../../src/plan/canonical.ts';
import type { Context } from '../../../src/plan/resource.ts';
import { directoryStore } from '../../../src/store/directory.ts';

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});
const directory = (): string => {
  const made = mkdtempSync(join(tmpdir(), 'slipway-upload-'));
  directories.push(made);
  return made;
};
const asset = (path: string) => ({ name: path, version: '1', path });

/** A machine with its own asset cache, and a store that it may share with others. */
function upload(files: Readonly<Record<string, string>>, at = directory()) {
  const cache = directory();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(cache, path)), { recursive: true });
    writeFileSync(join(cache, path), text);
  }
  const said: string[] = [];
  const clients: UploadClients = { store: directoryStore(at), assetFile: (path) => join(cache, path) };
  const signal = new AbortController().signal;
  const ctx: Context<UploadClients> = {
    address: 'store.assets/all',
    clients,
    signal,
    since: 0,
    token: '',
    hold: [],
    secrets: { reveal: async () => new Uint8Array() },
    progress: (message) => void said.push(message),
  };
  const { props } = storedAssetsResource(Object.keys(files).map(asset));
  return {
    at,
    said,
    props,
    clients,
    observe: async () =>
      (await storedAssetsType.observe({ clients, signal, read: (query) => query(clients, signal) })).get('store.assets/all'),
    async run() {
      const seen = await this.observe();
      if (seen?.state !== 'present') return storedAssetsType.create?.(props, ctx);
      return storedAssetsType.update?.(props, seen.outputs, ctx);
    },
  };
}

describe('assets in the store', () => {
  test('are uploaded once, whole, under the digest of their content', async () => {
    const first = upload({ 'k/1/kubelet': 'kubelet', 'images/a.tar': 'image' });
    expect(await first.observe()).toBeUndefined();
    await first.run();
    expect(await first.clients.store.list('assets/')).toEqual(
      [`assets/${sha256('kubelet')}/k/1/kubelet`, `assets/${sha256('image')}/images/a.tar`].sort(),
    );
    const seen = await first.observe();
    expect(seen?.state === 'present' && storedAssetsType.diff(first.props, seen.props)).toEqual([]);
  });
  test('of a newer version are uploaded beside those that are there, which are not sent again', async () => {
    const first = upload({ 'k/1/kubelet': 'old' });
    await first.run();
    const second = upload({ 'k/1/kubelet': 'old', 'k/2/kubelet': 'new' }, first.at);
    const seen = await second.observe();
    expect(seen?.state === 'present' && storedAssetsType.diff(second.props, seen.props).map(({ path }) => path)).toEqual([
      'paths.k/2/kubelet',
    ]);
    await second.run();
    expect(second.said.filter((message) => message.startsWith('uploads'))).toEqual(['uploads k/2/kubelet']);
    expect([...(await storedAssets(second.clients.store)).keys()].sort()).toEqual(['k/1/kubelet', 'k/2/kubelet']);
  });
  test('from two machines at once, also of different builds, all stand, and one digest counts for everybody', async () => {
    const at = directory();
    const builds = [upload({ 'k/1/kubelet': 'built here' }, at), upload({ 'k/1/kubelet': 'built there' }, at)];
    await Promise.all(builds.map((build) => build.run()));
    const digests = await Promise.all(builds.map(async ({ clients }) => (await storedAssets(clients.store)).get('k/1/kubelet')));
    expect(new Set(digests).size).toBe(1);
    expect(await builds[0]?.clients.store.list('assets/')).toHaveLength(2);
  });
});
