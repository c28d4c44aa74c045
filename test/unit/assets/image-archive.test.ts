import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extract } from 'tar-stream';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { type Image, writeImageArchive } from '../../../src/assets/image-archive.ts';
import { sha256 } from '../../support/asset-server.ts';

const image = (program: string): Image => ({
  name: 'registry.example/demo:1.0',
  entrypoint: ['/demo'],
  user: '65532:65532',
  env: { MODE: 'test' },
  files: [
    { path: '/demo', content: { file: program }, mode: 0o755, bindsLowPorts: true },
    { path: '/etc/passwd', content: 'root:x:0:0:root:/root:/sbin/nologin\n' },
    { path: '/etc/ssl/certs/empty', content: '' },
  ],
});

interface Entry {
  readonly name: string;
  readonly mode: number;
  readonly content: Buffer;
  readonly pax: unknown;
}

async function entriesOf(tar: Buffer): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  const reader = extract();
  reader.end(tar);
  for await (const entry of reader) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(Buffer.from(chunk as Uint8Array));
    const { name, mode, pax } = entry.header;
    entries.set(name, { name, mode, content: Buffer.concat(chunks), pax });
  }
  return entries;
}

const descriptor = z.object({ digest: z.string(), size: z.number() });

async function written(): Promise<{ tar: Buffer; program: Buffer }> {
  const directory = await mkdtemp(join(tmpdir(), 'slipway-image-'));
  // More than one chunk of a stream, and no multiple of a block.
  const program = Buffer.alloc(300_001, 'slipway');
  await writeFile(join(directory, 'program'), program);
  await writeImageArchive(image(join(directory, 'program')), join(directory, 'image.tar'));
  return { tar: await readFile(join(directory, 'image.tar')), program };
}

test('the same image always has the same bytes', async () => {
  expect(sha256((await written()).tar)).toBe('9719408391a2c1afba2949b055b9e5fe273df7db32952997af30b41bf8961960');
});

test('index, manifest, config and layer name each other by digest', async () => {
  const { tar, program } = await written();
  const archive = await entriesOf(tar);
  const blob = ({ digest, size }: { digest: string; size: number }): Buffer => {
    const content = archive.get(`blobs/${digest.replace(':', '/')}`)?.content ?? Buffer.alloc(0);
    expect(content.length).toBe(size);
    expect(`sha256:${sha256(content)}`).toBe(digest);
    return content;
  };
  const index = z
    .object({ manifests: z.tuple([descriptor.extend({ annotations: z.record(z.string(), z.string()) })]) })
    .parse(JSON.parse(`${archive.get('index.json')?.content}`));
  expect(index.manifests[0].annotations['io.containerd.image.name']).toBe('registry.example/demo:1.0');
  const manifest = z
    .object({ config: descriptor, layers: z.tuple([descriptor]) })
    .parse(JSON.parse(`${blob(index.manifests[0])}`));
  const layer = blob(manifest.layers[0]);
  expect(JSON.parse(`${blob(manifest.config)}`)).toMatchObject({
    config: { Entrypoint: ['/demo'], User: '65532:65532', Env: [expect.stringContaining('PATH='), 'MODE=test'] },
    rootfs: { diff_ids: [manifest.layers[0].digest] },
  });
  const files = await entriesOf(layer);
  expect([...files.keys()]).toEqual(['etc/', 'etc/ssl/', 'etc/ssl/certs/', 'demo', 'etc/passwd', 'etc/ssl/certs/empty']);
  expect(files.get('demo')).toMatchObject({ mode: 0o755, content: program });
  // CAP_NET_BIND_SERVICE, effective and permitted: what `setcap cap_net_bind_service=+ep` writes.
  const pax = z.record(z.string(), z.string()).parse(files.get('demo')?.pax);
  expect(Buffer.from(pax['SCHILY.xattr.security.capability'] ?? '').toString('hex')).toBe(
    '0100000200040000000000000000000000000000',
  );
});
