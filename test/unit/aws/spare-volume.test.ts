import type { Volume } from '@aws-sdk/client-ec2';
import { expect, test } from 'vitest';
import { type AwsClients, openSdk } from '../../../providers/aws/clients.ts';
import { noNonces } from '../../../providers/aws/idempotency.ts';
import { spareVolume, volume } from '../../../providers/aws/volume.ts';
import type { World } from '../../../src/plan/resource.ts';
import type { Store } from '../../../src/store/store.ts';

const Tags = [
  { Key: 'slipway.dev/cluster', Value: 'demo' },
  { Key: 'slipway.dev/resource', Value: 'aws.volume/etcd-a.main' },
];
const one = (VolumeId: string, day: number, more: Volume = {}): Volume => ({
  VolumeId,
  State: 'available',
  CreateTime: new Date(Date.UTC(2026, 0, day)),
  Tags,
  ...more,
});

/** What is seen of these volumes, of which the store has records of some; undefined: there is no store. */
async function seen(Volumes: readonly Volume[], recorded: readonly string[] | undefined): Promise<readonly string[]> {
  const { ec2, ...sdk } = openSdk({
    region: 'eu-west-1',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    configure: (client) =>
      client.middlewareStack.add(() => async () => ({ response: {}, output: { $metadata: {}, Volumes } }), {
        step: 'initialize',
      }),
  });
  const store: Store | undefined = recorded && {
    url: 'memory:',
    get: async () => undefined,
    put: async () => '',
    delete: async () => undefined,
    list: async (prefix) => recorded.map((id) => `${prefix}${id}`),
  };
  const clients: AwsClients = {
    ...sdk,
    ec2,
    owner: { cluster: 'demo', extra: {} },
    uid: 'demo',
    account: '123456789012',
    region: 'eu-west-1',
    bucket: 'bucket',
    nonces: noNonces,
    facts: new Map(),
    existing: { vpc: undefined, subnets: {} },
    store,
    windowMs: 10,
  };
  const signal = new AbortController().signal;
  const world: World<AwsClients> = { clients, signal, read: (query) => query(clients, signal) };
  const found = await Promise.all([volume.observe(world), spareVolume.observe(world)]);
  return found
    .flatMap((each) => [...each])
    .map(([address, of]) => `${address} ${of.state === 'present' && 'id' in of.outputs ? of.outputs.id : ''}`)
    .sort();
}

test('of two volumes that nobody has mounted the younger is spare', async () => {
  expect(await seen([one('vol-a', 1), one('vol-b', 2)], [])).toEqual([
    'aws.spare-volume/etcd-a.main~vol-b vol-b',
    'aws.volume/etcd-a.main vol-a',
  ]);
});

test('one that was mounted keeps its place, also while it is attached to nothing and is the younger', async () => {
  expect(await seen([one('vol-a', 1), one('vol-b', 2)], ['vol-b'])).toEqual([
    'aws.spare-volume/etcd-a.main~vol-a vol-a',
    'aws.volume/etcd-a.main vol-b',
  ]);
});

test('one that holds data is never spare, whatever else has come to its address', async () => {
  const attached = one('vol-b', 2, { Attachments: [{ InstanceId: 'i-1', State: 'attached' }] });
  expect(await seen([one('vol-a', 1), attached], ['vol-a', 'vol-b'])).toEqual([
    'aws.volume/etcd-a.main vol-b',
    'aws.volume/etcd-a.main~vol-a vol-a',
  ]);
});

test('without a store to say so none is', async () => {
  expect(await seen([one('vol-a', 1), one('vol-b', 2)], undefined)).toEqual([
    'aws.volume/etcd-a.main vol-a',
    'aws.volume/etcd-a.main~vol-b vol-b',
  ]);
});
