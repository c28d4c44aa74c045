import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BucketLocationConstraint,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetBucketTaggingCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListObjectVersionsCommand,
  PutBucketEncryptionCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketPolicyCommand,
  PutBucketTaggingCommand,
  PutBucketVersioningCommand,
  PutPublicAccessBlockCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { UserError } from '../../src/errors.ts';
import { sha256 } from '../../src/plan/canonical.ts';
import { recordKey, type Store, type StoredObject } from '../../src/store/store.ts';
import { codeOf, isNotFound, statusOf } from './errors.ts';
import { partitionOf } from './policies/document.ts';
import { s3Store } from './s3-store.ts';
import { clusterTag, type Tags, tagList, tagsFrom } from './tags.ts';

/** S3's names are one name space of the whole world, of 63 characters at most: account and region make it ours. */
export function bucketName(account: string, region: string, cluster: string): string {
  const name = `slipway-${account}-${region}-${cluster}`;
  return name.length <= 63 ? name : `${name.slice(0, 54)}-${sha256(name).slice(0, 8)}`;
}

export interface BucketOptions {
  readonly bucket: string;
  readonly region: string;
  readonly account: string;
  readonly cluster: string;
  readonly tags: Tags;
  readonly kmsKey: string | undefined;
}

/** Whether the bucket is there. Throws where it is somebody else's. */
export async function hasBucket(s3: S3Client, bucket: string, account: string): Promise<boolean> {
  try {
    await s3.send(new HeadBucketCommand({ Bucket: bucket, ExpectedBucketOwner: account }));
    return true;
  } catch (error) {
    if (statusOf(error) === 404) return false;
    throw notOpened(error, bucket);
  }
}

/**
 * The store, if the bucket is there: that is asked by reading the record of the cluster, which every command does first, so the answer is kept
 * for it. Throws where the bucket is somebody else's.
 */
export async function openStore(s3: S3Client, bucket: string, account: string): Promise<Store | undefined> {
  const store = s3Store(s3, bucket, account);
  let first: StoredObject | undefined;
  let asked = false;
  try {
    const { Body, ETag = '' } = await s3.send(
      new GetObjectCommand({ Bucket: bucket, Key: recordKey, ExpectedBucketOwner: account }),
    );
    const bytes = await Body?.transformToByteArray().catch(() => undefined);
    // Cut on its way: it is asked for again.
    asked = bytes === undefined;
    if (bytes) first = { version: ETag, bytes: async () => bytes, stream: () => Readable.from([bytes]) };
  } catch (error) {
    if (codeOf(error) === 'NoSuchBucket') return undefined;
    if (statusOf(error) !== 404) throw notOpened(error, bucket);
  }
  return {
    ...store,
    get(key) {
      if (key !== recordKey || asked) return store.get(key);
      asked = true;
      return Promise.resolve(first);
    },
    put(key, body, condition) {
      asked ||= key === recordKey;
      return store.put(key, body, condition);
    },
  };
}

function notOpened(error: unknown, bucket: string): unknown {
  const status = statusOf(error);
  if (status !== 403 && status !== 301) return error;
  return new UserError({
    what: 'the bucket for the records of this cluster cannot be opened',
    where: `s3://${bucket}`,
    why:
      status === 403
        ? 'S3 answers 403: it belongs to another account, or these credentials may not use it'
        : 'it is in another region',
    next: 'use credentials that may (docs/aws.md has the policy), or give the cluster another name',
  });
}

/**
 * Makes the bucket and sets what it must be: versioned, encrypted, reached by TLS only, never public. Idempotent: everything is set again
 * when it is there, which also finishes what a killed run began.
 */
