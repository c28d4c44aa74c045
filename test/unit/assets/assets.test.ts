import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type AssetOptions, openAssets } from '../../../src/assets/assets.ts';
import { type Asset, asset, versionsFor } from '../../../src/assets/catalogue.ts';
import type { Http } from '../../../src/assets/http.ts';
import type { Event } from '../../../src/run/events.ts';
import { type AssetServer, sha256, startAssetServer } from '../../support/asset-server.ts';

const versions = versionsFor('1.36.3');
const kubectl = asset('kubectl', versions);
const kubectlUrl = '/release/v1.36.3/bin/linux/amd64/kubectl';
const program = Buffer.alloc(500_000, 'a program ');
const never = new AbortController().signal;

let server: AssetServer;
let root: string;
let events: Omit<Event, 'at'>[];

beforeEach(async () => {
  server = await startAssetServer();
  root = await mkdtemp(join(tmpdir(), 'slipway-assets-'));
  events = [];
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

const open = (options: Partial<AssetOptions> = {}) =>
  openAssets({
    directory: join(root, 'cache'),
    bases: { kubernetes: server.url, github: server.url, githubApi: server.url, registry: server.url },
    emit: (event) => events.push(event),
    patience: { retryMs: 1 },
    // No compiler here: what cannot be fetched fails.
    env: { PATH: join(root, 'nothing') },
    ...options,
  });

const publish = (path: string, content: Buffer): void => {
  server.files.set(path, content);
  server.files.set(`${path}.sha256`, Buffer.from(`${sha256(content)}\n`));
};

const gets = (path: string): string[] => server.requests.filter((request) => request.split(' ')[1] === path);

async function tarball(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(Buffer.from(chunk as Uint8Array));
  return gzipSync(Buffer.concat(chunks));
}

const contentOf = async (assets: readonly Asset[]): Promise<string[]> =>
  Promise.all(assets.map(({ path }) => readFile(join(root, 'cache', path), 'utf8')));

describe('upstream', () => {
  test('a program is fetched once, is executable, and nothing is left beside it', async () => {
    publish(kubectlUrl, program);
    const found = await open().ensure([kubectl], never);
    expect(found.get(kubectl.path)).toEqual({
      file: join(root, 'cache', 'kubernetes/1.36.3/kubectl'),
      sha256: sha256(program),
      size: program.length,
      source: 'upstream',
    });
    expect((await stat(join(root, 'cache', kubectl.path))).mode & 0o777).toBe(0o755);
    const before = server.requests.length;
    await open().ensure([kubectl], never);
    expect(server.requests.length).toBe(before);
    const left = await readdir(join(root, 'cache'), { recursive: true, withFileTypes: true });
    expect(
      left
        .filter((entry) => entry.isFile())
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['kubectl', 'kubectl.json']);
    expect(events.map(({ type }) => type)).toEqual(['started', ...events.slice(1, -1).map(() => 'progress'), 'done']);
  });

  test('a download that is cut goes on where it ended', async () => {
    publish(kubectlUrl, program);
    server.faults.set(kubectlUrl, { cutAfter: 200_000, times: 1 });
    const found = await open().ensure([kubectl], never);
    expect(found.get(kubectl.path)?.sha256).toBe(sha256(program));
    expect(gets(kubectlUrl)).toEqual([`GET ${kubectlUrl}`, expect.stringMatching(/bytes=[1-9]\d*-$/)]);
  });

  test('a download goes on in the next run too', async () => {
    publish(kubectlUrl, program);
    server.faults.set(kubectlUrl, { cutAfter: 100_000 });
    await expect(open().ensure([kubectl], never)).rejects.toThrow(/4 attempts/);
    server.faults.clear();
    server.requests.length = 0;
    await open().ensure([kubectl], never);
    expect(gets(kubectlUrl)).toEqual([expect.stringMatching(/bytes=[1-9]\d*-$/)]);
  });

  test('other bytes than the checksum promises are refused and no other source is asked', async () => {
    publish(kubectlUrl, program);
    server.files.set(kubectlUrl, Buffer.alloc(500_000, 'something else'));
    await expect(open().ensure([kubectl], never)).rejects.toMatchObject({
      problem: { what: expect.stringContaining('checksum'), where: `${server.url}${kubectlUrl}` },
    });
    expect(await readdir(join(root, 'cache', '.parts', 'kubernetes-1.36.3'))).toEqual([]);
    expect(await open().list([kubectl])).toEqual([{ asset: kubectl, cached: undefined }]);
  });

  test('a download that stalls goes on with a new connection', async () => {
    publish(kubectlUrl, program);
    server.faults.set(kubectlUrl, { stallAfter: 100_000, times: 1 });
    await open({ patience: { retryMs: 1, answerMs: 200 } }).ensure([kubectl], never);
    expect(gets(kubectlUrl)).toEqual([`GET ${kubectlUrl}`, expect.stringMatching(/bytes=[1-9]\d*-$/)]);
  });

  test('a redirect to another server is followed, as to the storage behind GitHub releases', async () => {
    publish(kubectlUrl, program);
    await using storage = await startAssetServer();
    storage.files.set('/blob?token=1', program);
    server.faults.set(kubectlUrl, { redirect: `${storage.url}/blob?token=1` });
    const found = await open().ensure([kubectl], never);
    expect(found.get(kubectl.path)?.sha256).toBe(sha256(program));
  });

  test('a server that closes its connection before the answer is read harms nothing', async () => {
    const large = Buffer.alloc(5_000_000, 'a large program ');
    publish(kubectlUrl, large);
    server.faults.set(kubectlUrl, { close: true });
    const found = await open().ensure([kubectl], never);
    expect(found.get(kubectl.path)?.sha256).toBe(sha256(large));
  });

  test('a server that is busy is asked again', async () => {
    publish(kubectlUrl, program);
    server.faults.set(kubectlUrl, { status: 503, times: 2 });
    await open().ensure([kubectl], never);
    expect(gets(kubectlUrl)).toHaveLength(3);
  });

  test('programs come out of a tarball, the checksum out of SHA256SUMS', async () => {
    const wanted = ['etcd', 'etcdctl', 'etcdutl'].map((name) => asset(name, versions));
    const directory = '/etcd-io/etcd/releases/download/v3.6.16';
    const name = 'etcd-v3.6.16-linux-amd64';
    const tgz = await tarball({
      [`${name}/README.md`]: 'hello',
      [`${name}/etcd`]: 'one',
      [`${name}/etcdctl`]: 'two',
      [`${name}/etcdutl`]: 'three'.repeat(100_000),
    });
    server.files.set(`${directory}/${name}.tar.gz`, tgz);
    server.files.set(`${directory}/SHA256SUMS`, Buffer.from(`${'0'.repeat(64)}  other.zip\n${sha256(tgz)}  ${name}.tar.gz\n`));
    await open().ensure(wanted, never);
    expect(await contentOf(wanted)).toEqual(['one', 'two', 'three'.repeat(100_000)]);
    expect(gets(`${directory}/${name}.tar.gz`)).toHaveLength(1);
  });

  test("flannel's checksum is the one that GitHub states for the release", async () => {
    server.files.set('/flannel-io/flannel/releases/download/v0.28.10/flanneld-amd64', program);
    const release = {
      assets: [
        { name: 'flanneld-amd64', digest: `sha256:${sha256(program)}` },
        { name: 'x', digest: null },
      ],
    };
    server.files.set('/repos/flannel-io/flannel/releases/tags/v0.28.10', Buffer.from(JSON.stringify(release)));
    const found = await open().ensure([asset('flanneld', versions)], never);
    expect(found.get('flannel/0.28.10/flanneld')?.sha256).toBe(sha256(program));
  });

  test('an image is pulled from its registry for linux/amd64, each blob once, and becomes an archive', async () => {
    const at = '/v2/pause';
    const put = (content: string) => {
      const bytes = Buffer.from(content);
      const digest = `sha256:${sha256(bytes)}`;
      server.files.set(`${at}/blobs/${digest}`, bytes);
      return { mediaType: 'x', digest, size: bytes.length };
    };
    const layer = put('layer'.repeat(1000));
    const manifest = JSON.stringify({ schemaVersion: 2, config: put('{}'), layers: [layer, layer] });
    const digest = `sha256:${sha256(manifest)}`;
    server.files.set(`${at}/manifests/${digest}`, Buffer.from(manifest));
    const platform = { architecture: 'amd64', os: 'linux' };
    const manifests = [
      { mediaType: 'x', digest: `sha256:${'0'.repeat(64)}`, size: 1, platform: { architecture: 'arm64', os: 'linux' } },
      { mediaType: 'x', digest, size: manifest.length, platform },
    ];
    server.files.set(`${at}/manifests/3.10.2`, Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })));
    const found = await open().ensure([asset('pause', versions)], never);
    const tar = await readFile(found.get('images/pause-3.10.2.tar')?.file ?? '', 'latin1');
    expect(tar).toContain('registry.k8s.io/pause:3.10.2');
    expect(tar).toContain(layer.digest.slice(7));
    expect(gets(`${at}/blobs/${layer.digest}`)).toHaveLength(1);
  });
});

