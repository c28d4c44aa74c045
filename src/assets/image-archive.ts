import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { posix } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Header, type Pack, pack } from 'tar-stream';

/** A file of an image: its content as bytes, or as the name of a file on this machine. */
export interface ImageFile {
  /** Absolute path inside the image. */
  readonly path: string;
  readonly content: string | Uint8Array | { readonly file: string };
  /** Default 0644. */
  readonly mode?: number;
  /** The extended attribute security.capability, as upstream's CoreDNS image has it to serve port 53 without root. */
  readonly bindsLowPorts?: boolean;
}

/** A container image of one layer for linux/amd64. */
export interface Image {
  /** Full name with tag: `registry.k8s.io/pause:3.10.2`. */
  readonly name: string;
  readonly entrypoint: readonly string[];
  readonly files: readonly ImageFile[];
  /** `uid:gid`; default root. */
  readonly user?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly workdir?: string;
}

/** A blob whose digest is known before its bytes are written. */
export interface Blob {
  readonly digest: string;
  readonly size: number;
  readonly open: () => Readable | Uint8Array;
}

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const blobOf = (data: Buffer): Blob => ({ digest: `sha256:${sha256(data)}`, size: data.length, open: () => data });

// vfs_cap_data revision 2, effective, permitted = CAP_NET_BIND_SERVICE (bit 10). All its bytes are ASCII, so a PAX record can hold it.
const bindServiceCapability = '\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00';

const fixed = { uid: 0, gid: 0, mtime: new Date(0) } as const;

type EntryHeader = Partial<Header> & Pick<Header, 'name'>;

async function addEntry(tar: Pack, header: EntryHeader, content: Readable | Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const done = (error?: Error | null) => (error ? reject(error) : resolve());
  if (content instanceof Uint8Array) {
    tar.entry(header, content, done);
    return promise;
  }
  const entry = tar.entry(header, done);
  const copy = async () => {
    for await (const chunk of content) if (!entry.write(chunk)) await Promise.race([once(entry, 'drain'), promise]);
    entry.end(undefined);
  };
  await Promise.all([promise, copy()]);
}

function parentsOf(paths: readonly string[]): string[] {
  const parents = new Set<string>();
  for (const path of paths) {
    for (let parent = posix.dirname(path); parent !== '/'; parent = posix.dirname(parent)) parents.add(parent);
  }
  return [...parents].sort();
}

async function fillLayer(tar: Pack, files: readonly ImageFile[]): Promise<void> {
  for (const directory of parentsOf(files.map((file) => file.path))) {
    await addEntry(tar, { name: `${directory.slice(1)}/`, mode: 0o755, type: 'directory', ...fixed }, new Uint8Array());
  }
  for (const { path, content, mode = 0o644, bindsLowPorts } of files.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    const fromFile = typeof content === 'object' && 'file' in content;
    const bytes = fromFile ? undefined : Buffer.from(content);
    const size = fromFile ? (await stat(content.file)).size : (bytes?.length ?? 0);
    const pax = bindsLowPorts ? { pax: { 'SCHILY.xattr.security.capability': bindServiceCapability } } : {};
    const header = { name: path.slice(1), mode, type: 'file' as const, size, ...fixed, ...pax };
    await addEntry(tar, header, fromFile ? createReadStream(content.file) : (bytes ?? new Uint8Array()));
  }
  tar.finalize();
}

function layerStream(files: readonly ImageFile[]): Readable {
  const tar = pack();
  fillLayer(tar, files).catch((error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))));
  return Readable.from(tar);
}

async function measure(stream: Readable): Promise<{ digest: string; size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}

/** Writes an OCI archive of a manifest, its config and its layers, such as `ctr images import` reads. Ends `destination`. */
export async function writeArchive(
  name: string,
  manifest: Blob & { readonly mediaType: string },
  blobs: readonly Blob[],
  destination: Writable,
): Promise<void> {
  const index = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        mediaType: manifest.mediaType,
        digest: manifest.digest,
        size: manifest.size,
        platform: { architecture: 'amd64', os: 'linux' },
        annotations: {
          'io.containerd.image.name': name,
          'org.opencontainers.image.ref.name': name.slice(name.lastIndexOf(':') + 1),
        },
      },
    ],
  });
  const tar = pack();
  const fill = async () => {
    const add = (path: string, size: number, content: Readable | Uint8Array) =>
      addEntry(tar, { name: path, mode: 0o644, type: 'file', size, ...fixed }, content);
    const layout = json({ imageLayoutVersion: '1.0.0' });
    await add('oci-layout', layout.length, layout);
    await add('index.json', index.length, index);
    for (const blob of [manifest, ...blobs]) await add(`blobs/${blob.digest.replace(':', '/')}`, blob.size, blob.open());
    tar.finalize();
  };
  await Promise.all([
    pipeline(Readable.from(tar), destination),
    fill().catch((error: unknown) => {
      tar.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }),
  ]);
}

/** Writes an image as an uncompressed OCI archive, always the same bytes for the same image. Two passes over the files: the digest of the layer stands before it. */
export async function writeImageArchive(image: Image, destination: string): Promise<void> {
  const layer = await measure(layerStream(image.files));
  const config = blobOf(
    json({
      created: '1970-01-01T00:00:00Z',
      architecture: 'amd64',
      os: 'linux',
      config: {
        Entrypoint: image.entrypoint,
        Env: [
          'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
          ...Object.entries(image.env ?? {}).map(([key, value]) => `${key}=${value}`),
        ],
        WorkingDir: image.workdir ?? '/',
        ...(image.user ? { User: image.user } : {}),
      },
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
      history: [{ created: '1970-01-01T00:00:00Z', created_by: 'slipway' }],
    }),
  );
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = blobOf(
    json({
      schemaVersion: 2,
      mediaType,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config.digest, size: config.size },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layer.digest, size: layer.size }],
    }),
  );
  const blobs: Blob[] = [config, { ...layer, open: () => layerStream(image.files) }];
  await writeArchive(image.name, { ...manifest, mediaType }, blobs, createWriteStream(destination));
}
