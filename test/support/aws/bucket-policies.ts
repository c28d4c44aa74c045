import { type Answer, type Refusal, refuse } from './answers.ts';
import { type Behaviour, textOf } from './exchange.ts';

/**
 * Policies of buckets, kept here: moto obeys them without their conditions, so that "nothing without TLS" refuses everything. That they
 * are obeyed is AWS's business; that they are there is the test's.
 */
export function bucketPolicies(): Behaviour {
  const policies = new Map<string, Buffer>();
  const xml = { 'content-type': 'application/xml' };
  return {
    before({ call, body }): Answer | Refusal | undefined {
      if (call.service !== 's3') return undefined;
      const key = `${call.account} ${textOf(call.params, 'Bucket')}`;
      switch (call.action) {
        case 'PutBucketPolicy':
          policies.set(key, body);
          call.committed = true;
          return { status: 204, headers: xml, body: Buffer.alloc(0) };
        case 'GetBucketPolicy': {
          const policy = policies.get(key);
          if (!policy) return refuse('NoSuchBucketPolicy', 'The bucket policy does not exist', 404);
          return { status: 200, headers: { 'content-type': 'application/json' }, body: policy };
        }
        case 'DeleteBucketPolicy':
          call.committed = true;
          policies.delete(key);
          return { status: 204, headers: xml, body: Buffer.alloc(0) };
        default:
          return undefined;
      }
    },
  };
}