describe('the cache', () => {
  test.each([
    ['cut short', (file: string) => truncate(file, 1000)],
    ['written to', (file: string) => writeFile(file, Buffer.alloc(500_000, 'A program '))],
    ['without a manifest', (file: string) => rm(`${file}.json`)],
    ['with a broken manifest', (file: string) => writeFile(`${file}.json`, '{"sha')],
  ])('a file that is %s is fetched again', async (_, harm) => {
    publish(kubectlUrl, program);
    const file = (await open().ensure([kubectl], never)).get(kubectl.path)?.file ?? '';
    await harm(file);
    expect(await open().list([kubectl])).toEqual([{ asset: kubectl, cached: undefined }]);
    await open().ensure([kubectl], never);
    expect(await readFile(file)).toEqual(program);
  });

  test('bytes that changed while size and time did not are found by verify', async () => {
    publish(kubectlUrl, program);
    const file = (await open().ensure([kubectl], never)).get(kubectl.path)?.file ?? '';
    const { mtimeMs } = await stat(file);
    const other = Buffer.from(program);
    other[17] = 0;
    await writeFile(file, other);
    const manifest: unknown = JSON.parse(await readFile(`${file}.json`, 'utf8'));
    expect(manifest).toMatchObject({ mtimeMs });
    await writeFile(`${file}.json`, JSON.stringify({ ...Object(manifest), mtimeMs: (await stat(file)).mtimeMs }));
    expect((await open().list([kubectl]))[0]?.cached).toBeDefined();
    expect((await open().list([kubectl], { verify: true }))[0]?.cached).toBeUndefined();
  });
});

