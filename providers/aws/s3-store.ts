import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { UserError } from '../../src/errors.ts';
import { type PutCondition, type Store, StoreConflict, type StoredObject } from '../../src/store/store.ts';
import { attemptsOf, codeOf, isNotFound } from './errors.ts';
import { explain } from './explain.ts';

/** Streams go in parts of this size, in bytes: S3 takes 10,000 of them, so up to 80 GB. */
const partSize = 8 * 1024 * 1024;
/** S3 says 409 while another conditional write of the same key is under way. */
const conflictRetries = 10;
const conflictMs = 100;
const bodyAttempts = 5;
/** As many as S3 takes in one call. */
const deletedAtOnce = 1000;

/**
 * A store in a bucket. Conditional writes are S3's own (If-None-Match, If-Match), so that of many who write at once one wins. Parts are
 * sent here and not by the SDK's upload helper, because the condition belongs to the call that completes them.
 */
export function s3Store(s3: S3Client, bucket: string, account: string): Store {
  const url = `s3://${bucket}`;
  // A name that is free again can be anybody's tomorrow: S3 refuses where it is.
  const own = { Bucket: bucket, ExpectedBucketOwner: account };
  const at = (key: string) => ({ ...own, Key: checked(key) });

  async function get(key: string): Promise<StoredObject | undefined> {
    try {
      const { Body, ETag = '' } = await s3.send(new GetObjectCommand(at(key)));
      if (!(Body instanceof Readable)) throw new Error(`${url}/${key}: no stream in S3's answer`);
      // It may be cut before anybody reads it, or never be read. Who reads it then hears of that all the same.
      Body.on('error', () => undefined);
      return { version: ETag, bytes: () => whole(key, Body, ETag), stream: () => Body };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw explained(error, url, key);
    }
  }

  /** The SDK's retries end where the body begins: what was cut is asked for again, as long as it is the same. */
  async function whole(key: string, body: Readable, ETag: string): Promise<Uint8Array> {
    for (let from = body, attempt = 1; ; attempt++) {
      try {
        return await bytesOf(from);
      } catch (error) {
        if (attempt === bodyAttempts) throw explained(error, url, key);
      }
      const { Body } = await s3.send(new GetObjectCommand({ ...at(key), IfMatch: ETag }));
      if (!(Body instanceof Readable)) throw new Error(`${url}/${key}: no stream in S3's answer`);
      from = Body;
    }
  }

  /** A write whose answer was lost is sent again by the SDK, and then refuses itself: what lies there tells. */
  async function isOurs(key: string, body: Uint8Array): Promise<string | undefined> {
    const found = await get(key);
    return found && Buffer.compare(await found.bytes(), body) === 0 ? found.version : undefined;
  }

  async function putBytes(key: string, body: Uint8Array, condition: PutCondition | undefined): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      try {
        const { ETag = '' } = await s3.send(new PutObjectCommand({ ...at(key), Body: body, ...conditionOf(condition) }));
        return ETag;
      } catch (error) {
        if (codeOf(error) === 'ConditionalRequestConflict' && attempt < conflictRetries) await sleep(conflictMs * attempt);
        else if (!isConflict(error, condition)) throw explained(error, url, key);
        else {
          const ours = attempt > 1 || attemptsOf(error) > 1 ? await isOurs(key, body) : undefined;
          if (ours !== undefined) return ours;
          throw new StoreConflict(`${url}/${key} has changed, or is there already`);
        }
      }
    }
  }

  async function putParts(
    key: string,
    first: Uint8Array,
    rest: AsyncIterator<Uint8Array>,
    condition: PutCondition | undefined,
  ): Promise<string> {
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand(at(key)));
    const upload = { ...at(key), UploadId };
    try {
      const parts: { PartNumber: number; ETag: string | undefined }[] = [];
      for (let body: Uint8Array | undefined = first; body; ) {
        const PartNumber = parts.length + 1;
        const { ETag } = await s3.send(new UploadPartCommand({ ...upload, PartNumber, Body: body }));
        parts.push({ PartNumber, ETag });
        const next = await rest.next();
        body = next.done ? undefined : next.value;
      }
      const done = await s3.send(
        new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: parts }, ...conditionOf(condition) }),
      );
      return done.ETag ?? '';
    } catch (error) {
      // Parts of an upload that was given up are paid for; the bucket's lifecycle rule removes what this could not.
      await s3.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
      if (isConflict(error, condition)) throw new StoreConflict(`${url}/${key} has changed, or is there already`);
      throw explained(error, url, key);
    }
  }

  async function versions(prefix: string): Promise<ReadonlyMap<string, string>> {
    const found: [string, string][] = [];
    try {
      for await (const { Contents = [] } of paginateListObjectsV2({ client: s3 }, { ...own, Prefix: prefix }))
        found.push(...Contents.flatMap(({ Key, ETag = '' }): [string, string][] => (Key ? [[Key, ETag]] : [])));
    } catch (error) {
      throw explained(error, url, prefix);
    }
    return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  return {
    url,
    get,
    async put(key, body, condition) {
      if (body instanceof Uint8Array) return putBytes(key, body, condition);
      const parts = inParts(body);
      const first = await parts.next();
      const bytes = first.done ? new Uint8Array() : first.value;
      return bytes.length < partSize ? putBytes(key, bytes, condition) : putParts(key, bytes, parts, condition);
    },
    list: async (prefix) => [...(await versions(prefix)).keys()],
    versions,
    async deleteAll(keys) {
      for (let from = 0; from < keys.length; from += deletedAtOnce) {
        const Objects = keys.slice(from, from + deletedAtOnce).map((key) => ({ Key: checked(key) }));
        try {
          const { Errors: [first] = [] } = await s3.send(new DeleteObjectsCommand({ ...own, Delete: { Objects, Quiet: true } }));
          if (first) throw Object.assign(new Error(`${first.Message} (${first.Code})`), { name: first.Code ?? 'Error' });
        } catch (error) {
          throw explained(error, url, keys[from] ?? '');
        }
      }
    },
    async delete(key, condition) {
      try {
        if (condition) {
          const { ETag } = await s3.send(new HeadObjectCommand(at(key)));
          if (ETag !== condition.ifMatch) throw new StoreConflict(`${url}/${key} has changed`);
        }
        await s3.send(new DeleteObjectCommand({ ...at(key), ...(condition && { IfMatch: condition.ifMatch }) }));
      } catch (error) {
        if (error instanceof StoreConflict) throw error;
        if (condition && (isNotFound(error) || isConflict(error, condition)))
          throw new StoreConflict(`${url}/${key} has changed, or is gone`);
        if (!isNotFound(error)) throw explained(error, url, key);
      }
    },
  };
}

