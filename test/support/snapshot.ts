import { createHash } from 'node:crypto';

/** A file as `etcdctl snapshot save` writes it: what etcd sent, and the SHA-256 of that. */
export const snapshotFile = (content: string | Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(content), createHash('sha256').update(content).digest()]);

/** The first line of what templates/host/snapshot answers. */
export const snapshotLine = (size: number, { revision = 9, keys = 3 }: { revision?: number; keys?: number } = {}): string =>
  `snapshot ${size} ${JSON.stringify({ hash: 4711, revision, totalKey: keys, totalSize: size - 32, version: '3.6.0' })}\n`;

/** The whole answer. */
export const snapshotAnswer = (file: Buffer): Buffer => Buffer.concat([Buffer.from(snapshotLine(file.length)), file]);