describe('mirror', () => {
  const mirrored = async (): Promise<string> => {
    publish(kubectlUrl, program);
    const destination = join(root, 'mirror');
    await open().mirror(destination, [kubectl], never);
    await rm(join(root, 'cache'), { recursive: true });
    server.files.clear();
    server.requests.length = 0;
    return destination;
  };

  test('a directory that mirror made serves before upstream is asked', async () => {
    const mirror = await mirrored();
    expect(await readFile(join(mirror, 'SHA256SUMS'), 'utf8')).toBe(`${sha256(program)}  ${kubectl.path}\n`);
    const found = await open({ mirror }).ensure([kubectl], never);
    expect(found.get(kubectl.path)?.source).toBe('mirror');
    expect(server.requests).toEqual([]);
  });

  test('a mirror over HTTP has the same layout', async () => {
    const directory = await mirrored();
    for (const path of ['SHA256SUMS', kubectl.path]) server.files.set(`/m/${path}`, await readFile(join(directory, path)));
    const found = await open({ mirror: `${server.url}/m/` }).ensure([kubectl], never);
    expect(found.get(kubectl.path)?.source).toBe('mirror');
  });

  test('what the mirror does not have comes from upstream', async () => {
    const mirror = await mirrored();
    const kubelet = asset('kubelet', versions);
    publish('/release/v1.36.3/bin/linux/amd64/kubelet', program);
    const found = await open({ mirror }).ensure([kubectl, kubelet], never);
    expect([...found.values()].map(({ source }) => source)).toEqual(['mirror', 'upstream']);
  });

  test('a mirror with other bytes than it promises is refused', async () => {
    const mirror = await mirrored();
    await writeFile(join(mirror, kubectl.path), 'something else');
    await expect(open({ mirror }).ensure([kubectl], never)).rejects.toThrow(/checksum/);
  });

  test('a second mirror adds to the first and leaves what is there', async () => {
    const mirror = await mirrored();
    const before = await stat(join(mirror, kubectl.path));
    publish(kubectlUrl, program);
    publish('/release/v1.36.3/bin/linux/amd64/kubelet', program);
    await open().mirror(mirror, [kubectl, asset('kubelet', versions)], never);
    expect((await readFile(join(mirror, 'SHA256SUMS'), 'utf8')).split('\n')).toHaveLength(3);
    expect((await stat(join(mirror, kubectl.path))).ino).toBe(before.ino);
  });
});

describe('failure', () => {
  test('without network and compiler the error names every source that was asked', async () => {
    await server[Symbol.asyncDispose]();
    await expect(open({ mirror: join(root, 'no-mirror') }).ensure([kubectl], never)).rejects.toMatchObject({
      problem: {
        what: expect.stringContaining('no Go'),
        why: expect.stringMatching(/mirror: .*no-mirror is not a mirror[\s\S]*upstream: .*cannot be reached.*ECONNREFUSED/),
        next: expect.stringContaining('Install Go'),
      },
    });
    server = await startAssetServer();
  });

  test('a host that cannot be reached is tried once in a run', async () => {
    let tried = 0;
    const http: Http = async () => {
      tried++;
      throw new Error('getaddrinfo ENOTFOUND dl.k8s.io');
    };
    const assets = open({ http });
    await expect(assets.ensure([kubectl], never)).rejects.toThrow(/ENOTFOUND/);
    await expect(assets.ensure([kubectl], never)).rejects.toThrow(/ENOTFOUND/);
    expect(tried).toBe(1);
  });

  test('one failing asset ends the others', async () => {
    publish(kubectlUrl, program);
    server.faults.set(kubectlUrl, { trickle: 10 });
    await expect(open().ensure([kubectl, asset('etcd', versions)], never)).rejects.toThrow(/no Go/);
    expect(events.map(({ type }) => type)).toContain('cut');
  });

  test('an abort ends the fetching, and says so', async () => {
    publish(kubectlUrl, program);
    server.faults.set(kubectlUrl, { trickle: 1000 });
    const stop = new AbortController();
    const fetching = open().ensure([kubectl], stop.signal);
    setTimeout(() => stop.abort(new Error('interrupted')), 100);
    await expect(fetching).rejects.toThrow('interrupted');
    expect(events.at(-1)).toMatchObject({ type: 'cut' });
    expect(await readdir(join(root, 'cache', '.locks'))).toEqual([]);
  });
});