export async function ensureBucket(s3: S3Client, options: BucketOptions): Promise<void> {
  const { bucket: Bucket, region, account, cluster, tags, kmsKey } = options;
  try {
    await s3.send(
      new CreateBucketCommand({
        Bucket,
        ...(isLocation(region) && { CreateBucketConfiguration: { LocationConstraint: region } }),
      }),
    );
  } catch (error) {
    if (!['BucketAlreadyOwnedByYou', 'BucketAlreadyExists'].includes(codeOf(error))) throw error;
    if (!(await hasBucket(s3, Bucket, account)) || (await foreignTags(s3, Bucket, cluster))) throw notItsOwn(Bucket);
  }
  // us-east-1 alone says yes to who makes what they have already.
  if (region === 'us-east-1' && (await settled(() => foreignTags(s3, Bucket, cluster)))) throw notItsOwn(Bucket);
  const TagSet = tagList({ ...tags, [clusterTag]: cluster });
  await settled(() => s3.send(new PutBucketTaggingCommand({ Bucket, Tagging: { TagSet } })));
  const arn = `arn:${partitionOf(region)}:s3:::${Bucket}`;
  const policy = {
    Version: '2012-10-17',
    Statement: [
      {
        Sid: 'TlsOnly',
        Effect: 'Deny',
        Principal: '*',
        Action: 's3:*',
        Resource: [arn, `${arn}/*`],
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
      },
    ],
  };
  await Promise.all([
    settled(() => s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }))),
    settled(() =>
      s3.send(
        new PutPublicAccessBlockCommand({
          Bucket,
          PublicAccessBlockConfiguration: {
            BlockPublicAcls: true,
            BlockPublicPolicy: true,
            IgnorePublicAcls: true,
            RestrictPublicBuckets: true,
          },
        }),
      ),
    ),
    settled(() =>
      s3.send(
        new PutBucketEncryptionCommand({
          Bucket,
          ServerSideEncryptionConfiguration: {
            Rules: [
              {
                ApplyServerSideEncryptionByDefault: kmsKey
                  ? { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: kmsKey }
                  : { SSEAlgorithm: 'AES256' },
                BucketKeyEnabled: true,
              },
            ],
          },
        }),
      ),
    ),
    settled(() =>
      s3.send(
        new PutBucketLifecycleConfigurationCommand({
          Bucket,
          LifecycleConfiguration: {
            Rules: [
              {
                ID: 'slipway-leftovers',
                Status: 'Enabled',
                Filter: { Prefix: '' },
                AbortIncompleteMultipartUpload: { DaysAfterInitiation: 2 },
                NoncurrentVersionExpiration: { NoncurrentDays: 90 },
              },
            ],
          },
        }),
      ),
    ),
  ]);
  // After the block of public access: S3 checks a policy against it.
  await settled(() => s3.send(new PutBucketPolicyCommand({ Bucket, Policy: JSON.stringify(policy) })));
}

const notItsOwn = (bucket: string): UserError =>
  new UserError({
    what: 'a bucket of the name that this cluster needs exists, and it is not its own',
    where: `s3://${bucket}`,
    next: 'give the cluster another name, or remove that bucket',
  });

const settleAttempts = 10;
const settleMs = 500;
/** S3 does not know a bucket everywhere at once that it has just made, and refuses to change two settings of one at the same time. */
async function settled<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!['NoSuchBucket', 'OperationAborted'].includes(codeOf(error)) || attempt === settleAttempts) throw error;
    }
    await sleep(settleMs * Math.min(attempt, 6));
  }
}

/** us-east-1 is the one region that may not be named; whether S3 knows another is S3's to say, not this SDK's list. */
const isLocation = (region: string): region is BucketLocationConstraint => region !== 'us-east-1';

async function foreignTags(s3: S3Client, Bucket: string, cluster: string): Promise<boolean> {
  try {
    const { TagSet } = await s3.send(new GetBucketTaggingCommand({ Bucket }));
    const owner = tagsFrom(TagSet)[clusterTag];
    return owner !== undefined && owner !== cluster;
  } catch (error) {
    if (codeOf(error) === 'NoSuchTagSet') return false;
    throw error;
  }
}

/** Empties the bucket, all versions, and removes it. Idempotent. */
export async function removeBucket(s3: S3Client, Bucket: string, signal: AbortSignal): Promise<void> {
  try {
    for (;;) {
      signal.throwIfAborted();
      // Each page is gone before the next is asked for, so the first page is always the next.
      const { Versions = [], DeleteMarkers = [] } = await s3.send(new ListObjectVersionsCommand({ Bucket }));
      const Objects = [...Versions, ...DeleteMarkers].flatMap(({ Key, VersionId }) => (Key ? [{ Key, VersionId }] : []));
      if (Objects.length === 0) break;
      const { Errors = [] } = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }));
      const [first] = Errors;
      if (first)
        throw new UserError({
          what: `${Errors.length} objects of the store could not be deleted`,
          where: `s3://${Bucket}/${first.Key}`,
          why: `${first.Code}: ${first.Message}`,
          next: 'run the same command again',
        });
    }
    await s3.send(new DeleteBucketCommand({ Bucket }));
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