const conditionOf = (condition: PutCondition | undefined) =>
  condition === undefined ? {} : 'ifAbsent' in condition ? { IfNoneMatch: '*' } : { IfMatch: condition.ifMatch };

function isConflict(error: unknown, condition: PutCondition | undefined): boolean {
  if (condition === undefined) return false;
  if (['PreconditionFailed', 'ConditionalRequestConflict'].includes(codeOf(error))) return true;
  return 'ifMatch' in condition && isNotFound(error);
}

/** Keys as every store takes them: relative, without empty parts and dots. */
function checked(key: string): string {
  if (key === '' || key.split('/').some((part) => ['', '.', '..'].includes(part))) throw new Error(`not a store key: ${key}`);
  return key;
}

async function bytesOf(stream: Readable): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** A stream in pieces of `partSize`; the last one may be smaller. Nothing is yielded of a stream that fails before its first part is full. */
async function* inParts(stream: NodeJS.ReadableStream): AsyncGenerator<Uint8Array, undefined> {
  let chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk);
    chunks.push(bytes);
    size += bytes.length;
    while (size >= partSize) {
      const all = Buffer.concat(chunks);
      yield all.subarray(0, partSize);
      chunks = [all.subarray(partSize)];
      size -= partSize;
    }
  }
  if (size > 0) yield Buffer.concat(chunks);
  return undefined;
}

function explained(error: unknown, url: string, key: string): unknown {
  const code = codeOf(error);
  if (code === 'NoSuchBucket')
    return new UserError({
      what: 'the bucket with the records of this cluster is gone',
      where: url,
      why: `asked for ${key}`,
      next: 'bring it back, or remove what is left of the cluster: cluster down',
    });
  if (code === 'AccessDenied')
    return new UserError({
      what: 'S3 refuses access to the records of this cluster',
      where: `${url}/${key}`,
      why: 'AccessDenied',
      next: 'use credentials that may read and write this bucket (docs/aws.md has the policy)',
    });
  return explain(error, `${url}/${key}`);
}
