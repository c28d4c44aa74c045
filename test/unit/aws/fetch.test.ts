import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { renderUserData } from '../../../providers/aws/user-data.ts';
import { assetKey } from '../../../src/assets/stored.ts';
import { fetchAssets } from '../../../src/host/fetch.ts';
import type { Host } from '../../../src/host/host.ts';
import { sha256 } from '../../../src/plan/canonical.ts';
import { FakeRoot } from '../../support/aws/fake-root.ts';
import { type MachineCloud, startMachineCloud } from '../../support/aws/machine-cloud.ts';

let cloud: MachineCloud;
let root: FakeRoot;
let host: Host;
beforeEach(async () => {
  cloud = await startMachineCloud();
  root = new FakeRoot();
  const userData = renderUserData({
    cluster: 'demo',
    region: 'eu-central-1',
    bucket: 'store',
    role: 'worker',
    roleId: 'AROATESTROLE',
    authorizedKey: 'ssh-ed25519 AAAA',
    machine: { name: 'worker-a' },
    endpoints: { s3: cloud.url, metadata: cloud.url },
  });
  await root.run(userData);
  const unused = () => Promise.reject(new Error('not here'));
  host = {
    name: 'worker-a',
    exec: (_command, { stdin = '' } = {}) => root.run(String(stdin)),
    interactive: unused,
    stream: unused,
  };
});
afterEach(() => {
  cloud.close();
  root.close();
});

/** Binary content: every byte must arrive as it was. */
const content = (name: string): string => name + Array.from({ length: 2048 }, (_, i) => String.fromCharCode(i % 256)).join('');
const digest = (text: string): string => sha256(Buffer.from(text, 'latin1'));
function store(paths: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    paths.map((path) => {
      cloud.objects.set(assetKey(digest(content(path)), path), content(path));
      return [path, digest(content(path))];
    }),
  );
}

describe('a host that fetches assets from the store', () => {
  test('puts each in place, executable, byte by byte what was uploaded', async () => {
    const paths = Array.from({ length: 9 }, (_, i) => `kubernetes/1.36.3/program-${i}`);
    await fetchAssets(host, paths, store(paths));
    for (const path of paths) expect(readFileSync(join(root.path, 'opt/slipway', path), 'latin1')).toBe(content(path));
  });
  test('fetches nothing that is there, and two at once do no harm', async () => {
    const paths = ['k/1/kubelet', 'k/1/kube-proxy'];
    const digests = store(paths);
    await Promise.all([fetchAssets(host, paths, digests), fetchAssets(host, paths, digests)]);
    cloud.asked.length = 0;
    await fetchAssets(host, paths, digests);
    expect(cloud.asked).toEqual([]);
  });
  test('asks again when the connection breaks, as curl of itself does not', async () => {
    const digests = store(['k/1/kubelet']);
    cloud.cut = 1;
    await fetchAssets(host, ['k/1/kubelet'], digests);
    expect(readFileSync(join(root.path, 'opt/slipway/k/1/kubelet'), 'latin1')).toBe(content('k/1/kubelet'));
    expect(cloud.asked.filter((each) => each.includes('/assets/'))).toHaveLength(2);
  });
  test('asks again for what arrives with a wrong byte', async () => {
    const digests = store(['k/1/kubelet']);
    cloud.spoilt = 2;
    await fetchAssets(host, ['k/1/kubelet'], digests);
    expect(readFileSync(join(root.path, 'opt/slipway/k/1/kubelet'), 'latin1')).toBe(content('k/1/kubelet'));
  });
  test('never puts in place what is not the asset', async () => {
    const digests = store(['k/1/kubelet']);
    for (const key of cloud.objects.keys()) cloud.objects.set(key, 'something else');
    await expect(fetchAssets(host, ['k/1/kubelet'], digests)).rejects.toThrow(/what the store gave is not the asset/);
    expect(existsSync(join(root.path, 'opt/slipway/k/1/kubelet'))).toBe(false);
  });
  test('says which file the store refused', async () => {
    const digests = store(['k/1/kubelet', 'k/1/kube-proxy']);
    cloud.objects.delete(assetKey(digests.get('k/1/kube-proxy') ?? '', 'k/1/kube-proxy'));
    await expect(fetchAssets(host, ['k/1/kubelet', 'k/1/kube-proxy'], digests)).rejects.toThrow(
      /worker-a: assets could not be fetched[\s\S]*k\/1\/kube-proxy: the store did not give it/,
    );
  });
});
