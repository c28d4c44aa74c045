import { createReadStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { NotServed, type OnBytes, sha256OfBytes, type Web, wrongDigest } from './download.ts';
import { writeArchive } from './image-archive.ts';

const descriptor = z.object({
  mediaType: z.string(),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  size: z.number(),
  platform: z.object({ architecture: z.string(), os: z.string() }).optional(),
});
const indexSchema = z.object({ manifests: z.array(descriptor) });
const manifestSchema = z.object({ mediaType: z.string().optional(), config: descriptor, layers: z.array(descriptor) });

const types = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
};
const accept = { accept: Object.values(types).join(', ') };

const isIndex = (value: unknown): boolean => typeof value === 'object' && value !== null && 'manifests' in value;

/** Pulls an image for linux/amd64 from a registry that asks for no login and writes it to `file` as an OCI archive. Every blob is checked against its digest. OCI distribution specification, "Pull". */
export async function pullImage(
  web: Web,
  image: { readonly registry: string; readonly repository: string; readonly tag: string; readonly name: string },
  file: string,
  work: string,
  signal: AbortSignal,
  onBytes: OnBytes,
): Promise<void> {
  const at = `${image.registry}/v2/${image.repository}`;
  let text = await web.text(`${at}/manifests/${image.tag}`, signal, accept);
  if (isIndex(JSON.parse(text))) {
    const found = indexSchema
      .parse(JSON.parse(text))
      .manifests.find(({ platform }) => platform?.os === 'linux' && platform.architecture === 'amd64');
    if (!found) throw new NotServed(`${at} has no image for linux/amd64 at ${image.tag}`);
    text = await web.text(`${at}/manifests/${found.digest}`, signal, accept);
    const got = `sha256:${sha256OfBytes(text)}`;
    if (got !== found.digest) throw wrongDigest(`${at}/manifests/${found.digest}`, found.digest, got);
  }
  const manifest = manifestSchema.parse(JSON.parse(text));
  const parts = [manifest.config, ...manifest.layers];
  const blobs = [...new Map(parts.map((part) => [part.digest, part])).values()];
  const of = blobs.reduce((sum, { size }) => sum + size, 0);
  let before = 0;
  const fileOf = (digest: string) => join(work, digest.slice('sha256:'.length));
  for (const { digest, size } of blobs) {
    const sha256 = digest.slice('sha256:'.length);
    const done = before;
    await web.file(`${at}/blobs/${digest}`, sha256, fileOf(digest), signal, (bytes) => onBytes({ done: done + bytes.done, of }));
    before += size;
  }
  const bytes = Buffer.from(text);
  await writeArchive(
    image.name,
    {
      mediaType: manifest.mediaType ?? types.ociManifest,
      digest: `sha256:${sha256OfBytes(bytes)}`,
      size: bytes.length,
      open: () => bytes,
    },
    blobs.map(({ digest, size }) => ({ digest, size, open: () => createReadStream(fileOf(digest)) })),
    createWriteStream(file),
  );
}
