import { describe, expect, test } from 'vitest';
import { ensureBucket } from '../../../providers/aws/bucket.ts';
import { openSdk } from '../../../providers/aws/clients.ts';

interface Sent {
  readonly name: string;
  readonly input: object;
}
/** S3 as far as the making of a bucket goes. `answer`: an error's code, or what it says. */
async function made(region: string, answer: (sent: Sent, times: number) => string | object): Promise<readonly Sent[]> {
  const calls: Sent[] = [];
  const { s3 } = openSdk({
    region,
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    configure: (client) =>
      client.middlewareStack.add(
        (_next, { commandName: name = '' }) =>
          async ({ input }) => {
            const sent = { name, input };
            calls.push(sent);
            const said = answer(sent, calls.filter((call) => call.name === name).length);
            if (typeof said === 'string')
              throw Object.assign(new Error(said), { name: said, $metadata: { httpStatusCode: 409 } });
            return { response: {}, output: { $metadata: {}, ...said } };
          },
        { step: 'initialize' },
      ),
  });
  const options = { bucket: 'store', region, account: '123456789012', cluster: 'demo', tags: {}, kmsKey: undefined };
  await ensureBucket(s3, options);
  return calls;
}
const policyOf = (calls: readonly Sent[]): string => {
  const { input = {} } = calls.find(({ name }) => name === 'PutBucketPolicyCommand') ?? {};
  return String(Reflect.get(input, 'Policy'));
};

describe('the bucket of a cluster', () => {
  test.each([
    ['eu-west-1', 'aws'],
    ['cn-north-1', 'aws-cn'],
    ['us-gov-west-1', 'aws-us-gov'],
  ])('in %s is named as the partition %s does', async (region, partition) => {
    const policy = policyOf(await made(region, () => ({})));
    expect(JSON.parse(policy).Statement[0].Resource).toEqual([`arn:${partition}:s3:::store`, `arn:${partition}:s3:::store/*`]);
  });

  test('gets all of its settings also where S3 does not know it yet, or works on another of them', async () => {
    const calls = await made('eu-west-1', ({ name }, times) => {
      if (name === 'PutBucketTaggingCommand' && times === 1) return 'NoSuchBucket';
      return name === 'PutBucketPolicyCommand' && times === 1 ? 'OperationAborted' : {};
    });
    const times = (name: string): number => calls.filter((call) => call.name === name).length;
    expect([times('PutBucketTaggingCommand'), times('PutBucketPolicyCommand'), times('PutBucketVersioningCommand')]).toEqual([
      2, 2, 1,
    ]);
  });

  test("is refused where it is another cluster's, also in us-east-1, which makes it again without a word", async () => {
    const calls: string[] = [];
    const making = made('us-east-1', ({ name }) => {
      calls.push(name);
      return name === 'GetBucketTaggingCommand' ? { TagSet: [{ Key: 'slipway.dev/cluster', Value: 'other' }] } : {};
    });
    await expect(making).rejects.toThrow('it is not its own');
    expect(calls).toEqual(['CreateBucketCommand', 'GetBucketTaggingCommand']);
  });
});
